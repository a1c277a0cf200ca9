"""Restoring a snapshot: the guards before it, the one request, and the look at the instance after it.

A restore replaces the content of a whole instance, and there is no undo (documented by absence). Its answer may get
lost like any other, and OAC lists no work requests, so that a restore whose answer was lost is never sent again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_oac.client.api import Api, Flow
from airflow_provider_oac.client.calls import Call
from airflow_provider_oac.client.flows.create_snapshot import SnapshotFacts
from airflow_provider_oac.client.flows.polling import WaitPlan, passing, poll_until_done
from airflow_provider_oac.client.flows.submit import Submission
from airflow_provider_oac.client.models import Model
from airflow_provider_oac.client.paging import fetched
from airflow_provider_oac.client.registered_names import origin_of
from airflow_provider_oac.client.rest import catalog, system
from airflow_provider_oac.client.rest.snapshots import Snapshot
from airflow_provider_oac.client.rest.system import System
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

# While an instance is restored it may log everybody out, know nobody's roles, or not know its own work requests
# (inferred: users and roles are part of what is replaced).
TOLERATED = (401, 403, 404)

REPLACED = (
    "everything in the catalog (folders, workbooks, reports, datasets, data flows, sequences, connections, semantic "
    "models), who may see what, application roles and their members, and the settings of the system"
)
NOT_SAVED = (
    "schedules of deliveries, the data of files that people uploaded, and data in external sources: check and set them "
    "up by hand"
)


def check_target(expected_host: str, address: str) -> None:
    """Refuse any instance but the one that is meant.

    :param expected_host: host of the target, with a port where it is not https' own; an address is taken as well.
    :param address: address of the instance that the Connection leads to.
    :raises OACConfigurationError: if they differ, or the expectation is no host.
    """
    expected, actual = _host_and_port(expected_host), _host_and_port(address)
    if expected is None:
        raise OACConfigurationError(
            f"expected_host is {expected_host!r}, but must name the host of the instance whose content is to be "
            "replaced, such as myinstance-namespace-ia.analytics.ocp.oraclecloud.com. Nothing was sent."
        )
    if expected != actual:
        raise OACConfigurationError(
            f"The Connection leads to {urlsplit(address).netloc}, but the task is to restore {expected_host!r} only "
            "(expected_host). Nothing was sent. Likely cause: the wrong Connection, or one that was edited. Next step: "
            "find out which of the two is meant; a restore of the wrong instance cannot be undone."
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
    """Refuse an instance that says of itself that it is another one.

    :param expected: its key or its description, as ``GET /system`` shows them; ``None`` for any.
    :raises OACConfigurationError: if neither is equal.
    """
    if expected is not None and expected not in (
        found.service_instance_key,
        found.description,
        found.raw.get("description"),
    ):
        raise OACConfigurationError(
            f"The instance says that it is {found.description!r} (key {found.service_instance_key!r}), but the task is "
            f"to restore {expected!r} only (expected_system). Nothing was restored. Check the Connection."
        )


def seal_of(snapshot: Snapshot) -> str:
    """The id of the Connection whose password sealed a snapshot, by its name.

    :raises OACConfigurationError: if the name does not say.
    """
    origin = origin_of(snapshot.name)
    if origin is None:
        raise OACConfigurationError(
            f"The name of snapshot {snapshot.name!r} does not say which password sealed it, as the names of snapshots "
            "that this provider took do. Nothing was sent. Give seal_conn_id: the Airflow Connection whose password it "
            "is. Without the password a snapshot cannot be restored."
        )
    return origin.seal


@dataclass(frozen=True)
class RestoreFacts(Record):
    """What a task knows of a restore.

    :param snapshot_id: the snapshot, in the target.
    :param name: its name.
    :param address: address of the target.
    :param host: its host.
    :param system: what it says of itself.
    :param source_instance: of which instance the snapshot was taken, if its name tells; so ``taken_at``.
    :param seal: the Connection whose password opens the snapshot.
    :param form: which form of the password is used.
    :param work: which of the two works was started: the safety snapshot or the restore.
    :param approval: under which approval it was sent.
    :param taking: the safety snapshot that is being taken.
    :param safety: the safety snapshot, as its result.
    :param after_failure: whether an earlier restore of this task failed, so ``safety`` is of before that, and another
        one is taken now.
    :param safety_after_failure: that one.
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
    """Sends the restore, once. The result is the id of its work request.

    It is sent again only where it is certain that OAC did not act: the connection could not be made, 401, 429.

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
        """What OAC is asked to do."""
        return f"restore snapshot {self.snapshot_id} in {self.host}"

    def call(self, now: float) -> Call[str]:
        """The request."""
        return system.restore_snapshot(self.snapshot_id, self.password)

    def accepted(self, answer: str) -> str:
        """The id of its work request."""
        return answer

    def uncertain(self, lost: OACError, sends: int) -> OACError:
        """The error if OAC may have accepted it: it must not be sent again."""
        return OACUncertainError(
            f"OAC may or may not have begun to {self.doing}: {lost} It is not sent again. {what_to_check(self.host)}"
        )


def what_to_check(host: str) -> str:
    """What a person does when nobody can tell whether a restore was accepted."""
    return (
        f"Check: sign in to {host} and see whether its content is that of the snapshot; while it is restored it may "
        "answer 503 or sign everybody out. If it was restored, mark this task as success. If it was not, an hour later "
        "either, start a new DAG run, with a new approval: this one does not send it again."
    )


@dataclass(frozen=True)
class Readiness(Model):
    """How an instance answers after a restore.

    :param system: what it says of itself.
    :param searchable: whether its search index is ready; ``None`` if the user may not search.
    """

    system: System
    searchable: bool | None


@dataclass(frozen=True)
class _Answer:
    """How an instance answered one look."""

    system: System | None
    error: OACError | None


class ReadinessTarget:
    """The watch of an instance after a restore. Parameters and errors are those of :func:`ready_again`."""

    key: Hashable = "instance"

    def __init__(
        self,
        deadline: float,
        *,
        longest_pause: float = 30.0,
        refusal_patience: float = 300.0,
        report: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self.deadline: float | None = deadline
        self.result: Readiness | None = None
        self._ends, self._refusal_patience, self._report = deadline, refusal_patience, report
        self._longest_pause, self._plan = longest_pause, WaitPlan(longest_pause=longest_pause)
        self._began = 0.0
        self._told = ""

    def look(self, api: Api) -> Awaitable[_Answer]:
        """Look once. Flow."""
        return _answer(api)

    def begin(self, now: float) -> None:
        """The wait begins now."""
        self._began = now

    def seen(self, found: _Answer, now: float) -> float | None:
        """Judge how the instance answered."""
        if found.system is not None and found.error is None:
            self.result = Readiness(found.system, True)
            return None
        error = found.error or OACError("The instance gave no answer.")
        refused = isinstance(error, OACApiError) and error.status in TOLERATED
        if refused and now >= min(self._ends, self._began + self._refusal_patience):
            if found.system is None:
                raise error
            self._report(f"This user may not search the catalog, so that its index is not looked at: {error}")
            self.result = Readiness(found.system, None)
            return None
        return self._pause(error, refused, now)

    def troubled(self, error: OACError, now: float) -> float:
        """Judge a look that failed as a whole."""
        return self._pause(error, False, now)

    def _pause(self, error: OACError, refused: bool, now: float) -> float:
        if not refused and not passing(error):
            raise error
        if now >= self._ends:
            raise _not_ready(now - self._began, error) from error
        if self._told != str(error):
            self._told = str(error)
            self._report(f"The instance is not ready yet, waiting on: {error}")
        asked = error.retry_after if isinstance(error, OACApiError) else None
        pause = max(self._plan.pause(now - self._began), min(asked or 0.0, self._longest_pause))
        return min(pause, max(0.05, self._ends - now))


async def _answer(api: Api) -> _Answer:
    found: System | None = None
    try:
        found = await api.perform(system.get(), ONCE)
        await api.perform(catalog.list_items("folders", limit=1).page(1), ONCE)
    except OACApiError as error:
        if error.status not in TOLERATED:
            raise
        return _Answer(found, error)
    return _Answer(found, None)


def ready_again(
    deadline: float,
    *,
    longest_pause: float = 30.0,
    refusal_patience: float = 300.0,
    report: Callable[[str], None] = lambda _line: None,
) -> Flow[Readiness]:
    """Wait until an instance answers again and its search index is ready. Looks once at least.

    :param deadline: when to give up, in seconds since the epoch.
    :param longest_pause: most seconds between two looks.
    :param refusal_patience: seconds in which the user may be refused: roles come back a little later.
    :param report: gets lines for people.
    :raises OACWaitTimeoutError: if it is not ready in time.
    :raises OACApiError: if the user stays refused, most likely because the restore replaced the members of roles.
    """

    async def flow(api: Api) -> Readiness:
        watch = ReadinessTarget(deadline, longest_pause=longest_pause, refusal_patience=refusal_patience, report=report)
        await poll_until_done(watch)(api)
        if watch.result is None:
            raise RuntimeError("the watch ended without a result")
        return watch.result

    return flow


def ready_now() -> Flow[Readiness | None]:
    """Look once whether an instance answers and can search. The flow returns ``None`` if not, for any reason."""

    async def flow(api: Api) -> Readiness | None:
        try:
            answer = await _answer(api)
        except OACKilledError:
            raise
        except OACError:
            return None
        return Readiness(answer.system, True) if answer.system is not None and answer.error is None else None

    return flow


def _not_ready(waited: float, error: OACError) -> OACWaitTimeoutError:
    return OACWaitTimeoutError(
        f"The restore is done, but after {waited:.0f} s more the instance is not ready. Do not restore it again for "
        "that: look at it in the OCI console, and clear the task once it answers, which only looks again and sends "
        f"nothing (before Airflow 3.3: mark it as success). The last failure: {error}"
    )


def access_of(author_too: bool = True) -> Flow[dict[str, bool]]:
    """Which of the application roles that the REST API needs its user has, as calls that need them show. Flow.

    The API shows nobody's roles. ``administrator``: ``GET /system`` (BI Service Administrator). ``author``: a search
    of the catalog (DV Content Author).

    :param author_too: whether to ask for the second as well.
    """

    async def flow(api: Api) -> dict[str, bool]:
        held = {"administrator": await _allowed(api, system.get())}
        if author_too:
            held["author"] = await _allowed(api, catalog.list_items("folders", limit=1).page(1))
        return held

    return flow


async def _allowed(api: Api, call: Call[Any]) -> bool:
    try:
        await fetched(api, call)
    except OACApiError as error:
        if error.missing_role or error.status == 403:
            return False
        raise
    return True
