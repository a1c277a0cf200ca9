"""Area: Catalog, copy and move."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from oac_simulator.oac.api import Call, Route, bad_request
from oac_simulator.oac.catalog import known_type
from oac_simulator.oac.content import SHARED, USERS, Item
from oac_simulator.oac.folders import boolean, check_name, folder_at, taken
from oac_simulator.oac.items import Catalog, decoded, forbidden
from oac_simulator.replies import json_reply
from oac_simulator.world import ADMINISTRATOR, CONTENT_AUTHOR

#: The types that can be moved (documented).
_MOVABLE = ("folders", "workbooks", "subjectAreas", "analysis", "dashboards", "dashboardpages", "reports")


@dataclass(frozen=True)
class _Target:
    """The target of a copy or move: folder (None for an item outside folders), name, plain ID."""

    parent: str | None
    name: str
    plain: str
    overwrite: bool


def _target(call: Call, catalog: Catalog, thing: Item, body: dict[str, Any]) -> _Target:
    """Read the target from a body: `destId`, or `destParentId` and `newItemName`.

    No member is documented as required. Without a folder, the item stays in its own folder (inferred).

    :raises OACError: if a member is malformed, or the folder does not exist or is not writable for the user.
    """
    overwrite, create = boolean(body, "overwrite"), boolean(body, "createIntermediateFolders")
    texts = {name: body.get(name) for name in ("destParentId", "destId", "newItemName")}
    if not all(value is None or (isinstance(value, str) and value) for value in texts.values()):
        raise bad_request("destParentId, destId and newItemName are texts.")
    if not any(texts.values()):
        raise bad_request("One of destParentId, destId and newItemName is needed.")
    name = check_name(texts["newItemName"] or thing["name"])
    parent = thing["parent"]
    if texts["destId"]:
        parent, _, last = decoded(texts["destId"]).rpartition("/")
        name = check_name(texts["newItemName"] or last)
    elif texts["destParentId"]:
        parent = decoded(texts["destParentId"])
    if parent is not None:
        folder_at(catalog, parent, create=create)
    if thing["plain"].startswith("/"):
        return _Target(parent, name, f"{parent}/{name}", overwrite)
    return _Target(parent, name, f"'{call.user['name']}'.'{name}'", overwrite)


def _clear(catalog: Catalog, thing: Item, target: _Target) -> None:
    """Remove an existing item at the target, or refuse.

    :raises OACError: if an existing item must not be overwritten (400), or the target is inside the item itself (400).
    """
    if (target.plain + "/").startswith(thing["plain"] + "/"):
        raise bad_request(f"{thing['plain']} cannot be put into or over itself.")
    there = taken(catalog, target.plain)
    if there is None:
        return
    if not target.overwrite or there["type"] != thing["type"]:
        raise bad_request(f"There is already an item at {target.plain}.")
    catalog.need(there, "delete")
    catalog.remove(catalog.subtree(there))


async def copy_item(call: Call) -> web.StreamResponse:
    """`POST .../actions/copy`: includes everything inside; the copies belong to the calling user (inferred)."""
    catalog, kind = Catalog.of(call), known_type(call)
    thing = catalog.find(kind, call.request.match_info["id"])
    catalog.need(thing, "read")
    inside = [copy.deepcopy(found) for found in catalog.subtree(thing) if catalog.may(found, "read")]
    target = _target(call, catalog, thing, await call.json())
    _clear(catalog, thing, target)
    _place(inside, thing["plain"], target)
    for made in inside:
        # A copy takes the permissions of its new folder (inferred); a copy outside folders keeps its own.
        made["acl"] = made["acl"] if made["parent"] is None else None
        made.update(owner=call.user["name"], lastModified=catalog.now())
    catalog.add(*inside)
    catalog.save()
    return json_reply(catalog.shown(inside[0]))


async def move_item(call: Call) -> web.StreamResponse:
    """`POST .../actions/move`: not for connections, datasets, data flows, sequences, scripts, models (documented)."""
    catalog, kind = Catalog.of(call), known_type(call)
    thing = catalog.find(kind, call.request.match_info["id"])
    if kind not in _MOVABLE:
        raise bad_request(f"Items of the type {kind} cannot be moved.")
    if thing["plain"] in (SHARED, USERS):
        raise forbidden(f"The folder {thing['plain']} cannot be moved.")
    catalog.need(thing, "delete")
    target = _target(call, catalog, thing, await call.json())
    _clear(catalog, thing, target)
    # A moved item keeps owner and permissions (inferred).
    thing["acl"] = copy.deepcopy(catalog.acl(thing))
    inside = catalog.subtree(thing)
    catalog.remove(inside)
    _place(inside, thing["plain"], target)
    thing["lastModified"] = catalog.now()
    catalog.add(*inside)
    catalog.save()
    return json_reply(catalog.shown(thing))


def _place(inside: list[Item], old: str, target: _Target) -> None:
    """Set the new IDs of an item, which comes first, and of its contents."""
    top, *rest = inside
    for child in rest:
        child["plain"] = target.plain + child["plain"].removeprefix(old)
        child["parent"] = target.plain + child["parent"].removeprefix(old)
    top.update(plain=target.plain, name=target.name, parent=target.parent)


JOBS: dict[str, Any] = {}
_ROLES = (CONTENT_AUTHOR, ADMINISTRATOR)
ROUTES = [
    Route("POST", "/catalog/{type}/{id}/actions/copy", copy_item, _ROLES),
    Route("POST", "/catalog/{type}/{id}/actions/move", move_item, _ROLES),
]
