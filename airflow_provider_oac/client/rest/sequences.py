"""Sequences: run, job history.

Source: "Sequences REST Endpoints" (documented), unless noted otherwise. The calls need DV Content Author (documented).
"""

from __future__ import annotations

from airflow_provider_oac.client import ids
from airflow_provider_oac.client.calls import Call
from airflow_provider_oac.client.rest import jobs

_CAUSES = {409: "the sequence, or something in it, is running already (inferred)"}
_JOBS = jobs.JobHistory(ids.SEQUENCES, "sequence")
runnable, history, latest, job = _JOBS.runnable, _JOBS.history, _JOBS.latest, _JOBS.job


def run(sequence_id: str) -> Call[str]:
    """Run a sequence as it was saved.

    Operation ``POST /catalog/sequences/{sequenceId}/actions/run`` (documented; it takes no body).

    :param sequence_id: its id, encoded as lists return it.
    :returns: a call whose result is the id of the work request.
    """
    return jobs.start(runnable(sequence_id), "run", _CAUSES)
