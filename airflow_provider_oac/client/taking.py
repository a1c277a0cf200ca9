"""Taking a snapshot exactly once, although OAC has neither an idempotency key nor a list of work requests."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime

from airflow_provider_oac.client.api import Api, Flow
from airflow_provider_oac.client.models import Model
from airflow_provider_oac.client.snapshot_names import SnapshotName, parse
from airflow_provider_oac.client.snapshots import Snapshot, Storage, create, list_all
from airflow_provider_oac.exceptions import (
    OACApiError,
    OACError,
    OACKilledError,
    OACResponseError,
    OACTransportError,
    OACUncertainError,
)

_SENDS = 3
_LOOK_INTERVAL = 2.0


@dataclass(frozen=True)
class SnapshotOrder:
    """The snapshot that is wanted.

    :param label: its series.
    :param instance: name of the instance.
    :param seal: name of the Connection with the password.
    :param mark: of the logical task.
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
        """A name that was not used before, so that its file overwrites none.

        :param now: wall-clock time in seconds since the epoch.
        :param after: the name used before by this task, if any.
        """
        time = int(now)
        if after is not None:
            time = max(time, int(after.time.timestamp()) + 1)
        return SnapshotName(self.label, self.instance, datetime.fromtimestamp(time, UTC), self.seal, self.mark)


@dataclass(frozen=True)
class Taken(Model):
    """A snapshot that OAC has accepted.

    :param name: its name.
    :param bar_uri: path of its file.
    :param bucket: the bucket of its file.
    :param work_request_id: its work request; ``None`` if the snapshot was found in the list only.
    :param snapshot_id: its id, if it was found in the list.
    """

    name: str
    bar_uri: str
    bucket: str
    work_request_id: str | None
    snapshot_id: str | None = None


def take_once(
    order: SnapshotOrder,
    password: str,
    *,
    look_first: bool,
    suspect: bool,
    settling_time: float,
    before_send: Callable[[str], None] = lambda _name: None,
    ignore: Collection[str] = (),
    used: str | None = None,
    report: Callable[[str], None] = lambda _line: None,
) -> Flow[Taken]:
    """Take a snapshot unless this logical task already has. The flow returns when OAC has accepted it.

    Exactly one snapshot is promised where OAC lists a snapshot as soon as it accepts it.

    :param order: what to take; its mark tells whose it is.
    :param password: seals the file.
    :param look_first: whether to look for the mark in the list before sending.
    :param suspect: whether an earlier try may have sent it, so that an empty list is looked at again.
    :param settling_time: seconds for which a snapshot that may have been accepted is looked for.
    :param before_send: is given the name before it is sent, to be remembered.
    :param ignore: names of snapshots of this task that are known to have failed.
    :param used: the last name that this task has used, if that is known; no name is used twice.
    :param report: gets lines for people.
    :raises OACUncertainError: if it cannot be told whether OAC accepted it.
    """

    async def flow(api: Api) -> Taken:
        if look_first or suspect:
            found = await _find(api, order.mark, ignore, settling_time if suspect else 0.0)
            if found:
                return _adopted(found, order, report)
        name = parse(used) if used else None
        last: OACError | None = None
        for _ in range(_SENDS):
            name = order.name(api.io.now(), name)
            uri = name.uri(order.folder)
            call = create(str(name), uri, order.storage, password)
            before_send(str(name))
            try:
                accepted = await api.perform(call)
            except (OACTransportError, OACApiError, OACResponseError) as error:
                if not may_have_acted(error) or says_no_user(error):
                    raise
                last = error
                report(f"OAC may or may not have accepted {name}; looking for it in the list. {error}")
                found = await _find_after(api, order.mark, ignore, settling_time, error)
                if found:
                    return _adopted(found, order, report)
                report(
                    f"It is not listed after {settling_time:.0f} s, which counts as not accepted. Should OAC list it "
                    f"later, there is a snapshot too many: {name}."
                )
                continue
            report(f"OAC accepted {name} as work request {accepted}.")
            return Taken(str(name), uri, order.storage.bucket, accepted)
        raise OACUncertainError(
            f"OAC was asked {_SENDS} times for a snapshot marked {order.mark} and gave no usable answer, nor does it "
            f"list one. Check the instance, then let the task run again: it looks for the mark before it asks. The "
            f"last failure: {last}"
        ) from last

    return flow


def may_have_acted(error: OACError) -> bool:
    """Whether OAC may have acted on a request that changes something, in spite of this error.

    Whether it is worth a second attempt (``retryable``) says nothing of that. Only an answer of 4xx is a refusal.
    """
    if isinstance(error, OACTransportError):
        return error.sent
    if isinstance(error, OACApiError):
        return error.status >= 500 or error.status == 408
    # An answer of success that could not be read.
    return isinstance(error, OACResponseError)


def says_no_user(error: OACError) -> bool:
    """Whether this is OAC's 500 to a token without a user, which stays the same: no second attempt in the same try."""
    return isinstance(error, OACApiError) and error.status == 500 and not error.retryable


async def _find_after(
    api: Api, mark: str, ignore: Collection[str], settling_time: float, cause: OACError
) -> Snapshot | None:
    try:
        return await _find(api, mark, ignore, settling_time)
    except OACKilledError:
        raise
    except OACError as error:
        raise OACUncertainError(
            f"OAC may have accepted a snapshot marked {mark}, and the list could not be read to find out. Let the task "
            f"run again: it looks for the mark before it asks for another. First: {cause} Then: {error}"
        ) from error


async def _find(api: Api, mark: str, ignore: Collection[str], settling_time: float) -> Snapshot | None:
    """The newest listed snapshot with the mark, looked for until ``settling_time`` seconds have passed."""

    def marked(item: Snapshot) -> bool:
        name = parse(item.name)
        return name is not None and name.mark == mark and item.name not in ignore

    found = await look(api, marked, settling_time)
    return max(found, key=lambda item: item.name.split("--")[2], default=None)


def find_named(name: str, settling_time: float) -> Flow[Snapshot | None]:
    """Look for a snapshot that OAC has accepted until it lists it. The flow returns ``None`` if it does not.

    :param name: its exact name.
    :param settling_time: seconds for which it is looked for.
    """

    async def flow(api: Api) -> Snapshot | None:
        return next(iter(await look(api, lambda item: item.name == name, settling_time)), None)

    return flow


async def look(api: Api, wanted: Callable[[Snapshot], bool], settling_time: float) -> list[Snapshot]:
    """The listed snapshots that are wanted, looked for until there is one or ``settling_time`` seconds have passed.

    Counted by the pauses: a wall clock that is set meanwhile must not end the search early.
    """
    left = settling_time
    while True:
        found = [item for item in await api.perform(list_all()) if wanted(item)]
        if found or left <= 0:
            return found
        pause = min(left, _LOOK_INTERVAL)
        await api.io.sleep(pause)
        left -= pause


def _adopted(found: Snapshot, order: SnapshotOrder, report: Callable[[str], None]) -> Taken:
    report(
        f"Snapshot {found.name} carries this task's mark: an earlier attempt was accepted, and no second one is taken. "
        "OAC does not tell a snapshot's state or its work request in the list, so that it is adopted UNVERIFIED."
    )
    return Taken(found.name, found.bar_uri, found.bucket or order.storage.bucket, None, found.id)
