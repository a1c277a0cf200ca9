"""Taking a snapshot in a task, once per logical task: what the backup and the safety snapshot of a restore share."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_oac import lazy
from airflow_provider_oac.exceptions import OACError, OACKilledError, OACResponseError
from airflow_provider_oac.operators.base import Started
from airflow_provider_oac.operators.task_state import TaskKey, TaskState

if TYPE_CHECKING:
    from airflow_provider_oac.client.flows.create_snapshot import SnapshotFacts, SnapshotOrder
    from airflow_provider_oac.client.rest.work_requests import WorkRequest
    from airflow_provider_oac.hooks.oac import OACHook


@dataclass(frozen=True)
class SnapshotTaking:
    """The snapshot that a task takes.

    :param hook: the instance.
    :param log: of the task.
    :param label: series of the snapshot.
    :param bucket: bucket that takes the file.
    :param seal_conn_id: Airflow Connection whose password seals it.
    :param folder: folder in the bucket.
    :param region: OCI region of the bucket, if it is not the instance's.
    :param namespace: Object Storage namespace of the bucket, if it is in another tenancy.
    :param storage_conn_id: Airflow Connection with an OCI user's API key, or ``None``.
    :param confirmation_timeout: seconds for which a snapshot whose acceptance is uncertain is looked for.
    :param durable: whether an earlier try's snapshot is this one's.
    :param purpose: tells the snapshots of one task apart.
    """

    hook: OACHook
    log: Any
    label: str
    bucket: str
    seal_conn_id: str
    folder: str
    region: str | None
    namespace: str | None
    storage_conn_id: str | None
    confirmation_timeout: float
    durable: bool
    purpose: str = ""

    def start(self, memory: TaskState, passed_over: Sequence[str] = ()) -> Started:
        """Take the snapshot, unless OAC lists one with this task's mark.

        :param passed_over: names of snapshots of this very try that do not count, oldest first; a store has them too.
        """
        seal_name, password = lazy.credentials.seal(self.seal_conn_id)
        order = self._order(seal_name, memory.identity)
        record = memory.of_this_order()
        failed = [*record.failed, *passed_over]
        wanted = lazy.create_snapshot.NewSnapshot(
            order,
            password,
            search_first=self.durable and not memory.available,
            ignore=failed,
            used=record.name or next(reversed(passed_over), None),
            suspect=memory.suspect() and record.name not in failed,
            confirmation_timeout=self.confirmation_timeout,
        )
        task = memory.attempts(lambda name: {"name": name})
        taken = self.hook.run(lazy.submit.submit_once(wanted, task))
        # An adopted one was ordered by an earlier try, whose templates or arguments may have been others.
        name = lazy.snapshot_names.parse(taken.name)
        seal_name = name.seal if name else seal_name
        facts = lazy.create_snapshot.SnapshotFacts(
            taken.name, taken.bar_uri, taken.bucket, seal_name, taken.snapshot_id
        )
        return Started(taken.work_request_id, time.time(), facts)

    def _order(self, seal_name: str, me: TaskKey) -> SnapshotOrder:
        user = lazy.credentials.storage_user(self.storage_conn_id) if self.storage_conn_id else None
        # Without durability every try is an order of its own, and must not take an earlier one's snapshot for its own.
        task = me.task_id if self.durable else f"{me.task_id}, try {me.try_number}"
        if self.purpose:
            task = f"{task}, {self.purpose}"
        return lazy.create_snapshot.SnapshotOrder(
            label=lazy.snapshot_names.checked_part(self.label, "snapshot_label"),
            instance=self.hook.settings.instance,
            seal=seal_name,
            mark=lazy.snapshot_names.task_mark(me.dag_id, me.run_id, task, me.map_index, me.max_tries),
            folder=lazy.snapshot_names.checked_folder(self.folder),
            storage=lazy.snapshots.Storage(self.bucket, self.region, self.namespace, user),
        )

    def result(self, facts: SnapshotFacts, work_request_id: str | None, work: WorkRequest | None) -> dict[str, Any]:
        """What is known of the snapshot, with its id.

        :param facts: those that it was started with.
        :param work: its work request, if it was seen to succeed.
        """
        result = {**asdict(facts), "work_request_id": work_request_id, "verified": work is not None}
        if work is not None:
            result["snapshot_id"] = work.resource_id("SNAPSHOT") or self._listed_id(facts.name)
            self.log.info("Snapshot %s is done: %s in bucket %s.", facts.name, facts.bar_uri, facts.bucket)
        elif work_request_id is None:
            self.log.warning(
                "Snapshot %s was accepted by an earlier attempt whose work request is not known, so that nobody can "
                "tell whether it is complete. It counts as taken, UNVERIFIED.",
                facts.name,
            )
        return result

    def _listed_id(self, name: str) -> str:
        return listed_id(self.hook, name, self.confirmation_timeout)


def listed_id(hook: OACHook, name: str, confirmation_timeout: float) -> str:
    """The id of a finished snapshot whose work request does not name it.

    :raises OACResponseError: if OAC does not list it either.
    """
    found = hook.run(lazy.create_snapshot.find_named(name, confirmation_timeout))
    if found is None:
        raise OACResponseError(
            f"The work request of snapshot {name} succeeded, but neither names the snapshot's id nor does OAC "
            f"list it after {confirmation_timeout:.0f} s. Look for it in OAC; a retry of the task looks again."
        )
    return found.id


def forget_failed(hook: OACHook, log: Any, name: str, memory: TaskState, *, delete_storage: bool) -> None:
    """Remember that a snapshot failed, and take it off OAC's list if it is there: the next try would otherwise take
    it for a good one.

    :param delete_storage: whether what there is of its file goes as well; never that of a registered one.
    """
    memory.remember(failed=(*memory.of_this_order().failed, name), sending=False, work_request_id=None)
    try:
        for item in hook.run(lazy.snapshots.list_all()):
            if item.name == name:
                delete = lazy.snapshots.delete(item.id, delete_storage=delete_storage)
                hook.run(lazy.submit.unless_gone(delete))
                log.info("The failed snapshot %s was taken off OAC's list.", name)
    except OACKilledError:
        raise
    except OACError as problem:
        log.warning(
            "The failed snapshot %s may still be on OAC's list: delete it there, so that nobody takes it for a "
            "good one. It could not be removed: %s", name, problem,
        )  # fmt: skip
