"""Polling: a target decides when to poll again, and a flow polls it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from airflow_provider_oac.client.api import Api, flow
from airflow_provider_oac.client.calls import Call
from airflow_provider_oac.client.errors import passing
from airflow_provider_oac.client.rest import work_requests
from airflow_provider_oac.client.rest.work_requests import ACTIVE, ENDED, SUCCEEDED, WorkRequest
from airflow_provider_oac.counters import count
from airflow_provider_oac.exceptions import (
    OACApiError,
    OACAuthError,
    OACError,
    OACKilledError,
    OACWaitTimeoutError,
    OACWorkRequestError,
)
from airflow_provider_oac.transport.retry import ONCE

R = TypeVar("R")

# Shortest pause between two polls, in seconds, even if the plan asks for less.
_SHORTEST_PAUSE = 0.05
# Longest pause that OAC may ask for, in seconds.
_LONGEST_ASKED = 300.0
# Counters for the errors that end a wait.
_OUTCOMES = {OACWorkRequestError: "failed", OACWaitTimeoutError: "timed_out", OACKilledError: "stopped"}


@dataclass(frozen=True)
class WaitPlan:
    """How to wait: the pause before the next poll grows with the age of the work.

    :param deadline: wall-clock time (seconds since the epoch) at which the wait ends; ``None`` for never.
    :param longest_pause: longest pause between two polls, in seconds.
    :param first_pause: shortest pause between two polls, in seconds.
    :param pause_share: between these two limits, a pause is this share of the age of the work, so the end is noticed
        within that share.
    :param not_found_grace: seconds after the start during which a 404 only means "not visible yet".
    :param trouble_patience: seconds during which OAC may be unreachable or answer with passing errors.
    :param unknown_states: most polls in a row that may show an undocumented status.
    :param tolerated: HTTP statuses that also count as passing errors, because the work itself causes them: during a
        restore an instance may sign all users out, or not know its own work requests.
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
        """Return the seconds until the next poll of work of this age."""
        return max(_SHORTEST_PAUSE, min(self.longest_pause, max(self.first_pause, age * self.pause_share)))


def asked_pause(error: OACError) -> float:
    """Return the seconds that the server asks to wait (``Retry-After``), up to a limit."""
    asked = error.retry_after if isinstance(error, OACApiError | OACAuthError) else None
    return min(asked or 0.0, _LONGEST_ASKED)


class PollTarget(ABC, Generic[R]):
    """Something to poll until it is done; it judges each poll, and reads no clock.

    A task polls it with :func:`poll_until_done`. The triggerer, which holds many targets, polls it with
    :mod:`airflow_provider_oac.hooks.poll_scheduler`.

    :param key: identifies what is polled: one poll serves all targets with the same key.
    :param name: its name for people.
    :param plan: how to wait.
    :param report: called with a log line when the result of polls changes. One poll may serve several tasks, each with
        its own log, so this is not :attr:`Api.report`.
    """

    # A triggerer may hold a thousand targets.
    __slots__ = ("_plan", "_report", "_reported", "_trouble", "_trouble_since", "began", "key", "name")

    # Reported when a poll fails and the wait continues.
    trouble: ClassVar[str] = "cannot be read at the moment"

    def __init__(self, key: Hashable, name: str, plan: WaitPlan, report: Callable[[str], None]) -> None:
        self.key, self.name = key, name
        self.began = 0.0
        self._plan, self._report = plan, report
        self._reported = ""
        self._trouble: OACError | None = None
        self._trouble_since = 0.0

    @property
    def deadline(self) -> float | None:
        """When the wait ends, in seconds since the epoch; ``None`` for never."""
        return self._plan.deadline

    @property
    def title(self) -> str:
        """The name, capitalized for the beginning of a sentence."""
        return self.name[0].upper() + self.name[1:]

    def begin(self, now: float) -> None:
        """Start the wait now."""
        self.began = now

    @abstractmethod
    async def poll(self, api: Api) -> R:
        """Poll once, without a retry: :meth:`on_error`, which knows the deadline, decides when to poll again."""

    @abstractmethod
    def on_result(self, found: R, now: float) -> float | None:
        """Judge the result of a poll.

        :returns: seconds until the next poll; ``None`` if the wait is over.
        :raises OACError: if the work failed, or the deadline has come.
        """

    def on_error(self, error: OACError, now: float) -> float:
        """Judge a failed poll.

        :returns: seconds until the next poll.
        :raises OACError: the error itself if it is lasting; another one if errors lasted too long or the deadline has
            come.
        """
        if not self._tolerates(error) and not passing(error):
            raise error
        if self._trouble is None:
            self._trouble_since = now
        self._trouble = error
        if now - self._trouble_since > self._plan.trouble_patience:
            raise OACError(
                f"{self.title} could not be read for {now - self._trouble_since:.0f} s. It may continue in OAC. Last "
                f"failure: {error}"
            ) from error
        pause = self._pause(now, asked_pause(error))
        self._say_trouble(error)
        return pause

    def _tolerates(self, error: OACError) -> bool:
        return isinstance(error, OACApiError) and error.status in self._plan.tolerated

    def _say_trouble(self, error: OACError) -> None:
        # The same error may have another request id in each response.
        topic = f"{type(error).__name__} {getattr(error, 'status', '')}"
        self._say(f"{self.title} {self.trouble}; still waiting. {error}", topic)

    def _say(self, line: str, topic: str | None = None) -> None:
        """Report a line, unless the previous line had the same topic (by default: the same text)."""
        if (topic or line) != self._reported:
            self._reported = topic or line
            self._report(line)

    def _pause(self, now: float, at_least: float = 0.0) -> float:
        """Return the seconds until the next poll, which is not after the deadline.

        :raises OACWaitTimeoutError: at the deadline.
        """
        pause = max(at_least, self._plan.pause(now - self.began))
        if self.deadline is None:
            return pause
        if now >= self.deadline:
            raise self.timed_out(now) from self._trouble
        return min(pause, self.deadline - now)

    @abstractmethod
    def timed_out(self, now: float) -> OACWaitTimeoutError:
        """Return the error at the deadline."""


@flow
async def poll_until_done(api: Api, target: PollTarget[R]) -> R:
    """Poll a target, with pauses, until it is done; return the last result.

    :raises OACError: as the target decides.
    """
    target.begin(api.now())
    outcome = "stopped"
    try:
        while True:
            try:
                found = await target.poll(api)
            except OACError as error:
                await api.sleep(target.on_error(error, api.now()))
                continue
            pause = target.on_result(found, api.now())
            if pause is None:
                outcome = "succeeded"
                return found
            await api.sleep(pause)
    except OACError as error:
        outcome = _OUTCOMES.get(type(error), "unreadable")
        raise
    finally:
        count(f"waits.{outcome}")


@flow
async def done_within(api: Api, target: PollTarget[Any], seconds: float) -> bool:
    """Poll a target for some seconds, at least once, and return whether it is done.

    A lasting error or a stop also counts as done: the caller polls again and judges.
    """
    end = api.now() + seconds
    target.begin(api.now())
    try:
        while True:
            try:
                pause = target.on_result(await target.poll(api), api.now())
            except OACError as error:
                pause = target.on_error(error, api.now())
            if pause is None:
                return True
            if api.now() + pause > end:
                return False
            await api.sleep(pause)
    except OACError:
        return True


class WorkRequestTarget(PollTarget[WorkRequest]):
    """A work request, done when it has succeeded; the task reports the end, not the target.

    :param work_request_id: its id.
    :param started_at: when the work was submitted, in seconds since the epoch; by default the start of the wait.
    :param call: the call that reads its state, if it is not the usual one.
    :param noun: what it is, for messages.
    """

    __slots__ = ("_call", "_id", "_last", "_started_at", "_unknown")

    def __init__(
        self,
        work_request_id: str,
        plan: WaitPlan = WaitPlan(),
        *,
        started_at: float | None = None,
        report: Callable[[str], None] = lambda _line: None,
        call: Call[WorkRequest] | None = None,
        noun: str = "work request",
    ) -> None:
        self._call = call or work_requests.get(work_request_id)
        super().__init__((noun, work_request_id, self._call.path), f"{noun} {work_request_id}", plan, report)
        self._id, self._started_at, self._unknown = work_request_id, started_at, 0
        # The last known state, for messages.
        self._last = ""

    def begin(self, now: float) -> None:
        """Start the wait now."""
        self.began = now if self._started_at is None else self._started_at

    async def poll(self, api: Api) -> WorkRequest:
        """Read its state."""
        count("polls")
        return await api.perform(self._call, ONCE)

    def on_result(self, found: WorkRequest, now: float) -> float | None:
        """Judge a state.

        :raises OACWorkRequestError: if the work failed, or its status is unknown for too long.
        """
        self._last, self._trouble = f"{found.status}, {_progress(found.percent)}", None
        if found.status == SUCCEEDED:
            return None
        if found.status in ENDED:
            raise self._failed(found)
        self._unknown = 0 if found.status in ACTIVE else self._unknown + 1
        if self._unknown > self._plan.unknown_states:
            message = (
                f"{self.title} ({found.operation}) had the undocumented status {found.status!r} in {self._unknown} "
                "polls in a row. Next step: check in OAC whether it is done, and report the status to the provider's "
                "authors."
            )
            raise OACWorkRequestError(message, work_request_id=self._id, status=found.status)
        pause = self._pause(now)
        self.report_state(found, now)
        return pause

    def on_error(self, error: OACError, now: float) -> float:
        """Judge a failed poll.

        A 404 is tolerated for some time, even after the first result: the nodes of a cluster may learn of the work at
        different times.

        :raises OACWorkRequestError: if OAC does not know the work request.
        """
        if self._tolerates(error) or not isinstance(error, OACApiError) or error.status != 404:
            return super().on_error(error, now)
        if now - self.began <= self._plan.not_found_grace:
            return self._pause(now)
        before = f" any more (last state: {self._last})" if self._last else ""
        message = (
            f"OAC does not know {self.name}{before}, so its result is unknown. Likely cause: OAC forgot it, the "
            f"instance was replaced, or the Connection names another one. Next step: check the result in OAC. {error}"
        )
        raise OACWorkRequestError(message, work_request_id=self._id, status="NOT_FOUND") from error

    def report_state(self, found: WorkRequest, now: float) -> None:
        """Report a state if it differs from the previous one."""
        age = now - self.began
        self._say(f"{self.title}: {found.status}, {_progress(found.percent)}, after {age:.0f} s.", found.status)

    def timed_out(self, now: float) -> OACWaitTimeoutError:
        """Return the error at the deadline."""
        state = self._last or ("unknown, since no poll succeeded" if self._trouble else "not visible yet")
        trouble = f" The last poll failed: {self._trouble}" if self._trouble else ""
        continues = "continues" if self._last else "may continue"
        step = "raise timeout, and execution_timeout if that is shorter"
        if trouble and not self._last:
            # A longer wait would not help.
            step = "correct the cause of the last failure"
        message = (
            f"{self.title} did not end in time: after {now - self.began:.0f} s its state is {state}. It {continues} in "
            f"OAC, which cannot cancel it. Next step: {step}. A retry or a Clear of the task reattaches to this work "
            f"where possible.{trouble}"
        )
        return OACWaitTimeoutError(message, work_request_id=self._id)

    def _failed(self, work: WorkRequest) -> OACWorkRequestError:
        errors = "; ".join(work.errors).rstrip(".") or "OAC gave no reason"
        # OAC documents no error codes of work requests, so the cause can only be a hint.
        storage = "SNAPSHOT" in work.operation
        hint = " (often the bucket's name, or the policy that lets the instance use the bucket)" if storage else ""
        message = (
            f"{self.title} ({work.operation}) ended {work.status} at {_progress(work.percent)}: {errors}. Next step: "
            f"correct the cause{hint}, then run the task again, which starts new work."
        )
        return OACWorkRequestError(message, work_request_id=self._id, status=work.status)


def _progress(percent: float | None) -> str:
    return "progress unknown" if percent is None else f"{percent:.0f} %"


@flow
async def wait(
    api: Api, work_request_id: str, plan: WaitPlan = WaitPlan(), *, started_at: float | None = None
) -> WorkRequest:
    """Wait until a work request has succeeded, report each change of its status, and return it.

    :param work_request_id: id of the work request.
    :param plan: how to wait.
    :param started_at: when the work was submitted, in seconds since the epoch; by default now.
    :raises OACWorkRequestError: if the work failed or was canceled, with OAC's own errors.
    :raises OACWaitTimeoutError: if the deadline came first.
    """
    target = WorkRequestTarget(work_request_id, plan, started_at=started_at, report=api.report)
    return await api.run(succeeded(target))


@flow
async def succeeded(api: Api, target: WorkRequestTarget) -> WorkRequest:
    """Wait until work has succeeded, and report that."""
    found = await api.run(poll_until_done(target))
    target.report_state(found, api.now())
    return found
