"""What a job did: lines for a log, and a small dictionary for an XCom."""

from __future__ import annotations

from typing import Any

from airflow_provider_oac.client.rest.jobs import Job, JobTask
from airflow_provider_oac.transport.redaction import quoted

# An XCom is a row of Airflow's database, and names are OAC's.
MOST_TASKS = 50
_LONGEST_TEXT = 200


def lines(job: Job) -> list[tuple[bool, str]]:
    """Lines for people: whether it tells of a failure, and the line. One for the job, one for each task; of many tasks
    those that failed come first and the rest is counted."""
    head = _joined(
        f"Job {_cut(job.id)} ({_cut(job.name)}): {_cut(job.status)}",
        _amount(job.rows, "rows"),
        _amount(job.size, "bytes"),
        _amount(job.seconds, "s", "ran "),
        _amount(job.queued_seconds, "s", "queued "),
        f"{len(job.tasks)} tasks" if len(job.tasks) != 1 else "1 task",
    )
    shown, left_out = _chosen(job)
    told = [(job.failed, head), *[(task.failed, _task_line(task)) for task in shown]]
    if left_out:
        unseen = sum(task.failed for task in job.tasks) - sum(task.failed for task in shown)
        told.append((unseen > 0, f"{left_out} more tasks, {unseen} of them failed."))
    return told


def summary(job: Job) -> dict[str, Any]:
    """The job as JSON of bounded size: at most 50 tasks, those that failed first; long names cut."""
    shown, left_out = _chosen(job)
    return {
        "job_id": job.id,
        "job_status": job.status,
        "rows": job.rows,
        "bytes": job.size,
        "seconds": job.seconds,
        "queued_seconds": job.queued_seconds,
        "tasks": [_task_summary(task) for task in shown],
        "tasks_left_out": left_out,
    }


def no_summary() -> dict[str, Any]:
    """The same members where no job is known."""
    members = ("job_id", "job_status", "rows", "bytes", "seconds", "queued_seconds")
    return {**dict.fromkeys(members), "tasks": [], "tasks_left_out": 0}


def _chosen(job: Job) -> tuple[list[JobTask], int]:
    if len(job.tasks) <= MOST_TASKS:
        return list(job.tasks), 0
    # A stable sort: both parts stay in OAC's order.
    shown = sorted(job.tasks, key=lambda task: not task.failed)[:MOST_TASKS]
    return shown, len(job.tasks) - MOST_TASKS


def _task_line(task: JobTask) -> str:
    way = f" from {_cut(task.source)}" if task.source else ""
    way += f" to {_cut(task.target)}" if task.target else ""
    return _joined(
        f"Task {_cut(task.name)}{way}: {_cut(task.status)}",
        _amount(task.rows, "rows"),
        _amount(task.size, "bytes"),
        _amount(task.seconds, "s", "ran "),
        _amount(task.rows_per_second, "rows/s"),
        _amount(task.throughput, "", "read throughput as OAC tells it "),
    )


def _task_summary(task: JobTask) -> dict[str, Any]:
    speed = task.rows_per_second
    return {
        "name": _cut(task.name),
        "status": _cut(task.status),
        "source": _cut(task.source),
        "target": _cut(task.target),
        "rows": task.rows,
        "bytes": task.size,
        "seconds": task.seconds,
        "rows_per_second": None if speed is None else round(speed, 1),
        "throughput": task.throughput,
    }


def _amount(value: float | None, unit: str, before: str = "") -> str:
    """A number with its unit, or nothing if it is not told."""
    if value is None:
        return ""
    text = f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"
    return f"{before}{text} {unit}".rstrip()


def _joined(first: str, *others: str) -> str:
    return ", ".join([first, *[text for text in others if text]]) + "."


def _cut(text: str | None) -> str:
    text = quoted(text, limit=_LONGEST_TEXT + 1) or ""
    return text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 1] + "…"
