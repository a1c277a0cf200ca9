"""Data flows: run, job history.

Source: "Data Flows REST Endpoints" (documented), unless noted otherwise. The calls need DV Content Author (documented).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_oac.client import ids
from airflow_provider_oac.client.calls import Call
from airflow_provider_oac.client.rest import jobs
from airflow_provider_oac.exceptions import OACConfigurationError

_DATASET = frozenset({"type", "parameterName", "datasetId", "datasetName"})
_CUBE = frozenset({"type", "appParameterName", "appName", "cubeParameterName", "cubeName"})
_MEMBERS = {"source": _DATASET, "target": _DATASET, "cube": _CUBE}
_CAUSES = {409: "the data flow is running already (inferred)"}
_JOBS = jobs.JobHistory(ids.DATAFLOWS, "data flow")
runnable, history, latest, job = _JOBS.runnable, _JOBS.history, _JOBS.latest, _JOBS.job


def run(data_flow_id: str, override: Mapping[str, Any] | None = None) -> Call[str]:
    """Run a data flow.

    Operation ``POST /catalog/dataflows/{dataflowId}/actions/run`` (documented).

    :param data_flow_id: its id, encoded as lists return it.
    :param override: what to replace for this run, in the form of the REST API; by default the data flow runs as it was
        saved. ``type`` ``source`` or ``target`` replaces a dataset: ``parameterName`` is the data flow's parameter for
        it, and ``datasetId`` (documented since January 2026; it is not established whether OAC takes it plain, as in
        the reference's example ``'jane'.'Sales'``, or encoded) or ``datasetName`` (the display name, documented as
        deprecated) names the dataset. ``type`` ``cube`` replaces the target Essbase cube, by ``appParameterName``,
        ``appName``, ``cubeParameterName`` and ``cubeName``. The body that replaces several things at once is not
        established: a mapping without ``type`` is sent unchanged.
    :returns: a call whose result is the id of the work request.
    :raises OACConfigurationError: naming the member that OAC would refuse.
    """
    if override is not None:
        check_override(override)
    return jobs.start(runnable(data_flow_id), "run", _CAUSES, override)


def check_override(body: Mapping[str, Any]) -> None:
    """Refuse a body that OAC would refuse, as far as its form is documented.

    :raises OACConfigurationError: naming the member.
    """
    kind = body.get("type")
    if kind is None:
        return
    if kind not in _MEMBERS:
        raise OACConfigurationError(f"The override's type must be one of {', '.join(_MEMBERS)}, not {kind!r}.")
    known = _MEMBERS[kind]
    if unknown := sorted(set(body) - known):
        raise OACConfigurationError(
            f"An override of a {kind} has no {', '.join(map(repr, unknown))}, only {', '.join(sorted(known))}."
        )
    missing = sorted(name for name in known - {"datasetId", "datasetName"} if not body.get(name))
    if kind != "cube" and not (body.get("datasetId") or body.get("datasetName")):
        missing.append("datasetId")
    if missing:
        raise OACConfigurationError(f"An override of a {kind} needs {', '.join(missing)} as well.")
