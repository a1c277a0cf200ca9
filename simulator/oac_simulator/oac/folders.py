"""Area: Catalog, folders."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from oac_simulator.oac.api import Call, OACError, Route, bad_request, member, not_found
from oac_simulator.oac.content import SHARED, USERS, Item, below
from oac_simulator.oac.items import Catalog, decoded, forbidden
from oac_simulator.replies import json_reply
from oac_simulator.world import ADMINISTRATOR, CONTENT_AUTHOR

_ROOTS = (SHARED, USERS)
#: Maximum depth of nested folders; the simulator's own limit.
_DEEPEST = 64


def check_name(name: str) -> str:
    """Return a name if it can be part of a path.

    :raises OACError: if it cannot (400).
    """
    if not name.strip() or "/" in name or "\0" in name or len(name) > 256:
        raise bad_request("The name of an item has 1 to 256 characters and no slash.")
    return name


def folder_at(catalog: Catalog, plain: str, *, create: bool) -> Item:
    """Return the folder at a path, if the user may write to it.

    :param catalog: the catalog.
    :param plain: the path.
    :param create: whether to create missing parent folders; `save` stores them.
    :raises OACError: if it does not exist (404), or the user may not write to it (403).
    """
    found = catalog.container(plain)
    if found is not None:
        catalog.need(found, "write")
        return found
    if plain.count("/") > _DEEPEST:
        raise bad_request(f"Folders lie at most {_DEEPEST} levels deep.")
    parent, _, name = plain.rpartition("/")
    if not create or not plain.startswith((SHARED + "/", USERS + "/")):
        raise not_found(f"The folder {plain}")
    above = folder_at(catalog, parent, create=True)
    folder = below("folders", above["plain"], check_name(name), catalog.user["name"])
    catalog.add({**folder, "description": "", "lastModified": catalog.now()})
    made = catalog.container(plain)
    if made is None:
        raise not_found(f"The folder {plain}")
    return made


def taken(catalog: Catalog, plain: str) -> Item | None:
    """Return the item at a path: names are unique in a folder across types (inferred)."""
    return next((thing for thing in catalog.items if thing["plain"] == plain), None)


async def create(call: Call) -> web.StreamResponse:
    """`POST /catalog/folders`: by `id`, or by `parentId` and `name`. Returns 200, not 201 (documented)."""
    body, catalog = await call.json(), Catalog.of(call)
    intermediate = boolean(body, "createIntermediateFolders")
    if isinstance(body.get("id"), str) and body["id"]:
        parent, _, name = decoded(body["id"]).rpartition("/")
    else:
        name = member(body, "name", str, "")
        parent = decoded(member(body, "parentId", str, ""))
    plain = f"{parent}/{check_name(name)}"
    there = taken(catalog, plain)
    if there is not None:
        how = call.world.settings.folder_exists
        if how == "200" and there["type"] == "folders":
            return json_reply(catalog.shown(there))
        raise OACError(400 if how == "200" else int(how), "AlreadyExists", f"There is already an item at {plain}.")
    folder_at(catalog, parent, create=intermediate)
    made = folder_at(catalog, plain, create=True)
    catalog.save()
    return json_reply(catalog.shown(made))


async def delete(call: Call) -> web.StreamResponse:
    """`DELETE /catalog/folders/{id}`: the folder must be empty unless `recursive=true`. 400 is not documented."""
    catalog = Catalog.of(call)
    folder = catalog.find("folders", call.request.match_info["id"], malformed=404)
    if folder["plain"] in _ROOTS:
        raise forbidden(f"The folder {folder['plain']} cannot be deleted.")
    catalog.need(folder, "delete")
    inside = catalog.subtree(folder)
    if len(inside) > 1 and call.request.query.get("recursive", "").lower() != "true":
        status = int(call.world.settings.folder_not_empty)
        raise OACError(status, "FolderNotEmpty", f"The folder {folder['plain']} is not empty.")
    for thing in inside:
        catalog.need(thing, "delete")
    catalog.remove(inside)
    catalog.save()
    return web.Response()


def boolean(body: dict[str, Any], name: str) -> bool:
    """Return a boolean member, false if absent.

    :raises OACError: if it is not a boolean (400).
    """
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise bad_request(f"{name} is not true or false.")
    return value


JOBS: dict[str, Any] = {}
_ROLES = (CONTENT_AUTHOR, ADMINISTRATOR)
ROUTES = [
    Route("POST", "/catalog/folders", create, _ROLES),
    Route("DELETE", "/catalog/folders/{id}", delete, _ROLES),
]
