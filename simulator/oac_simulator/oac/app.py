"""The web application of one OAC instance. To add an area, add its module to `AREAS`."""

from __future__ import annotations

from functools import partial
from urllib.parse import urlencode

from aiohttp import web
from aiohttp.typedefs import Handler as AnyHandler

from oac_simulator.endpoint import Handler, endpoint
from oac_simulator.identity.domain import Domain
from oac_simulator.oac import (
    catalog,
    connections,
    folders,
    mail,
    moving,
    permissions,
    profile,
    runs,
    safe_domains,
    snapshots,
    system,
    system_settings,
    work_requests,
    workbooks,
)
from oac_simulator.oac.api import Call, OACError, Route
from oac_simulator.oac.guard import admit
from oac_simulator.replies import json_reply
from oac_simulator.world import Instance, World

BASE = "/api/20210901"
# The catalog comes last, because its paths with `{type}` also match those of other areas.
AREAS = (
    snapshots, system, system_settings, mail, safe_domains, work_requests,
    workbooks, runs, connections, folders, moving, permissions, catalog,
)  # fmt: skip


def register_jobs(world: World) -> None:
    """Register the jobs of all areas with the work engine."""
    for area in AREAS:
        for kind, (job, undo) in area.JOBS.items():
            world.work.register(kind, partial(job, world), undo and partial(undo, world))


def _handler(domain: Domain, instance: Instance, route: Route) -> Handler:
    world = domain.world

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            if world.settings.restore_outage and world.work.running(instance.name, "RESTORE_SNAPSHOT"):
                raise OACError(503, "ServiceUnavailable", "The instance is being restored.")
            user = admit(world, domain.access, instance, route.roles, request)
            return await route.handler(Call(world, instance, user, request))
        except OACError as error:
            return error.reply()

    return answer


@web.middleware
async def _json_errors(request: web.Request, handler: AnyHandler) -> web.StreamResponse:
    """Return errors for unknown paths and methods in the contract's form."""
    try:
        return await handler(request)
    except web.HTTPMethodNotAllowed as error:
        message = f"{request.method} is not allowed here."
        return json_reply({"code": "MethodNotAllowed", "message": message}, 405, {"Allow": error.headers["Allow"]})
    except web.HTTPNotFound:
        return json_reply({"code": "NotFound", "message": "There is nothing at this path."}, 404)


def build(domain: Domain, instance: Instance) -> web.Application:
    """Build the web application of one instance."""
    world = domain.world
    app = web.Application(middlewares=[_json_errors])
    for area in AREAS:
        for route in area.ROUTES:
            handler, able = _handler(domain, instance, route), ("expired_token", *route.faults)
            wrapped = endpoint(world, instance.name, route.name, handler, faults=able)
            app.router.add_route(route.method, BASE + route.path, wrapped)

    async def login(request: web.Request) -> web.Response:
        """`/ui`, the browser's route: redirects to the sign-in page with the name of OAC's application (observed)."""
        prefix = instance.audience.removeprefix("https://").partition(".")[0]
        query = urlencode({"idcs_app_name": f"{prefix}_APPID"})
        target = f"{world.identity_url}/oauth2/v1/authorize?{query}"
        return web.Response(status=302, headers={"Location": target})

    async def renew(request: web.Request) -> web.Response:
        try:
            return await profile.renew(domain, instance, request)
        except OACError as error:
            return error.reply()

    app.router.add_post(profile.PATH, endpoint(world, instance.name, f"POST {profile.PATH}", renew))
    for path in ("/", "/ui", "/ui/"):
        app.router.add_get(path, endpoint(world, instance.name, f"GET {path}", login))
    # The browser's route to MCP redirects to the sign-in page (observed).
    app.router.add_route("*", "/ui/api/mcp", endpoint(world, instance.name, "/ui/api/mcp", login))
    return app
