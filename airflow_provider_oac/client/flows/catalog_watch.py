"""Targets for sensors: an item that exists or was modified, a listed snapshot, or a recent snapshot of a series."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Protocol

from airflow_provider_oac.client import ids
from airflow_provider_oac.client.api import Api
from airflow_provider_oac.client.flows.catalog_search import find_by_id, find_by_name
from airflow_provider_oac.client.flows.polling import PollTarget, WaitPlan
from airflow_provider_oac.client.flows.retention import SnapshotSeries
from airflow_provider_oac.client.paging import PagePlan
from airflow_provider_oac.client.rest.catalog import moment
from airflow_provider_oac.client.rest.snapshots import Storage, list_all
from airflow_provider_oac.counters import count
from airflow_provider_oac.exceptions import OACApiError, OACConfigurationError, OACResponseError, OACWaitTimeoutError
from airflow_provider_oac.transport.retry import ONCE

# How a trigger goes through a list: without waiting, and with only one connection per poll.
_AT_ONCE = PagePlan(side_by_side=1, index_patience=0.0)


@dataclass(frozen=True)
class Sighting:
    """The result of one poll.

    :param item: the found item, if it meets the condition.
    :param text: description of the finding, for people.
    """

    item: Any | None
    text: str


class Wanted(Hashable, Protocol):
    """The condition that a sensor waits for; equal conditions share one poll.

    :param hint: what to check when it is not met in time.
    """

    hint: ClassVar[str]

    def text(self) -> str:
        """Describe the condition for people."""
        ...

    async def poll(self, api: Api, plan: PagePlan = PagePlan()) -> Sighting:
        """Search once; a flow.

        :param plan: how to go through lists.
        """
        ...


@dataclass(frozen=True)
class WantedItem:
    """A catalog item to wait for.

    :param kind: type of the item.
    :param item_id: its id, encoded.
    :param modified_since: only if it was modified then or later; ISO 8601, in UTC if it names no zone.
    """

    kind: str
    item_id: str
    modified_since: str | None = None

    hint: ClassVar[str] = "Check its type, its id or path, this user's permissions, and whether it was created."

    def since(self) -> datetime | None:
        """Parse ``modified_since``; return ``None`` if it is not set.

        :raises OACConfigurationError: if it is not a time.
        """
        found = moment(self.modified_since)
        if found is None and self.modified_since is not None:
            raise OACConfigurationError(
                f"modified_since must be an ISO 8601 time such as 2026-01-31T08:00:00+00:00, not "
                f"{self.modified_since!r}. Next step: if it is a template, check what it renders to."
            )
        return found

    def text(self) -> str:
        """Describe the item for people."""
        since = f", modified since {self.modified_since}" if self.modified_since else ""
        return f"{self.kind} {ids.shown(self.item_id)}{since}"

    async def poll(self, api: Api, plan: PagePlan = PagePlan()) -> Sighting:
        """Search for the item once; a flow.

        :param plan: how to go through the list, which is read if the item itself has no modification time.
        :raises OACResponseError: if OAC returns no modification time.
        """
        since = self.since()
        item = await api.run(find_by_id(self.kind, self.item_id))
        if item is None:
            return Sighting(None, f"{self.text()} does not exist.")
        if since is None:
            return Sighting(item, f"{self.text()} exists.")
        if item.modified is None:
            # One sample of a workbook's details has no modification time (documented); lists have one.
            name = (ids.split_path(self.item_id) or (None, item.name))[1]
            listed = await api.run(find_by_name(self.kind, name, plan))
            item = next((found for found in listed if ids.same(found.id, self.item_id)), item)
        modified = item.modified
        if modified is None:
            raise OACResponseError(
                f"{self.text()} has no ISO 8601 modification time, but {item.last_modified!r}. Next step: leave "
                "modified_since out, or report this to the provider's authors."
            )
        return Sighting(item if modified >= since else None, f"{self.text()}: last modified {modified.isoformat()}.")


@dataclass(frozen=True)
class WantedSnapshot:
    """A snapshot to wait for: by ``snapshot_id``, by ``snapshot_name``, or by ``max_age`` and a series.

    :param snapshot_id: id of the snapshot.
    :param snapshot_name: its exact name.
    :param max_age: maximum age of the newest snapshot of the series, in seconds, by the time in its name.
    :param label: the series.
    :param instance: name of the instance in the names of its snapshots.
    :param bucket: its bucket.
    :param folder: its folder in the bucket.
    :param region: OCI region of the bucket, if it is not the instance's.
    :param namespace: Object Storage namespace of the bucket, if it is in another tenancy.
    :raises OACConfigurationError: if the arguments are incomplete or conflict, or label or folder cannot be part of a
        name.
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

    hint: ClassVar[str] = "Check the arguments, whether the REST API created the snapshot, and whether backups run."

    def __post_init__(self) -> None:
        given = [bool(self.snapshot_id), bool(self.snapshot_name), self.max_age is not None]
        if sum(given) != 1 or (self.max_age is not None and not (self.label and self.bucket)):
            raise OACConfigurationError(
                "Give one of: snapshot_id; snapshot_name; max_age with snapshot_label and bucket."
            )
        if self.max_age is not None:
            self._series()

    def text(self) -> str:
        """Describe the snapshot for people."""
        if self.max_age is None:
            return f"Snapshot {self.snapshot_id or self.snapshot_name}"
        return f"A snapshot of {self.label}, at most {timedelta(seconds=self.max_age)} old"

    async def poll(self, api: Api, plan: PagePlan = PagePlan()) -> Sighting:
        """Search for the snapshot once; a flow. OAC's list of snapshots has no pages."""
        listed = await api.run(list_all())
        if self.max_age is None:
            wanted = self.snapshot_id or self.snapshot_name
            found = next((item for item in listed if wanted == (item.id if self.snapshot_id else item.name)), None)
            return Sighting(found, f"{self.text()} is {'listed' if found else 'not listed'}.")
        series, now = self._series(), datetime.fromtimestamp(api.now(), UTC)
        # A snapshot named after a future time, by a wrong clock, must not make the series look fresh.
        named = [(name, item) for item in listed if (name := series.name_of(item)) and name.time <= now]
        if not named:
            where = f"of {self.instance} in bucket {self.bucket}, folder {self.folder}"
            step = "Compare the arguments with the backup task's."
            return Sighting(None, f"OAC lists no snapshot of the series {self.label} {where}. {step}")
        name, newest = max(named, key=lambda pair: pair[0].time)
        limit = timedelta(seconds=self.max_age)
        fresh = now - name.time <= limit
        text = f"The newest snapshot of {self.label} is {name}, {'at most' if fresh else 'more than'} {limit} old."
        return Sighting(newest if fresh else None, text)

    def _series(self) -> SnapshotSeries:
        storage = Storage(self.bucket, self.region, self.namespace)
        return SnapshotSeries.checked(self.label, self.instance, self.folder, storage)


class CatalogTarget(PollTarget[Sighting]):
    """Done when the condition is met. After a deferral the task polls once more and reports the result.

    :param wanted: the condition.
    :param plan: how to wait; its deadline, longest pause and patience with trouble apply.
    """

    def __init__(self, wanted: Wanted, plan: WaitPlan, *, report: Callable[[str], None] = lambda _line: None) -> None:
        # A sensor polls at a constant interval, because it does not know when the awaited work began.
        super().__init__(wanted, wanted.text(), dataclasses.replace(plan, first_pause=plan.longest_pause), report)
        self._wanted = wanted
        self._last = "nothing"

    async def poll(self, api: Api) -> Sighting:
        """Search once: requests one after the other, each tried once."""
        count("polls")
        try:
            return await self._wanted.poll(api.with_policy(ONCE), _AT_ONCE)
        except OACWaitTimeoutError as error:
            # A search index that is not ready is a passing error; the plan decides how long to wait for it.
            raise error.__cause__ if isinstance(error.__cause__, OACApiError) else error from None

    def on_result(self, found: Sighting, now: float) -> float | None:
        """Judge the result of a poll."""
        self._trouble = None
        if found.item is not None:
            return None
        self._last = found.text
        self._say(found.text)
        return self._pause(now)

    def timed_out(self, now: float) -> OACWaitTimeoutError:
        """Return the error at the deadline."""
        last = self._trouble or self._last
        return OACWaitTimeoutError(
            f"{self.title} did not appear in time. Last poll: {str(last).rstrip('.')}. {self._wanted.hint}"
        )
