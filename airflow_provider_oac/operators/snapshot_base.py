"""Base class of the operators that create, register and restore snapshots."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any, NamedTuple

from airflow_provider_oac import lazy
from airflow_provider_oac.arguments import AtLeast, Duration, seconds
from airflow_provider_oac.exceptions import OACError, OACKilledError, OACResponseError
from airflow_provider_oac.operators.base import OACWorkOperator
from airflow_provider_oac.operators.task_state import Started, Succeeded, TaskKey, TaskState


class SnapshotArguments(NamedTuple):
    """A snapshot to create.

    :param label: series of the snapshot.
    :param seal_conn_id: Airflow Connection whose password seals it.
    :param bucket: bucket that takes the file.
    :param folder: folder in the bucket.
    :param region: OCI region of the bucket, if it is not the instance's.
    :param namespace: Object Storage namespace of the bucket, if it is in another tenancy.
    :param storage_conn_id: Airflow Connection with an OCI user's API key, or ``None``.
    :param purpose: distinguishes this snapshot from others of the same task.
    """

    label: str
    seal_conn_id: str
    bucket: str
    folder: str
    region: str | None
    namespace: str | None
    storage_conn_id: str | None
    purpose: str = ""


class SnapshotOperator(OACWorkOperator):
    """Starts work that creates, registers or restores a snapshot.

    :param confirmation_timeout: how long, in seconds, the task searches OAC's list for a snapshot whose acceptance is
        uncertain before it requests the snapshot again.
    """

    confirmation_timeout: Annotated[Duration, AtLeast(0)] = 30.0

    @property
    def _confirmation_seconds(self) -> float:
        return seconds(self.confirmation_timeout)

    def _create(self, new: SnapshotArguments, state: TaskState, passed_over: Sequence[str] = ()) -> Started:
        """Create a snapshot, unless OAC lists one with this task's mark.

        :param passed_over: names of this try's own snapshots that do not count, oldest first. A store also has them.
        """
        seal_name, password = lazy.credentials.seal(new.seal_conn_id)
        record = state.of_this_order()
        failed = [*record.failed, *passed_over]
        wanted = lazy.create_snapshot.NewSnapshot(
            self._order(new, seal_name, state.key),
            password,
            search_first=self.durable and not state.available,
            ignore=failed,
            clue=record.name or next(reversed(passed_over), None),
            suspect=state.suspect() and record.name not in failed,
            confirmation_timeout=self._confirmation_seconds,
        )
        made = self.hook.run(lazy.submit.submit_once(wanted, state.attempts(lambda name: {"name": name})))
        # An earlier try may have ordered the snapshot, with other templates or arguments.
        name = lazy.snapshot_names.parse(made.name)
        seal_name = name.seal if name else seal_name
        facts = lazy.create_snapshot.SnapshotFacts(made.name, made.bar_uri, made.bucket, seal_name, made.snapshot_id)
        return Started(made.work_request_id, time.time(), facts)

    def _order(self, new: SnapshotArguments, seal_name: str, me: TaskKey) -> lazy.create_snapshot.SnapshotOrder:
        # With durable=False every try is a separate order and must not adopt the snapshot of an earlier one.
        task = me.task_id if self.durable else f"{me.task_id}, try {me.try_number}"
        if new.purpose:
            task = f"{task}, {new.purpose}"
        return lazy.create_snapshot.SnapshotOrder(
            label=lazy.snapshot_names.checked_part(new.label, "snapshot_label"),
            instance=self.hook.settings.instance,
            seal=seal_name,
            mark=lazy.snapshot_names.task_mark(me.dag_id, me.run_id, task, me.map_index, me.max_tries),
            folder=lazy.snapshot_names.checked_folder(new.folder),
            storage=self._storage(new.bucket, new.region, new.namespace, new.storage_conn_id),
        )

    @staticmethod
    def _storage(bucket: str, region: str | None, namespace: str | None, conn_id: str | None) -> lazy.snapshots.Storage:
        user = lazy.credentials.storage_user(conn_id) if conn_id else None
        return lazy.snapshots.Storage(bucket, region, namespace, user)

    def _snapshot(self, facts: Any, work_request_id: str | None, work: Succeeded) -> dict[str, Any]:
        """Make the result of a snapshot, with its id if the work is done.

        :param facts: the facts that the work was started with.
        :param work: its work request, if the task saw it succeed.
        :raises OACResponseError: if neither the work request nor OAC's list has the id.
        """
        result = {**asdict(facts), "work_request_id": work_request_id, "verified": work is not None}
        if work is not None:
            result["snapshot_id"] = work.resource_id("SNAPSHOT") or self._listed_id(facts.name)
        return result

    def _created(
        self,
        facts: lazy.create_snapshot.SnapshotFacts,
        work_request_id: str | None,
        work: Succeeded,
    ) -> dict[str, Any]:
        """Make the result of a snapshot that this task created, and log it."""
        result = self._snapshot(facts, work_request_id, work)
        if work is not None:
            self.log.info("Snapshot %s is done: %s in bucket %s.", facts.name, facts.bar_uri, facts.bucket)
        elif work_request_id is None:
            self.log.warning("OAC accepted snapshot %s, but its work request is not known, so the snapshot may be "
                             "incomplete. It counts as created, UNVERIFIED.", facts.name)  # fmt: skip
        return result

    def _listed_id(self, name: str) -> str:
        timeout = self._confirmation_seconds
        found = self.hook.run(lazy.create_snapshot.find_named(name, timeout))
        if found is None:
            raise OACResponseError(
                f"The work request of snapshot {name} succeeded, but does not name the snapshot's id, and OAC does not "
                f"list the snapshot after {timeout:.0f} s. Next step: search for it in OAC; a retry searches again."
            )
        return found.id

    def _forget_failed(self, name: str, state: TaskState, *, delete_storage: bool) -> None:
        """Record that a snapshot failed, and delete it from OAC's list: the next try would otherwise adopt it.

        :param delete_storage: whether to delete its file as well. Never delete the file of a registered snapshot.
        """
        state.remember(failed=(*state.of_this_order().failed, name), sending=False, work_request_id=None)
        try:
            for item in self.hook.run(lazy.snapshots.list_all()):
                if item.name == name:
                    delete = lazy.snapshots.delete(item.id, delete_storage=delete_storage)
                    self.hook.run(lazy.submit.unless_gone(delete))
                    self.log.info("Removed the failed snapshot %s from OAC's list.", name)
        except OACKilledError:
            raise
        except OACError as problem:
            self.log.warning("Could not remove the failed snapshot %s from OAC's list, where it looks complete. Delete "
                             "it in OAC. %s", name, problem)  # fmt: skip


def origin_facts(name: str) -> dict[str, str | None]:
    """The origin of a snapshot, as far as its name contains it; ``None`` for the rest."""
    origin = lazy.snapshot_names.origin_of(name)
    return {
        "seal": origin.seal if origin else None,
        "source_instance": origin.instance if origin else None,
        "taken_at": origin.time.isoformat() if origin else None,
    }
