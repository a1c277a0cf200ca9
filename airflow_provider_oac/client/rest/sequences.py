"""Sequences: run, job history. Source: "Sequences REST Endpoints" (documented), unless said otherwise at the fact.

Needs DV Content Author (documented).
"""

from __future__ import annotations

from datetime import datetime

from airflow_provider_oac.client import ids
from airflow_provider_oac.client.calls import Call
from airflow_provider_oac.client.rest import jobs
from airflow_provider_oac.client.rest.jobs import Job, Runnable
from airflow_provider_oac.client.rest.work_requests import accepted_id

_CAUSES = {409: "the sequence, or something in it, is running already (inferred)"}


def runnable(object_id: str) -> Runnable:
    """A sequence, as something that has a job history.

    :param object_id: its id, encoded as lists return it.
    """
    return Runnable(ids.SEQUENCES, "sequence", object_id)


def run(sequence_id: str) -> Call[str]:
    """Run a sequence as it was saved. Operation ``POST /catalog/sequences/{sequenceId}/actions/run`` (documented; it
    takes no body).

    :param sequence_id: its id, encoded as lists return it.
    :returns: a call whose result is the id of the work request.
    """
    of = runnable(sequence_id)
    return Call(f"run {of}", "POST", f"{of.path}/actions/run", accepted_id, causes=_CAUSES)


def history(
    sequence_id: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    status: str | None = None,
    limit: int | None = None,
    tasks: bool = True,
) -> Call[list[Job]]:
    """List the jobs of a sequence, the newest first. Operation ``GET /catalog/sequences/{sequenceId}/history``
    (documented). The parameters are those of :func:`airflow_provider_oac.client.rest.jobs.history`.
    """
    of = runnable(sequence_id)
    return jobs.history(of, since=since, until=until, status=status, limit=limit, tasks=tasks)


def latest(sequence_id: str, *, tasks: bool = True) -> Call[list[Job]]:
    """The most recent job of a sequence. Operation ``GET /catalog/sequences/{sequenceId}/history/latest``
    (documented); it answers with an array.
    """
    return jobs.latest(runnable(sequence_id), tasks=tasks)


def job(sequence_id: str, job_id: str, *, tasks: bool = True) -> Call[Job]:
    """One job of a sequence. Operation ``GET /catalog/sequences/{sequenceId}/history/{jobId}`` (documented); it
    answers with an array.
    """
    return jobs.one(runnable(sequence_id), job_id, tasks=tasks)
