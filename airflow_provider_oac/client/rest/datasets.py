"""Datasets: reload, job history.

Source: "Datasets REST Endpoints" (documented), unless noted otherwise. The calls need DV Content Author (documented).
"""

from __future__ import annotations

from airflow_provider_oac.client import ids
from airflow_provider_oac.client.calls import Call
from airflow_provider_oac.client.rest import jobs

_CAUSES = {
    400: (
        "only datasets that are built on a connection, with at least one table that is cached automatically, can be "
        "reloaded (documented); those made from files (Excel, CSV, TXT) cannot"
    ),
    409: "the dataset is being reloaded already (inferred)",
}
_JOBS = jobs.JobHistory(ids.DATASETS, "dataset")
runnable, history, latest, job = _JOBS.runnable, _JOBS.history, _JOBS.latest, _JOBS.job


def reload(dataset_id: str) -> Call[str]:
    """Reload the cached data of a dataset.

    Operation ``POST /catalog/datasets/{datasetId}/actions/reload`` (documented). OAC reloads only datasets that are
    built on a connection, with at least one table that is cached automatically, and none made from files (documented).

    :param dataset_id: its id, encoded as lists return it.
    :returns: a call whose result is the id of the work request.
    """
    return jobs.start(runnable(dataset_id), "reload", _CAUSES)
