"""Area: Snapshots."""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from pathlib import Path

from aiohttp import web

from oac_simulator.oac import bar
from oac_simulator.oac.api import STARTS_WORK, Call, OACError, Route, bad_request, not_found
from oac_simulator.oac.snapshot_rules import Wanted, bar_path, bucket_problem, read
from oac_simulator.replies import json_reply
from oac_simulator.store import Record
from oac_simulator.work import WorkFailed
from oac_simulator.world import ADMINISTRATOR, World

#: The section of a `.bar` with the assignment of application roles.
ROLES_SECTION = "userRoles"


def visible(world: World, snapshot: Record) -> bool:
    """Return whether the API shows a snapshot.

    A registered snapshot is listed at once (observed). When a created one appears is not documented, hence the
    settings.
    """
    if snapshot["state"] == "IN_PROGRESS":
        return snapshot.get("registered", False) or world.settings.listing == "early"
    return snapshot["state"] == "SUCCEEDED" or world.settings.failed_listing == "keep"


def _shown(world: World, snapshot: Record) -> Record:
    """Return a snapshot as the API shows it, without state and work request ID (documented)."""
    return {
        "id": snapshot["id"],
        "name": snapshot["name"],
        "createdByUser": snapshot["user"],
        "timeCreated": world.clock.iso(snapshot["created"]),
        "bar": {"uri": snapshot["uri"]},
        "storage": snapshot["storage"],
    }


def find(call: Call, snapshot_id: str) -> Record:
    """Return a visible snapshot of this instance.

    :raises OACError: if it does not exist (404).
    """
    snapshot = call.world.snapshots.get(snapshot_id)
    if snapshot is None or snapshot["instance"] != call.instance.name or not visible(call.world, snapshot):
        raise not_found("The snapshot")
    return snapshot


def accepted(call: Call, work_id: str, *, body: bool) -> web.Response:
    """Return the 202 with the work request ID, in the places that the settings name.

    :param call: the call.
    :param work_id: the ID.
    :param body: whether this operation can return the ID in the body.
    """
    where = call.world.settings.work_request_id_in if body else "header"
    headers = {} if where == "body" else {"oa-work-request-id": work_id}
    if where == "header":
        return web.Response(status=202, headers=headers)
    return json_reply({"workRequestId": work_id}, 202, headers)


async def list_all(call: Call) -> web.Response:
    """`GET /snapshots`."""
    items = [
        _shown(call.world, snapshot)
        for snapshot in call.world.snapshots
        if snapshot["instance"] == call.instance.name and visible(call.world, snapshot)
    ]
    return json_reply({"items": items})


async def start(call: Call) -> web.Response:
    """`POST /snapshots`: CREATE or REGISTER."""
    body = await call.json()
    wanted = read(body)
    world = call.world
    problem = bucket_problem(world, wanted.storage)
    if problem and world.settings.missing_bucket == "400":
        raise bad_request(problem)
    if world.settings.unique_names and _taken(call, wanted.name):
        raise OACError(409, "Conflict", "A snapshot of this name exists.")
    snapshot = _remember(world, call.instance.name, call.user["name"], wanted, time.time())
    create = wanted.password is not None
    job = {
        "kind": "create_snapshot" if create else "register_snapshot",
        "snapshot": snapshot["id"], "password": wanted.password,
    }  # fmt: skip
    operation = "CREATE_SNAPSHOT" if create else world.settings.register_operation_type
    work_id = world.work.start(call.instance.name, call.user["name"], operation, "SNAPSHOT", job, fault=call.fault)
    world.snapshots.put(snapshot["id"], {**snapshot, "work_request": work_id})
    return accepted(call, work_id, body=True)


def _taken(call: Call, name: str) -> bool:
    return any(
        snapshot["name"] == name and snapshot["instance"] == call.instance.name and snapshot["state"] != "FAILED"
        for snapshot in call.world.snapshots
    )


def _remember(world: World, instance: str, user: str, wanted: Wanted, created: float) -> Record:
    snapshot: Record = {
        "id": str(uuid.uuid4()), "instance": instance, "name": wanted.name, "uri": wanted.uri,
        "storage": wanted.storage, "user": user, "created": created, "state": "IN_PROGRESS",
        "registered": wanted.password is None,
    }  # fmt: skip
    world.snapshots.put(snapshot["id"], snapshot)
    return snapshot


async def add_created(world: World, instance: str, user: str, body: Record, age: float) -> Record:
    """Add a snapshot with its file, as if a user had created it earlier.

    :param world: the world.
    :param instance: name of the instance.
    :param user: the user.
    :param body: the body of the call that creates it.
    :param age: how long ago, in seconds.
    :returns: the snapshot.
    :raises OACError: if a member is missing or not allowed.
    :raises WorkFailed: if the bucket does not exist.
    """
    wanted = read({**body, "type": "CREATE"})
    snapshot = _remember(world, instance, user, wanted, time.time() - age)
    record = {"instance": instance, "job": {"snapshot": snapshot["id"], "password": wanted.password}}
    try:
        await _create(world, record)
    except WorkFailed:
        world.snapshots.delete(snapshot["id"])
        raise
    return {**snapshot, "state": "SUCCEEDED"}


async def get(call: Call) -> web.Response:
    """`GET /snapshots/{snapshotId}`."""
    return json_reply(_shown(call.world, find(call, call.request.match_info["snapshotId"])))


async def delete(call: Call) -> web.Response:
    """`DELETE /snapshots/{snapshotId}`: synchronous, returns 200 with an empty body (documented)."""
    delete_storage = call.flag("deleteStorage")
    snapshot = find(call, call.request.match_info["snapshotId"])
    if snapshot["state"] == "IN_PROGRESS":
        raise bad_request("The snapshot is being created.")
    if delete_storage:
        if call.world.settings.object_deletion == "deny":
            raise bad_request("BucketNotAuthorized: The instance may not delete objects in the bucket.")
        bar_path(call.world, snapshot).unlink(missing_ok=True)
    call.world.snapshots.delete(snapshot["id"])
    return web.Response()


def _reachable(world: World, record: Record) -> Record:
    """Return the snapshot of a job after checking that its bucket exists."""
    snapshot = world.snapshots.get(record["job"]["snapshot"])
    if snapshot is None:
        raise WorkFailed("NotFound", "The snapshot was not found.")
    problem = bucket_problem(world, snapshot["storage"])
    if problem:
        raise WorkFailed("ACCESS_DENIED", problem)
    return snapshot


async def _create(world: World, record: Record) -> list[Record]:
    """Write the `.bar`."""
    snapshot = _reachable(world, record)
    instance = record["instance"]
    roles = {user["name"]: user["instance_roles"].get(instance, user["roles"]) for user in world.users}
    content = {**(world.content.get(instance) or {}), ROLES_SECTION: roles}
    data = await asyncio.to_thread(bar.seal, content, instance, record["job"]["password"])
    path = bar_path(world, snapshot)
    if path.exists() and not world.settings.overwrite:
        raise WorkFailed("ObjectExists", f"The object {snapshot['uri']} exists and may not be overwritten.")
    _write(path, data)
    world.snapshots.put(snapshot["id"], {**snapshot, "state": "SUCCEEDED"})
    return [_resource("CREATED", snapshot["id"])]


async def _register(world: World, record: Record) -> list[Record]:
    """Register an existing `.bar`."""
    snapshot = _reachable(world, record)
    path = bar_path(world, snapshot)
    if not path.is_file() or not bar.is_bar(path.read_bytes()):
        raise WorkFailed("ObjectNotFound", f"There is no snapshot archive at {snapshot['uri']}.")
    world.snapshots.put(snapshot["id"], {**snapshot, "state": "SUCCEEDED"})
    return [_resource("REGISTERED", snapshot["id"])]


def _undo(world: World, record: Record) -> None:
    snapshot = world.snapshots.get(record["job"]["snapshot"])
    if snapshot is not None:
        world.snapshots.put(snapshot["id"], {**snapshot, "state": "FAILED"})


def _resource(result: str, snapshot_id: str) -> Record:
    return {"actionResult": result, "resourceType": "SNAPSHOT", "id": snapshot_id, "metadata": {}}


def _write(path: Path, data: bytes) -> None:
    """Write an object to a bucket atomically."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid.uuid4().hex}.part")
    descriptor = os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    os.replace(temporary, path)


JOBS = {"create_snapshot": (_create, _undo), "register_snapshot": (_register, _undo)}
_ROLES = (ADMINISTRATOR,)
ROUTES = [
    Route("GET", "/snapshots", list_all, _ROLES),
    Route("POST", "/snapshots", start, _ROLES, STARTS_WORK),
    Route("GET", "/snapshots/{snapshotId}", get, _ROLES),
    Route("DELETE", "/snapshots/{snapshotId}", delete, _ROLES),
]
