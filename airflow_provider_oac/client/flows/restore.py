"""Restore a snapshot: the checks before it, the single request, and the check of the instance after it.

A restore replaces the content of a whole instance, and cannot be undone (documented by absence). Its response may get
lost like any other, and OAC does not list work requests, so a restore with a lost response is never sent again.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast
from urllib.parse import urlsplit

from airflow_provider_oac.client import ids
from airflow_provider_oac.client.api import Api, flow
from airflow_provider_oac.client.calls import Call
from airflow_provider_oac.client.flows.create_snapshot import SnapshotFacts
from airflow_provider_oac.client.flows.polling import PollTarget, WaitPlan, poll_until_done
from airflow_provider_oac.client.flows.submit import Submission
from airflow_provider_oac.client.models import Model
from airflow_provider_oac.client.paging import fetched
from airflow_provider_oac.client.rest import catalog, system
from airflow_provider_oac.client.rest.snapshots import Snapshot
from airflow_provider_oac.client.rest.system import System
from airflow_provider_oac.client.snapshot_names import origin_of
from airflow_provider_oac.counters import count
from airflow_provider_oac.exceptions import (
    OACApiError,
    OACConfigurationError,
    OACError,
    OACKilledError,
    OACUncertainError,
    OACWaitTimeoutError,
)
from airflow_provider_oac.records import Record
from airflow_provider_oac.transport.retry import ONCE

# During a restore an instance may sign all users out, know no roles, or not know its own work requests (inferred: the
# restore replaces users and roles).
TOLERATED = (401, 403, 404)
# Needs the search index and the role DV Content Author.
_SEARCH = catalog.list_items(ids.FOLDERS, limit=1).page(1)

REPLACED = (
    "everything in the catalog (folders, workbooks, reports, datasets, data flows, sequences, connections, semantic "
    "models), who may see what, application roles and their members, and the settings of the system"
)
NOT_SAVED = (
    "schedules of deliveries, the data of files that people uploaded, and data in external sources: check and set them "
    "up by hand"
)


def check_target(expected_host: str, address: str) -> None:
    """Refuse any instance but the intended one.

    :param expected_host: host of the target, with its port unless that is the default of https; an address is accepted
        too.
    :param address: address of the instance in the Connection.
    :raises OACConfigurationError: if they differ, or ``expected_host`` is not a host.
    """
    expected, actual = _host_and_port(expected_host), _host_and_port(address)
    if expected is None:
        raise OACConfigurationError(
            f"expected_host is {expected_host!r}, but must be the host of the instance to restore, such as "
            "myinstance-namespace-ia.analytics.ocp.oraclecloud.com. Nothing was sent."
        )
    if expected != actual:
        raise OACConfigurationError(
            f"The Connection names {urlsplit(address).netloc}, but expected_host is {expected_host!r}. Nothing was "
            "sent. Likely cause: the wrong Connection, or an edited one. Next step: check which instance is meant; a "
            "restore cannot be undone."
        )


def _host_and_port(text: str) -> tuple[str, int] | None:
    text = text.strip()
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        port = parts.port
    except ValueError:
        return None
    if not parts.hostname:
        return None
    return parts.hostname.rstrip("."), port or (80 if parts.scheme == "http" else 443)


def check_system(expected: str | None, found: System) -> None:
    """Refuse an instance that identifies itself as another one.

    :param expected: its key or its description, as ``GET /system`` shows them; ``None`` for any.
    :raises OACConfigurationError: if neither is equal.
    """
    names = (None, found.service_instance_key, found.description, found.raw.get("description"))
    if expected not in names:
        raise OACConfigurationError(
            f"The instance is {found.description!r} (key {found.service_instance_key!r}), but the task may restore "
            f"only {expected!r} (expected_system). Nothing was restored. Next step: check the Connection."
        )


def seal_of(snapshot: Snapshot) -> str:
    """Return the id of the Connection whose password sealed a snapshot, from the snapshot's name.

    :raises OACConfigurationError: if the name does not show it.
    """
    origin = origin_of(snapshot.name)
    if origin is None:
        raise OACConfigurationError(
            f"The name of snapshot {snapshot.name!r} does not show which password sealed it, because this provider did "
            "not create it. Nothing was sent. Next step: set seal_conn_id to the Connection with its password."
        )
    return origin.seal


@dataclass(frozen=True)
class RestoreFacts(Record):
    """The facts that a task stores about a restore.

    :param snapshot_id: id of the snapshot in the target.
    :param name: its name.
    :param address: address of the target.
    :param host: host of the target.
    :param system: description that the target returns.
    :param source_instance: instance that the snapshot was taken of, if its name shows it; the same holds for
        ``taken_at``.
    :param seal: id of the Connection whose password opens the snapshot.
    :param form: the form of the password to send: 0 as it is stored, 1 without the line break at its end.
    :param work: which work was started: the safety snapshot or the restore.
    :param approval: the approval under which the restore was sent.
    :param taking: the safety snapshot in progress.
    :param safety: result of the safety snapshot.
    :param after_failure: whether an earlier restore of this task failed. ``safety`` is then from before that restore,
        and the task takes another one.
    :param safety_after_failure: result of that other safety snapshot.
    """

    snapshot_id: str
    name: str
    address: str
    host: str
    system: str | None
    source_instance: str | None
    taken_at: str | None
    seal: str
    form: int = 0
    work: str = ""
    approval: str | None = None
    taking: SnapshotFacts | None = None
    safety: dict[str, Any] | None = None
    after_failure: bool = False
    safety_after_failure: dict[str, Any] | None = None


@dataclass
class Restore(Submission[str, str]):
    """Sends the restore, once; the result is the id of its work request.

    It is sent again only if OAC certainly did not act: the connection failed before the request was sent, or OAC
    answered 401 or 429.

    :param snapshot_id: the snapshot.
    :param password: opens it.
    :param host: the target, for messages.
    """

    snapshot_id: str
    password: str = field(repr=False)
    host: str

    sends = 1

    @property
    def doing(self) -> str:
        """Describe the request for messages."""
        return f"restore snapshot {self.snapshot_id} in {self.host}"

    def call(self, now: float) -> Call[str]:
        """Return the request."""
        return system.restore_snapshot(self.snapshot_id, self.password)

    def accepted(self, api: Api, answer: str) -> str:
        """Return the id of its work request."""
        return answer

    def uncertain(self, lost: OACError, sends: int) -> OACError:
        """Return the error for a restore that OAC may have accepted and that must not be sent again."""
        return OACUncertainError(
            f"OAC may have accepted the request to {self.doing}: {lost} It is not sent again. "
            f"{what_to_check(self.host)}"
        )


def what_to_check(host: str) -> str:
    """Return the instructions for a restore that OAC may or may not have accepted."""
    return (
        f"Next step: sign in to {host} and check whether it has the content of the snapshot; during a restore it may "
        "answer 503 or sign users out. If it was restored, mark this task as success. If it was not within an hour, "
        "start a new DAG run with a new approval."
    )


@dataclass(frozen=True)
class Readiness(Model):
    """The state of an instance after a restore.

    :param system: its details.
    :param searchable: whether its search index is ready; ``None`` if the user may not search.
    """

    system: System
    searchable: bool | None


class ReadinessTarget(PollTarget[tuple[System | None, OACError | None]]):
    """An instance after a restore, done when it answers again and its search index is ready.

    :param plan: how to wait; its deadline and longest pause apply.
    :param refusal_patience: seconds during which OAC may refuse the user: roles come back a little later.
    """

    trouble = "is not ready yet"

    def __init__(
        self, plan: WaitPlan, *, refusal_patience: float = 300.0, report: Callable[[str], None] = lambda _line: None
    ) -> None:
        super().__init__("instance", "the instance", replace(plan, trouble_patience=math.inf), report)
        self._refusal_patience = refusal_patience

    async def poll(self, api: Api) -> tuple[System | None, OACError | None]:
        """Read the instance's details and search for one folder; a refusal is a part of the result."""
        count("polls")
        found: System | None = None
        try:
            found = await api.perform(system.get(), ONCE)
            await api.perform(_SEARCH, ONCE)
        except OACApiError as error:
            if error.status not in TOLERATED:
                raise
            return found, error
        return found, None

    def on_result(self, found: tuple[System | None, OACError | None], now: float) -> float | None:
        """Judge the response of the instance.

        :raises OACApiError: if OAC keeps refusing the user, most likely because the restore replaced the members of
            roles.
        """
        details, refusal = found
        if refusal is None:
            return None
        patience_ends = self.began + self._refusal_patience
        if now >= min(patience_ends, self.deadline or math.inf):
            if details is None:
                raise refusal
            self._report(f"The search index is not checked, because this user may not search the catalog. {refusal}")
            return None
        self._trouble = refusal
        pause = self._pause(now)
        self._say_trouble(refusal)
        return pause

    def timed_out(self, now: float) -> OACWaitTimeoutError:
        """Return the error at the deadline."""
        return OACWaitTimeoutError(
            f"The restore is done, but the instance is not ready {now - self.began:.0f} s later. Do not restore it "
            "again. Next step: check it in the OCI console; once it answers, clear the task, which then only polls "
            f"(before Airflow 3.3: mark it as success). Last failure: {self._trouble}"
        )


@flow
async def ready_again(api: Api, plan: WaitPlan, *, refusal_patience: float = 300.0) -> Readiness:
    """Wait until an instance answers again and its search index is ready; poll at least once.

    The parameters are those of :class:`ReadinessTarget`.

    :raises OACWaitTimeoutError: if it is not ready in time.
    :raises OACApiError: if OAC keeps refusing the user.
    """
    details, refusal = await api.run(
        poll_until_done(ReadinessTarget(plan, refusal_patience=refusal_patience, report=api.report))
    )
    # Without details, only an error ends the wait.
    return Readiness(cast(System, details), None if refusal else True)


@flow
async def ready_now(api: Api) -> Readiness | None:
    """Poll once whether an instance answers and can search; return ``None`` if not, after any error."""
    try:
        found = await api.perform(system.get(), ONCE)
        await api.perform(_SEARCH, ONCE)
    except OACKilledError:
        raise
    except OACError:
        return None
    return Readiness(found, True)


@flow
async def roles_held(api: Api) -> dict[str, bool]:
    """Return which of the application roles that the REST API needs the user has.

    The API does not list roles, so calls that need them show it. ``administrator``: ``GET /system`` (BI Service
    Administrator). ``author``: a search of the catalog (DV Content Author).
    """
    held = {}
    for role, call in (("administrator", system.get()), ("author", _SEARCH)):
        held[role] = True
        try:
            await api.run(fetched(call))
        except OACApiError as error:
            if not error.missing_role and error.status != 403:
                raise
            held[role] = False
    return held
