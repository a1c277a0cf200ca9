"""Start a reload, a data flow or a sequence once, and summarize its job.

OAC has neither an idempotency key nor a list of work requests. The job history shows what ran, but not who asked for
it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from airflow_provider_oac.client.api import Api, flow
from airflow_provider_oac.client.calls import Call
from airflow_provider_oac.client.flows.polling import WaitPlan, WorkRequestTarget
from airflow_provider_oac.client.flows.submit import Submission, search
from airflow_provider_oac.client.models import Model
from airflow_provider_oac.client.rest import jobs
from airflow_provider_oac.client.rest.jobs import Job, JobTask, Runnable
from airflow_provider_oac.exceptions import OACApiError, OACError
from airflow_provider_oac.records import Record
from airflow_provider_oac.transport.redaction import quoted

# What to do if the object is already running.
FAIL = "fail"
WAIT = "wait"
ADOPT = "adopt"
POLICIES = (FAIL, WAIT, ADOPT)

# How a run came about: started and accepted; found in the history after an uncertain start; adopted from another user;
# or not started yet, because a run of another user is active.
OWN = "own"
FOUND = "found"
ADOPTED = "adopted"
BUSY = "busy"
# An attempt whose outcome is not known yet.
SENT = "sent"

_NEWEST = 25
# Seconds to wait after a 409 without an active job: the history may be late, or the job has just ended.
_BUSY_PAUSE = 5.0
# Tolerance in seconds: the history has whole seconds, and clocks differ a little.
_CLOCKS = 5.0


@dataclass(frozen=True)
class Mark(Record, Model):
    """A point in the job history of an object, used to find later jobs.

    :param known: ids of the newest jobs at that point; this needs no clock.
    :param since: seconds since the epoch, if the history was not read at that point; ``known`` then does not count.
    """

    known: tuple[str, ...] = ()
    since: float | None = None


@dataclass(frozen=True)
class RunFacts(Record):
    """The facts that a task stores about the run that it starts.

    :param how: as in :class:`Launched`; ``sent`` if the outcome is not known yet.
    :param object_id: id of the object that runs, encoded.
    :param mark: the point in the history before the start.
    :param job_id: the job in the history, if its work request is not known.
    """

    how: str
    object_id: str
    mark: Mark
    job_id: str | None = None


@dataclass(frozen=True)
class Launched(Model):
    """The result of a start.

    :param how: ``own``, ``found``, ``adopted`` or ``busy``.
    :param work_request_id: its work request, if OAC accepted the start and returned one.
    :param job_id: the job in the history, in all other cases.
    :param mark: the point in the history before the start.
    """

    how: str
    work_request_id: str | None
    job_id: str | None
    mark: Mark


@dataclass
class Run(Submission[str, Launched]):
    """Starts a run; its clue is the point in the history before it.

    Guarantee: exactly one run, provided that OAC lists a job on acceptance and no other user starts the same object
    meanwhile, because a job does not show who asked for it. If another job already runs, the result names it.

    :param of: the object to run.
    :param start: the call that starts it.
    :param if_running: what to do if OAC answers that the object is already running (409): ``fail``; ``wait``: the
        result names the job to wait for; or ``adopt`` that job.
    :param traces: the clue of an earlier try that may have started the run.
    """

    of: Runnable
    start: Call[str]
    if_running: str = FAIL
    traces: Mark | None = None
    clue: Mark | None = None

    where = "the job history"

    def __post_init__(self) -> None:
        self.suspect = self.traces is not None

    @property
    def doing(self) -> str:
        """Describe the request for messages."""
        return self.start.doing

    async def trace(self, api: Api, lost: OACError | None) -> Launched | None:
        """Return the job that an earlier try, or the attempt with the lost response, has started."""
        mark = self.clue or self.traces or Mark()
        # A failed job does not count as the result of an earlier try.
        new = [job for job in await _newer(api, self.of, mark) if lost is not None or not job.failed]
        if not new:
            return None
        # A mark by time may also match jobs that were started before, so the newest job counts.
        found = new[-1] if mark.since is None else new[0]
        api.report(
            f"Job {found.id} of {self.of} ({found.status}) is new in the job history. The task adopts it as its own "
            "run and starts no other. A job does not show who requested it."
        )
        return Launched(FOUND, None, found.id, mark)

    async def prepare(self, api: Api) -> None:
        """Record which jobs already exist."""
        self.clue = Mark(tuple(job.id for job in await _listed(api, self.of)))

    def call(self, now: float) -> Call[str]:
        """Return the call that starts the run."""
        return self.start

    def accepted(self, api: Api, answer: str) -> Launched:
        """Return the run with its work request."""
        api.report(f"OAC accepted the request to {self.doing}: work request {answer}.")
        return Launched(OWN, answer, None, self.clue or Mark())

    async def refused(self, api: Api, error: OACApiError, lost: OACError | None) -> Launched | None:
        """Decide what a 409 means: the object is already running, maybe through the attempt with the lost response."""
        if error.status != 409:
            raise error
        of, mark = self.of, self.clue or Mark()
        running = next((job for job in await _listed(api, of) if not job.over), None)
        if running is None:
            api.report(f"OAC refuses to run {of} (409), but the job history shows no running job.")
            # The lost attempt is probably the one that runs, and the history is late.
            if lost is not None and (late := await search(api, lambda: self.trace(api, lost), _BUSY_PAUSE)):
                return late
            if self.if_running == FAIL:
                raise error
            await api.sleep(_BUSY_PAUSE)
            return None
        if lost is not None and running.id not in mark.known:
            how, then = FOUND, "This job is new, so the task adopts it as its own run."
        elif self.if_running == ADOPT:
            how, then = ADOPTED, "The task adopts this job, and its result."
        elif self.if_running == WAIT:
            how, then = BUSY, "The task waits for its end, then starts a new run."
        else:
            how, then = "", "if_running='wait' or 'adopt' avoids this failure."
        requested = f"requested at {running.requested or 'an unknown time'} ({running.origin or 'unknown'})"
        api.report(f"The {of} is already running as job {running.id}, {requested}. {then}")
        if not how:
            raise error
        return Launched(how, None, running.id, mark)


@flow
async def job_since(api: Api, of: Runnable, mark: Mark, patience: float = 10.0) -> Job | None:
    """Return the first job after a point in the history, with its tasks.

    It returns ``None`` if there is no such job, and a job that has not ended if the history still lags when the
    patience is over.

    :param of: the object that ran.
    :param mark: the point in the history.
    :param patience: seconds to wait for a history that lags.
    """
    first: Job | None = None

    async def ended() -> bool | None:
        nonlocal first
        first = next(reversed(await _newer(api, of, mark)), None)
        return True if first and first.over else None

    await search(api, ended, patience)
    if first is None:
        return None
    return await api.perform(jobs.one(of, first.id))


def job_target(
    of: Runnable,
    job_id: str,
    plan: WaitPlan = WaitPlan(),
    *,
    started_at: float | None = None,
    report: Callable[[str], None] = lambda _line: None,
) -> WorkRequestTarget:
    """Make a target for a job whose work request is not known; it is polled like a work request.

    :param of: the object that runs.
    :param job_id: id of the job. The other parameters are those of
        :class:`airflow_provider_oac.client.flows.polling.WorkRequestTarget`.
    """
    call = jobs.state(of, job_id)
    return WorkRequestTarget(job_id, plan, started_at=started_at, report=report, call=call, noun="job")


async def _listed(api: Api, of: Runnable, since: float | None = None) -> Sequence[Job]:
    """Return the newest jobs, newest first."""
    moment = None if since is None else datetime.fromtimestamp(since - _CLOCKS, UTC)
    try:
        history = jobs.JobHistory(of.kind, of.noun).history
        return await api.perform(history(of.object_id, since=moment, limit=_NEWEST, tasks=False))
    except OACApiError as error:
        # An object that never ran may have no history (not documented). If the object is missing, the start fails.
        if error.status == 404:
            return []
        raise


async def _newer(api: Api, of: Runnable, mark: Mark) -> list[Job]:
    """Return the jobs after a point in the history, newest first."""
    known = mark.known if mark.since is None else ()
    return [job for job in await _listed(api, of, mark.since) if job.id not in known]


# Limits of a result: an XCom is a row in Airflow's database, and OAC decides how long names are.
MOST_TASKS = 50
_LONGEST_TEXT = 200
# Members of a result, with the attributes that they come from.
_JOB_MEMBERS = {
    "job_id": "id", "job_status": "status", "rows": "rows", "bytes": "size", "seconds": "seconds",
    "queued_seconds": "queued_seconds",
}  # fmt: skip
_TASK_MEMBERS = {
    "name": "name", "status": "status", "source": "source", "target": "target", "rows": "rows", "bytes": "size",
    "seconds": "seconds", "rows_per_second": "rows_per_second", "throughput": "throughput",
}  # fmt: skip


def job_lines(job: Job) -> list[tuple[bool, str]]:
    """Return log lines about a job, each with whether it reports a failure.

    There is one line for the job and one for each task. Of many tasks, those that failed come first and the rest is
    counted.
    """
    queued = _amount(job.queued_seconds, "s", "queued ")
    count = f"{len(job.tasks)} tasks" if len(job.tasks) != 1 else "1 task"
    head = _line(f"Job {_cut(job.id)} ({_cut(job.name)}): {_cut(job.status)}", job, queued, count)
    tasks = _first_tasks(job)
    lines = [(job.failed, head), *[(task.failed, _task_line(task)) for task in tasks]]
    if more := len(job.tasks) - len(tasks):
        failed = sum(task.failed for task in job.tasks) - sum(task.failed for task in tasks)
        lines.append((failed > 0, f"{more} more tasks, {failed} of them failed."))
    return lines


def job_summary(job: Job | None) -> dict[str, Any]:
    """Summarize a job as JSON of bounded size.

    It has at most 50 tasks, failed ones first, and cuts long names. Without a job it has the same members.
    """
    tasks = _first_tasks(job) if job else []
    return {
        **{name: getattr(job, attribute, None) for name, attribute in _JOB_MEMBERS.items()},
        "tasks": [_task_summary(task) for task in tasks],
        "tasks_left_out": len(job.tasks) - len(tasks) if job else 0,
    }


def _first_tasks(job: Job) -> list[JobTask]:
    if len(job.tasks) <= MOST_TASKS:
        return list(job.tasks)
    # The sort is stable: both parts stay in OAC's order.
    return sorted(job.tasks, key=lambda task: not task.failed)[:MOST_TASKS]


def _task_line(task: JobTask) -> str:
    route = f" from {_cut(task.source)}" if task.source else ""
    route += f" to {_cut(task.target)}" if task.target else ""
    speed = _amount(task.rows_per_second, "rows/s")
    throughput = _amount(task.throughput, "", "read throughput according to OAC ")
    return _line(f"Task {_cut(task.name)}{route}: {_cut(task.status)}", task, speed, throughput)


def _task_summary(task: JobTask) -> dict[str, Any]:
    found = {name: getattr(task, attribute) for name, attribute in _TASK_MEMBERS.items()}
    found |= {name: _cut(found[name]) for name in ("name", "status", "source", "target")}
    speed = task.rows_per_second
    return {**found, "rows_per_second": None if speed is None else round(speed, 1)}


def _amount(value: float | None, unit: str, before: str = "") -> str:
    """Format a number with its unit; empty if it is unknown."""
    if value is None:
        return ""
    text = f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"
    return f"{before}{text} {unit}".rstrip()


def _line(head: str, of: Job | JobTask, *others: str) -> str:
    """Join what is known of a job or a task."""
    amounts = (_amount(of.rows, "rows"), _amount(of.size, "bytes"), _amount(of.seconds, "s", "ran "))
    return ", ".join([head, *filter(None, (*amounts, *others))]) + "."


def _cut(text: str | None) -> str:
    text = quoted(text, limit=_LONGEST_TEXT + 1) or ""
    return text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 1] + "…"
