"""Operators around a restore: review what it would replace, compare a copy with its source, check roles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from airflow_provider_oac import lazy
from airflow_provider_oac._compat import Context
from airflow_provider_oac.arguments import OneOf, Template
from airflow_provider_oac.exceptions import OACConfigurationError, OACError
from airflow_provider_oac.operators.base import OACBaseOperator

# Maximum number of items of each kind of difference in a result.
_SHOWN = 500
_ROLES = OneOf(("administrator", "author"))


class OACCompareCatalogsOperator(OACBaseOperator):
    """Compares a copy of an instance with its source, item by item: name, owner, description, permissions.

    Use it to test a backup: restore it into a scratch instance, and compare that with the source. Changes in the source
    after the snapshot are listed separately and do not count as differences. The task reads both through the API, so
    the comparison covers the items that the Connections' users may see, but not the content of workbooks and no data.

    The result (XCom) is a dictionary: ``equal``, ``compared`` (how many items are in both), ``missing``, ``different``
    (``[item, what differs]``), ``extra`` and ``changed_since``, with the first 500 of each; and ``permissions_unread``:
    how many of the compared items have permissions that neither user may read (``None`` if permissions are not
    compared). If these are all items, the task fails.

    :param oac_conn_id: Airflow Connection of the copy.
    :param source_oac_conn_id: Airflow Connection of the source, of the type ``oac``.
    :param taken_at: when the copy was made, in ISO 8601, such as the ``taken_at`` of a backup; by default now.
    :param permissions: whether to compare permissions as well, which takes a request for each item.
    :param manage_content: whether to list as a content manager, including items of other owners.
    :param fail_on_difference: whether the task fails if items are missing or different.
    """

    source_oac_conn_id: Template[str]
    taken_at: Template[datetime | str | None] = None
    permissions: bool = True
    manage_content: bool | None = None
    fail_on_difference: bool = True

    def execute(self, context: Context) -> dict[str, Any]:
        """Compare the instances."""
        made_at = moment_of(self.taken_at, "taken_at")
        source = self._hook_of(self.source_oac_conn_id)
        if source.settings.address == self.hook.settings.address:
            raise OACConfigurationError(
                f"oac_conn_id and source_oac_conn_id both point to {source.settings.address}. Set them to Connections "
                "of different instances."
            )
        self._push_link(context)
        found = lazy.catalog_diff.compare(self._held(source), self._held(self.hook), made_at)
        for what, texts in (
            ("Missing", found.missing),
            ("Different", tuple(f"{item}: {differs}" for item, differs in found.different)),
            ("Only in the copy", found.extra),
            ("Changed in the source since", found.changed_since),
        ):
            for text in texts[:_SHOWN]:
                self.log.info("%s: %s", what, text)
        summary = (
            f"{found.compared} items are in both {source.settings.instance} and {self.hook.settings.instance}; "
            f"{len(found.missing)} are missing, {len(found.different)} differ, {len(found.extra)} are only in the "
            f"copy, {len(found.changed_since)} have changed in the source since."
        )
        self.log.info(summary)
        if not found.compared and not found.missing:
            raise OACError(
                "Nothing to compare: the source lists no item that is old enough. Check what the user of Connection "
                f"{self.source_oac_conn_id!r} may see."
            )
        if unread := found.permissions_unread if self.permissions else 0:
            self.log.warning("Did not compare the permissions of %d items: neither user can read them.", unread)
        if 0 < found.compared == unread:
            raise OACError(
                f"{summary} No permissions were compared: no item has permissions that the users can read. Check the "
                "permissions of both Connections' users, or set permissions=False."
            )
        if self.fail_on_difference and not found.equal:
            first = [*found.missing, *(f"{item} ({differs})" for item, differs in found.different)][:10]
            raise OACError(f"The copy differs from the source. {summary} The first: {'; '.join(first)}.")
        return {
            "equal": found.equal,
            "compared": found.compared,
            "missing": list(found.missing[:_SHOWN]),
            "different": [list(pair) for pair in found.different[:_SHOWN]],
            "extra": list(found.extra[:_SHOWN]),
            "changed_since": list(found.changed_since[:_SHOWN]),
            "permissions_unread": found.permissions_unread if self.permissions else None,
        }

    def _held(self, hook: lazy.oac.OACHook) -> dict[tuple[str, str], lazy.catalog_diff.Held]:
        return hook.run(lazy.catalog_diff.held(permissions=self.permissions, manage_content=self.manage_content))


class OACReviewRestoreOperator(OACBaseOperator):
    """Writes a review for the person who approves a restore: source, target, age, and what will be lost.

    The task changes nothing. Like the restore, it refuses any target other than ``expected_host``. The result (XCom) is
    a text in Markdown, for the body of an approval.

    :param oac_conn_id: Airflow Connection of the target.
    :param expected_host: its host; see :class:`~airflow_provider_oac.operators.restore.OACRestoreSnapshotOperator`.
    :param snapshot: the result of the task that registered the snapshot in the target.
    :param source_oac_conn_id: Airflow Connection of the instance whose content is in the snapshot, to list the items
        that only the target has; ``None`` if that instance cannot be reached.
    :param manage_content: whether to list as a content manager, including items of other owners.
    """

    expected_host: Template[str]
    snapshot: Template[Mapping[str, Any]]
    source_oac_conn_id: Template[str | None] = None
    manage_content: bool | None = None

    def execute(self, context: Context) -> str:
        """Write the review."""
        lazy.restore.check_target(self.expected_host, self.hook.settings.address)
        snapshot = self.snapshot
        taken_at = moment_of(snapshot.get("taken_at"), "the snapshot's taken_at")
        self._push_link(context)
        found = self.hook.run(lazy.system.get())
        held = lazy.catalog_diff.held(permissions=False, manage_content=self.manage_content)
        source = self._hook_of(self.source_oac_conn_id).run(held) if self.source_oac_conn_id else None
        facts = {
            "host": self.hook.settings.address.partition("://")[2],
            "system": found.description or found.service_instance_key,
            "owners": ", ".join(found.owners) or "unknown",
            "name": snapshot.get("name"),
            "source_instance": snapshot.get("source_instance") or "an unknown instance",
            "taken_at": snapshot.get("taken_at") or "an unknown time",
            "age": str(datetime.now(UTC) - taken_at).partition(".")[0] if taken_at else "an unknown time",
            "replaced": lazy.restore.REPLACED,
            "not_saved": lazy.restore.NOT_SAVED,
        }
        text = lazy.catalog_diff.review(facts, self.hook.run(held), source, taken_at)
        self.log.info("%s", text)
        return text


class OACCheckRolesOperator(OACBaseOperator):
    """Checks whether the Connection's user has the application roles that the REST API needs, as far as calls show it.

    After a restore, the roles have the members from the snapshot. The API does not list roles, so the task makes calls
    that need a role. Check the roles of other users by hand.

    The result (XCom) is a dictionary: ``administrator`` (BI Service Administrator) and ``author`` (DV Content Author).

    :param needed: roles that the user must have; otherwise the task fails.
    """

    needed: Sequence[Annotated[str, _ROLES]] = ("administrator", "author")

    def execute(self, context: Context) -> dict[str, bool]:
        """Check the roles."""
        self._push_link(context)
        found, user = self.hook.run(lazy.restore.roles_held()), self.hook.settings.auth.user
        self.log.info("Roles of %s: %s", user, found)
        if lacking := [role for role in self.needed if not found[role]]:
            raise OACError(
                f"User {user} of Connection {self.oac_conn_id!r} lacks the role of an {' and of an '.join(lacking)} "
                f"in {self.hook.settings.address}. Likely cause: a restore replaced the role members. Next step: grant "
                "the roles BI Service Administrator and DV Content Author in OAC, Console, Users and Roles."
            )
        return found


def moment_of(text: Any, what: str) -> datetime | None:
    """Parse a time in ISO 8601 from the result of another task; ``None`` if it is missing.

    :raises OACConfigurationError: if the text is not a time.
    """
    if text is None or text == "":
        return None
    found = lazy.catalog.moment(str(text))
    if found is None:
        raise OACConfigurationError(f"{what} is {text!r}, but must be a time such as 2026-11-24T01:00:04+00:00.")
    return found
