"""Datasets: reload, job history. Source: "Datasets REST Endpoints" (documented), unless said otherwise at the fact.

Needs DV Content Author (documented).
"""

from __future__ import annotations

from datetime import datetime

from airflow_provider_oac.client import ids
from airflow_provider_oac.client.calls import Call
from airflow_provider_oac.client.rest import jobs
from airflow_provider_oac.client.rest.jobs import Job, Runnable
from airflow_provider_oac.client.rest.work_requests import accepted_id

_CAUSES = {
    400: (
        "only datasets that are built on a connection, with at least one table that is cached automatically, can be "
        "reloaded (documented); those made from files (Excel, CSV, TXT) cannot"
    ),
    409: "the dataset is being reloaded already (inferred)",
}


def runnable(object_id: str) -> Runnable:
    """A dataset, as something that has a job history.

    :param object_id: its id, encoded as lists return it.
    """
    return Runnable(ids.DATASETS, "dataset", object_id)


def reload(dataset_id: str) -> Call[str]:
    """Reload the cached data of a dataset. Operation ``POST /catalog/datasets/{datasetId}/actions/reload``
    (documented). Only datasets built on a connection, with at least one table that is cached automatically; not those
    made from files (documented).

    :param dataset_id: its id, encoded as lists return it.
    :returns: a call whose result is the id of the work request.
    """
    of = runnable(dataset_id)
    return Call(f"reload {of}", "POST", f"{of.path}/actions/reload", accepted_id, causes=_CAUSES)


def history(
    dataset_id: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    status: str | None = None,
    limit: int | None = None,
    tasks: bool = True,
) -> Call[list[Job]]:
    """List the jobs of a dataset, the newest first. Operation ``GET /catalog/datasets/{datasetId}/history``
    (documented). The parameters are those of :func:`airflow_provider_oac.client.rest.jobs.history`.
    """
    of = runnable(dataset_id)
    return jobs.history(of, since=since, until=until, status=status, limit=limit, tasks=tasks)


def latest(dataset_id: str, *, tasks: bool = True) -> Call[list[Job]]:
    """The most recent job of a dataset. Operation ``GET /catalog/datasets/{datasetId}/history/latest``
    (documented); it answers with an array.
    """
    return jobs.latest(runnable(dataset_id), tasks=tasks)


def job(dataset_id: str, job_id: str, *, tasks: bool = True) -> Call[Job]:
    """One job of a dataset. Operation ``GET /catalog/datasets/{datasetId}/history/{jobId}`` (documented); it
    answers with an array.
    """
    return jobs.one(runnable(dataset_id), job_id, tasks=tasks)
