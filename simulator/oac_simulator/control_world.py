"""The control API, second part: users, roles, catalog items, runs and their numbers."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Collection
from typing import Any

from aiohttp import web

from oac_simulator.oac.content import SHARED, Item, below, home, item
from oac_simulator.oac.items import TYPES
from oac_simulator.oac.job_report import shown
from oac_simulator.oac.runs import KINDS, begin
from oac_simulator.replies import json_reply
from oac_simulator.request_json import ControlError, read_json
from oac_simulator.store import Record
from oac_simulator.world import CONTENT_AUTHOR, World

_ADMIN = "oac.admin@example.com"
_ITEM_MEMBERS = {
    "name": str, "owner": str, "description": str, "lastModified": str, "definition": dict,
    "acl": (list, type(None)), "parent": (str, type(None)),
}  # fmt: skip
_NEW_USER = {
    "name": str, "password": str, "roles": list, "active": bool, "federated": bool, "instance_roles": dict,
    "privileges": list,
}  # fmt: skip


def checked(changes: Record, members: dict[str, Any]) -> Record:
    """Return the changes if all members are known and have the right type.

    :raises ControlError: if a member is unknown or has the wrong type.
    """
    for name, value in changes.items():
        if name not in members or not isinstance(value, members[name]):
            raise ControlError(f"Cannot set {name} to a {type(value).__name__}. Known: {', '.join(members)}.")
    return changes


def known(names: Collection[str], choices: Collection[str], what: str) -> None:
    """Refuse unknown names.

    :param names: the names.
    :param choices: the known ones.
    :param what: what they name, for the error.
    :raises ControlError: if one is not among them.
    """
    unknown = sorted(set(names) - set(choices))
    if unknown:
        raise ControlError(f"There is no {what} {', '.join(unknown)}. Known: {', '.join(choices)}.")


def instance_of(world: World, request: web.Request) -> str:
    """Return the instance in the path of a request.

    :raises HTTPNotFound: if there is no such instance.
    """
    name = request.match_info["name"]
    if name not in world.instances:
        raise web.HTTPNotFound(text=f"There is no instance {name}. Known: {', '.join(world.instances)}.")
    return name


class ControlWorld:
    """The handlers of the second part of the control API."""

    def __init__(self, world: World) -> None:
        self._world = world

    def _catalog(self, instance: str) -> list[Item]:
        return list((self._world.content.get(instance) or {"catalog": []})["catalog"])

    def _keep(self, instance: str, items: list[Item]) -> None:
        content = self._world.content.get(instance) or {}
        self._world.content.put(instance, {**content, "catalog": items})

    # -------------------------------------------------------------------------------------------- people

    async def users(self, request: web.Request) -> web.Response:
        """`GET /users`."""
        return json_reply(list(self._world.users))

    async def add_user(self, request: web.Request) -> web.Response:
        """`POST /users`: adds a user, with a personal folder in every instance."""
        wanted = checked(await read_json(request), _NEW_USER)
        name = str(wanted.get("name", "")).lower()
        if not name or self._world.user(name):
            raise ControlError("A new user needs a `name` that is not taken.")
        user = {
            "password": f"Pw-{secrets.token_hex(8)}+&=%", "roles": [CONTENT_AUTHOR], "active": True,
            "federated": False, "instance_roles": {}, **wanted, "name": name,
        }  # fmt: skip
        self._world.users.put(name, user)
        for instance in self._world.instances:
            self._keep(instance, [*self._catalog(instance), home(name)])
        return json_reply(user, 201)

    async def remove_user(self, request: web.Request) -> web.Response:
        """`DELETE /users/{name}`: deletes a user but keeps the items that the user owns."""
        self._world.users.delete(request.match_info["name"].lower())
        return json_reply({})

    async def roles(self, request: web.Request) -> web.Response:
        """`GET /roles`: the application roles."""
        return json_reply([role["name"] for role in self._world.roles])

    async def add_role(self, request: web.Request) -> web.Response:
        """`POST /roles`: adds an application role, which users can hold and access control lists can name."""
        name = (await read_json(request)).get("name")
        if not isinstance(name, str) or not name.strip():
            raise ControlError("A role needs a `name`.")
        self._world.roles.put(name, {"name": name})
        return json_reply([role["name"] for role in self._world.roles], 201)

    # ------------------------------------------------------------------------------------------- catalog

    async def counts(self, request: web.Request) -> web.Response:
        """`GET /instances/{name}/counts`: numbers of catalog items, snapshots, work requests, jobs and exports."""
        name, world = instance_of(self._world, request), self._world
        tables = {
            "snapshots": world.snapshots, "work_requests": world.work_requests, "jobs": world.jobs,
            "exports": world.exports,
        }  # fmt: skip
        others = {key: sum(record["instance"] == name for record in table) for key, table in tables.items()}
        items = self._catalog(name)
        return json_reply({"items": len(items), "types": Counter(thing["type"] for thing in items), **others})

    async def add_items(self, request: web.Request) -> web.Response:
        """`POST /instances/{name}/items`: adds items, each with `type`, `plain` and any other members."""
        name, wanted = instance_of(self._world, request), (await read_json(request)).get("items")
        if not isinstance(wanted, list):
            raise ControlError("`items` is a list of objects.")
        made = [_made(entry) for entry in wanted]
        new = {(thing["type"], thing["plain"]) for thing in made}
        kept = [thing for thing in self._catalog(name) if (thing["type"], thing["plain"]) not in new]
        self._keep(name, [*kept, *made])
        return json_reply(made, 201)

    async def change_item(self, request: web.Request) -> web.Response:
        """`PATCH /instances/{name}/items`: changes members of the item `plain` (of `type`), and its `lastModified`."""
        name, wanted = instance_of(self._world, request), await read_json(request)
        plain, kind = wanted.pop("plain", None), wanted.pop("type", None)
        items = self._catalog(name)
        found = [n for n, thing in enumerate(items) if thing["plain"] == plain and kind in (None, thing["type"])]
        if len(found) != 1:
            raise ControlError(f"{len(found)} items are named {plain!r}; exactly one is needed.")
        now = self._world.clock.iso(time.time())[:19] + "Z"
        items[found[0]] = {**items[found[0]], "lastModified": now, **checked(wanted, _ITEM_MEMBERS)}
        self._keep(name, items)
        return json_reply(items[found[0]])

    async def remove_items(self, request: web.Request) -> web.Response:
        """`DELETE /instances/{name}/items`: removes items by `plain`, a list of plain IDs, with their contents."""
        name, gone = instance_of(self._world, request), (await read_json(request)).get("plain")
        if not isinstance(gone, list):
            raise ControlError("`plain` is a list of plain ids.")
        tops = tuple(f"{plain}/" for plain in gone)
        items = self._catalog(name)
        left = [thing for thing in items if not (thing["plain"] in gone or thing["plain"].startswith(tops))]
        self._keep(name, left)
        return json_reply({"removed": len(items) - len(left)})

    async def seed_many(self, request: web.Request) -> web.Response:
        """`POST /instances/{name}/many`: adds `count` items of a `type` in a new `folder` below the shared folders."""
        name, wanted = instance_of(self._world, request), await read_json(request)
        count, kind, folder = wanted.get("count"), wanted.get("type", "workbooks"), wanted.get("folder", "Many")
        if not isinstance(count, int) or not 0 < count <= 200_000 or kind not in TYPES:
            raise ControlError("`count` is from 1 to 200000 and `type` a catalog type.")
        place = below("folders", SHARED, str(folder), _ADMIN)
        canvas = {"canvases": [{"canvasId": "snapshot!canvas!1", "name": "Canvas 1"}]}
        definition = canvas if kind == "workbooks" else {}
        many = [below(kind, place["plain"], f"Item {number:06d}", _ADMIN, definition) for number in range(count)]
        kept = [thing for thing in self._catalog(name) if not (thing["plain"] + "/").startswith(place["plain"] + "/")]
        self._keep(name, [*kept, place, *many])
        return json_reply({"folder": place["plain"], "count": count}, 201)

    async def break_index(self, request: web.Request) -> web.Response:
        """`POST /instances/{name}/index`: makes the search index unavailable for `seconds` from now."""
        name, seconds = instance_of(self._world, request), (await read_json(request)).get("seconds")
        if not isinstance(seconds, int | float) or isinstance(seconds, bool):
            raise ControlError("`seconds` is a number.")
        self._world.meta.put(f"index/{name}", {"ready": time.time() + seconds})
        return json_reply({})

    # ---------------------------------------------------------------------------------------------- runs

    async def start_runs(self, request: web.Request) -> web.Response:
        """`POST /instances/{name}/runs`: starts a run as another user or as OAC's own schedule."""
        name, wanted = instance_of(self._world, request), await read_json(request)
        kind = next((kind for kind in KINDS if kind.type == wanted.get("type")), None)
        plain = wanted.get("plain")
        things = [
            thing for thing in self._catalog(name) if kind and (thing["type"], thing["plain"]) == (kind.type, plain)
        ]
        if kind is None or not things:
            raise ControlError(f"There is nothing to run: type {wanted.get('type')!r}, plain {plain!r}.")
        user, origin = wanted.get("user", _ADMIN), wanted.get("origin", "Schedule")
        seconds, count = wanted.get("seconds"), wanted.get("count", 1)
        jobs = [
            begin(self._world, name, user, kind, things[0], origin=origin, seconds=seconds) for _ in range(count)
        ]  # fmt: skip
        return json_reply([{"job": job["id"], "work_request": job["work_request"]} for job in jobs], 201)

    async def jobs(self, request: web.Request) -> web.Response:
        """`GET /instances/{name}/jobs`: the complete job history, oldest first."""
        name = instance_of(self._world, request)
        found = [job for job in self._world.jobs if job["instance"] == name]
        return json_reply(
            [
                {**shown(self._world, job, tasks=True), "plain": job["plain"], "work_request": job["work_request"]}
                for job in found
            ]
        )  # fmt: skip

    async def finish(self, request: web.Request) -> web.Response:
        """`POST /instances/{name}/work-requests/{id}/finish`: ends running work now with `status`."""
        name, wanted = instance_of(self._world, request), await read_json(request)
        record = self._world.work_requests.get(request.match_info["id"])
        status = wanted.get("status", "SUCCEEDED")
        if record is None or record["instance"] != name or record["status"] is not None:
            raise ControlError("There is no such work, or it has ended.")
        if status not in ("SUCCEEDED", "FAILED", "CANCELED"):
            raise ControlError("`status` is SUCCEEDED, FAILED or CANCELED.")
        await self._world.work.finish(record, status, wanted.get("errors"))
        return json_reply(self._world.work.report(self._world.work_requests.get(record["id"]) or record))

    async def exports(self, request: web.Request) -> web.Response:
        """`GET /instances/{name}/exports`: the files of finished exports."""
        name = instance_of(self._world, request)
        return json_reply([{"id": key, **export} for key, export in self._world.exports.items()
                           if export["instance"] == name])  # fmt: skip


def _made(wanted: Any) -> Item:
    """Build an item from a test's description."""
    if not isinstance(wanted, dict):
        raise ControlError("An item is an object.")
    members = dict(wanted)
    kind, plain = members.pop("type", None), members.pop("plain", None)
    if kind not in TYPES or not isinstance(plain, str) or not plain:
        raise ControlError("An item needs a `type` that is a catalog type, and `plain`, its plain id.")
    path = plain.startswith("/")
    name = plain.rpartition("/")[2] if path else plain.rpartition("'.'")[2].strip("'")
    made = item(kind, plain, name, plain.rpartition("/")[0] if path else None, _ADMIN)
    return {**made, **checked(members, _ITEM_MEMBERS)}


def routes(control: ControlWorld) -> list[tuple[str, str, Any]]:
    """Return method, path and handler of every call of this part."""
    place = "/instances/{name}"
    return [
        ("GET", "/users", control.users),
        ("POST", "/users", control.add_user),
        ("DELETE", "/users/{name}", control.remove_user),
        ("GET", "/roles", control.roles),
        ("POST", "/roles", control.add_role),
        ("GET", f"{place}/counts", control.counts),
        ("POST", f"{place}/items", control.add_items),
        ("PATCH", f"{place}/items", control.change_item),
        ("DELETE", f"{place}/items", control.remove_items),
        ("POST", f"{place}/many", control.seed_many),
        ("POST", f"{place}/index", control.break_index),
        ("POST", f"{place}/runs", control.start_runs),
        ("GET", f"{place}/jobs", control.jobs),
        ("POST", f"{place}/work-requests/{{id}}/finish", control.finish),
        ("GET", f"{place}/exports", control.exports),
    ]
