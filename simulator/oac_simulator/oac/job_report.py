"""The REST API's view of a job, and the filters of the job history."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from oac_simulator.store import Record
from oac_simulator.world import World

_TIME = "%Y-%m-%d %H:%M:%S"
_ASKED = ("%Y-%m-%dT%H:%M:%S.%f%z", "%Y-%m-%dT%H:%M:%S%z", _TIME, "%Y-%m-%d")
#: Fraction of its rows that a failed task has written.
_WRITTEN = 0.4


def shown(world: World, job: Record, *, tasks: bool) -> dict[str, Any]:
    """Return a job as the REST API shows it. Durations are strings, counts are numbers (documented).

    :param world: the simulated world.
    :param job: the job.
    :param tasks: whether to show its tasks.
    """
    work = world.work_requests.get(job["work_request"])
    # A work request may be deleted before the history; a job without one has ended.
    status = world.work.report(work)["status"] if work else "SUCCEEDED"
    began = job["started"] + (work["seconds"] * 0.15 if work else 0.0)
    ended = work["finished"] if work else None
    body = {
        "jobIdentifier": job["id"], "jobName": job["name"], "jobStatus": status, "jobRunType": job["run_type"],
        "jobOriginOfRequest": job["origin"], "jobStartTimestamp": _stamp(world, job["started"]),
        "jobNumberOfTasks": len(job["tasks"]),
    }  # fmt: skip
    if status != "ACCEPTED":
        body["jobExecutionTimestamp"] = _stamp(world, began)
        body["jobQueuedDuration"] = _seconds(began - job["started"])
    if ended is not None:
        body["jobEndTimestamp"] = _stamp(world, ended)
        body["jobRunDuration"] = _seconds(ended - began)
    if tasks:
        body["jobTasks"] = [
            _task(world, task, number, job, status, began, ended) for number, task in enumerate(job["tasks"])
        ]
    return _typos(body) if world.settings.job_key_typos else body


def _task(
    world: World, task: Record, number: int, job: Record, status: str, began: float, ended: float | None
) -> dict[str, Any]:
    """Return one task; all tasks run until the job ends."""
    body = {"taskName": task["name"], "taskStatus": status}
    if task["source"]:
        body["taskSourceName"] = task["source"]
    if task["target"]:
        body["taskTargetName"] = task["target"]
    if status == "ACCEPTED":
        return body
    body["taskStartTimestamp"] = _stamp(world, began)
    if ended is None:
        return body
    good = number < (job["ok_tasks"] if job["ok_tasks"] is not None else 0)
    rows = task["rows"] if good else int(task["rows"] * _WRITTEN)
    size = task["bytes"] if good else int(task["bytes"] * _WRITTEN)
    took = max(0.001, ended - began)
    return {
        **body, "taskStatus": "SUCCEEDED" if good else status, "taskEndTimestamp": _stamp(world, ended),
        "taskRunDuration": _seconds(took), "taskDataSizeInBytes": size, "taskNumberOfSuccessfulRows": rows,
        "taskAverageReadThroughput": round(rows / took, 1),
    }  # fmt: skip


def _typos(body: dict[str, Any]) -> dict[str, Any]:
    """Add a stray quote to two keys, as in older reference pages."""
    strayed = {'jobExecutionTimestamp"' if name == "jobExecutionTimestamp" else name: body[name] for name in body}
    for task in strayed.get("jobTasks", []):
        if "taskStartTimestamp" in task:
            task['taskStartTimestamp"'] = task.pop("taskStartTimestamp")
    return strayed


def chosen(jobs: list[dict[str, Any]], query: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the jobs that match the filters of the history, newest first.

    The contract has no 400 here, so invalid values count as absent.
    """
    first, last = _moment(query.get("fromStartTime")), _moment(query.get("toStartTime"))
    status, number = query.get("jobStatus"), query.get("numberOfJobs", "")
    left = []
    for job in jobs:
        at = datetime.strptime(job["jobStartTimestamp"], _TIME).replace(tzinfo=UTC)
        if (first is None or at >= first) and (last is None or at <= last) and status in (None, job["jobStatus"]):
            left.append(job)
    # The contract types `numberOfJobs` as number, not integer.
    try:
        most = int(float(number))
    except (ValueError, OverflowError):
        return left
    return left[:most] if most > 0 else left


def _moment(text: str | None) -> datetime | None:
    for form in _ASKED:
        try:
            moment = datetime.strptime(text or "", form)
        except ValueError:
            continue
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None


def _stamp(world: World, real: float) -> str:
    return world.clock.iso(real)[:19].replace("T", " ")


def _seconds(value: float) -> str:
    return str(max(0, round(value)))
