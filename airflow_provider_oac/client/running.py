"""Starting a reload, a data flow or a sequence once, although OAC has neither an idempotency key nor a list of work
requests: what it ran stands in the job history, where nothing says who asked for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from airflow_provider_oac.client import jobs
from airflow_provider_oac.client.api import Api, Flow
from airflow_provider_oac.client.calls import Call
from airflow_provider_oac.client.jobs import Job, Runnable
from airflow_provider_oac.client.models import Model
from airflow_provider_oac.client.taking import may_have_acted, says_no_user
from airflow_provider_oac.client.waiting import WaitPlan, WorkWatch, looked_after
from airflow_provider_oac.client.work_requests import WorkRequest
from airflow_provider_oac.exceptions import (
    OACApiError,
    OACError,
    OACKilledError,
    OACResponseError,
    OACTransportError,
    OACUncertainError,
)

# What to do if it is running already.
FAIL = "fail"
WAIT = "wait"
ADOPT = "adopt"
POLICIES = (FAIL, WAIT, ADOPT)

# How a run came about: started and accepted; found in the history after an uncertain start; taken over from somebody
# else; or not yet, since somebody else's is running.
OWN = "own"
FOUND = "found"
ADOPTED = "adopted"
BUSY = "busy"

_SENDS = 3
_LOOK_INTERVAL = 2.0
_NEWEST = 25
# After a 409 without a job that runs: the history may be late, or the job has just ended.
_BUSY_PAUSE = 5.0
# The history tells whole seconds, and clocks differ a little.
_CLOCKS = 5.0


@dataclass(frozen=True)
class Mark(Model):
    """A point in the history of an object, so that the jobs after it can be told.

    :param known: ids of the newest jobs at that point. Needs no clock, so that nobody's matters.
    :param since: seconds since the epoch, where nobody looked at that point; then ``known`` does not count.
    """

    known: tuple[str, ...] = ()
    since: float | None = None

    def record(self) -> dict[str, Any]:
        """As JSON."""
        return {"known": list(self.known), "since": self.since}

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Mark:
        """Read it back."""
        return cls(tuple(record["known"]), record["since"])


@dataclass(frozen=True)
class Launched(Model):
    """What became of a start.

    :param how: ``own``, ``found``, ``adopted`` or ``busy``.
    :param work_request_id: its work request, if OAC accepted it and said so.
    :param job_id: the job in the history, for all others.
    :param mark: the point in the history before it was started.
    """

    how: str
    work_request_id: str | None
    job_id: str | None
    mark: Mark


@dataclass(frozen=True)
class RunOrder:
    """The run that is wanted.

    :param of: what to run.
    :param start: the call that starts it.
    :param if_running: what to do if OAC answers that it is running already (409): ``fail``; ``wait``, for which
        :func:`launch` returns the job to be waited for; or ``adopt`` that job.
    :param settling_time: seconds for which a job that may have been started is looked for.
    """

    of: Runnable
    start: Call[str]
    if_running: str = FAIL
    settling_time: float = 30.0


def launch(
    order: RunOrder,
    *,
    traces: Mark | None = None,
    before_send: Callable[[Mark], None] = lambda _mark: None,
    report: Callable[[str], None] = lambda _line: None,
) -> Flow[Launched]:
    """Start a run unless an earlier try already has. The flow returns when OAC has accepted it, or when it is known
    which job runs instead.

    Exactly one run is promised where OAC lists a job as soon as it accepts it, and nobody else starts one of the same
    object meanwhile: a job does not say who asked for it.

    :param order: what to run.
    :param traces: a point before an earlier try that may have started it; ``None`` if there was none.
    :param before_send: is given the point in the history before it is started, to be remembered.
    :param report: gets lines for people.
    :raises OACUncertainError: if it cannot be told whether OAC started it.
    :raises OACApiError: if OAC refuses.
    """
    of, start = order.of, order.start

    async def flow(api: Api) -> Launched:
        if traces is not None:
            found = await _look(api, of, traces, order.settling_time, failed=False)
            if found is not None:
                report(
                    f"Job {found.id} of {of} ({found.status}) was started after the first try of this task, which may "
                    "have started it: it is adopted, and nothing is started again. A job does not say who asked for it."
                )
                return Launched(FOUND, None, found.id, traces)
        mark = Mark(tuple(job.id for job in await _listed(api, of)))
        before_send(mark)
        last: OACError | None = None
        refusal: OACApiError | None = None
        for _ in range(_SENDS):
            try:
                accepted = await api.perform(start)
            except (OACTransportError, OACApiError, OACResponseError) as error:
                if isinstance(error, OACApiError) and error.status == 409:
                    instead, refusal = await _busy(api, order, mark, error, last, report), error
                elif may_have_acted(error) and not says_no_user(error):
                    instead, last = await _lost(api, order, mark, error, report), error
                else:
                    raise
                if instead is not None:
                    return instead
                continue
            report(f"OAC accepted to {start.doing} as work request {accepted}.")
            return Launched(OWN, accepted, None, mark)
        if refusal is not None and last is None:
            raise refusal
        raise OACUncertainError(
            f"OAC was asked {_SENDS} times to {start.doing} and gave no usable answer, nor does its job history show "
            "that it runs. Check the instance, then let the task run again: it looks at the history before it asks. "
            f"The last failure: {last}"
        ) from last

    return flow


def job_since(of: Runnable, mark: Mark, patience: float = 10.0) -> Flow[Job | None]:
    """The first job after a point in the history, with its tasks. The flow returns ``None`` if there is none, and a job
    that has not ended if the history is still behind when the patience is over.

    :param of: what ran.
    :param mark: the point.
    :param patience: seconds for which a history that is behind is waited for.
    """

    async def flow(api: Api) -> Job | None:
        left = patience
        while True:
            new = await _newer(api, of, mark)
            if (new and new[-1].over) or left <= 0:
                if not new:
                    return None
                return await api.perform(jobs.one(of, new[-1].id))
            pause = min(left, _LOOK_INTERVAL)
            await api.io.sleep(pause)
            left -= pause

    return flow


def wait_for_job(
    of: Runnable,
    job_id: str,
    plan: WaitPlan = WaitPlan(),
    *,
    started_at: float | None = None,
    report: Callable[[str], None] = lambda _line: None,
) -> Flow[WorkRequest]:
    """Wait for a job of which no work request is known. The flow returns it, seen as a work request, when it succeeded.

    :param of: what runs.
    :param job_id: id of the job. The other parameters are those of :func:`airflow_provider_oac.client.waiting.wait`.
    :raises OACWorkRequestError: if it failed or was canceled.
    :raises OACWaitTimeoutError: if the deadline came first.
    """
    return looked_after(job_watch(of, job_id, plan, started_at=started_at, report=report))


def job_watch(
    of: Runnable,
    job_id: str,
    plan: WaitPlan = WaitPlan(),
    *,
    started_at: float | None = None,
    report: Callable[[str], None] = lambda _line: None,
) -> WorkWatch:
    """The watch of :func:`wait_for_job`, whose parameters it has."""
    look = jobs.watched(of, job_id)
    return WorkWatch(job_id, plan, started_at=started_at, report=report, look=look, noun="job")


async def _busy(
    api: Api,
    order: RunOrder,
    mark: Mark,
    refusal: OACApiError,
    lost: OACError | None,
    report: Callable[[str], None],
) -> Launched | None:
    """What a 409 leads to; ``None`` if it may be over with the next attempt.

    :param lost: why an attempt before this one is uncertain, if one is.
    :raises OACApiError: the refusal itself, if nothing else is wanted.
    """
    of = order.of
    running = next((job for job in await _listed(api, of) if not job.over), None)
    if running is None:
        report(f"OAC refuses to run {of} (409), although its job history shows no job that runs.")
        # What was lost is probably what runs: the history is late.
        late = await _look(api, of, mark, _BUSY_PAUSE, failed=True) if lost is not None else None
        if late is not None:
            report(f"Job {late.id} ({late.status}) has appeared there: it is taken for the one that was asked for.")
            return Launched(FOUND, None, late.id, mark)
        if order.if_running == FAIL:
            raise refusal
        await api.io.sleep(_BUSY_PAUSE)
        return None
    which = (
        f"as job {running.id}, asked for at {running.requested or 'an unknown time'} ({running.origin or 'unknown'})"
    )
    if lost is not None and running.id not in mark.known:
        report(f"The {of} is running {which}, which is new: it is taken for the one that was asked for.")
        return Launched(FOUND, None, running.id, mark)
    if order.if_running == ADOPT:
        report(f"The {of} is running already {which}: it is adopted, and its result is this task's.")
        return Launched(ADOPTED, None, running.id, mark)
    if order.if_running == WAIT:
        report(f"The {of} is running already {which}: waiting for its end, then starting anew.")
        return Launched(BUSY, None, running.id, mark)
    report(f"The {of} is running already {which}. With if_running 'wait' or 'adopt' this would be no failure.")
    raise refusal


async def _lost(
    api: Api, order: RunOrder, mark: Mark, cause: OACError, report: Callable[[str], None]
) -> Launched | None:
    """What an answer leads to of which it cannot be told whether OAC acted; ``None`` if it counts as not started."""
    of = order.of
    report(f"OAC may or may not have started {of}; looking for it in the job history. {cause}")
    try:
        found = await _look(api, of, mark, order.settling_time, failed=True)
    except OACKilledError:
        raise
    except OACError as error:
        raise OACUncertainError(
            f"OAC may have started {of}, and its job history could not be read to find out. Let the task run again: it "
            f"looks at the history before it asks. First: {cause} Then: {error}"
        ) from error
    if found is None:
        report(f"No new job is there after {order.settling_time:.0f} s, which counts as not started.")
        return None
    report(f"Job {found.id} ({found.status}) is new there: it is taken for the one that was asked for.")
    return Launched(FOUND, None, found.id, mark)


async def _listed(api: Api, of: Runnable, since: float | None = None) -> Sequence[Job]:
    """The newest jobs, the newest first."""
    moment = None if since is None else datetime.fromtimestamp(since - _CLOCKS, UTC)
    try:
        return await api.perform(jobs.history(of, since=moment, limit=_NEWEST, tasks=False))
    except OACApiError as error:
        # Of what never ran there may be no history (not documented). If there is no such object at all, the start says.
        if error.status == 404:
            return []
        raise


async def _newer(api: Api, of: Runnable, mark: Mark) -> list[Job]:
    """The jobs after a point, the newest first."""
    known = mark.known if mark.since is None else ()
    return [job for job in await _listed(api, of, mark.since) if job.id not in known]


async def _look(api: Api, of: Runnable, mark: Mark, settling_time: float, *, failed: bool) -> Job | None:
    """A job after a point, looked for until ``settling_time`` seconds have passed: the first of them; or the newest, if
    the point is a time, before which others may have been started.

    :param failed: whether one that failed will do.
    """
    left = settling_time
    while True:
        new = [job for job in await _newer(api, of, mark) if failed or not job.failed]
        if new:
            return new[-1] if mark.since is None else new[0]
        if left <= 0:
            return None
        pause = min(left, _LOOK_INTERVAL)
        await api.io.sleep(pause)
        left -= pause
