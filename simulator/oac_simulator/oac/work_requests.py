"""Area: Work requests."""

from __future__ import annotations

from aiohttp import web

from oac_simulator.oac.api import Call, Route, not_found
from oac_simulator.replies import json_reply
from oac_simulator.store import Record
from oac_simulator.world import ADMINISTRATOR, World


async def get(call: Call) -> web.Response:
    """`GET /workRequests/{id}`: visible to the user who started the work and to administrators (inferred)."""
    record = call.world.work_requests.get(call.request.match_info["id"])
    if record is None or record["instance"] != call.instance.name:
        raise not_found("The work request")
    if record["user"] != call.user["name"] and ADMINISTRATOR not in call.user["roles"]:
        raise not_found("The work request")
    body = call.world.work.report(record)
    if call.fault is not None and call.fault.fault == "unknown_status":
        body["status"] = call.fault.work_status
    return json_reply(body)


async def _nothing(world: World, record: Record) -> list[Record]:
    """Do nothing: work that only takes time, for load tests."""
    return []


JOBS = {"nothing": (_nothing, None)}
ROUTES = [Route("GET", "/workRequests/{id}", get, faults=("unknown_status",))]
