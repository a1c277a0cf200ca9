"""The catalog of one instance: finding items, checking permissions, saving changes."""

from __future__ import annotations

import time
from base64 import urlsafe_b64decode
from typing import Any

from oac_simulator.ids import encoded
from oac_simulator.oac.api import Call, OACError, bad_request, not_found
from oac_simulator.oac.content import Content, Item
from oac_simulator.store import Record
from oac_simulator.world import ADMINISTRATOR, World

TYPES = (
    "workbooks", "folders", "datasets", "connections", "dataflows", "models", "sequences", "subjectAreas",
    "analysis", "reports", "dashboards", "dashboardpages", "dashboardfolders", "dashboardgroupfolders", "scripts",
)  # fmt: skip
CONTAINERS = ("folders", "dashboards", "dashboardfolders", "dashboardgroupfolders")
#: Permissions that belong to roles, not to items.
MANAGE_CONTENT, SCHEDULE_WORKBOOKS = "ManageContent", "ScheduleWorkbooks"


def decoded(text: str) -> str:
    """Decode a base64url ID, padded or not, to the plain ID that the simulator stores.

    The examples of the workbook operations omit `/@Catalog`; both forms refer to the same item.

    :raises OACError: if it is not base64url of UTF-8 (400).
    """
    try:
        bare = text.rstrip("=")
        plain = urlsafe_b64decode(bare + "=" * (-len(bare) % 4)).decode()
    except ValueError as error:
        raise bad_request("The id is not base64url.") from error
    if plain == "/shared" or plain == "/users" or plain.startswith(("/shared/", "/users/")):
        plain = "/@Catalog" + plain
    return plain


def forbidden(message: str) -> OACError:
    """Return the error for an action that this user may not perform (documented: 403)."""
    return OACError(403, "Forbidden", message)


def compact(role: str) -> str:
    """Normalize a role's name: `DV Content Author` and `DVContentAuthor` are the same role (inferred)."""
    return role.replace(" ", "").casefold()


class Catalog:
    """The items of one instance, and one user's view of them."""

    def __init__(self, world: World, instance: str, user: Record) -> None:
        self._world, self.instance, self.user = world, instance, user
        kept = world.content.get(instance) or {"catalog": []}
        # Work on a copy, so a refused call leaves no changes.
        self.items: list[Item] = list(kept["catalog"])
        self.content: Content = {**kept, "catalog": self.items}
        self._by_id = {(thing["type"], thing["plain"]): thing for thing in self.items}
        self._containers = {thing["plain"]: thing for thing in self.items if thing["type"] in CONTAINERS}
        self.roles = list(user["instance_roles"].get(instance, user["roles"]))
        self._held = {compact(role) for role in self.roles}
        self._granted: dict[int, frozenset[str]] = {}

    @classmethod
    def of(cls, call: Call) -> Catalog:
        """Return the catalog for a call."""
        return cls(call.world, call.instance.name, call.user)

    # ------------------------------------------------------------------------------------------ finding

    def at(self, kind: str, plain: str) -> Item | None:
        """Return the item with a type and a plain ID."""
        return self._by_id.get((kind, plain))

    def container(self, plain: str | None) -> Item | None:
        """Return the folder (or dashboard) with a plain ID."""
        return None if plain is None else self._containers.get(plain)

    def find(self, kind: str, text: str, *, malformed: int = 400) -> Item:
        """Return the item that a path names.

        :param kind: the type.
        :param text: the encoded ID.
        :param malformed: status for a malformed ID; 404 where the contract has no 400.
        :raises OACError: if the item does not exist (404).
        """
        try:
            thing = self.at(kind, decoded(text))
        except OACError as error:
            if malformed == 404:
                raise not_found(f"The {kind} item") from error
            raise
        if thing is None:
            raise not_found(f"The {kind} item")
        return thing

    def children(self, plain: str) -> list[Item]:
        """Return the direct children of a container."""
        return [thing for thing in self.items if thing["parent"] == plain]

    def subtree(self, top: Item) -> list[Item]:
        """Return an item and everything below it, parents first."""
        found = [top]
        parents = {top["plain"]} if top["type"] in CONTAINERS else set()
        rest = [thing for thing in self.items if thing["parent"] is not None]
        while parents:
            level = [thing for thing in rest if thing["parent"] in parents]
            found += level
            parents = {thing["plain"] for thing in level if thing["type"] in CONTAINERS}
        return found

    # ---------------------------------------------------------------------------------------- permission

    def acl(self, thing: Item) -> list[Record]:
        """Return the access control list that applies to an item: its own or its parent's."""
        place: Item | None = thing
        while place is not None:
            if place["acl"] is not None:
                acl: list[Record] = place["acl"]
                return acl
            place = self.container(place["parent"])
        return []

    def may(self, thing: Item, permission: str) -> bool:
        """Return whether the user has a permission on an item; the owner has all (inferred)."""
        if thing["owner"] == self.user["name"]:
            return True
        acl = self.acl(thing)
        granted = self._granted.get(id(acl))
        if granted is None:
            granted = self._granted[id(acl)] = frozenset(self._of(acl))
        return permission in granted

    def _of(self, acl: list[Record]) -> list[str]:
        granted = []
        for line in acl:
            user = line["accountType"] == "User" and line["accountGuid"] == self.user["name"]
            role = line["accountType"] == "ApplicationRole" and compact(line["accountGuid"]) in self._held
            if user or role:
                granted += [name for name, on in line["permissions"].items() if on]
        return granted

    def need(self, thing: Item, permission: str) -> None:
        """Refuse the call if the user lacks a permission on an item.

        :raises OACError: if it is missing (403).
        """
        if not self.may(thing, permission):
            name = self.user["name"]
            raise forbidden(f"User {name} does not have the permission {permission} on {thing['plain']}.")

    def privileged(self, privilege: str) -> bool:
        """Return whether the user holds a privilege: administrators do, others only if it is granted."""
        return compact(ADMINISTRATOR) in self._held or privilege in self.user.get("privileges", [])

    def visible(self, *, manage: bool) -> list[Item]:
        """Return the items that this user sees in lists.

        :param manage: whether the user calls as content manager, who sees everything.
        """
        return [thing for thing in self.items if manage or self.may(thing, "list")]

    # ------------------------------------------------------------------------------------------ changing

    def add(self, *things: Item) -> None:
        """Add items; `save` stores them."""
        for thing in things:
            self.items.append(thing)
            self._by_id[thing["type"], thing["plain"]] = thing
            if thing["type"] in CONTAINERS:
                self._containers[thing["plain"]] = thing

    def remove(self, things: list[Item]) -> None:
        """Remove items; `save` stores the change."""
        gone = {id(thing) for thing in things}
        self.items[:] = [thing for thing in self.items if id(thing) not in gone]
        for thing in things:
            self._by_id.pop((thing["type"], thing["plain"]), None)
            self._containers.pop(thing["plain"], None)

    def save(self) -> None:
        """Store the changes."""
        self._world.content.put(self.instance, self.content)

    def now(self) -> str:
        """Return the current time in the format of items."""
        return self._world.clock.iso(time.time())[:19] + "Z"

    # ------------------------------------------------------------------------------------------- showing

    def id(self, plain: str) -> str:
        """Encode an ID for a reply, with or without padding as the setting says."""
        text = encoded(plain)
        return text + "=" * (-len(text) % 4) if self._world.settings.padded_ids else text

    def shown(self, thing: Item) -> dict[str, Any]:
        """Return an item as lists show it."""
        body = {
            "type": thing["type"], "id": self.id(thing["plain"]), "name": thing["name"], "owner": thing["owner"],
            "description": thing["description"], "lastModified": thing["lastModified"],
        }  # fmt: skip
        if thing["parent"] is not None:
            body["parentId"] = self.id(thing["parent"])
        return body
