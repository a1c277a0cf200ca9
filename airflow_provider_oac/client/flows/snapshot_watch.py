"""What is waited for among snapshots: that one is listed, or that the newest of a series is young enough."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from airflow_provider_oac.client.api import Api, Flow
from airflow_provider_oac.client.flows.retention import SnapshotSeries
from airflow_provider_oac.client.paging import PagePlan
from airflow_provider_oac.client.rest.snapshots import Snapshot, Storage, list_all
from airflow_provider_oac.exceptions import OACConfigurationError


@dataclass(frozen=True)
class WantedSnapshot:
    """A snapshot that is waited for: by ``snapshot_id``, by ``snapshot_name``, or by ``max_age`` and a series.

    :param snapshot_id: id of the snapshot.
    :param snapshot_name: its exact name.
    :param max_age: how old the newest of the series may be by the time in its name, in seconds.
    :param label: the series.
    :param instance: name of the instance in the names of its snapshots.
    :param bucket: its bucket.
    :param folder: its folder in the bucket.
    :param region: OCI region of the bucket, if it is not the instance's.
    :param namespace: Object Storage namespace of the bucket, if it is in another tenancy.
    :raises OACConfigurationError: if it is half a question, or label or folder cannot be part of a name.
    """

    snapshot_id: str | None = None
    snapshot_name: str | None = None
    max_age: float | None = None
    label: str = ""
    instance: str = ""
    bucket: str = ""
    folder: str = ""
    region: str | None = None
    namespace: str | None = None

    hint: ClassVar[str] = "Check what is asked for, whether it was made through the REST API, and whether backups run."

    def __post_init__(self) -> None:
        asked = [bool(self.snapshot_id), bool(self.snapshot_name), self.max_age is not None]
        if sum(asked) != 1 or (self.max_age is not None and not (self.label and self.bucket)):
            raise OACConfigurationError(
                "Give one of: snapshot_id; snapshot_name; max_age with snapshot_label and bucket."
            )
        if self.max_age is not None:
            self._own()

    def record(self) -> dict[str, Any]:
        """As a plain dictionary, for the arguments of a trigger."""
        return dataclasses.asdict(self)

    def text(self) -> str:
        """For people."""
        if self.max_age is None:
            return f"Snapshot {self.snapshot_id or self.snapshot_name}"
        return f"A snapshot of {self.label}, at most {timedelta(seconds=self.max_age)} old"

    def seen(
        self, report: Callable[[str], None] = lambda _line: None, _plan: PagePlan = PagePlan()
    ) -> Flow[Snapshot | None]:
        """The snapshot, if it is there as it is wanted. Flow."""

        async def flow(api: Api) -> Snapshot | None:
            listed = await api.run(list_all())
            if self.max_age is None:
                found = next((item for item in listed if self._is(item)), None)
                report(f"{self.text()} is {'listed' if found else 'not listed'}.")
                return found
            return self._fresh(listed, self.max_age, datetime.fromtimestamp(api.io.now(), UTC), report)

        return flow

    def _is(self, item: Snapshot) -> bool:
        return item.id == self.snapshot_id if self.snapshot_id else item.name == self.snapshot_name

    def _own(self) -> SnapshotSeries:
        return SnapshotSeries.checked(
            self.label, self.instance, self.folder, Storage(self.bucket, self.region, self.namespace)
        )

    def _fresh(
        self, listed: list[Snapshot], max_age: float, now: datetime, report: Callable[[str], None]
    ) -> Snapshot | None:
        own = self._own()
        # A clock that was wrong once must not make a series look fresh until that time has come.
        named = [(name, item) for item in listed if (name := own.name_of(item)) and name.time <= now]
        if not named:
            report(
                f"OAC lists no snapshot of the series {self.label} of {self.instance} in bucket {self.bucket}, folder "
                f"{self.folder}, up to now. Compare label, bucket and folder with those of the task that takes them, "
                "and the Connection's instance too."
            )
            return None
        name, newest = max(named, key=lambda pair: pair[0].time)
        fresh = now - name.time <= timedelta(seconds=max_age)
        report(
            f"The newest snapshot of {self.label} is {name}, {'at most' if fresh else 'more than'} "
            f"{timedelta(seconds=max_age)} old."
        )
        return newest if fresh else None
