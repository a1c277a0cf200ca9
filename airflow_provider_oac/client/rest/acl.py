"""Permissions of catalog items: reading and changing access control lists. Source: "Catalog REST Endpoints"
(documented), unless said otherwise at the fact.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from airflow_provider_oac.client import ids
from airflow_provider_oac.client.calls import Call, segment, text_member
from airflow_provider_oac.client.models import Model
from airflow_provider_oac.client.rest.catalog import ACCOUNT_TYPES, APPLICATION_ROLE, USER
from airflow_provider_oac.exceptions import OACConfigurationError, OACError, OACResponseError
from airflow_provider_oac.transport.io import Response

# Documented for the tool that wraps updateACL; all but ``execute`` were seen in answers (observed).
PERMISSIONS = ("read", "list", "write", "execute", "delete", "changePermission", "takeOwnership")

# Documented. The API's own default is ReplaceAll, which drops everybody who is not named.
REPLACE_MATCHING = "ReplaceMatchingAccounts"
DELETE_MATCHING = "DeleteMatchingAccounts"
REPLACE_ALL = "ReplaceAll"
MODES = (REPLACE_MATCHING, DELETE_MATCHING, REPLACE_ALL)


@dataclass(frozen=True)
class Access(Model):
    """What one account may do with an item.

    :param account: OAC's ``accountGuid``: a user id, or the name of an application role without its blanks (observed:
        ``BIServiceAdministrator``). In an entry that a person gives, the name that the Console shows may stand here;
        :func:`resolved` replaces it.
    :param account_type: ``User`` or ``ApplicationRole``.
    :param permissions: what it may do; OAC may know others than are documented.
    :param display_name: what the Console shows.
    :param raw: the whole entry.
    """

    account: str
    account_type: str = USER
    permissions: frozenset[str] = frozenset()
    display_name: str = ""
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def key(self) -> tuple[str, str]:
        """What tells accounts apart. Case does not count for users (inferred), and does for roles."""
        return self.account_type, self.account.casefold() if self.account_type == USER else self.account

    @property
    def allowed(self) -> tuple[str, ...]:
        """The permissions in the usual order."""
        unknown = sorted(self.permissions - set(PERMISSIONS))
        return (*(name for name in PERMISSIONS if name in self.permissions), *unknown)

    def text(self) -> str:
        """For people."""
        who = f"{self.account_type} {self.account!r}"
        shown = f" ({self.display_name})" if self.display_name not in ("", self.account) else ""
        return ids.visible(f"{who}{shown}: {', '.join(self.allowed) or 'nothing'}")


@dataclass(frozen=True)
class Difference:
    """What distinguishes two lists."""

    added: tuple[Access, ...] = ()
    removed: tuple[Access, ...] = ()
    changed: tuple[tuple[Access, Access], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)

    def lines(self) -> list[str]:
        """For people, a line for each account."""
        return [
            *(f"+ {entry.text()}" for entry in self.added),
            *(f"- {entry.text()}" for entry in self.removed),
            *(
                ids.visible(f"~ {before.text()} -> {', '.join(after.allowed) or 'nothing'}")
                for before, after in self.changed
            ),
        ]


def access(account: str | int, permissions: Collection[str] = (), account_type: str = USER) -> Access:
    """An entry as a person gives it, checked.

    :raises OACConfigurationError: naming what OAC does not know.
    """
    if isinstance(permissions, str):
        permissions = [permissions]
    # Airflow's native rendering makes a number of digits.
    name = account if isinstance(account, str) else str(account) if type(account) is int else ""
    # The text 'None' is what a template renders that finds nothing.
    if (
        name.strip() in ("", "None")
        or account_type not in ACCOUNT_TYPES
        or any(one not in PERMISSIONS for one in permissions)
    ):
        raise OACConfigurationError(
            f"An entry for {account_type} {account!r} with {', '.join(map(str, permissions)) or 'no permission'} "
            f"cannot be made: an account has a name and is one of {', '.join(ACCOUNT_TYPES)}, and permissions are "
            f"{', '.join(PERMISSIONS)}."
        )
    return Access(name, account_type, frozenset(permissions))


def resolved(entries: Sequence[Access], current: Sequence[Access]) -> tuple[Access, ...]:
    """Name the accounts of entries by OAC's guids, which differ from the names that the Console shows.

    An account is the one in the list with this guid, else the one with this display name. A role that is not in the
    list gets its name without blanks, which is its guid (observed); a user stays as given.

    :param entries: as a person gives them.
    :param current: the list of the item.
    :raises OACConfigurationError: if a display name fits several accounts, or two entries name one account.
    """
    found = tuple(_resolved(entry, current) for entry in entries)
    _refuse_twice(found)
    return found


def _resolved(entry: Access, current: Sequence[Access]) -> Access:
    known = [one for one in current if one.account_type == entry.account_type]
    same = [one for one in known if one.key == entry.key] or [
        one for one in known if _names(entry.account, entry.account_type) & _names_of(one)
    ]
    if len({one.key for one in same}) > 1:
        raise OACConfigurationError(
            f"{entry.account_type} {entry.account!r} fits several accounts of the list: "
            f"{', '.join(repr(one.account) for one in same)}. Give one of these in its place."
        )
    if same:
        return replace(entry, account=same[0].account, display_name=same[0].display_name)
    if entry.account_type == APPLICATION_ROLE:
        return replace(entry, account="".join(entry.account.split()), display_name=entry.account)
    return entry


def _names_of(entry: Access) -> set[str]:
    return _names(entry.account, entry.account_type) | _names(entry.display_name, entry.account_type)


def _names(name: str, account_type: str) -> set[str]:
    """The form in which names are compared: of roles without blanks, of users without case."""
    form = "".join(name.split()) if account_type == APPLICATION_ROLE else name.strip().casefold()
    return {form} if form else set()


def _refuse_twice(entries: Sequence[Access]) -> None:
    keys = [entry.key for entry in entries]
    if twice := sorted({name for kind, name in keys if keys.count((kind, name)) > 1}):
        raise OACConfigurationError(f"An account is named twice: {', '.join(twice)}.")


def get(kind: str, item_id: str) -> Call[tuple[Access, ...]]:
    """Read who may do what with an item. Operation ``POST /catalog/{type}/{id}/actions/getACL`` (documented), with an
    empty body and its length 0: without a length the answer is 411 (observed).
    """
    return Call(
        doing=f"read the permissions of {kind} {ids.quoted(item_id)}",
        method="POST",
        path=f"/catalog/{segment(kind)}/{segment(item_id)}/actions/getACL",
        read=_read,
        repeatable=True,
    )


def update(
    kind: str,
    item_id: str,
    entries: Sequence[Access],
    *,
    mode: str = REPLACE_MATCHING,
    recursive: bool = False,
) -> Call[tuple[Access, ...]]:
    """Change who may do what with an item. Operation ``POST /catalog/{type}/{id}/actions/updateACL`` (documented).

    :param kind: type of the item.
    :param item_id: its id.
    :param entries: accounts by their guids (:func:`resolved`) and all that each may do: a permission that is left out
        is switched off (documented).
    :param mode: ``ReplaceMatchingAccounts`` leaves accounts alone that are not named; ``DeleteMatchingAccounts``
        removes those that are named; ``ReplaceAll``, the API's own default, removes those that are not.
    :param recursive: whether the entries are pushed down to everything below a container.
    :returns: a call whose result is the list afterwards.
    :raises OACConfigurationError: for a mode that OAC does not know, or nobody named.
    """
    if mode not in MODES:
        raise OACConfigurationError(f"The mode of a change of permissions is one of {', '.join(MODES)}, not {mode!r}.")
    if not entries:
        raise OACConfigurationError("No account is named, so that there is nothing to change.")
    _refuse_twice(entries)
    return Call(
        doing=f"change the permissions of {kind} {ids.quoted(item_id)} ({mode})",
        method="POST",
        path=f"/catalog/{segment(kind)}/{segment(item_id)}/actions/updateACL",
        read=_read,
        body={
            "aclList": [_body(entry, mode) for entry in entries],
            "recursive": recursive,
            "updateMode": mode,
        },
        repeatable=True,
    )


def expected(before: Sequence[Access], entries: Sequence[Access], mode: str) -> tuple[Access, ...]:
    """The list that a change should lead to."""
    named = {entry.key: entry for entry in entries}
    if mode == REPLACE_ALL:
        return tuple(entries)
    left = [entry for entry in before if entry.key not in named]
    return tuple(left) if mode == DELETE_MATCHING else (*left, *entries)


def difference(before: Sequence[Access], after: Sequence[Access]) -> Difference:
    """What distinguishes two lists. An entry without any permission counts as one."""
    old, new = ({entry.key: entry for entry in entries} for entries in (before, after))
    return Difference(
        added=tuple(entry for key, entry in new.items() if key not in old),
        removed=tuple(entry for key, entry in old.items() if key not in new),
        changed=tuple(
            (old[key], entry) for key, entry in new.items() if key in old and old[key].permissions != entry.permissions
        ),
    )


def check_taken(entries: Sequence[Access], after: Sequence[Access]) -> None:
    """Make sure that OAC took each account: what it does with one that it does not know is not documented.

    :param entries: what was asked for, :func:`resolved` against the list afterwards.
    :param after: the list afterwards.
    :raises OACError: naming the accounts of which nothing is to be seen.
    """
    named = {entry.key for entry in entries}
    left = [entry for entry in after if entry.key not in named]
    there = {entry.key for entry in after}
    missing = []
    # OAC may show an account under another id than it was given (not documented): an entry of the same kind with just
    # these permissions, which no other account explains, counts as well.
    for entry in entries:
        if not entry.permissions or entry.key in there:
            continue
        other = next(
            (one for one in left if (one.account_type, one.permissions) == (entry.account_type, entry.permissions)),
            None,
        )
        if other is None:
            missing.append(entry)
        else:
            left.remove(other)
    if missing:
        raise OACError(
            f"OAC took the change without a complaint, but its list shows nothing of "
            f"{', '.join(f'{entry.account_type} {entry.account!r}' for entry in missing)}. Likely cause: there is no "
            "such account. Check the user id in the identity domain, or the name of the application role in OAC's "
            "Console."
        )


def _body(entry: Access, mode: str) -> dict[str, Any]:
    body: dict[str, Any] = {"accountGuid": entry.account, "accountType": entry.account_type}
    if mode != DELETE_MATCHING:
        body["permissions"] = {name: name in entry.permissions for name in PERMISSIONS}
    return body


def _read(response: Response) -> tuple[Access, ...]:
    body = response.json()
    if not isinstance(body, list):
        raise OACResponseError(f"A list of permissions should be a JSON array, {type(body).__name__} came.")
    return tuple(_read_entry(item) for item in body)


def _read_entry(item: Any) -> Access:
    if not isinstance(item, dict):
        raise OACResponseError(f"An entry of permissions should be a JSON object, {type(item).__name__} came.")
    permissions = item.get("permissions")
    if permissions is not None and not isinstance(permissions, dict):
        raise OACResponseError("The permissions of an account should be a JSON object.")
    return Access(
        account=text_member(item, "accountGuid", "An entry of permissions"),
        account_type=str(item.get("accountType") or ""),
        permissions=frozenset(name for name, allowed in (permissions or {}).items() if str(allowed).lower() == "true"),
        display_name=str(item.get("accountDisplayName") or ""),
        raw=item,
    )
