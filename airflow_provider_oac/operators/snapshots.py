"""Operators for snapshots: take, find, delete, prune."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Unpack
from urllib.parse import quote

from airflow_provider_oac import lazy
from airflow_provider_oac._compat import AirflowFailException, log_group
from airflow_provider_oac.arguments import EMPTY, AtLeast, CatalogPath, Count, Duration, path_text, seconds
from airflow_provider_oac.assets import snapshots_uri
from airflow_provider_oac.defaults import DEFAULT_FOLDER
from airflow_provider_oac.exceptions import OACConfigurationError, OACError
from airflow_provider_oac.operators.base import (
    OACArguments,
    OACBaseOperator,
    OACWorkOperator,
    Started,
    WaitingArguments,
)
from airflow_provider_oac.operators.lineage import Made, lineage, tell
from airflow_provider_oac.operators.snapshot_base import SnapshotTaking, forget_failed
from airflow_provider_oac.operators.task_state import TaskKey, TaskState

if TYPE_CHECKING:
    from airflow_provider_oac._compat import Context
    from airflow_provider_oac.client.rest.snapshots import Snapshot
    from airflow_provider_oac.client.rest.work_requests import WorkRequest
    from airflow_provider_oac.records import Record

__all__ = [
    "OACCreateSnapshotOperator",
    "OACDeleteSnapshotOperator",
    "OACFindSnapshotOperator",
    "OACPruneSnapshotsOperator",
]


class OACCreateSnapshotOperator(OACWorkOperator):
    """Takes a snapshot of the whole instance into a bucket of OCI Object Storage.

    The snapshot is named ``<label>--<instance>--<UTC time>--<seal>--<mark>`` and its file is
    ``<folder>/<instance>/<name>.bar``; see :mod:`airflow_provider_oac.client.snapshot_names`. Needs the application
    role BI Service Administrator (documented).

    The result (XCom) is a dictionary: ``snapshot_id``, ``name``, ``bar_uri``, ``bucket``, ``seal``, ``taken_at``,
    ``work_request_id``, and ``verified``: whether its work request was seen to succeed. It is ``False`` if the task
    does not wait, and if an earlier try's snapshot was found in OAC's list, where neither its state nor its work
    request can be seen (``work_request_id`` is ``None`` then).

    :param snapshot_label: name of this series of snapshots, such as ``nightly``; part of their names.
    :param bucket: bucket that takes the file. It must exist, and the instance must be allowed to write into it.
    :param seal_conn_id: Airflow Connection whose password seals the file: 14 to 50 characters with a digit, a
        lower-case letter, an upper-case letter and a special character (documented). Restoring needs it.
    :param folder: folder in the bucket; the files of this instance go into a folder of its own below.
    :param region: OCI region of the bucket, if it is not the instance's.
    :param namespace: Object Storage namespace of the bucket, if it is in another tenancy.
    :param storage_conn_id: Airflow Connection with an OCI user's API key, if the instance shall not use the bucket as
        a resource principal (``OSS_AUTH_OCI_USER_ID``, documented as deprecated).
    :param confirmation_timeout: seconds for which a snapshot whose acceptance is uncertain is looked for in OAC's list
        before it is asked for again.
    """

    template_fields: Sequence[str] = (
        "oac_conn_id",
        "snapshot_label",
        "bucket",
        "seal_conn_id",
        "folder",
        "region",
        "namespace",
        "storage_conn_id",
    )

    def __init__(
        self,
        *,
        snapshot_label: str,
        bucket: str,
        seal_conn_id: str,
        folder: Annotated[CatalogPath, EMPTY] = DEFAULT_FOLDER,
        region: str | None = None,
        namespace: str | None = None,
        storage_conn_id: str | None = None,
        confirmation_timeout: Annotated[Duration, AtLeast(0)] = 30.0,
        **kwargs: Unpack[WaitingArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.snapshot_label = snapshot_label
        self.bucket = bucket
        self.seal_conn_id = seal_conn_id
        self.folder = path_text(folder)
        self.region = region
        self.namespace = namespace
        self.storage_conn_id = storage_conn_id
        self.confirmation_timeout = seconds(confirmation_timeout)

    @property
    def facts_type(self) -> type[Record]:
        """What is known of the snapshot."""
        return lazy.create_snapshot.SnapshotFacts

    def start(self, memory: TaskState, context: Context) -> Started:
        """Take the snapshot, unless OAC lists one with this task's mark."""
        return self._taking().start(memory)

    def complete(self, started: Started, work: WorkRequest | None, context: Context) -> dict[str, Any]:
        """Make the result, with the id of the snapshot."""
        result = self._taking().result(started.facts, started.work_request_id, work)
        name = lazy.snapshot_names.parse(result["name"])
        result["taken_at"] = name.time.isoformat() if name else None
        self._tell(result, context)
        return result

    def _tell(self, result: dict[str, Any], context: Context) -> None:
        # Size and SHA-256 of the file are nothing that OAC tells.
        name = lazy.snapshot_names.parse(result["name"])
        # What was submitted: templates may render to something else by now.
        series = snapshots_uri(self.hook.settings.address, name.label if name else self.snapshot_label)
        file = f"oci://{result['bucket']}/{quote(result['bar_uri'].removeprefix('file:///'))}"
        tell(self, context, [Made(series, (series, file), result)])

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """What OpenLineage's provider asks for when the task succeeded: the instance's content, and its file."""
        return lineage(self)

    def clean_up(self, started: Started, memory: TaskState) -> None:
        """Remember the failure, and take the failed snapshot off OAC's list with what there is of its file."""
        forget_failed(self.hook, self.log, started.facts.name, memory, delete_storage=True)

    def _taking(self) -> SnapshotTaking:
        return SnapshotTaking(
            hook=self.hook,
            log=self.log,
            label=self.snapshot_label,
            bucket=self.bucket,
            seal_conn_id=self.seal_conn_id,
            folder=self.folder,
            region=self.region,
            namespace=self.namespace,
            storage_conn_id=self.storage_conn_id,
            confirmation_timeout=self.confirmation_timeout,
            durable=self.durable,
        )


class _NoSnapshot(OACError):
    """There is no snapshot that is good enough."""


class OACFindSnapshotOperator(OACBaseOperator):
    """Finds the newest snapshot of a series, created or registered in this instance. Needs the application role BI
    Service Administrator (documented).

    A listed snapshot is not proof of a complete one: the list shows no state (documented).

    The result (XCom) is a dictionary: ``snapshot_id``, ``name``, ``bar_uri``, ``bucket``, ``seal``,
    ``source_instance``, ``taken_at``.

    :param snapshot_label: the series.
    :param source_instance: name of the instance that the snapshot was taken of; by default this one.
    :param registered: whether to look among those that were registered here, instead of those that were created here.
    :param bucket: only those whose file is in this bucket; by default any.
    :param max_age: an older one fails the task.
    :param missing_ok: whether ``None`` is the result if there is no such snapshot, or none that is young enough, for a
        branch to go by. If not, the task fails.
    """

    template_fields: Sequence[str] = ("oac_conn_id", "snapshot_label", "source_instance", "bucket")

    def __init__(
        self,
        *,
        snapshot_label: str,
        source_instance: str | None = None,
        registered: bool = False,
        bucket: str | None = None,
        max_age: timedelta | None = None,
        missing_ok: bool = False,
        **kwargs: Unpack[OACArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.snapshot_label = snapshot_label
        self.source_instance = source_instance
        self.registered = registered
        self.bucket = bucket
        self.max_age = max_age
        self.missing_ok = missing_ok

    def execute(self, context: Context) -> dict[str, Any] | None:
        """Find it."""
        try:
            return self._found(context)
        except _NoSnapshot as missing:
            if not self.missing_ok:
                raise
            self.log.info("%s The result is None (missing_ok=True).", missing)
            return None

    def _found(self, context: Context) -> dict[str, Any]:
        self._push_link(context)
        instance = self.source_instance or self.hook.settings.instance
        now = datetime.now(UTC)
        listed = [item for item in self.hook.run(lazy.snapshots.list_all()) if self.bucket in (None, item.bucket)]
        found = lazy.retention.newest(listed, self.snapshot_label, instance, registered=self.registered, now=now)
        if found is None:
            raise _NoSnapshot(
                f"{self.hook.settings.address} lists no {'registered' if self.registered else 'created'} snapshot of "
                f"the series {self.snapshot_label!r} of {instance}. Compare label, instance and bucket with the task "
                "that creates them."
            )
        item, name = found
        age = now - name.time
        self.log.info("The newest snapshot of %s is %s, %s old.", self.snapshot_label, item.name, age)
        if self.max_age is not None and age > self.max_age:
            raise _NoSnapshot(f"The newest snapshot, {item.name}, is {age} old, older than {self.max_age}.")
        return {
            "snapshot_id": item.id,
            "name": item.name,
            "bar_uri": item.bar_uri,
            "bucket": item.bucket,
            "seal": name.seal,
            "source_instance": name.instance,
            "taken_at": name.time.isoformat(),
        }


class OACDeleteSnapshotOperator(OACBaseOperator):
    """Deletes one snapshot. Needs the application role BI Service Administrator (documented).

    The result (XCom) is the id of the snapshot.

    :param snapshot_id: id of the snapshot; or
    :param snapshot_name: its name, which must fit exactly one.
    :param delete_storage: whether its file in the bucket is deleted as well. Refused if another listed snapshot uses
        the same file.
    :param missing_ok: whether a snapshot that does not exist is as good as deleted. If not, the task fails without a
        retry. A retry after another failure takes it so in any case, since the try before may have deleted it.
    """

    template_fields: Sequence[str] = ("oac_conn_id", "snapshot_id", "snapshot_name")

    def __init__(
        self,
        *,
        snapshot_id: str | None = None,
        snapshot_name: str | None = None,
        delete_storage: bool = False,
        missing_ok: bool = False,
        **kwargs: Unpack[OACArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.snapshot_id = snapshot_id
        self.snapshot_name = snapshot_name
        self.delete_storage = delete_storage
        self.missing_ok = missing_ok

    def execute(self, context: Context) -> str | None:
        """Delete it."""
        if bool(self.snapshot_id) == bool(self.snapshot_name):
            raise OACConfigurationError("Give either snapshot_id or snapshot_name.")
        self._push_link(context)
        wanted = self.snapshot_id or self.snapshot_name
        found = self._find()
        if found is None:
            if self.missing_ok or TaskKey.of(context).repeats(self.retries or 0):
                self.log.info("Snapshot %s does not exist.", wanted)
                return self.snapshot_id
            # Without a retry: that one would take it for deleted by this try.
            raise AirflowFailException(
                f"There is no snapshot {wanted!r} to delete: OAC does not list it. OAC lists only snapshots that were "
                "created or registered through the REST API. Check id or name. missing_ok=True treats this as success."
            )
        delete = lazy.snapshots.delete(found.id, delete_storage=self.delete_storage)
        self.hook.run(lazy.submit.unless_gone(delete))
        what = "and its file" if self.delete_storage else "but kept its file"
        self.log.info("Deleted snapshot %s (%s) %s %s.", found.name, found.id, what, found.bar_uri)
        return found.id

    def _find(self) -> Snapshot | None:
        """The one snapshot that is meant, if it may be deleted as asked."""
        listed = self.hook.run(lazy.snapshots.list_all())
        matches = [
            item
            for item in listed
            if item.id == self.snapshot_id or (self.snapshot_name and item.name == self.snapshot_name)
        ]
        if len(matches) > 1:
            ids = ", ".join(item.id for item in matches)
            raise OACError(
                f"{len(matches)} snapshots are named {self.snapshot_name!r}: {ids}. Nothing was deleted. Set "
                "snapshot_id instead."
            )
        if not matches:
            return None
        found = matches[0]
        file = (found.bucket, found.bar_uri)
        sharing = [item.name for item in listed if (item.bucket, item.bar_uri) == file and item.id != found.id]
        if self.delete_storage and sharing:
            raise OACError(
                f"The file {found.bar_uri} of snapshot {found.name!r} also belongs to {', '.join(map(repr, sharing))}. "
                "Nothing was deleted. Use delete_storage=False to delete the snapshot and keep the file."
            )
        return found


class OACPruneSnapshotsOperator(OACBaseOperator):
    """Deletes old snapshots of one series, with or without their files.

    Considered are only snapshots whose name has exactly the form of
    :class:`OACCreateSnapshotOperator` with this label and this instance, and whose bucket and path belong to this
    instance. Of these stays what **any** rule keeps, and always: the newest, those of this very DAG run, and those in
    ``keep``. A file that another listed snapshot uses is never deleted. Needs the application role BI Service
    Administrator (documented).

    The result (XCom) is a dictionary: ``deleted`` and ``kept`` (names), ``others`` (how many snapshots were not
    considered), ``dry_run``.

    :param snapshot_label: the series.
    :param bucket: its bucket.
    :param folder: its folder in the bucket.
    :param region: OCI region of the bucket, if it is not the instance's.
    :param namespace: Object Storage namespace of the bucket, if it is in another tenancy.
    :param keep_last: keep the newest so many.
    :param keep_for: keep what is younger.
    :param keep_weekly: keep the newest of each of the last so many weeks that have one.
    :param keep_monthly: keep the newest of each of the last so many months that have one.
    :param keep: names or ids that stay in any case: a sequence, or a text that holds them with commas or blanks in
        between, as a template may render.
    :param delete_storage: whether their files in the bucket are deleted as well. ``False`` needs no right to delete in
        the bucket; a lifecycle rule of the bucket may delete the files then.
    :param max_delete: if more would be deleted, nothing is, and the task fails.
    :param dry_run: only say what would be deleted.
    """

    template_fields: Sequence[str] = (
        "oac_conn_id",
        "snapshot_label",
        "bucket",
        "folder",
        "region",
        "namespace",
        "keep",
    )

    def __init__(
        self,
        *,
        snapshot_label: str,
        bucket: str,
        folder: Annotated[CatalogPath, EMPTY] = DEFAULT_FOLDER,
        region: str | None = None,
        namespace: str | None = None,
        keep_last: Count = 0,
        keep_for: timedelta | None = None,
        keep_weekly: Count = 0,
        keep_monthly: Count = 0,
        keep: Collection[str] | Annotated[str, EMPTY] = (),
        delete_storage: bool = True,
        max_delete: Count = 10,
        dry_run: bool = False,
        **kwargs: Unpack[OACArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.snapshot_label = snapshot_label
        self.bucket = bucket
        self.folder = path_text(folder)
        self.region = region
        self.namespace = namespace
        self.keep_last = keep_last
        self.keep_for = keep_for
        self.keep_weekly = keep_weekly
        self.keep_monthly = keep_monthly
        self.keep = keep
        self.delete_storage = delete_storage
        self.max_delete = max_delete
        self.dry_run_only = dry_run

    def execute(self, context: Context) -> dict[str, Any]:
        """Prune."""
        retention = lazy.retention.Retention(self.keep_last, self.keep_for, self.keep_weekly, self.keep_monthly)
        storage = lazy.snapshots.Storage(self.bucket, self.region, self.namespace)
        own = lazy.retention.SnapshotSeries.checked(
            self.snapshot_label, self.hook.settings.instance, self.folder, storage
        )
        me = TaskKey.of(context)
        self._push_link(context)
        with log_group(self.log, f"Snapshots of {self.snapshot_label}: kept and deleted"):
            plan = self.hook.run(
                lazy.retention.prune(
                    own,
                    retention,
                    max_delete=self.max_delete,
                    delete_storage=self.delete_storage,
                    dry_run=self.dry_run_only,
                    run=lazy.snapshot_names.run_mark(me.dag_id, me.run_id),
                    protected=_words(self.keep),
                )
            )
        self.log.info(
            "%s %d and kept %d snapshots of %s; %d others were not considered.",
            "Would delete" if self.dry_run_only else "Deleted",
            len(plan.deletions), len(plan.kept), self.snapshot_label, plan.others,
        )  # fmt: skip
        return {
            "deleted": [item.snapshot.name for item in plan.deletions],
            "kept": [snapshot.name for snapshot, _ in plan.kept],
            "others": plan.others,
            "dry_run": self.dry_run_only,
        }


def _words(keep: Collection[str] | str | None) -> list[str]:
    """Names and ids, also of a list that a template rendered to text: a name that is not read is not protected."""
    return re.findall(r"[^\s,'\"()\[\]]+", keep) if isinstance(keep, str) else [str(item) for item in keep or ()]
