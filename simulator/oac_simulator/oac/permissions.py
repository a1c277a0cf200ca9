"""Area: Catalog, permissions: reading and changing access control lists, changing the owner."""

from __future__ import annotations

import copy
from typing import Any

from aiohttp import web

from oac_simulator.oac.api import Call, Route, bad_request
from oac_simulator.oac.catalog import known_type
from oac_simulator.oac.content import PERMISSIONS, Item, entry, guid
from oac_simulator.oac.folders import boolean
from oac_simulator.oac.items import CONTAINERS, MANAGE_CONTENT, Catalog, forbidden
from oac_simulator.replies import json_reply
from oac_simulator.store import Record
from oac_simulator.world import ADMINISTRATOR, CONTENT_AUTHOR, World

Acl = list[Record]
_MODES = ("replaceall", "replacematchingaccounts", "deletematchingaccounts")
#: The types whose owner cannot change (documented: the types whose owner can).
_OWNERLESS = ("dashboardpages", "dashboardgroupfolders", "scripts")


async def get_acl(call: Call) -> web.StreamResponse:
    """`POST .../actions/getACL`: an empty POST that must have `Content-Length` (observed: else 411)."""
    call.need_length()
    catalog = Catalog.of(call)
    thing = catalog.find(known_type(call), call.request.match_info["id"])
    if not catalog.privileged(MANAGE_CONTENT):
        catalog.need(thing, "read")
    return json_reply(catalog.acl(thing))


async def update_acl(call: Call) -> web.StreamResponse:
    """`POST .../actions/updateACL`: replaces the whole list by default (documented)."""
    catalog = Catalog.of(call)
    thing = catalog.find(known_type(call), call.request.match_info["id"])
    body = await call.json()
    # The documentation prints the default in lower camel case, but the values in upper camel case.
    mode = str(body.get("updateMode", "ReplaceAll")).lower()
    if mode not in _MODES:
        raise bad_request("updateMode is ReplaceAll, ReplaceMatchingAccounts or DeleteMatchingAccounts.")
    wanted, recursive = _wanted(call.world, body), boolean(body, "recursive")
    if not catalog.privileged(MANAGE_CONTENT):
        catalog.need(thing, "changePermission")
    targets = catalog.subtree(thing) if recursive else [thing]
    if call.world.settings.acl_inheritance == "at_creation":
        settle(catalog, [thing])
    # Compute all lists before changing the first: a child may still use its parent's list.
    changed = [changed_acl(catalog.acl(target), wanted, mode) for target in targets]
    for target, acl in zip(targets, changed, strict=True):
        target["acl"] = acl
    catalog.save()
    return json_reply(thing["acl"])


def settle(catalog: Catalog, tops: list[Item]) -> None:
    """Give each child without its own list a copy of its current list, before the parent's list changes.

    An item copies its parent's permissions at creation and ignores later changes, hence the parameter `recursive`
    (inferred; the setting `acl_inheritance` selects).
    """
    for top in tops:
        if top["type"] in CONTAINERS:
            below = [(child, catalog.acl(child)) for child in catalog.children(top["plain"]) if child["acl"] is None]
            for child, acl in below:
                child["acl"] = copy.deepcopy(acl)


def changed_acl(acl: Acl, wanted: Acl, mode: str) -> Acl:
    """Apply a change to an access control list.

    :param acl: the current list.
    :param wanted: the entries of the call.
    :param mode: in lower case: replace all entries, replace or add the named accounts, or delete them.
    """
    if mode == "replaceall":
        return copy.deepcopy(wanted)
    named = {_account(line): line for line in wanted}
    if mode == "deletematchingaccounts":
        return [line for line in acl if _account(line) not in named]
    kept = [named.pop(_account(line), line) for line in acl]
    return copy.deepcopy([*kept, *named.values()])


def _account(line: Record) -> tuple[str, str]:
    return line["accountType"], line["accountGuid"]


def _wanted(world: World, body: dict[str, Any]) -> Acl:
    """Read the entries of a call. Omitted permissions are off (documented).

    :raises OACError: if an entry is malformed or its account does not exist (400).
    """
    lines = body.get("aclList")
    if not isinstance(lines, list) or not all(isinstance(line, dict) for line in lines):
        raise bad_request("aclList is missing or not a list of objects.")
    wanted: dict[tuple[str, str], Record] = {}
    for line in lines:
        name = account(world, line.get("accountType"), line.get("accountGuid"))
        permissions = line.get("permissions", {})
        known = isinstance(permissions, dict) and set(permissions) <= set(PERMISSIONS)
        if not known or not all(isinstance(on, bool) for on in permissions.values()):
            raise bad_request(f"permissions are true or false for {', '.join(PERMISSIONS)}.")
        made = entry(name, line["accountType"], *[permission for permission, on in permissions.items() if on])
        wanted[_account(made)] = made
    return list(wanted.values())


def account(world: World, kind: Any, text: Any) -> str:
    """Return the name of the account with a GUID.

    :raises OACError: if it does not exist (400, inferred). A display name is not accepted (inferred).
    """
    if kind not in ("User", "ApplicationRole") or not isinstance(text, str):
        raise bad_request("accountType is User or ApplicationRole, and accountGuid a text.")
    if kind == "User":
        user = world.user(text)
        found = user["name"] if user else None
    else:
        found = next((role["name"] for role in world.roles if guid(role["name"], kind) == text), None)
    if found is None:
        raise bad_request(f"There is no account {text[:100]} of the type {kind}.")
    return str(found)


async def change_owner(call: Call) -> web.StreamResponse:
    """`POST .../actions/changeOwnership`: needs the permission Manage Content; returns a string (documented)."""
    catalog, kind = Catalog.of(call), known_type(call)
    thing = catalog.find(kind, call.request.match_info["id"])
    if not catalog.privileged(MANAGE_CONTENT):
        raise forbidden(f"User {catalog.user['name']} does not have the permission Manage Content.")
    if kind in _OWNERLESS:
        raise bad_request(f"The owner of {kind} cannot be changed.")
    body = await call.json()
    account_type, named = body.get("accountType", "User"), body.get("owner")
    # Whether roles are named by GUID or by name is not documented, so both are accepted.
    named = guid(named, account_type) if isinstance(named, str) else named
    owner = account(call.world, account_type, named)
    thing["owner"] = owner
    catalog.save()
    return json_reply(f"The owner of {thing['name']} is now {owner}.")


JOBS: dict[str, Any] = {}
_ROLES = (CONTENT_AUTHOR, ADMINISTRATOR)
ROUTES = [
    Route("POST", "/catalog/{type}/{id}/actions/getACL", get_acl, _ROLES),
    Route("POST", "/catalog/{type}/{id}/actions/updateACL", update_acl, _ROLES),
    Route("POST", "/catalog/{type}/{id}/actions/changeOwnership", change_owner, _ROLES),
]
