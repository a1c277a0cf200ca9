"""Register a file in a bucket as a snapshot, once, unless the instance already lists the file."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from airflow_provider_oac.client.api import Api
from airflow_provider_oac.client.calls import Call
from airflow_provider_oac.client.flows.submit import Submission
from airflow_provider_oac.client.models import Model
from airflow_provider_oac.client.rest.snapshots import Storage, list_all, register
from airflow_provider_oac.client.snapshot_names import registered_name
from airflow_provider_oac.exceptions import OACError
from airflow_provider_oac.records import Record


@dataclass(frozen=True)
class Registered(Model):
    """A file that the instance lists, or will list, as a snapshot.

    :param name: its name in OAC's list.
    :param work_request_id: the work request of the registration; ``None`` if it was already listed.
    :param snapshot_id: its id, if it was already listed.
    """

    name: str
    work_request_id: str | None
    snapshot_id: str | None = None


@dataclass(frozen=True)
class RegistrationFacts(Record):
    """The facts that a task stores about the snapshot that it registers.

    :param snapshot_id: its id, if it was already listed.
    :param seal: id of the Connection whose password opens it, if the snapshot's name shows it. The same holds for
        ``source_instance`` and ``taken_at``.
    """

    name: str
    bar_uri: str
    bucket: str
    snapshot_id: str | None
    seal: str | None
    source_instance: str | None
    taken_at: str | None


@dataclass
class Registration(Submission[str, Registered]):
    """Registers a file unless the instance already lists it; its clue is the name.

    :param bar_uri: path of the file in the bucket.
    :param storage: the bucket.
    :param ignore: names of registrations that are known to have failed.
    """

    bar_uri: str
    storage: Storage
    ignore: Collection[str] = ()
    clue: str | None = None

    where = "the list of snapshots"
    looks_first = True
    _used = 0.0

    @property
    def doing(self) -> str:
        """Describe the request for messages."""
        return f"register {self.bar_uri}"

    async def trace(self, api: Api, lost: OACError | None) -> Registered | None:
        """Return the newest listed snapshot of this file."""
        found = [
            item
            for item in await api.perform(list_all())
            if item.name not in self.ignore and item.bar_uri == self.bar_uri and item.lies_in(self.storage)
        ]
        if not found:
            return None
        newest = max(found, key=lambda item: item.created)
        api.report(
            f"The instance already lists {self.bar_uri} as {newest.name} ({newest.id}), so the task adopts it. It is "
            "UNVERIFIED, because OAC's list does not show whether that registration is complete."
        )
        return Registered(newest.name, None, newest.id)

    def call(self, now: float) -> Call[str]:
        """Return the registration under a new name: no name is used twice, even within one second."""
        self._used = max(now, self._used + 1)
        self.clue = str(registered_name(self.bar_uri, self._used))
        return register(self.clue, self.bar_uri, self.storage)

    def accepted(self, api: Api, answer: str) -> Registered:
        """Return the registration with its work request."""
        api.report(f"OAC accepted {self.clue} as work request {answer}.")
        return Registered(str(self.clue), answer)
