"""Create a snapshot once; the mark in its name identifies it in OAC's list."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime

from airflow_provider_oac.client.api import Api, flow
from airflow_provider_oac.client.calls import Call
from airflow_provider_oac.client.flows.submit import Submission, search
from airflow_provider_oac.client.models import Model
from airflow_provider_oac.client.rest.snapshots import Snapshot, Storage, create, list_all
from airflow_provider_oac.client.snapshot_names import SnapshotName, parse
from airflow_provider_oac.exceptions import OACError
from airflow_provider_oac.records import Record


@dataclass(frozen=True)
class SnapshotOrder:
    """The snapshot to create.

    :param label: its series.
    :param instance: name of the instance.
    :param seal: id of the Connection with the password.
    :param mark: mark of the logical task.
    :param folder: folder in the bucket.
    :param storage: the bucket.
    """

    label: str
    instance: str
    seal: str
    mark: str
    folder: str
    storage: Storage

    def name(self, now: float, after: SnapshotName | None) -> SnapshotName:
        """Return a name that was not used before, so its file overwrites no other.

        :param now: wall-clock time in seconds since the epoch.
        :param after: the previous name that this task used, if any.
        """
        earliest = int(after.time.timestamp()) + 1 if after else 0
        time = datetime.fromtimestamp(max(int(now), earliest), UTC)
        return SnapshotName(self.label, self.instance, time, self.seal, self.mark)


@dataclass(frozen=True)
class Taken(Model):
    """A snapshot that OAC has accepted.

    :param name: its name.
    :param bar_uri: path of its file.
    :param bucket: the bucket of its file.
    :param work_request_id: its work request; ``None`` if the snapshot was found in the list.
    :param snapshot_id: its id, if it was found in the list.
    """

    name: str
    bar_uri: str
    bucket: str
    work_request_id: str | None
    snapshot_id: str | None = None


@dataclass(frozen=True)
class SnapshotFacts(Record):
    """The facts that a task stores about the snapshot that it creates.

    :param seal: id of the Connection whose password seals it.
    :param snapshot_id: its id, if it was found in the list.
    """

    name: str
    bar_uri: str
    bucket: str
    seal: str
    snapshot_id: str | None


@dataclass
class NewSnapshot(Submission[str, Taken]):
    """Creates a snapshot; its clue is the name.

    :param order: the snapshot to create; its mark identifies the task.
    :param password: seals the file.
    :param search_first: whether to search the list for the mark although no earlier try is suspect.
    :param ignore: names of this task's snapshots that are known to have failed.
    :param clue: the last name that this task used, if it is known; no name is used twice.
    """

    order: SnapshotOrder
    password: str = field(repr=False)
    search_first: bool = False
    ignore: Collection[str] = ()
    clue: str | None = None

    where = "the list of snapshots"
    _bar_uri = ""

    @property
    def doing(self) -> str:
        """Describe the request for messages, with the mark that the snapshot has in the list."""
        return f"create a snapshot with the mark {self.order.mark}"

    @property
    def looks_first(self) -> bool:
        """Whether to search the list before anything is sent."""
        return self.search_first or self.suspect

    async def trace(self, api: Api, lost: OACError | None) -> Taken | None:
        """Return the newest listed snapshot with the mark."""
        listed = [item for item in await api.perform(list_all()) if item.name not in self.ignore]
        named = [(name, item) for item in listed if (name := parse(item.name)) and name.mark == self.order.mark]
        if not named:
            return None
        found = max(named, key=lambda pair: pair[0].time)[1]
        api.report(
            f"Snapshot {found.name} has this task's mark: an earlier attempt created it, so the task adopts it. It is "
            "UNVERIFIED, because OAC's list shows neither its state nor its work request."
        )
        return Taken(found.name, found.bar_uri, found.bucket or self.order.storage.bucket, None, found.id)

    def call(self, now: float) -> Call[str]:
        """Return the request for a snapshot with a new name."""
        name = self.order.name(now, parse(self.clue or ""))
        self.clue, self._bar_uri = str(name), name.uri(self.order.folder)
        return create(self.clue, self._bar_uri, self.order.storage, self.password)

    def accepted(self, api: Api, answer: str) -> Taken:
        """Return the snapshot with its work request."""
        api.report(f"OAC accepted {self.clue} as work request {answer}.")
        return Taken(str(self.clue), self._bar_uri, self.order.storage.bucket, answer)


@flow
async def find_named(api: Api, name: str, patience: float) -> Snapshot | None:
    """Search for an accepted snapshot until OAC lists it; return ``None`` if it does not in time.

    :param name: its exact name.
    :param patience: seconds to search.
    """

    async def attempt() -> Snapshot | None:
        return next((item for item in await api.perform(list_all()) if item.name == name), None)

    return await search(api, attempt, patience)
