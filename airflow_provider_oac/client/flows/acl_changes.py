"""Changes of permissions: resolve account names, predict the new list, and verify it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from airflow_provider_oac.client.ids import visible
from airflow_provider_oac.client.rest.acl import DELETE_MATCHING, PERMISSIONS, REPLACE_ALL, Access
from airflow_provider_oac.client.rest.catalog import ACCOUNT_TYPES, APPLICATION_ROLE, USER
from airflow_provider_oac.exceptions import OACConfigurationError, OACError


def access(account: str | int, permissions: Collection[str] = (), account_type: str = USER) -> Access:
    """Make a checked entry from user input.

    :raises OACConfigurationError: naming a value that OAC does not know.
    """
    if isinstance(permissions, str):
        permissions = [permissions]
    # With native rendering, Airflow turns digits into a number.
    name = account if isinstance(account, str) else str(account) if type(account) is int else ""
    # A template that finds nothing renders to the text 'None'.
    valid = name.strip() not in ("", "None") and account_type in ACCOUNT_TYPES
    if not valid or any(one not in PERMISSIONS for one in permissions):
        raise OACConfigurationError(
            f"Invalid entry: {account_type} {account!r} with {', '.join(map(str, permissions)) or 'no permission'}. "
            f"Expected: a name, a type of {', '.join(ACCOUNT_TYPES)}, and permissions of {', '.join(PERMISSIONS)}."
        )
    return Access(name, account_type, frozenset(permissions))


def resolved(entries: Sequence[Access], current: Sequence[Access]) -> tuple[Access, ...]:
    """Replace display names in entries by OAC's account guids, which differ from the names that the Console shows.

    An entry means the account in the list with this guid, else the one with this display name. A role that is not in
    the list gets its name without blanks, which is its guid (observed); a user that is not in the list stays as given.

    :param entries: entries as the user gives them.
    :param current: the item's current list.
    :raises OACConfigurationError: if a display name fits several accounts.
    """
    return tuple(_resolved(entry, current) for entry in entries)


def _resolved(entry: Access, current: Sequence[Access]) -> Access:
    known = [one for one in current if one.account_type == entry.account_type]
    same = [one for one in known if one.key == entry.key] or [
        one for one in known if _names(entry.account, entry.account_type) & _names_of(one)
    ]
    if len({one.key for one in same}) > 1:
        raise OACConfigurationError(
            f"{entry.account_type} {entry.account!r} is ambiguous. Next step: give one of "
            f"{', '.join(repr(one.account) for one in same)}."
        )
    if same:
        return replace(entry, account=same[0].account, display_name=same[0].display_name)
    if entry.account_type == APPLICATION_ROLE:
        return replace(entry, account="".join(entry.account.split()), display_name=entry.account)
    return entry


def _names_of(entry: Access) -> set[str]:
    return _names(entry.account, entry.account_type) | _names(entry.display_name, entry.account_type)


def _names(name: str, account_type: str) -> set[str]:
    """Normalize a name for comparison: roles without blanks, users without case."""
    form = "".join(name.split()) if account_type == APPLICATION_ROLE else name.strip().casefold()
    return {form} if form else set()


def expected(before: Sequence[Access], entries: Sequence[Access], mode: str) -> tuple[Access, ...]:
    """Return the list that a change should lead to."""
    named = {entry.key: entry for entry in entries}
    if mode == REPLACE_ALL:
        return tuple(entries)
    left = [entry for entry in before if entry.key not in named]
    return tuple(left) if mode == DELETE_MATCHING else (*left, *entries)


def difference(before: Sequence[Access], after: Sequence[Access]) -> list[str]:
    """List the differences between two lists for people, one line per account; an entry without permissions counts."""
    old, new = ({entry.key: entry for entry in entries} for entries in (before, after))
    changed = [(old[key], new[key]) for key in new if key in old and old[key].permissions != new[key].permissions]
    return [
        *(f"+ {entry.text()}" for key, entry in new.items() if key not in old),
        *(f"- {entry.text()}" for key, entry in old.items() if key not in new),
        *(visible(f"~ {one.text()} -> {', '.join(other.allowed) or 'nothing'}") for one, other in changed),
    ]


def check_taken(entries: Sequence[Access], after: Sequence[Access]) -> None:
    """Verify that OAC accepted each account: how it treats an unknown one is not documented.

    :param entries: the requested entries, :func:`resolved` against the list afterwards.
    :param after: the list afterwards.
    :raises OACError: naming the accounts that the list does not show.
    """
    named = {entry.key for entry in entries}
    left = [entry for entry in after if entry.key not in named]
    there = {entry.key for entry in after}
    missing = []
    # OAC may list an account under another id than the one it was given (not documented). So an entry of the same type
    # with the same permissions also counts, unless another account explains it.
    for entry in entries:
        if not entry.permissions or entry.key in there:
            continue
        kind = (entry.account_type, entry.permissions)
        if other := next((one for one in left if (one.account_type, one.permissions) == kind), None):
            left.remove(other)
        else:
            missing.append(entry)
    if missing:
        accounts = ", ".join(f"{entry.account_type} {entry.account!r}" for entry in missing)
        raise OACError(
            f"OAC accepted the change, but its list does not show {accounts}. Likely cause: there is no such account. "
            "Next step: check the user id in the identity domain, or the application role in OAC's Console."
        )
