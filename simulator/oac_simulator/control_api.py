"""The control API, by which a test changes the simulator behind the client's back."""

from __future__ import annotations

import sqlite3
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler as AnyHandler

from oac_simulator import control_page, control_world
from oac_simulator.control_world import checked, instance_of, known
from oac_simulator.faults import Fault, FaultError
from oac_simulator.identity.device_codes import DecisionError
from oac_simulator.identity.domain import Domain
from oac_simulator.known_endpoints import UnknownEndpointError
from oac_simulator.mcp import data
from oac_simulator.mcp.sessions import Sessions
from oac_simulator.oac import profile
from oac_simulator.oac.api import OACError
from oac_simulator.oac.content import damaged, default_content
from oac_simulator.oac.export_files import forget_all
from oac_simulator.oac.items import TYPES
from oac_simulator.oac.snapshots import add_created, visible
from oac_simulator.replies import json_reply
from oac_simulator.request_json import ControlError, read_json
from oac_simulator.settings import Settings, SettingsError
from oac_simulator.store import Record
from oac_simulator.work import WorkFailed
from oac_simulator.world import GRANTS, World

_APP_MEMBERS = {
    "active": bool, "grants": list, "secret": str, "certificates": dict, "introspect": bool,
    "allowed_scopes": (list, type(None)),
}  # fmt: skip
_USER_MEMBERS = {
    "password": str,
    "roles": list,
    "active": bool,
    "federated": bool,
    "instance_roles": dict,
    "privileges": list,
}
#: Catalog types that `damage` deletes by default.
_DAMAGE = ["workbooks", "dataflows"]


class Control:
    """The handlers of the control API."""

    def __init__(self, domain: Domain, sessions: Sessions) -> None:
        self._domain = domain
        self._sessions = sessions
        self._world: World = domain.world

    def seed_content(self) -> None:
        """Create the first content of each instance that has none, and add missing sections to older content."""
        for name in self._world.instances:
            users = [user["name"] for user in self._world.users]
            first = default_content("oac.admin@example.com", users)
            kept = self._world.content.get(name)
            if kept is None:
                self._world.content.put(name, first)
                continue
            for thing in kept["catalog"]:
                thing.setdefault("acl", None)
            empty: Record = {"pendingSettings": {}, "mail": None, "safeDomains": {}}
            self._world.content.put(name, {**empty, **kept})

    async def order_fault(self, request: web.Request) -> web.Response:
        """`POST /faults`."""
        fault, endpoints = Fault.of(await read_json(request)), self._world.endpoints
        if fault.endpoint == "*":
            endpoints.check_place(fault.instance)
        else:
            endpoints.check(fault.endpoint, fault.instance, fault.needs)
        if fault.grant is not None:
            known([fault.grant.rpartition(":")[2]], GRANTS, "grant")
        self._world.faults.add(fault)
        return json_reply(self._world.faults.as_list(), 201)

    async def faults(self, request: web.Request) -> web.Response:
        """`GET /faults`."""
        return json_reply(self._world.faults.as_list())

    async def clear_faults(self, request: web.Request) -> web.Response:
        """`DELETE /faults`."""
        self._world.faults.clear()
        return json_reply([])

    async def counters(self, request: web.Request) -> web.Response:
        """`GET /counters`."""
        return json_reply(self._world.counters.as_dict())

    async def calls(self, request: web.Request) -> web.Response:
        """`GET /counters/calls`: the number of calls to the `endpoint` of a `place`."""
        place, endpoint = request.query.get("place", ""), request.query.get("endpoint", "")
        self._world.endpoints.check(endpoint, place)
        return json_reply(self._world.counters.calls(place, endpoint))

    async def grants(self, request: web.Request) -> web.Response:
        """`GET /counters/grants`: the number of token calls with a `grant`."""
        grant = request.query.get("grant", "")
        known([grant], GRANTS, "grant")
        return json_reply(self._world.counters.grants(grant))

    async def endpoints(self, request: web.Request) -> web.Response:
        """`GET /endpoints`: the names of the endpoints of each place."""
        return json_reply(self._world.endpoints.as_dict())

    async def reset_counters(self, request: web.Request) -> web.Response:
        """`POST /counters/reset`."""
        self._world.counters.reset()
        return json_reply(self._world.counters.as_dict())

    async def secrets(self, request: web.Request) -> web.Response:
        """`GET /secrets`."""
        return json_reply(self._world.ledger.as_dict())

    def _all_settings(self) -> Record:
        app = self._world.confidential_app()
        return {**self._world.settings.as_dict(), "app": {name: app[name] for name in _APP_MEMBERS}}

    async def settings(self, request: web.Request) -> web.Response:
        """`GET /settings`."""
        return json_reply(self._all_settings())

    async def change_settings(self, request: web.Request) -> web.Response:
        """`PATCH /settings`; `app` holds the settings of the confidential application."""
        changes = await read_json(request)
        app_changes = changes.pop("app", {})
        app = self._world.confidential_app()
        merged = _merge(app, app_changes, _APP_MEMBERS)
        known(merged["grants"], GRANTS, "grant")
        self._world.settings.check(changes)
        known(changes.get("paused", []), self._world.instances, "instance")
        self._world.settings.apply(changes)
        self._world.apps.put(app["client_id"], merged)
        self._world.save_settings()
        return json_reply(self._all_settings())

    def _user(self, request: web.Request) -> Record:
        user = self._world.user(request.match_info["name"])
        if user is None:
            raise web.HTTPNotFound(text="There is no such user.")
        return user

    async def user(self, request: web.Request) -> web.Response:
        """`GET /users/{name}`."""
        return json_reply(self._user(request))

    async def change_user(self, request: web.Request) -> web.Response:
        """`PATCH /users/{name}`."""
        user = _merge(self._user(request), await read_json(request), _USER_MEMBERS)
        known(user["instance_roles"], self._world.instances, "instance")
        self._world.users.put(user["name"], user)
        return json_reply(user)

    async def content(self, request: web.Request) -> web.Response:
        """`GET /instances/{name}/content`."""
        return json_reply(self._world.content.get(instance_of(self._world, request)))

    async def damage(self, request: web.Request) -> web.Response:
        """`POST /instances/{name}/damage`: deletes items of some catalog `types`."""
        name = instance_of(self._world, request)
        types = (await read_json(request)).get("types", _DAMAGE)
        known(types, TYPES, "catalog type")
        content = self._world.content.get(name) or {"catalog": []}
        left, lost = damaged(content, types)
        self._world.content.put(name, left)
        return json_reply({"lost": lost})

    async def snapshots(self, request: web.Request) -> web.Response:
        """`GET /instances/{name}/snapshots`: all snapshots, listed or not, with the state."""
        name = instance_of(self._world, request)
        known = [
            {**snapshot, "listed": visible(self._world, snapshot)}
            for snapshot in self._world.snapshots
            if snapshot["instance"] == name
        ]
        return json_reply(known)

    async def add_snapshot(self, request: web.Request) -> web.Response:
        """`POST /instances/{name}/snapshots`: adds a snapshot with its file, created `age` seconds ago.

        The other members are those of the call that creates a snapshot.
        """
        name, body = instance_of(self._world, request), await read_json(request)
        age = body.pop("age", 0)
        if not isinstance(age, int | float) or isinstance(age, bool):
            raise ControlError("`age` is a number of seconds.")
        try:
            made = await add_created(self._world, name, "oac.admin@example.com", body, age)
        except (OACError, WorkFailed) as error:
            raise ControlError(str(error)) from error
        return json_reply(made, 201)

    async def work_requests(self, request: web.Request) -> web.Response:
        """`GET /instances/{name}/work-requests`: all of them, as the REST API shows each."""
        name = instance_of(self._world, request)
        work = [self._world.work.report(record) for record in self._world.work_requests if record["instance"] == name]
        return json_reply(work)

    async def start_work(self, request: web.Request) -> web.Response:
        """`POST /instances/{name}/work`: starts work that only takes time, for load tests."""
        name, wanted = instance_of(self._world, request), await read_json(request)
        seconds, count = wanted.get("seconds"), wanted.get("count", 1)
        user = wanted.get("user", "oac.admin@example.com")
        operation = wanted.get("operation", "RELOAD_DATASET")
        job = {"kind": "nothing"}
        start = self._world.work.start
        ids = [start(name, user, operation, "DATASET", job, seconds=seconds) for _ in range(count)]
        return json_reply({"ids": ids}, 201)

    async def bucket(self, request: web.Request) -> web.Response:
        """`GET /bucket`: files of all buckets, `<bucket>/<path>` to bytes."""
        root = self._world.bucket_dir
        files = sorted(path for path in root.rglob("*") if path.is_file() and path.suffix != ".part")
        return json_reply({path.relative_to(root).as_posix(): path.stat().st_size for path in files})

    async def profile_tokens(self, request: web.Request) -> web.Response:
        """`POST /instances/{name}/profile-tokens`: the `tokens.json` of a user's Profile page."""
        instance = self._world.instances[instance_of(self._world, request)]
        user = self._world.user(str((await read_json(request)).get("user", "oac.admin@example.com")))
        if user is None:
            raise ControlError("There is no such user.")
        return json_reply(profile.tokens(self._domain, instance, user))

    async def end_tokens(self, request: web.Request) -> web.Response:
        """`POST /tokens/end`: invalidates all access tokens issued so far."""
        self._domain.access.end_all()
        return json_reply({})

    async def data(self, request: web.Request) -> web.Response:
        """`POST /instances/{name}/data`: runs a SQLite statement, with `parameters`, on the rows behind MCP."""
        name, wanted = instance_of(self._world, request), await read_json(request)
        try:
            rows = data.change(self._world, name, str(wanted.get("sql", "")), wanted.get("parameters", []))
        except sqlite3.Error as error:
            raise ControlError(f"SQLite refuses it: {error}") from error
        return json_reply(rows)

    async def end_sessions(self, request: web.Request) -> web.Response:
        """`POST /mcp/end`: ends all MCP sessions."""
        return json_reply({"ended": self._sessions.end_all()})

    async def decide_device(self, request: web.Request) -> web.Response:
        """`POST /device/approve`: approves or denies a code, as a person does on the page."""
        wanted = await read_json(request)
        user = wanted.get("user", "oac.admin@example.com")
        self._domain.device.decide(
            str(wanted.get("user_code", "")), user, None, approve=bool(wanted.get("approve", True))
        )
        return json_reply({})

    @property
    def world(self) -> World:
        """The simulated world that these handlers control."""
        return self._world

    async def page(self, request: web.Request) -> web.Response:
        """`GET /`: the web page that shows the content of each instance."""
        return web.Response(text=control_page.page(self._world), content_type="text/html")

    async def reset(self, request: web.Request) -> web.Response:
        """`POST /reset`: restores the first state; keys, client, ports and scopes stay."""
        world = self._world
        await world.work.stop()
        for table in (
            world.users, world.refresh_tokens, world.device_codes, world.revoked, world.seen_jti,
            world.snapshots, world.work_requests, world.content, world.exports, world.jobs, world.roles,
        ):  # fmt: skip
            table.clear()
        forget_all(world)
        data.reset(world)
        self._sessions.end_all()
        world.seed_roles()
        first = world.meta.get("first") or {}
        world.settings.apply({**Settings().as_dict(), **first.get("settings", {})})
        world.save_settings()
        for record in first.get("users", []):
            world.users.put(record["name"], record)
        for record in first.get("apps", []):
            world.apps.put(record["client_id"], record)
        for key, _ in world.meta.items():
            if key.startswith("index/") or key == "ended":
                world.meta.delete(key)
        _empty(world)
        self.seed_content()
        world.faults.clear()
        world.counters.reset()
        world.ledger.reset()
        return json_reply({})


def _empty(world: World) -> None:
    """Remove every file of every bucket but keep the buckets."""
    for path in sorted(world.bucket_dir.rglob("*"), reverse=True):
        if path.is_file() or path.is_symlink():
            path.unlink()
        elif path.parent != world.bucket_dir:
            path.rmdir()


def _merge(record: Record, changes: Any, members: dict[str, Any]) -> Record:
    if not isinstance(changes, dict):
        raise ControlError("Changes are a JSON object.")
    return {**record, **checked(changes, members)}


@web.middleware
async def _errors(request: web.Request, handler: AnyHandler) -> web.StreamResponse:
    try:
        return await handler(request)
    except (ControlError, FaultError, UnknownEndpointError, SettingsError, DecisionError) as error:
        return json_reply({"error": str(error)}, 400)


def build(control: Control) -> web.Application:
    """Build the web application of the control API."""
    app = web.Application(middlewares=[_errors])
    for method, path, handler in (
        ("POST", "/faults", control.order_fault),
        ("GET", "/faults", control.faults),
        ("DELETE", "/faults", control.clear_faults),
        ("GET", "/counters", control.counters),
        ("GET", "/counters/calls", control.calls),
        ("GET", "/counters/grants", control.grants),
        ("POST", "/counters/reset", control.reset_counters),
        ("GET", "/endpoints", control.endpoints),
        ("GET", "/secrets", control.secrets),
        ("GET", "/settings", control.settings),
        ("PATCH", "/settings", control.change_settings),
        ("GET", "/users/{name}", control.user),
        ("PATCH", "/users/{name}", control.change_user),
        ("GET", "/instances/{name}/content", control.content),
        ("POST", "/instances/{name}/damage", control.damage),
        ("GET", "/instances/{name}/snapshots", control.snapshots),
        ("POST", "/instances/{name}/snapshots", control.add_snapshot),
        ("GET", "/instances/{name}/work-requests", control.work_requests),
        ("POST", "/instances/{name}/work", control.start_work),
        ("POST", "/instances/{name}/profile-tokens", control.profile_tokens),
        ("GET", "/bucket", control.bucket),
        ("POST", "/tokens/end", control.end_tokens),
        ("POST", "/mcp/end", control.end_sessions),
        ("POST", "/instances/{name}/data", control.data),
        ("POST", "/device/approve", control.decide_device),
        ("POST", "/reset", control.reset),
        ("GET", "/", control.page),
        *control_world.routes(control_world.ControlWorld(control.world)),
    ):
        app.router.add_route(method, path, handler)
    return app
