"""Operators for snapshots: create, register, find, delete, prune."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import quote

from airflow_provider_oac import lazy
from airflow_provider_oac._compat import AirflowFailException, Context, log_group
from airflow_provider_oac.arguments import DEFAULT_FOLDER, EMPTY, CatalogPath, Count, Template, argument, path_text
from airflow_provider_oac.assets import snapshots_uri
from airflow_provider_oac.exceptions import OACConfigurationError, OACError
from airflow_provider_oac.operators.base import OACBaseOperator
from airflow_provider_oac.operators.lineage import Made, ReportsMade
from airflow_provider_oac.operators.snapshot_base import SnapshotArguments, SnapshotOperator, origin_facts
from airflow_provider_oac.operators.task_state import Started, Succeeded, TaskKey, TaskState


class OACCreateSnapshotOperator(SnapshotOperator, ReportsMade):
    """Creates a snapshot of the whole instance in a bucket of OCI Object Storage.

    The snapshot is named ``<label>--<instance>--<UTC time>--<seal>--<mark>`` and its file is
    ``<folder>/<instance>/<name>.bar``; see :mod:`airflow_provider_oac.client.snapshot_names`. Needs the application
    role BI Service Administrator (documented).

    The result (XCom) is a dictionary: ``snapshot_id``, ``name``, ``bar_uri``, ``bucket``, ``seal``, ``taken_at``,
    ``work_request_id``, and ``verified``: whether the task saw the work request succeed. ``verified`` is ``False`` if
    the task does not wait, or if it found an earlier try's snapshot in OAC's list, which shows neither the state nor
    the work request (``work_request_id`` is ``None`` then).

    :param snapshot_label: name of this series of snapshots, such as ``nightly``; part of their names.
    :param bucket: bucket for the file. It must exist, and the instance must be allowed to write into it.
    :param seal_conn_id: Airflow Connection whose password seals the file: 14 to 50 characters with a digit, a
        lower-case letter, an upper-case letter and a special character (documented). Restoring needs it.
    :param folder: folder in the bucket. Each instance writes its files into its own folder below this one.
    :param region: OCI region of the bucket, if it is not the instance's.
    :param namespace: Object Storage namespace of the bucket, if it is in another tenancy.
    :param storage_conn_id: Airflow Connection with an OCI user's API key, if the instance is not to access the bucket
        as a resource principal (``OSS_AUTH_OCI_USER_ID``, documented as deprecated).
    :param confirmation_timeout: how long, in seconds, the task searches OAC's list for a snapshot whose acceptance is
        uncertain before it requests the snapshot again.
    """

    snapshot_label: Template[str]
    bucket: Template[str]
    seal_conn_id: Template[str]
    folder: Template[Annotated[CatalogPath, EMPTY]] = DEFAULT_FOLDER
    region: Template[str | None] = None
    namespace: Template[str | None] = None
    storage_conn_id: Template[str | None] = None

    facts_class = ("create_snapshot", "SnapshotFacts")

    def start(self, state: TaskState, context: Context) -> Started:
        """Create the snapshot, unless OAC lists one with this task's mark."""
        place = self.bucket, path_text(self.folder), self.region, self.namespace, self.storage_conn_id
        return self._create(SnapshotArguments(self.snapshot_label, self.seal_conn_id, *place), state)

    def complete(self, started: Started, work: Succeeded, context: Context) -> dict[str, Any]:
        """Make the result, with the id of the snapshot."""
        result = self._created(started.facts, started.work_request_id, work)
        # Read from the name, since templates may render to something else now.
        name = lazy.snapshot_names.parse(result["name"])
        result["taken_at"] = name.time.isoformat() if name else None
        # OAC does not report size and SHA-256 of the file.
        series = snapshots_uri(self.hook.settings.address, name.label if name else self.snapshot_label)
        file = f"oci://{result['bucket']}/{quote(result['bar_uri'].removeprefix('file:///'))}"
        self.report_made(context, [Made(series, (series, file), result)])
        return result

    def clean_up(self, started: Started, state: TaskState) -> None:
        """Record the failure, and delete the failed snapshot from OAC's list, with its file."""
        self._forget_failed(started.facts.name, state, delete_storage=True)


class OACRegisterSnapshotOperator(SnapshotOperator):
    """Registers a snapshot's file, which is already in a bucket, with an instance, so it can be restored there.

    The registered snapshot is named ``registered--<UTC time>--<name of the file>``.
    :class:`OACPruneSnapshotsOperator` never considers such names. If the instance lists the file already, the task
    registers nothing and returns that entry, unverified. Needs the application role BI Service Administrator
    (documented), and the instance must be allowed to read the bucket.

    The result (XCom) is a dictionary: ``snapshot_id``, ``name``, ``bar_uri``, ``bucket``, ``work_request_id``,
    ``verified`` (whether the task saw the work request succeed); and, if the file's name contains them, ``seal`` (the
    Connection whose password opens the file), ``source_instance`` and ``taken_at``, else ``None``.

    :param snapshot: the result of the task that created the snapshot, such as ``backup.output``; or
    :param bar_uri: path of the file: ``file:///folder/name.bar``, or ``folder/name.bar``.
    :param bucket: name of the bucket for this instance; by default the bucket of ``snapshot``.
    :param region: OCI region of the bucket, if it is not the instance's.
    :param namespace: Object Storage namespace of the bucket, if it is in another tenancy.
    :param storage_conn_id: Airflow Connection with an OCI user's API key, if the instance is not to access the bucket
        as a resource principal (``OSS_AUTH_OCI_USER_ID``, documented as deprecated).
    :param confirmation_timeout: how long, in seconds, the task searches OAC's list for a registration whose acceptance
        is uncertain before it requests the registration again.
    """

    snapshot: Template[Mapping[str, Any] | None] = None
    bar_uri: Template[CatalogPath | None] = None
    bucket: Template[str | None] = None
    region: Template[str | None] = None
    namespace: Template[str | None] = None
    storage_conn_id: Template[str | None] = None

    facts_class = ("register_snapshot", "RegistrationFacts")

    def start(self, state: TaskState, context: Context) -> Started:
        """Register the file, unless OAC lists it already."""
        bar_uri, storage = self._wanted()
        record = state.of_this_order()
        wanted = lazy.register_snapshot.Registration(
            bar_uri,
            storage,
            ignore=record.failed,
            suspect=state.suspect() and record.name not in record.failed,
            confirmation_timeout=self._confirmation_seconds,
        )
        found = self.hook.run(lazy.submit.submit_once(wanted, state.attempts(lambda name: {"name": name})))
        facts = lazy.register_snapshot.RegistrationFacts(
            found.name, bar_uri, storage.bucket, found.snapshot_id, **origin_facts(found.name)
        )
        return Started(found.work_request_id, time.time(), facts)

    def _wanted(self) -> tuple[str, lazy.snapshots.Storage]:
        if bool(self.snapshot) == bool(self.bar_uri):
            raise OACConfigurationError("Give either snapshot (the result of a backup) or bar_uri with bucket.")
        known = self.snapshot or {}
        bar_uri, bucket = self.bar_uri or known.get("bar_uri"), self.bucket or known.get("bucket")
        if not isinstance(bar_uri, str) or not isinstance(bucket, str) or not bucket:
            raise OACConfigurationError(
                f"A registration needs file and bucket, but they are {bar_uri!r} and {bucket!r}. If one comes from a "
                "template, check what it renders to."
            )
        if "://" not in bar_uri and not bar_uri.startswith("file:"):
            bar_uri = f"file:///{bar_uri.lstrip('/')}"
        storage = self._storage(bucket, self.region, self.namespace, self.storage_conn_id)
        return lazy.snapshots.checked_uri(bar_uri), storage

    def complete(self, started: Started, work: Succeeded, context: Context) -> dict[str, Any]:
        """Make the result, with the id of the snapshot."""
        result = self._snapshot(started.facts, started.work_request_id, work)
        if work is not None:
            self.log.info(
                "%s of bucket %s is registered in %s as %s.",
                result["bar_uri"], result["bucket"], self.hook.settings.address, result["name"],
            )  # fmt: skip
        return result

    def clean_up(self, started: Started, state: TaskState) -> None:
        """Record the failure, and delete the failed registration from OAC's list, but not the file."""
        self._forget_failed(started.facts.name, state, delete_storage=False)


class OACFindSnapshotOperator(OACBaseOperator):
    """Finds the newest snapshot of a series that was created or registered in this instance.

    Needs the application role BI Service Administrator (documented). A listed snapshot may be incomplete: the list
    shows no state (documented).

    The result (XCom) is a dictionary: ``snapshot_id``, ``name``, ``bar_uri``, ``bucket``, ``seal``,
    ``source_instance``, ``taken_at``.

    :param snapshot_label: the series.
    :param source_instance: name of the instance whose content is in the snapshot; by default this one.
    :param registered: whether to search the registered snapshots instead of those that this instance created.
    :param bucket: consider only snapshots whose file is in this bucket; by default any bucket.
    :param max_age: maximum age of the snapshot; by default any age.
    :param missing_ok: whether the result is ``None`` if there is no such snapshot or it is older than ``max_age``, so a
        branch can check for it. If not, the task fails.
    """

    snapshot_label: Template[str]
    source_instance: Template[str | None] = None
    registered: bool = False
    bucket: Template[str | None] = None
    max_age: timedelta | None = None
    missing_ok: bool = False

    def execute(self, context: Context) -> dict[str, Any] | None:
        """Find the snapshot."""
        self._push_link(context)
        instance = self.source_instance or self.hook.settings.instance
        now = datetime.now(UTC)
        listed = [item for item in self.hook.run(lazy.snapshots.list_all()) if self.bucket in (None, item.bucket)]
        found = lazy.retention.newest(listed, self.snapshot_label, instance, registered=self.registered, now=now)
        if found is None:
            kind = "registered" if self.registered else "created"
            why = (f"{self.hook.settings.address} lists no {kind} snapshot of the series {self.snapshot_label!r} of "
                   f"{instance}. Compare label, instance and bucket with the task that creates them.")  # fmt: skip
        else:
            item, name = found
            age = now - name.time
            self.log.info("The newest snapshot of %s is %s, %s old.", self.snapshot_label, item.name, age)
            if self.max_age is None or age <= self.max_age:
                return {
                    "snapshot_id": item.id, "name": item.name, "bar_uri": item.bar_uri, "bucket": item.bucket,
                    "seal": name.seal, "source_instance": name.instance, "taken_at": name.time.isoformat(),
                }  # fmt: skip
            why = f"The newest snapshot, {item.name}, is {age} old, older than {self.max_age}."
        if not self.missing_ok:
            raise OACError(why)
        self.log.info("%s The result is None (missing_ok=True).", why)
        return None


class OACDeleteSnapshotOperator(OACBaseOperator):
    """Deletes one snapshot. Needs the application role BI Service Administrator (documented).

    The result (XCom) is the id of the snapshot.

    :param snapshot_id: id of the snapshot; or
    :param snapshot_name: its name. Exactly one snapshot must have it.
    :param delete_storage: whether to delete its file in the bucket as well. Refused if another listed snapshot uses
        the same file.
    :param missing_ok: whether the task succeeds if the snapshot does not exist. If not, it fails without a retry. A
        retry always accepts a missing snapshot, since an earlier try may have deleted it.
    """

    snapshot_id: Template[str | None] = None
    snapshot_name: Template[str | None] = None
    delete_storage: bool = False
    missing_ok: bool = False

    def execute(self, context: Context) -> str | None:
        """Delete the snapshot."""
        if bool(self.snapshot_id) == bool(self.snapshot_name):
            raise OACConfigurationError("Give either snapshot_id or snapshot_name.")
        self._push_link(context)
        wanted = self.snapshot_id or self.snapshot_name
        found = self._find()
        if found is None:
            if self.missing_ok or TaskKey.of(context).repeats(self.retries or 0):
                self.log.info("Snapshot %s does not exist.", wanted)
                return self.snapshot_id
            # Without a retry, which would assume that this try deleted the snapshot.
            raise AirflowFailException(
                f"There is no snapshot {wanted!r} to delete. OAC lists only snapshots that were created or registered "
                "through the REST API. Check id or name. missing_ok=True treats this as success."
            )
        delete = lazy.snapshots.delete(found.id, delete_storage=self.delete_storage)
        self.hook.run(lazy.submit.unless_gone(delete))
        what = "and its file" if self.delete_storage else "but kept its file"
        self.log.info("Deleted snapshot %s (%s) %s %s.", found.name, found.id, what, found.bar_uri)
        return found.id

    def _find(self) -> lazy.snapshots.Snapshot | None:
        """The one snapshot to delete; ``None`` if OAC does not list it.

        :raises OACError: if several match, or if another one uses the file that is to be deleted.
        """
        listed = self.hook.run(lazy.snapshots.list_all())
        name = self.snapshot_name
        matches = [item for item in listed if item.id == self.snapshot_id or (name and item.name == name)]
        if len(matches) > 1:
            ids = ", ".join(item.id for item in matches)
            raise OACError(
                f"{len(matches)} snapshots are named {self.snapshot_name!r}: {ids}. Nothing was deleted. Set "
                "snapshot_id."
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

    The task considers only snapshots whose name has exactly the form of :class:`OACCreateSnapshotOperator` with this
    label and this instance, and whose bucket and path belong to this series. It keeps each snapshot that **any** rule
    keeps, and always the newest one, those of the current DAG run, and those in ``keep``. At least one rule is
    required. The task never deletes a file that another listed snapshot uses. Needs the application role BI Service
    Administrator (documented).

    The result (XCom) is a dictionary: ``deleted`` and ``kept`` (names), ``others`` (how many snapshots were not
    considered), ``dry_run``.

    :param snapshot_label: the series.
    :param bucket: its bucket.
    :param folder: its folder in the bucket.
    :param region: OCI region of the bucket, if it is not the instance's.
    :param namespace: Object Storage namespace of the bucket, if it is in another tenancy.
    :param keep_last: number of newest snapshots to keep.
    :param keep_for: keep snapshots that are younger than this.
    :param keep_weekly: number of weeks: keep the newest snapshot of each of the last weeks that have one.
    :param keep_monthly: number of months: keep the newest snapshot of each of the last months that have one.
    :param keep: names or ids of snapshots that are always kept: a sequence, or a text with commas or blanks in between,
        as a template may render.
    :param delete_storage: whether to delete the files in the bucket as well. ``False`` needs no right to delete in the
        bucket; a lifecycle rule of the bucket may then delete the files.
    :param max_delete: maximum number of snapshots to delete. If there are more, the task deletes none and fails.
    :param dry_run: only report what would be deleted.
    """

    snapshot_label: Template[str]
    bucket: Template[str]
    folder: Template[Annotated[CatalogPath, EMPTY]] = DEFAULT_FOLDER
    region: Template[str | None] = None
    namespace: Template[str | None] = None
    keep_last: Count = 0
    keep_for: timedelta | None = None
    keep_weekly: Count = 0
    keep_monthly: Count = 0
    keep: Template[Collection[str] | Annotated[str, EMPTY]] = ()
    delete_storage: bool = True
    max_delete: Count = 10
    dry_run_only: bool = argument(alias="dry_run", default=False)

    def check_together(self) -> None:
        """Require at least one rule."""
        if not (self.keep_last or self.keep_for or self.keep_weekly or self.keep_monthly):
            # Raises the error. Its module is imported only here, since parsing a DAG does not need it.
            self._retention()

    def _retention(self) -> lazy.retention.Retention:
        return lazy.retention.Retention(self.keep_last, self.keep_for, self.keep_weekly, self.keep_monthly)

    def execute(self, context: Context) -> dict[str, Any]:
        """Delete the old snapshots."""
        storage = lazy.snapshots.Storage(self.bucket, self.region, self.namespace)
        own = lazy.retention.SnapshotSeries.checked(
            self.snapshot_label, self.hook.settings.instance, path_text(self.folder), storage
        )
        me = TaskKey.of(context)
        self._push_link(context)
        prune = lazy.retention.prune(
            own, self._retention(), max_delete=self.max_delete, delete_storage=self.delete_storage,
            dry_run=self.dry_run_only, run=lazy.snapshot_names.run_mark(me.dag_id, me.run_id),
            protected=_words(self.keep),
        )  # fmt: skip
        with log_group(self.log, f"Snapshots of {self.snapshot_label}: kept and deleted"):
            plan = self.hook.run(prune)
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
    """Names and ids, also from the text of a list that a template rendered: a name that is missed is not protected."""
    return re.findall(r"[^\s,'\"()\[\]]+", keep) if isinstance(keep, str) else [str(item) for item in keep or ()]
