"""Operators for permissions: change and report them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Annotated, Any

from airflow_provider_oac import lazy
from airflow_provider_oac._compat import Context
from airflow_provider_oac.arguments import CatalogPath, Location, Number, OneOf, Template, argument, path_text
from airflow_provider_oac.exceptions import OACApiError, OACConfigurationError, OACError
from airflow_provider_oac.operators.base import OACBaseOperator, sink_of
from airflow_provider_oac.operators.catalog import ItemOperator
from airflow_provider_oac.operators.task_state import TaskKey

_MODES = OneOf(("ReplaceMatchingAccounts", "DeleteMatchingAccounts", "ReplaceAll"))
_MEMBERS = {"account", "account_type", "permissions"}


class OACUpdateACLOperator(ItemOperator):
    """Changes the permissions of an item of the catalog.

    By default the task changes only the named accounts. (The API's own default, ``ReplaceAll``, removes all others.) It
    logs the difference before and after the change. If nothing would change, it sends nothing, except with
    ``recursive``, since it compares only the item itself.

    The result (XCom) is a dictionary: ``path``, ``changed``, ``dry_run``, ``difference`` (readable lines) and ``acl``,
    the permissions after the change (in a dry run, the expected ones): dictionaries with ``account``,
    ``account_type``, ``permissions``.

    :param catalog_type: type of the item, such as ``folders``.
    :param path: its path, such as ``/@Catalog/shared/Sales``; or
    :param item_id: its id as lists return it.
    :param entries: dictionaries with ``account`` (the id of a user, or the name of an application role; also the name
        that OAC's Console shows), ``account_type`` (``User``, the default, or ``ApplicationRole``) and
        ``permissions``: all that the account may do, of ``read``, ``list``, ``write``, ``execute``, ``delete``,
        ``changePermission``, ``takeOwnership``. OAC revokes permissions that are not in the list (documented), so
        ``permissions`` is required, ``[]`` for none; only ``DeleteMatchingAccounts`` works without it.
    :param mode: ``ReplaceMatchingAccounts`` (default), ``DeleteMatchingAccounts``, which removes the named accounts, or
        ``ReplaceAll``.
    :param recursive: whether to apply the entries to everything below a folder as well.
    :param dry_run: only report what would change.
    """

    entries: Template[Sequence[Mapping[str, Any]]]
    mode: Template[Annotated[str, _MODES]] = "ReplaceMatchingAccounts"
    recursive: bool = False
    dry_run_only: bool = argument(alias="dry_run", default=False)

    def execute(self, context: Context) -> dict[str, Any]:
        """Change the permissions."""
        item_id = self.checked_id()
        shown = lazy.ids.shown(item_id)
        entries: Sequence[lazy.acl.Access] = self._entries()
        # Made before any request, since it refuses arguments that OAC would refuse.
        lazy.acl.update(self.catalog_type, item_id, entries, mode=self.mode)
        self._push_link(context)
        before = self.hook.run(lazy.acl.get(self.catalog_type, item_id))
        entries = lazy.acl_changes.resolved(entries, before)
        call = lazy.acl.update(self.catalog_type, item_id, entries, mode=self.mode, recursive=self.recursive)
        wanted = lazy.acl_changes.expected(before, entries, self.mode)
        plan = lazy.acl_changes.difference(before, wanted)
        if self.mode == lazy.acl.DELETE_MATCHING:
            self._warn_of_absent(shown, entries, before)
        self._log_plan(f"{'Would change' if self.dry_run_only else 'Changing'} {shown}", plan)
        if self.dry_run_only or not (plan or self.recursive):
            return self._result(item_id, plan, wanted, changed=False)
        try:
            after = self.hook.run(call)
        except OACApiError as error:
            if error.status in (400, 404):
                self.log.error(
                    "OAC refused the whole change; nothing was changed. If OAC names an account: use a user's id in "
                    "the identity domain, or an application role's name in OAC's Console. Accounts in the change: %s.",
                    _accounts(entries),
                )
            raise
        if self.mode != lazy.acl.DELETE_MATCHING:
            entries = lazy.acl_changes.resolved(entries, after)
            lazy.acl_changes.check_taken(entries, after)
            wanted = lazy.acl_changes.expected(before, entries, self.mode)
        done = lazy.acl_changes.difference(before, after)
        self._log_plan(f"Changed {shown}", done)
        if other := lazy.acl_changes.difference(wanted, after):
            self.log.warning("OAC's result differs from the requested one:\n%s", "\n".join(other))
        return self._result(item_id, done, after, changed=bool(done) or self.recursive)

    def _warn_of_absent(
        self, shown: str, entries: Sequence[lazy.acl.Access], before: Sequence[lazy.acl.Access]
    ) -> None:
        """Warn of accounts that the list does not have: they are already removed, or their names are wrong."""
        present = {entry.key for entry in before}
        if absent := [entry for entry in entries if entry.key not in present]:
            self.log.warning(
                "The permissions of %s have no entry for %s: nothing to remove. The entries:%s",
                shown, _accounts(absent), "".join(f"\n  {entry.text()}" for entry in before) or " none",
            )  # fmt: skip

    def _entries(self) -> list[lazy.acl.Access]:
        found = []
        for given in self.entries:
            if not given.get("account") or set(given) - _MEMBERS:
                others = ", ".join(sorted(_MEMBERS - {"account"}))
                raise OACConfigurationError(
                    f"An entry must be a dictionary with account and optionally {others}, not {given!r}."
                )
            permissions = given.get("permissions")
            if self.mode == lazy.acl.DELETE_MATCHING and not permissions:
                permissions = ()
            if isinstance(permissions, str | Mapping) or not isinstance(permissions, Sequence | Set):
                raise OACConfigurationError(
                    f"The entry for {given['account']!r} has permissions={permissions!r}, but must have a list of all "
                    "permissions of the account. OAC revokes permissions that are not in the list; [] revokes all."
                )
            kind = given.get("account_type") or "User"
            found.append(lazy.acl_changes.access(given["account"], list(permissions), kind))
        return found

    def _log_plan(self, what: str, difference: Sequence[str]) -> None:
        below, lines = " and all below" if self.recursive else "", "".join(f"\n  {line}" for line in difference)
        self.log.info("%s%s:%s", what, below, lines or " no entry of the item itself")

    def _result(
        self, item_id: str, difference: list[str], after: Sequence[lazy.acl.Access], *, changed: bool
    ) -> dict[str, Any]:
        return {
            "path": lazy.ids.plain_id(item_id) or item_id,
            "changed": changed,
            "dry_run": self.dry_run_only,
            "difference": difference,
            "acl": [
                {"account": entry.account, "account_type": entry.account_type, "permissions": list(entry.allowed)}
                for entry in after
            ],
        }


class OACAuditACLOperator(OACBaseOperator):
    """Reports the permissions of a folder and everything below it, as CSV or JSON lines.

    The file appears only when it is complete. The task lists items page by page and reads the permissions of
    ``max_parallel`` items at a time; its memory grows by some hundred bytes per item. The file contains what the
    Connection's user may see: use an administrator, and ``manage_content=True``.

    CSV has a line for each account of each item: ``path, type, name, owner, id, account_type, account, account_name``,
    the seven permissions as ``true`` or ``false``, ``others`` (permissions that are not documented) and ``error``. JSON
    lines has a line for each item, with its accounts in ``acl``.

    The result (XCom) is a dictionary: ``path`` (of the file), ``items``, ``lines``, ``size``, ``sha256``,
    ``unreadable_count`` and ``unreadable`` (the paths of the first hundred items with unreadable permissions).

    :param folder_path: path of the folder, such as ``/@Catalog/shared``; or
    :param folder_id: its id as lists return it.
    :param destination: URL of the file, in any store that ``ObjectStoragePath`` reaches. An existing file is replaced.
    :param destination_conn_id: the Airflow Connection of the store, if the URL names none.
    :param file_format: ``csv`` or ``jsonl``.
    :param unreadable: if the user may not read the permissions of an item: ``fail`` (default) fails the task,
        ``record`` writes the error into the file and continues.
    :param manage_content: list as a content manager, including items of other owners; needs the permission *Manage
        Content*.
    :param max_parallel: how many requests run in parallel.
    """

    folder_path: Template[CatalogPath | None] = None
    folder_id: Template[str | None] = None
    destination: Template[Location]
    destination_conn_id: Template[str | None] = None
    file_format: Template[Annotated[str, OneOf(("csv", "jsonl"))]] = "csv"
    unreadable: Template[Annotated[str, OneOf(("fail", "record"))]] = "fail"
    manage_content: bool = False
    max_parallel: Number = 4

    def execute(self, context: Context) -> dict[str, Any]:
        """Write the report."""
        folder_id = lazy.ids.item_id(item_id=self.folder_id, path=path_text(self.folder_path), what="the folder")
        self._push_link(context)
        sink = sink_of(self.destination, self.destination_conn_id, TaskKey.of(context))
        report = lazy.acl_report.write_acl_report(
            lazy.ids.FOLDERS, folder_id, sink, file_format=self.file_format, unreadable=self.unreadable,
            limit=self.max_parallel, manage_content=self.manage_content,
        )  # fmt: skip
        try:
            done = self.hook.run(report)
        except OACApiError as error:
            if error.path.endswith("/getACL") and self.unreadable == "fail":
                raise OACError(
                    f"{error} No file was written. unreadable='record' writes the error to the file and continues."
                ) from error
            raise
        if done.unreadable_count:
            self.log.warning(
                "The permissions of %d items could not be read; the file holds the errors. The first items: %s",
                done.unreadable_count, ", ".join(map(lazy.ids.visible, done.unreadable[:10])),
            )  # fmt: skip
        file = done.file
        self.log.info("Wrote the permissions of %d items to %s: %d lines, %d bytes, SHA-256 %s.",
                      done.items, self.destination, file.lines, file.size, file.sha256)  # fmt: skip
        return {
            "path": self.destination, "items": done.items, "lines": file.lines, "size": file.size,
            "sha256": file.sha256, "unreadable_count": done.unreadable_count, "unreadable": list(done.unreadable),
        }  # fmt: skip


def _accounts(entries: Sequence[lazy.acl.Access]) -> str:
    return ", ".join(f"{entry.account_type} {entry.account!r}" for entry in entries)
