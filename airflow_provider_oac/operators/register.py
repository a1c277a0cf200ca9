"""Registering a snapshot's file in an instance."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Unpack

from airflow_provider_oac import lazy
from airflow_provider_oac.arguments import AtLeast, CatalogPath, Duration, path_text, seconds
from airflow_provider_oac.exceptions import OACConfigurationError
from airflow_provider_oac.operators.base import OACWorkOperator, Started, WaitingArguments
from airflow_provider_oac.operators.snapshot_base import forget_failed, listed_id
from airflow_provider_oac.operators.task_state import TaskState

if TYPE_CHECKING:
    from airflow_provider_oac._compat import Context
    from airflow_provider_oac.client.flows.register_snapshot import RegistrationFacts
    from airflow_provider_oac.client.rest.snapshots import Storage
    from airflow_provider_oac.client.rest.work_requests import WorkRequest
    from airflow_provider_oac.records import Record


class OACRegisterSnapshotOperator(OACWorkOperator):
    """Makes a snapshot's file, which lies in a bucket already, known to an instance, so that it can be restored there.

    It is named ``registered--<UTC time>--<name of the file>``: never a name that
    :class:`~airflow_provider_oac.operators.snapshots.OACPruneSnapshotsOperator` takes for one of its own. A file that
    the instance lists already is not registered again: that one is the result, unverified. Needs the application role
    BI Service Administrator (documented), and the instance must be allowed to read the bucket.

    The result (XCom) is a dictionary: ``snapshot_id``, ``name``, ``bar_uri``, ``bucket``, ``work_request_id``,
    ``verified`` (whether the work request was seen to succeed); and as far as the file's name tells it ``seal`` (the
    Connection whose password opens it), ``source_instance`` and ``taken_at``, else ``None``.

    :param snapshot: the result of a backup: ``backup.output``; or
    :param bar_uri: path of the file: ``file:///folder/name.bar``, or ``folder/name.bar``.
    :param bucket: the bucket as this instance reaches it. By default, that of ``snapshot``.
    :param region: OCI region of the bucket, if it is not the instance's.
    :param namespace: Object Storage namespace of the bucket, if it is in another tenancy.
    :param storage_conn_id: Airflow Connection with an OCI user's API key, if the instance shall not use the bucket as
        a resource principal (``OSS_AUTH_OCI_USER_ID``, documented as deprecated).
    :param confirmation_timeout: seconds for which a registration whose acceptance is uncertain is looked for in OAC's
        list before it is asked for again.
    """

    template_fields: Sequence[str] = (
        "oac_conn_id",
        "snapshot",
        "bar_uri",
        "bucket",
        "region",
        "namespace",
        "storage_conn_id",
    )

    def __init__(
        self,
        *,
        snapshot: Mapping[str, Any] | None = None,
        bar_uri: CatalogPath | None = None,
        bucket: str | None = None,
        region: str | None = None,
        namespace: str | None = None,
        storage_conn_id: str | None = None,
        confirmation_timeout: Annotated[Duration, AtLeast(0)] = 30.0,
        **kwargs: Unpack[WaitingArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.snapshot = snapshot
        self.bar_uri = path_text(bar_uri)
        self.bucket = bucket
        self.region = region
        self.namespace = namespace
        self.storage_conn_id = storage_conn_id
        self.confirmation_timeout = seconds(confirmation_timeout)

    @property
    def facts_type(self) -> type[Record]:
        """What is known of the snapshot."""
        return lazy.register_snapshot.RegistrationFacts

    def start(self, memory: TaskState, context: Context) -> Started:
        """Register the file, unless OAC lists it."""
        bar_uri, storage = self._wanted()
        record = memory.of_this_order()
        wanted = lazy.register_snapshot.Registration(
            bar_uri,
            storage,
            ignore=record.failed,
            suspect=memory.suspect() and record.name not in record.failed,
            confirmation_timeout=self.confirmation_timeout,
        )
        task = memory.attempts(lambda name: {"name": name})
        found = self.hook.run(lazy.submit.submit_once(wanted, task))
        origin = origin_facts(found.name)
        facts = lazy.register_snapshot.RegistrationFacts(
            found.name, bar_uri, storage.bucket, found.snapshot_id, **origin
        )
        return Started(found.work_request_id, time.time(), facts)

    def _wanted(self) -> tuple[str, Storage]:
        if bool(self.snapshot) == bool(self.bar_uri):
            raise OACConfigurationError("Give either snapshot, the result of a backup, or bar_uri with bucket.")
        known = self.snapshot or {}
        bar_uri, bucket = self.bar_uri or known.get("bar_uri"), self.bucket or known.get("bucket")
        if not isinstance(bar_uri, str) or not isinstance(bucket, str) or not bucket:
            raise OACConfigurationError(
                f"To register a snapshot, its file and its bucket must be known, not {bar_uri!r} and {bucket!r}. If "
                "one comes from a template: what does that render to?"
            )
        if "://" not in bar_uri and not bar_uri.startswith("file:"):
            bar_uri = f"file:///{bar_uri.lstrip('/')}"
        user = lazy.credentials.storage_user(self.storage_conn_id) if self.storage_conn_id else None
        return lazy.snapshots.checked_uri(bar_uri), lazy.snapshots.Storage(bucket, self.region, self.namespace, user)

    def complete(self, started: Started, work: WorkRequest | None, context: Context) -> dict[str, Any]:
        """Make the result, with the id of the snapshot."""
        facts: RegistrationFacts = started.facts
        result = {**asdict(facts), "work_request_id": started.work_request_id, "verified": work is not None}
        if work is not None:
            result["snapshot_id"] = work.resource_id("SNAPSHOT") or listed_id(
                self.hook, facts.name, self.confirmation_timeout
            )
            self.log.info(
                "%s of bucket %s is registered in %s as %s.",
                facts.bar_uri, facts.bucket, self.hook.settings.address, facts.name,
            )  # fmt: skip
        return result

    def clean_up(self, started: Started, memory: TaskState) -> None:
        """Remember the failure, and take the failed registration off OAC's list. The file is not ours to delete."""
        forget_failed(self.hook, self.log, started.facts.name, memory, delete_storage=False)


def origin_facts(name: str) -> dict[str, str | None]:
    """What the name of a snapshot tells of its making; ``None`` for what it does not."""
    origin = lazy.snapshot_names.origin_of(name)
    return {
        "seal": origin.seal if origin else None,
        "source_instance": origin.instance if origin else None,
        "taken_at": origin.time.isoformat() if origin else None,
    }
