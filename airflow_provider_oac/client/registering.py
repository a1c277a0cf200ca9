"""Registering a file of a bucket as a snapshot, once: an instance that lists the file already is left as it is."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from airflow_provider_oac.client.api import Api, Flow
from airflow_provider_oac.client.models import Model
from airflow_provider_oac.client.registered_names import registered_name
from airflow_provider_oac.client.snapshots import Snapshot, Storage, register
from airflow_provider_oac.client.taking import look, may_have_acted, says_no_user
from airflow_provider_oac.exceptions import (
    OACApiError,
    OACError,
    OACKilledError,
    OACResponseError,
    OACTransportError,
    OACUncertainError,
)

_SENDS = 3


@dataclass(frozen=True)
class Registered(Model):
    """A file that the instance knows, or will, as a snapshot.

    :param name: its name in OAC's list.
    :param work_request_id: the work request of the registration; ``None`` if it was listed already.
    :param snapshot_id: its id, if it was listed already.
    """

    name: str
    work_request_id: str | None
    snapshot_id: str | None = None


def register_once(
    bar_uri: str,
    storage: Storage,
    *,
    suspect: bool,
    settling_time: float,
    before_send: Callable[[str], None] = lambda _name: None,
    ignore: Collection[str] = (),
    report: Callable[[str], None] = lambda _line: None,
) -> Flow[Registered]:
    """Register a file unless the instance lists it already. The flow returns when OAC has accepted it.

    :param bar_uri: path of the file in the bucket.
    :param storage: the bucket.
    :param suspect: whether an earlier try may have sent it, so that a list without it is looked at again.
    :param settling_time: seconds for which a registration that may have been accepted is looked for.
    :param before_send: is given the name before it is sent, to be remembered.
    :param ignore: names of registrations that are known to have failed.
    :param report: gets lines for people.
    :raises OACUncertainError: if it cannot be told whether OAC accepted it. Letting the task run again is safe.
    """

    def wanted(item: Snapshot) -> bool:
        return item.name not in ignore and item.bar_uri == bar_uri and item.lies_in(storage)

    async def flow(api: Api) -> Registered:
        found = await look(api, wanted, settling_time if suspect else 0.0)
        if found:
            return _listed(found, bar_uri, report)
        last: OACError | None = None
        used = 0.0
        for _ in range(_SENDS):
            # No name is used twice, not even within one second.
            used = max(api.io.now(), used + 1)
            name = str(registered_name(bar_uri, used))
            before_send(name)
            try:
                accepted = await api.perform(register(name, bar_uri, storage))
            except (OACTransportError, OACApiError, OACResponseError) as error:
                if not may_have_acted(error) or says_no_user(error):
                    raise
                last = error
                report(f"OAC may or may not have accepted {name}; looking for it in the list. {error}")
                found = await _look_after(api, wanted, settling_time, error)
                if found:
                    return _listed(found, bar_uri, report)
                continue
            report(f"OAC accepted {name} as work request {accepted}.")
            return Registered(name, accepted)
        raise OACUncertainError(
            f"OAC was asked {_SENDS} times to register {bar_uri} and gave no usable answer, nor does it list it. Check "
            "the instance, then let the task run again: it looks for the file in the list before it asks. The last "
            f"failure: {last}"
        ) from last

    return flow


async def _look_after(
    api: Api, wanted: Callable[[Snapshot], bool], settling_time: float, cause: OACError
) -> list[Snapshot]:
    try:
        return await look(api, wanted, settling_time)
    except OACKilledError:
        raise
    except OACError as error:
        raise OACUncertainError(
            "OAC may have accepted the registration, and the list could not be read to find out. Let the task run "
            f"again: it looks for the file in the list before it asks. First: {cause} Then: {error}"
        ) from error


def _listed(found: list[Snapshot], bar_uri: str, report: Callable[[str], None]) -> Registered:
    newest = max(found, key=lambda item: item.created)
    report(
        f"The instance lists {bar_uri} already, as {newest.name} ({newest.id}); it is not registered a second time. "
        "The list shows no state, so that nobody can tell whether that registration is complete: UNVERIFIED."
    )
    return Registered(newest.name, None, newest.id)
