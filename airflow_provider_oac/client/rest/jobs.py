"""Jobs: the history of runs of datasets, data flows and sequences.

Source: the "Job history" operations of these three (documented), whose responses have the same form, unless noted
otherwise.

Durations are texts in seconds; row counts are numbers (documented). Nothing links a work request to its job (documented
by absence).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from airflow_provider_oac.client.calls import Call, as_array, segment
from airflow_provider_oac.client.ids import shown, visible
from airflow_provider_oac.client.models import Model, member, model, number, text_or_none
from airflow_provider_oac.client.rest.work_requests import ENDED, SUCCEEDED, WorkRequest, accepted_id, state_of
from airflow_provider_oac.exceptions import OACResponseError
from airflow_provider_oac.transport.io import Response
from airflow_provider_oac.transport.redaction import quoted

_BAD = frozenset(ENDED - {SUCCEEDED})


@model
class JobTask(Model):
    """One task of a job, such as the load of a table or a step of a sequence.

    :param status: a status of a work request, or an undocumented one.
    :param source: the connection that data came from.
    :param target: the connection that data went to.
    :param seconds: how long it ran.
    :param size: bytes of data.
    :param rows: number of successful rows.
    :param throughput: average read throughput as OAC returns it; its unit is not documented.
    """

    name: str = member("taskName")
    status: str = member("taskStatus", read=state_of)
    source: str | None = member("taskSourceName", read=text_or_none)
    target: str | None = member("taskTargetName", read=text_or_none)
    seconds: float | None = member("taskRunDuration", read=number)
    size: float | None = member("taskDataSizeInBytes", read=number)
    rows: float | None = member("taskNumberOfSuccessfulRows", read=number)
    throughput: float | None = member("taskAverageReadThroughput", read=number)
    raw: Mapping[str, Any] = field(repr=False)

    @property
    def failed(self) -> bool:
        """Whether it ended without success."""
        return self.status in _BAD

    @property
    def rows_per_second(self) -> float | None:
        """Rows per second, if OAC returns both rows and time."""
        return self.rows / self.seconds if self.rows is not None and self.seconds else None


def _tasks(items: Any) -> tuple[JobTask, ...]:
    return tuple(JobTask.parse(item, "A task of a job") for item in items) if isinstance(items, list) else ()


@model
class Job(Model):
    """One run of a dataset, data flow or sequence.

    :param id: its id, 32 characters; percent-encoded in paths, not base64url.
    :param status: ``ACCEPTED``, ``IN_PROGRESS``, ``FAILED``, ``SUCCEEDED``, ``CANCELING``, ``CANCELED``, or an
        undocumented status.
    :param run_type: such as ``DATASET``.
    :param origin: ``Manual`` or ``Schedule``.
    :param requested: when it was requested, as OAC writes it; the format is not documented.
    :param queued_seconds: how long it waited.
    :param seconds: how long it ran.
    :param tasks: its tasks; empty if they were not requested.
    """

    id: str = member("jobIdentifier", read=visible, required=True)
    name: str = member("jobName")
    status: str = member("jobStatus", read=state_of)
    run_type: str = member("jobRunType")
    origin: str = member("jobOriginOfRequest")
    requested: str | None = member("jobStartTimestamp", read=text_or_none)
    queued_seconds: float | None = member("jobQueuedDuration", read=number)
    seconds: float | None = member("jobRunDuration", read=number)
    tasks: tuple[JobTask, ...] = member("jobTasks", read=_tasks)
    raw: Mapping[str, Any] = field(repr=False)

    @property
    def over(self) -> bool:
        """Whether it has ended, with or without success."""
        return self.status in ENDED

    @property
    def failed(self) -> bool:
        """Whether it ended without success."""
        return self.status in _BAD

    @property
    def rows(self) -> float | None:
        """Rows of all tasks; ``None`` if no task has a number."""
        return _total([task.rows for task in self.tasks])

    @property
    def size(self) -> float | None:
        """Bytes of all tasks; ``None`` if no task has a number."""
        return _total([task.size for task in self.tasks])

    def as_work(self) -> WorkRequest:
        """Convert the job to a work request, to wait for it in the same way."""
        failed = tuple(f"task {quoted(task.name)!r} ended {quoted(task.status)}" for task in self.tasks if task.failed)
        return WorkRequest(self.id, self.status, self.run_type or "job", None, (), failed, self.raw)


@dataclass(frozen=True)
class Runnable:
    """An object that has a job history.

    :param kind: its type in the catalog, such as ``datasets``.
    :param noun: its name for messages, such as ``dataset``.
    :param object_id: its id, encoded as lists return it.
    """

    kind: str
    noun: str
    object_id: str

    def __str__(self) -> str:
        return f"{self.noun} {shown(self.object_id)}"

    @property
    def path(self) -> str:
        """The path of its operations."""
        return f"/catalog/{self.kind}/{segment(self.object_id)}"


def one(of: Runnable, job_id: str, *, tasks: bool = True) -> Call[Job]:
    """Read one job.

    :param of: the object that ran.
    :param job_id: id of the job, from the history.
    :param tasks: whether to include its tasks.
    """
    path, query = f"{of.path}/history/{segment(job_id)}", {"includeTasks": tasks}
    read = partial(_read_one, job_id=job_id)
    return Call(f"read job {job_id} of {of}", "GET", path, read, query=query, repeatable=True)


def state(of: Runnable, job_id: str) -> Call[WorkRequest]:
    """Read one job as a work request, to wait for it in the same way."""
    call: Call[Any] = one(of, job_id)
    return replace(call, read=lambda response: _read_one(response, job_id).as_work())


def start(of: Runnable, action: str, causes: Mapping[int, str], body: Mapping[str, Any] | None = None) -> Call[str]:
    """Start a run.

    :param of: the object to run.
    :param action: ``run`` or ``reload``.
    :param causes: as in :class:`airflow_provider_oac.client.calls.Call`.
    :returns: a call whose result is the id of the work request.
    """
    path = f"{of.path}/actions/{action}"
    return Call(f"{action} {of}", "POST", path, accepted_id, body=None if body is None else dict(body), causes=causes)


class JobHistory:
    """The calls that datasets, data flows and sequences have in common.

    :param kind: their type in the catalog.
    :param noun: their name for messages.
    """

    def __init__(self, kind: str, noun: str) -> None:
        self._kind, self._noun = kind, noun

    def runnable(self, object_id: str) -> Runnable:
        """Return an object that has a job history.

        :param object_id: its id, encoded as lists return it.
        """
        return Runnable(self._kind, self._noun, object_id)

    def history(
        self,
        object_id: str,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        status: str | None = None,
        limit: int | None = None,
        tasks: bool = True,
    ) -> Call[list[Job]]:
        """List jobs, newest first (documented).

        Operation ``GET /catalog/{type}/{id}/history`` (documented). It is not documented whether an object that never
        ran has an empty history or none (404).

        :param object_id: its id, encoded as lists return it.
        :param since: only jobs that were started after this time.
        :param until: only jobs that were started before this time.
        :param status: only jobs with this status.
        :param limit: most jobs to list.
        :param tasks: whether to include the tasks of each job.
        """
        of, times = self.runnable(object_id), {"fromStartTime": _time(since), "toStartTime": _time(until)}
        query = {**times, "jobStatus": status, "numberOfJobs": limit, "includeTasks": tasks}
        return Call(f"list the jobs of {of}", "GET", f"{of.path}/history", read_jobs, query=query, repeatable=True)

    def latest(self, object_id: str, *, tasks: bool = True) -> Call[list[Job]]:
        """Read the most recent job, as a list of one (documented) or none (not documented).

        Operation ``GET /catalog/{type}/{id}/history/latest`` (documented).

        :param tasks: whether to include its tasks.
        """
        of, query = self.runnable(object_id), {"includeTasks": tasks}
        path = f"{of.path}/history/latest"
        return Call(f"read the latest job of {of}", "GET", path, read_jobs, query=query, repeatable=True)

    def job(self, object_id: str, job_id: str, *, tasks: bool = True) -> Call[Job]:
        """Read one job.

        Operation ``GET /catalog/{type}/{id}/history/{jobId}`` (documented); it answers with an array.

        :param job_id: id of the job, from the history.
        :param tasks: whether to include its tasks.
        """
        return one(self.runnable(object_id), job_id, tasks=tasks)


def read_jobs(response: Response) -> list[Job]:
    """Read the array that holds the jobs, even a single one (documented).

    :raises OACResponseError: if the response is anything else, or a job has no id.
    """
    return [Job.parse(item, "A job") for item in as_array(response.json(), "The list of jobs")]


def _read_one(response: Response, job_id: str) -> Job:
    if found := next((job for job in read_jobs(response) if job.id == job_id), None):
        return found
    raise OACResponseError(f"The response does not contain job {job_id}.")


def _total(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _time(moment: datetime | None) -> str | None:
    """Format a time as ``yyyy-MM-dd'T'HH:mm:ss.SZ`` (documented).

    The final ``Z`` is taken literally (inferred). The other documented formats have no time zone.
    """
    if moment is None:
        return None
    utc = moment.astimezone(UTC)
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond // 100_000}Z"
