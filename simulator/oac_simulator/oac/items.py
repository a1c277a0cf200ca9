"""The catalog of one instance as its operations see it: finding items, what a user may, saving changes."""

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
#: Permissions that go with roles and not with an item.
MANAGE_CONTENT, SCHEDULE_WORKBOOKS = "ManageContent", "ScheduleWorkbooks"


def decoded(text: str) -> str:
    """The plain id behind a base64url id, padded or not, in the form in which the simulator keeps it.

    The examples of the workbook operations leave `/@Catalog` out of the path; both forms mean the same item.

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
    """Something that this user may not do (documented: 403)."""
    return OACError(403, "Forbidden", message)


def compact(role: str) -> str:
    """A role's name without its blanks: `DV Content Author` and `DVContentAuthor` are one role (inferred)."""
    return role.replace(" ", "").casefold()


class Catalog:
    """The items of one instance, and one user's view of them."""

    def __init__(self, world: World, instance: str, user: Record) -> None:
        self._world, self.instance, self.user = world, instance, user
        kept = world.content.get(instance) or {"catalog": []}
        # A list of its own: what a refused call added or removed is forgotten with it.
        self.items: list[Item] = list(kept["catalog"])
        self.content: Content = {**kept, "catalog": self.items}
        self._by_id = {(thing["type"], thing["plain"]): thing for thing in self.items}
        self._containers = {thing["plain"]: thing for thing in self.items if thing["type"] in CONTAINERS}
        self.roles = list(user["instance_roles"].get(instance, user["roles"]))
        self._held = {compact(role) for role in self.roles}
        self._granted: dict[int, frozenset[str]] = {}

    @classmethod
    def of(cls, call: Call) -> Catalog:
        """The catalog that a call is about."""
        return cls(call.world, call.instance.name, call.user)

    # ------------------------------------------------------------------------------------------ finding

    def at(self, kind: str, plain: str) -> Item | None:
        """The item of a type and a plain id."""
        return self._by_id.get((kind, plain))

    def container(self, plain: str | None) -> Item | None:
        """The folder (or dashboard) of a plain id."""
        return None if plain is None else self._containers.get(plain)

    def find(self, kind: str, text: str, *, malformed: int = 400) -> Item:
        """The item that a path names.

        :param kind: the type.
        :param text: the encoded id.
        :param malformed: the status for a text that is no id; 404 where the contract knows no 400.
        :raises OACError: if there is none (404).
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
        """What lies directly in a container."""
        return [thing for thing in self.items if thing["parent"] == plain]

    def subtree(self, top: Item) -> list[Item]:
        """An item and everything below it, parents first."""
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
        """The access control list that holds for an item: its own, or that of what it lies in."""
        place: Item | None = thing
        while place is not None:
            if place["acl"] is not None:
                acl: list[Record] = place["acl"]
                return acl
            place = self.container(place["parent"])
        return []

    def may(self, thing: Item, permission: str) -> bool:
        """Whether the user has a permission on an item; its owner has all (inferred)."""
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
        """Refuse who lacks a permission on an item.

        :raises OACError: if it is missing (403).
        """
        if not self.may(thing, permission):
            name = self.user["name"]
            raise forbidden(f"User {name} does not have the permission {permission} on {thing['plain']}.")

    def privileged(self, privilege: str) -> bool:
        """Whether the user holds a privilege: administrators do, others when it was given to them."""
        return compact(ADMINISTRATOR) in self._held or privilege in self.user.get("privileges", [])

    def visible(self, *, manage: bool) -> list[Item]:
        """The items that this user sees in lists.

        :param manage: as content manager, who sees everything.
        """
        return [thing for thing in self.items if manage or self.may(thing, "list")]

    # ------------------------------------------------------------------------------------------ changing

    def add(self, *things: Item) -> None:
        """Put new items in; nothing is kept before `save`."""
        for thing in things:
            self.items.append(thing)
            self._by_id[thing["type"], thing["plain"]] = thing
            if thing["type"] in CONTAINERS:
                self._containers[thing["plain"]] = thing

    def remove(self, things: list[Item]) -> None:
        """Take items out; nothing is kept before `save`."""
        gone = {id(thing) for thing in things}
        self.items[:] = [thing for thing in self.items if id(thing) not in gone]
        for thing in things:
            self._by_id.pop((thing["type"], thing["plain"]), None)
            self._containers.pop(thing["plain"], None)

    def save(self) -> None:
        """Keep what was changed."""
        self._world.content.put(self.instance, self.content)

    def now(self) -> str:
        """The time as items show it."""
        return self._world.clock.iso(time.time())[:19] + "Z"

    # ------------------------------------------------------------------------------------------- showing

    def id(self, plain: str) -> str:
        """An id as answers show it: encoded, with or without padding as the setting says."""
        text = encoded(plain)
        return text + "=" * (-len(text) % 4) if self._world.settings.padded_ids else text

    def shown(self, thing: Item) -> dict[str, Any]:
        """An item as lists show it."""
        body = {
            "type": thing["type"], "id": self.id(thing["plain"]), "name": thing["name"], "owner": thing["owner"],
            "description": thing["description"], "lastModified": thing["lastModified"],
        }  # fmt: skip
        if thing["parent"] is not None:
            body["parentId"] = self.id(thing["parent"])
        return body
