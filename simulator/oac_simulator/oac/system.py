"""Area: System."""

from __future__ import annotations

import asyncio
import time

from aiohttp import web

from oac_simulator.oac import bar
from oac_simulator.oac.api import STARTS_WORK, Call, Route, bad_request, member
from oac_simulator.oac.snapshot_rules import bar_path, bucket_problem
from oac_simulator.oac.snapshots import ROLES_SECTION, accepted, find
from oac_simulator.replies import json_reply
from oac_simulator.store import Record
from oac_simulator.work import WorkFailed
from oac_simulator.world import ADMINISTRATOR, World


async def get(call: Call) -> web.Response:
    """`GET /system`."""
    owners = [user["name"] for user in call.world.users if ADMINISTRATOR in user["roles"]]
    description = f"Simulated Oracle Analytics Cloud instance {call.instance.name}"
    body = {"serviceInstanceKey": call.instance.name, "description": description, "owners": owners}
    return json_reply(body)


async def restore(call: Call) -> web.Response:
    """`POST /system/actions/restoreSnapshot`: needs the snapshot's ID and password (documented)."""
    body = await call.json()
    wanted = member(body, "snapshot", dict, "")
    snapshot_id = member(wanted, "id", str, "snapshot.")
    password = member(wanted, "password", str, "snapshot.")
    snapshot = find(call, snapshot_id)
    # A registered snapshot can be restored at once (observed), because its file exists.
    if snapshot["state"] != "SUCCEEDED" and not snapshot.get("registered"):
        raise bad_request("The snapshot is not complete.")
    if call.world.settings.wrong_password == "400":  # noqa: S105 - the name of a behavior, not a password
        try:
            await _open(call.world, snapshot, password)
        except WorkFailed as failure:
            raise bad_request(str(failure)) from failure
    job = {"kind": "restore_snapshot", "snapshot": snapshot_id, "password": password}
    work_id = call.world.work.start(
        call.instance.name, call.user["name"], "RESTORE_SNAPSHOT", "SYSTEM", job, fault=call.fault
    )
    return accepted(call, work_id, body=False)


async def _open(world: World, snapshot: Record, password: str) -> Record:
    """Read the content of a snapshot's file.

    :raises WorkFailed: if bucket or file is missing, the file is not an archive, or the password is wrong.
    """
    problem = bucket_problem(world, snapshot["storage"])
    path = bar_path(world, snapshot)
    if problem or not path.is_file():
        code = "ACCESS_DENIED" if problem else "ObjectNotFound"
        raise WorkFailed(code, problem or f"There is no object at {snapshot['uri']}.")
    try:
        return await asyncio.to_thread(bar.unseal, path.read_bytes(), password)
    except bar.NotABar as error:
        raise WorkFailed("InvalidArchive", str(error)) from error
    except bar.WrongPassword as error:
        raise WorkFailed("InvalidPassword", str(error)) from error


def _assign(world: World, instance: str, roles: dict[str, list[str]]) -> None:
    """Restore the role assignments of users who still exist (inferred)."""
    for user in world.users:
        held = user["instance_roles"].get(instance, user["roles"])
        wanted = roles.get(user["name"], held)
        if wanted != held:
            world.users.put(user["name"], {**user, "instance_roles": {**user["instance_roles"], instance: wanted}})


async def _restore(world: World, record: Record) -> list[Record]:
    snapshot = world.snapshots.get(record["job"]["snapshot"])
    if snapshot is None:
        raise WorkFailed("NotFound", "The snapshot was deleted meanwhile.")
    content = await _open(world, snapshot, record["job"]["password"])
    roles = content.pop(ROLES_SECTION, {})
    if world.settings.restore_roles:
        _assign(world, record["instance"], roles)
    world.content.put(record["instance"], content)
    world.meta.put(f"index/{record['instance']}", {"ready": time.time() + world.settings.index_seconds})
    resource = {"actionResult": "RESTORED", "resourceType": "SNAPSHOT", "id": snapshot["id"], "metadata": {}}
    return [resource]


JOBS = {"restore_snapshot": (_restore, None)}
_ROLES = (ADMINISTRATOR,)
ROUTES = [
    Route("GET", "/system", get, _ROLES),
    Route("POST", "/system/actions/restoreSnapshot", restore, _ROLES, STARTS_WORK),
]
