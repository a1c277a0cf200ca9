"""Waiting for a work request: a pure poller, and the flow that drives it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Hashable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from airflow_provider_oac.client.api import Api, Flow
from airflow_provider_oac.client.calls import Call
from airflow_provider_oac.client.rest import work_requests
from airflow_provider_oac.client.rest.work_requests import ACTIVE, SUCCEEDED, WorkRequest
from airflow_provider_oac.exceptions import (
    OACApiError,
    OACAuthError,
    OACError,
    OACResponseError,
    OACTokenStoreError,
    OACTransportError,
    OACWaitTimeoutError,
    OACWorkRequestError,
)
from airflow_provider_oac.transport.retry import ONCE

R = TypeVar("R")

# However short a pause was asked for: OAC is not asked without any.
_SHORTEST_PAUSE = 0.05
# However long OAC asks to stay away, in seconds: it is looked at again.
_LONGEST_ASKED = 300.0


@dataclass(frozen=True)
class WaitPlan:
    """How to wait: the pause before the next poll grows with the age of the work.

    :param deadline: wall-clock time (seconds since the epoch) at which the wait ends; ``None`` for never.
    :param longest_pause: longest pause between two polls, in seconds.
    :param first_pause: shortest pause between two polls, in seconds.
    :param pause_share: a pause is this share of the age of the work, between the two: the end is noticed within it.
    :param not_found_grace: seconds after the start in which a 404 only means "not visible yet".
    :param trouble_patience: seconds in which OAC may be out of reach or answer with passing errors.
    :param unknown_states: how many looks in a row may show a status that nobody knows.
    :param tolerated: HTTP statuses that are trouble to be waited out as well, since the work itself brings them about:
        while an instance is restored it may log everybody out, or not know its own work requests.
    """

    deadline: float | None = None
    longest_pause: float = 30.0
    first_pause: float = 1.0
    pause_share: float = 0.05
    not_found_grace: float = 60.0
    trouble_patience: float = 1800.0
    unknown_states: int = 10
    tolerated: Collection[int] = ()

    def pause(self, age: float) -> float:
        """Seconds until the next poll of work of this age."""
        return max(_SHORTEST_PAUSE, min(self.longest_pause, max(self.first_pause, age * self.pause_share)))


class Poller:
    """Decides after each look whether to look again, to be done, or to fail. Knows no I/O and no clock.

    :param work_request_id: what is waited for.
    :param started_at: when the work began, or the wait if that is not known; seconds since the epoch.
    :param noun: what it is, for messages.
    """

    def __init__(self, work_request_id: str, started_at: float, plan: WaitPlan, noun: str = "work request") -> None:
        self.id = work_request_id
        self.name = f"{noun} {work_request_id}"
        self.title = self.name[0].upper() + self.name[1:]
        self.started_at = started_at
        self.plan = plan
        # Of what was seen last, no more than messages need: a thousand wait at a time.
        self._status: str | None = None
        self._percent: float | None = None
        self._trouble: OACError | None = None
        self._trouble_since: float | None = None
        self._unknown = 0

    def seen(self, work: WorkRequest, now: float) -> float | None:
        """Judge a state that was read.

        :returns: seconds until the next look; ``None`` if the work succeeded.
        :raises OACWorkRequestError: if it failed, or its status is unknown for too long.
        :raises OACWaitTimeoutError: if the deadline has come.
        """
        self._status, self._percent = work.status, work.percent
        self._trouble = self._trouble_since = None
        if work.status == SUCCEEDED:
            return None
        if work.status in ACTIVE:
            self._unknown = 0
            return self._pause(now)
        if work.status in work_requests.ENDED:
            raise self._failed(work)
        self._unknown += 1
        if self._unknown > self.plan.unknown_states:
            raise OACWorkRequestError(
                f"{self.title} ({work.operation}) has the status {work.status!r}, which is not documented, "
                f"for {self._unknown} looks in a row. Expected: ACCEPTED, IN_PROGRESS, SUCCEEDED, FAILED, CANCELING "
                "or CANCELED. Look in OAC whether the work is done, and report the status to the provider's authors.",
                work_request_id=self.id,
                status=work.status,
            )
        return self._pause(now)

    def troubled(self, error: OACError, now: float) -> float:
        """Judge a look that failed.

        :returns: seconds until the next look.
        :raises OACError: the error itself if it will stay, or lasted too long.
        """
        tolerated = isinstance(error, OACApiError) and error.status in self.plan.tolerated
        if isinstance(error, OACApiError) and error.status == 404 and not tolerated:
            return self._not_found(error, now)
        if not tolerated and not passing(error):
            raise error
        self._trouble = error
        if self._trouble_since is None:
            self._trouble_since = now
        if now - self._trouble_since > self.plan.trouble_patience:
            raise OACError(
                f"OAC could not be asked about {self.name} for {now - self._trouble_since:.0f} s; the work "
                f"may go on there. The last failure: {error}"
            ) from error
        return self._pause(now, at_least=asked_pause(error))

    def _not_found(self, error: OACApiError, now: float) -> float:
        # Also if it was seen already: the nodes of a cluster need not learn of it in one instant.
        if now - self.started_at <= self.plan.not_found_grace:
            self._trouble = error
            return self._pause(now)
        raise OACWorkRequestError(
            f"OAC does not know {self.name}"
            + (f" any more (it was {self._status})" if self._status is not None else "")
            + ". It cannot be told whether the work was done. Likely cause: OAC forgot it, the instance was "
            "replaced, or the Connection points at another instance. Next step: look in OAC for its result. "
            f"OAC said: {error}",
            work_request_id=self.id,
            status="NOT_FOUND",
        ) from error

    def _pause(self, now: float, at_least: float = 0.0) -> float:
        pause = max(at_least, self.plan.pause(max(0.0, now - self.started_at)))
        if self.plan.deadline is None:
            return pause
        left = self.plan.deadline - now
        if left <= 0:
            raise OACWaitTimeoutError(self._out_of_time(now), work_request_id=self.id) from self._trouble
        return min(pause, left)

    def _out_of_time(self, now: float) -> str:
        after = f"after {now - self.started_at:.0f} s"
        if self._status is None and self._trouble is not None:
            return (
                f"Whether {self.name} ended is not known: {after} it could not be read once. The last look failed: "
                f"{self._trouble} Next step: remove that cause; a retry or a Clear of the task finds what goes on in "
                "OAC again where it can."
            )
        state = f"{self._status}, {_percent(self._percent)}" if self._status is not None else "not seen yet"
        trouble = f" The last look failed: {self._trouble}" if self._trouble else ""
        return (
            f"{self.title} did not end in time: {after} it is {state}. It goes on in OAC, which offers no way to "
            "cancel it. Give the task a longer timeout, and a longer execution_timeout if it has one that is shorter; "
            f"a retry or a Clear of the task finds this work again where it can.{trouble}"
        )

    def _failed(self, work: WorkRequest) -> OACWorkRequestError:
        errors = "; ".join(work.errors).rstrip(".") or "OAC gave no reason"
        # No code of a failed work request is documented, so the cause can only be a hint.
        storage = "SNAPSHOT" in (work.operation or "")
        hint = " (often the bucket's name, or the policy that lets the instance use the bucket)" if storage else ""
        return OACWorkRequestError(
            f"{self.title} ({work.operation}) ended {work.status} at {_percent(work.percent)}: {errors}. Next step: "
            f"correct what OAC names{hint}, then run the task that started it again, which starts the work anew.",
            work_request_id=self.id,
            status=work.status,
        )


def _percent(percent: float | None) -> str:
    return "progress unknown" if percent is None else f"{percent:.0f} %"


def asked_pause(error: OACError) -> float:
    """Seconds for which the server asks to stay away (``Retry-After``), within reason."""
    asked = error.retry_after if isinstance(error, OACApiError | OACAuthError) else None
    return min(asked or 0.0, _LONGEST_ASKED)


def passing(error: OACError) -> bool:
    """Whether a look that failed with this error may succeed later without anybody changing anything."""
    if isinstance(error, OACApiError | OACAuthError):
        return error.retryable
    if isinstance(error, OACTransportError | OACTokenStoreError):
        return error.passing
    return isinstance(error, OACResponseError)


class PollTarget(Protocol[R]):
    """Something that is looked at until it is as it shall be. Decides, and does nothing.

    :param key: what is looked at; watches with the same key look at the same thing, and one look serves them all.
    :param deadline: when the wait ends, in seconds since the epoch; ``None`` for never.
    """

    key: Hashable
    deadline: float | None

    def look(self, api: Api) -> Awaitable[R]:
        """Look once. Flow."""
        ...

    def begin(self, now: float) -> None:
        """The wait begins now."""
        ...

    def seen(self, found: R, now: float) -> float | None:
        """Judge what was seen.

        :returns: seconds until the next look; ``None`` if the wait is over.
        :raises OACError: if it failed.
        """
        ...

    def troubled(self, error: OACError, now: float) -> float:
        """Judge a look that failed.

        :returns: seconds until the next look.
        :raises OACError: if there is to be none.
        """
        ...


def poll_until_done(watch: PollTarget[R]) -> Flow[R]:
    """Look, and pause, until a watch is over. The flow returns what was seen last.

    So waits a task. In the triggerer, where many wait, :mod:`airflow_provider_oac.hooks.poll_scheduler` asks the same
    watch.

    :raises OACError: as the watch says.
    """

    async def flow(api: Api) -> R:
        watch.begin(api.io.now())
        while True:
            try:
                found = await watch.look(api)
            except OACError as error:
                pause: float | None = watch.troubled(error, api.io.now())
            else:
                pause = watch.seen(found, api.io.now())
            if pause is None:
                return found
            await api.io.sleep(pause)

    return flow


def done_within(watch: PollTarget[Any], seconds: float) -> Flow[bool]:
    """Look for some seconds, once at least, whether a watch is over. Flow.

    A failure that will stay counts as over, too: who goes on looks again and judges.
    """

    async def flow(api: Api) -> bool:
        end = api.io.now() + seconds
        watch.begin(api.io.now())
        while True:
            try:
                pause = watch.seen(await watch.look(api), api.io.now())
            except OACError as error:
                try:
                    pause = watch.troubled(error, api.io.now())
                except OACError:
                    return True
            if pause is None:
                return True
            if api.io.now() + pause > end:
                return False
            try:
                await api.io.sleep(pause)
            except OACError:
                # Told to stop, which whoever goes on is told as well.
                return True

    return flow


class WorkRequestTarget:
    """The watch of a work request: over when it succeeded. Parameters and errors are those of :func:`wait`.

    It reports no end: the task does, which reads the state once more after a deferral.
    """

    __slots__ = ("_begun", "_call", "_id", "_known", "_noun", "_plan", "_report", "_started_at", "deadline", "key")

    def __init__(
        self,
        work_request_id: str,
        plan: WaitPlan = WaitPlan(),
        *,
        started_at: float | None = None,
        report: Callable[[str], None] = lambda _line: None,
        look: Call[WorkRequest] | None = None,
        noun: str = "work request",
    ) -> None:
        self._call = look or work_requests.get(work_request_id)
        self.key: Hashable = (noun, work_request_id, self._call.path)
        self.deadline = plan.deadline
        self._id, self._plan, self._noun = work_request_id, plan, noun
        self._started_at, self._report = started_at, report
        self._begun: Poller | None = None
        self._known: str | None = None

    @property
    def _poller(self) -> Poller:
        if self._begun is None:
            raise RuntimeError("this watch has not begun")
        return self._begun

    def look(self, api: Api) -> Awaitable[WorkRequest]:
        """Look once. Whether to look again, and when, is the poller's to say, who knows the deadline. Flow."""
        return api.perform(self._call, ONCE)

    def begin(self, now: float) -> None:
        """The wait begins now."""
        started_at = now if self._started_at is None else self._started_at
        self._begun = Poller(self._id, started_at, self._plan, self._noun)

    def seen(self, found: WorkRequest, now: float) -> float | None:
        """Judge a state that was read; see :meth:`Poller.seen`."""
        pause = self._poller.seen(found, now)
        if pause is not None and found.status != self._known:
            self.report(found, now)
        return pause

    def report(self, found: WorkRequest, now: float) -> None:
        """Report a state."""
        self._known = found.status
        age = now - self._poller.started_at
        self._report(f"{self._poller.title}: {found.status}, {_percent(found.percent)}, after {age:.0f} s.")

    def troubled(self, error: OACError, now: float) -> float:
        """Judge a look that failed; see :meth:`Poller.troubled`."""
        pause = self._poller.troubled(error, now)
        if self._known != "trouble":
            self._known = "trouble"
            self._report(f"{self._poller.title} cannot be read at the moment, waiting on: {error}")
        return pause


def wait(
    work_request_id: str,
    plan: WaitPlan = WaitPlan(),
    *,
    started_at: float | None = None,
    report: Callable[[str], None] = lambda _line: None,
) -> Flow[WorkRequest]:
    """Wait for a work request. The flow returns it when it succeeded.

    :param work_request_id: id of the work request.
    :param plan: how to wait.
    :param started_at: when the work was submitted, seconds since the epoch; by default now.
    :param report: gets a line for people at each change of the status, and when trouble begins and ends.
    :raises OACWorkRequestError: if the work failed or was canceled, with OAC's own errors.
    :raises OACWaitTimeoutError: if the deadline came first.
    """
    return succeeded(WorkRequestTarget(work_request_id, plan, started_at=started_at, report=report))


def succeeded(watch: WorkRequestTarget) -> Flow[WorkRequest]:
    """Wait until work succeeded, and report that. Flow."""

    async def flow(api: Api) -> WorkRequest:
        found = await poll_until_done(watch)(api)
        watch.report(found, api.io.now())
        return found

    return flow
