"""Permissions of catalog items: read and change access control lists.

Source: "Catalog REST Endpoints" (documented), unless noted otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

from airflow_provider_oac.client import ids
from airflow_provider_oac.client.calls import Call, as_array, as_object, segment
from airflow_provider_oac.client.models import Model, member, model
from airflow_provider_oac.client.rest.catalog import USER
from airflow_provider_oac.exceptions import OACConfigurationError
from airflow_provider_oac.transport.io import Response

# Documented for the tool that wraps updateACL; responses contained all but ``execute`` (observed).
PERMISSIONS = ("read", "list", "write", "execute", "delete", "changePermission", "takeOwnership")

# Documented. The API's own default is ReplaceAll, which removes every account that is not named.
REPLACE_MATCHING = "ReplaceMatchingAccounts"
DELETE_MATCHING = "DeleteMatchingAccounts"
REPLACE_ALL = "ReplaceAll"
MODES = (REPLACE_MATCHING, DELETE_MATCHING, REPLACE_ALL)


def _granted(given: Any) -> frozenset[str]:
    permissions = {} if given is None else as_object(given, "The permissions of an account")
    return frozenset(name for name, allowed in permissions.items() if str(allowed).lower() == "true")


@model
class Access(Model):
    """The permissions of one account on an item.

    :param account: OAC's ``accountGuid``: a user id, or the name of an application role without its blanks (observed:
        ``BIServiceAdministrator``). In user input it may be the name that the Console shows;
        :func:`airflow_provider_oac.client.flows.acl_changes.resolved` replaces it.
    :param account_type: ``User`` or ``ApplicationRole``.
    :param permissions: granted permissions; OAC may have others than the documented ones.
    :param display_name: name that the Console shows.
    :param raw: the whole entry.
    """

    account: str = member("accountGuid", required=True)
    account_type: str = member("accountType", default=USER)
    permissions: frozenset[str] = member("permissions", read=_granted, default=frozenset())
    display_name: str = member("accountDisplayName", default="")
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def key(self) -> tuple[str, str]:
        """Identifies the account; case matters for roles, not for users (inferred)."""
        return self.account_type, self.account.casefold() if self.account_type == USER else self.account

    @property
    def allowed(self) -> tuple[str, ...]:
        """The permissions in the order of ``PERMISSIONS``, then all others."""
        unknown = sorted(self.permissions - set(PERMISSIONS))
        return (*(name for name in PERMISSIONS if name in self.permissions), *unknown)

    def text(self) -> str:
        """Describe the entry for people."""
        who = f"{self.account_type} {self.account!r}"
        shown = f" ({self.display_name})" if self.display_name not in ("", self.account) else ""
        return ids.visible(f"{who}{shown}: {', '.join(self.allowed) or 'nothing'}")


def get(kind: str, item_id: str) -> Call[tuple[Access, ...]]:
    """Read the permissions on an item.

    Operation ``POST /catalog/{type}/{id}/actions/getACL`` (documented), with an empty body of length 0: without a
    length, OAC answers 411 (observed).
    """
    path = f"/catalog/{segment(kind)}/{segment(item_id)}/actions/getACL"
    return Call(f"read the permissions of {kind} {ids.quoted(item_id)}", "POST", path, _read, repeatable=True)


def update(
    kind: str, item_id: str, entries: Sequence[Access], *, mode: str = REPLACE_MATCHING, recursive: bool = False
) -> Call[tuple[Access, ...]]:
    """Change the permissions on an item.

    Operation ``POST /catalog/{type}/{id}/actions/updateACL`` (documented).

    :param kind: type of the item.
    :param item_id: its id.
    :param entries: accounts by their guids (see :func:`airflow_provider_oac.client.flows.acl_changes.resolved`), each
        with all its permissions: OAC revokes a permission that is left out (documented).
    :param mode: ``ReplaceMatchingAccounts`` keeps accounts that are not named; ``DeleteMatchingAccounts`` removes the
        named accounts; ``ReplaceAll``, the API's own default, removes all others.
    :param recursive: whether to apply the entries to everything below a container, too.
    :returns: a call whose result is the list afterwards.
    :raises OACConfigurationError: for an unknown mode, an account that is named twice, or no account.
    """
    if mode not in MODES:
        raise OACConfigurationError(f"mode must be one of {', '.join(MODES)}, not {mode!r}.")
    if not entries:
        raise OACConfigurationError("No account given: name at least one account to change.")
    keys = [entry.key for entry in entries]
    if twice := sorted({name for one, name in keys if keys.count((one, name)) > 1}):
        raise OACConfigurationError(f"Each account may appear once, but these appear twice: {', '.join(twice)}.")
    doing = f"change the permissions of {kind} {ids.quoted(item_id)} ({mode})"
    path = f"/catalog/{segment(kind)}/{segment(item_id)}/actions/updateACL"
    body = {"aclList": [_body(entry, mode) for entry in entries], "recursive": recursive, "updateMode": mode}
    return Call(doing, "POST", path, _read, body=body, repeatable=True)


def _body(entry: Access, mode: str) -> dict[str, Any]:
    body: dict[str, Any] = {"accountGuid": entry.account, "accountType": entry.account_type}
    if mode != DELETE_MATCHING:
        body["permissions"] = {name: name in entry.permissions for name in PERMISSIONS}
    return body


def _read(response: Response) -> tuple[Access, ...]:
    entries = as_array(response.json(), "A list of permissions")
    return tuple(Access.parse(entry, "An entry of permissions") for entry in entries)
