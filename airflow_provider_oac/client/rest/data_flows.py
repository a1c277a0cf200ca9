"""Data flows: run, job history. Source: "Data Flows REST Endpoints" (documented), unless said otherwise at the fact.

Needs DV Content Author (documented).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_provider_oac.client import ids
from airflow_provider_oac.client.calls import Call
from airflow_provider_oac.client.rest import jobs
from airflow_provider_oac.client.rest.jobs import Job, Runnable
from airflow_provider_oac.client.rest.work_requests import accepted_id
from airflow_provider_oac.exceptions import OACConfigurationError

SOURCE = "source"
TARGET = "target"
CUBE = "cube"
_DATASET = frozenset({"type", "parameterName", "datasetId", "datasetName"})
_CUBE = frozenset({"type", "appParameterName", "appName", "cubeParameterName", "cubeName"})
_CAUSES = {409: "the data flow is running already (inferred)"}


@dataclass(frozen=True)
class DatasetOverride:
    """A run with another dataset in place of the one that was saved.

    :param kind: ``source`` or ``target``.
    :param parameter: name of the data flow's parameter for it.
    :param dataset_id: object id of the dataset (documented since January 2026). Whether OAC takes it plain, as in the
        reference's example ``'jane'.'Sales'``, or encoded is not established.
    :param dataset_name: its display name (documented as deprecated).
    """

    kind: str
    parameter: str
    dataset_id: str | None = None
    dataset_name: str | None = None

    def body(self) -> dict[str, Any]:
        """As the REST API wants it."""
        names = {"datasetId": self.dataset_id, "datasetName": self.dataset_name}
        given = {name: value for name, value in names.items() if value}
        return {"type": self.kind, "parameterName": self.parameter, **given}


@dataclass(frozen=True)
class CubeOverride:
    """A run with another Essbase cube as its target.

    :param app_parameter: name of the data flow's parameter for the application.
    :param app: the application.
    :param cube_parameter: name of the parameter for the cube.
    :param cube: the cube.
    """

    app_parameter: str
    app: str
    cube_parameter: str
    cube: str

    def body(self) -> dict[str, Any]:
        """As the REST API wants it."""
        return {
            "type": CUBE,
            "appParameterName": self.app_parameter,
            "appName": self.app,
            "cubeParameterName": self.cube_parameter,
            "cubeName": self.cube,
        }


def runnable(object_id: str) -> Runnable:
    """A data flow, as something that has a job history.

    :param object_id: its id, encoded as lists return it.
    """
    return Runnable(ids.DATAFLOWS, "data flow", object_id)


def run(data_flow_id: str, override: DatasetOverride | CubeOverride | Mapping[str, Any] | None = None) -> Call[str]:
    """Run a data flow. Operation ``POST /catalog/dataflows/{dataflowId}/actions/run`` (documented).

    :param data_flow_id: its id, encoded as lists return it.
    :param override: what to replace for this run; by default it runs as it was saved. The body that replaces several
        things at once is not established: a mapping without ``type`` is sent as it is.
    :returns: a call whose result is the id of the work request.
    :raises OACConfigurationError: naming what OAC would refuse.
    """
    of = runnable(data_flow_id)
    body = override.body() if isinstance(override, DatasetOverride | CubeOverride) else override
    if body is not None:
        check_override(body)
    return Call(
        doing=f"run {of}",
        method="POST",
        path=f"{of.path}/actions/run",
        read=accepted_id,
        body=None if body is None else dict(body),
        causes=_CAUSES,
    )


def check_override(body: Mapping[str, Any]) -> None:
    """Refuse a body that OAC would refuse, as far as its form is documented.

    :raises OACConfigurationError: naming the member.
    """
    kind = body.get("type")
    if kind is None:
        return
    if kind not in (SOURCE, TARGET, CUBE):
        raise OACConfigurationError(f"The type of what is replaced is {SOURCE}, {TARGET} or {CUBE}, not {kind!r}.")
    known = _CUBE if kind == CUBE else _DATASET
    if unknown := sorted(set(body) - known):
        raise OACConfigurationError(
            f"To replace a {kind}, OAC knows no {', '.join(map(repr, unknown))}; it knows {', '.join(sorted(known))}."
        )
    missing = sorted(name for name in known - {"datasetId", "datasetName"} if not body.get(name))
    if kind != CUBE and not (body.get("datasetId") or body.get("datasetName")):
        missing.append("datasetId")
    if missing:
        raise OACConfigurationError(f"To replace a {kind}, OAC needs {', '.join(missing)} as well.")


def history(
    data_flow_id: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    status: str | None = None,
    limit: int | None = None,
    tasks: bool = True,
) -> Call[list[Job]]:
    """List the jobs of a data flow, the newest first. Operation ``GET /catalog/dataflows/{dataflowId}/history``
    (documented). The parameters are those of :func:`airflow_provider_oac.client.rest.jobs.history`.
    """
    of = runnable(data_flow_id)
    return jobs.history(of, since=since, until=until, status=status, limit=limit, tasks=tasks)


def latest(data_flow_id: str, *, tasks: bool = True) -> Call[list[Job]]:
    """The most recent job of a data flow. Operation ``GET /catalog/dataflows/{dataflowId}/history/latest``
    (documented); it answers with an array.
    """
    return jobs.latest(runnable(data_flow_id), tasks=tasks)


def job(data_flow_id: str, job_id: str, *, tasks: bool = True) -> Call[Job]:
    """One job of a data flow. Operation ``GET /catalog/dataflows/{dataflowId}/history/{jobId}`` (documented); it
    answers with an array.
    """
    return jobs.one(runnable(data_flow_id), job_id, tasks=tasks)
