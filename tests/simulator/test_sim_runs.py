"""Datasets, data flows and sequences: runs and their history."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.simulator.sim_caller import Caller, encoded

KINDS = {
    "datasets": ("Orders", "reload", "DATASET", "RELOAD_DATASET"),
    "dataflows": ("Load Orders", "run", "DATAFLOW", "RUN_DATAFLOW"),
    "sequences": ("Nightly", "run", "SEQUENCE", "RUN_SEQUENCE"),
}
AUTHOR = "oac.author@example.com"


def pair(name: str) -> str:
    return f"'admin'.'{name}'"


def run(sim: Caller, kind: str, name: str = "", **kwargs: Any) -> Any:
    known, action, _, _ = KINDS[kind]
    return sim.oac("POST", f"/catalog/{kind}/{encoded(pair(name or known))}/actions/{action}", **kwargs)


def history(sim: Caller, kind: str, rest: str = "", name: str = "", **kwargs: Any) -> Any:
    return sim.oac("GET", f"/catalog/{kind}/{encoded(pair(name or KINDS[kind][0]))}/history{rest}", **kwargs)


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_run_and_its_history(sim: Caller, kind: str) -> None:
    assert history(sim, kind).json() == []
    assert history(sim, kind, "/latest").json() == []
    reply = run(sim, kind)
    assert (reply.status_code, reply.content) == (202, b"")
    [started] = history(sim, kind).json()
    assert started["jobStatus"] in ("ACCEPTED", "IN_PROGRESS")
    work = sim.finished(reply.headers["oa-work-request-id"])
    assert (work["status"], work["operationType"]) == ("SUCCEEDED", KINDS[kind][3])
    assert "jobIdentifier" not in str(work), "nothing leads from the work request to the job"
    [job] = history(sim, kind).json()
    assert re.fullmatch("[0-9A-F]{32}", job["jobIdentifier"])
    assert (job["jobStatus"], job["jobRunType"], job["jobOriginOfRequest"]) == ("SUCCEEDED", KINDS[kind][2], "Manual")
    assert {type(job[name]) for name in ("jobQueuedDuration", "jobRunDuration")} == {str}
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", job["jobStartTimestamp"])
    assert job["jobNumberOfTasks"] == len(job["jobTasks"])
    for task in job["jobTasks"]:
        assert task["taskStatus"] == "SUCCEEDED"
        assert task["taskNumberOfSuccessfulRows"] > 0
        assert isinstance(task["taskAverageReadThroughput"], float)
        assert isinstance(task["taskRunDuration"], str)
    assert history(sim, kind, "/latest").json() == [job]
    assert history(sim, kind, f"/{job['jobIdentifier']}").json() == [job]
    assert history(sim, kind, "/none").status_code == 404
    assert "jobTasks" not in history(sim, kind, "?includeTasks=false").json()[0]


def test_a_second_run_meets_a_conflict(sim: Caller) -> None:
    sim.control.settings(work_seconds=600.0)
    first = run(sim, "datasets").headers["oa-work-request-id"]
    refused = run(sim, "datasets")
    assert (refused.status_code, refused.json()["code"]) == (409, "Conflict")
    assert run(sim, "datasets", "Budget Lines").status_code == 202, "another one may run"
    sim.control.settings(refuse_second_run=False)
    assert run(sim, "datasets").status_code == 202
    sim.control.settings(refuse_second_run=True)
    for work_id in [job["work_request"] for job in sim.control.jobs("dev") if job["plain"] == pair("Orders")]:
        sim.control.finish("dev", work_id)
    assert sim.finished(first)["status"] == "SUCCEEDED"
    assert run(sim, "datasets").status_code == 202


@pytest.mark.parametrize(("name", "words"), [("Targets", "based on a file"), ("Live Orders", "automatic caching")])
def test_what_cannot_be_reloaded(sim: Caller, name: str, words: str) -> None:
    reply = run(sim, "datasets", name)
    assert (reply.status_code, words in reply.json()["message"]) == (400, True)
    assert sim.control.jobs("dev") == []


def test_who_may_run_and_what_is_not_there(sim: Caller) -> None:
    assert run(sim, "datasets", user=AUTHOR).status_code == 202
    sim.control.change_item("dev", pair("Load Orders"), acl=[])
    assert run(sim, "dataflows", user=AUTHOR).status_code == 403
    assert history(sim, "dataflows", user=AUTHOR).status_code == 403
    assert run(sim, "dataflows", "None").status_code == 404
    assert history(sim, "dataflows", name="None").status_code == 404
    assert sim.oac("GET", "/catalog/dataflows/_/history").status_code == 404


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"type": "source", "parameterName": "P_SOURCE", "datasetId": pair("Budget Lines")}, 202),
        ({"type": "source", "parameterName": "P_SOURCE", "datasetId": encoded(pair("Orders"))}, 202),
        ({"type": "target", "parameterName": "P_TARGET", "datasetName": "Orders"}, 202),
        ({"type": "cube", "appParameterName": "P_APP", "appName": "Sample", "cubeParameterName": "P_CUBE",
          "cubeName": "Basic"}, 202),
        ({"type": "source", "parameterName": "P_NONE", "datasetId": pair("Orders")}, 400),
        ({"type": "source", "parameterName": {"a": 1}, "datasetId": pair("Orders")}, 400),
        ({"type": "source", "parameterName": "P_SOURCE", "datasetId": pair("None")}, 404),
        ({"type": "source", "parameterName": "P_SOURCE"}, 404),
        ({"type": "cube", "appParameterName": "P_APP", "appName": "Sample"}, 400),
        ({"type": "sink"}, 400), ({}, 400), ([], 400),
    ],
)  # fmt: skip
def test_the_body_of_a_data_flow(sim: Caller, body: Any, status: int) -> None:
    assert run(sim, "dataflows", json=body).status_code == status


def test_a_run_that_fails(sim: Caller) -> None:
    errors = [{"code": "DSS-1", "message": "The table is gone."}]
    sim.control.fault("POST /catalog/datasets/{datasetId}/actions/reload", "fail_work", errors=errors)
    work = sim.finished(run(sim, "datasets", "Budget Lines").headers["oa-work-request-id"])
    assert (work["status"], work["Errors"]) == ("FAILED", errors)
    [job] = history(sim, "datasets", name="Budget Lines").json()
    first, second = job["jobTasks"]
    assert (job["jobStatus"], first["taskStatus"], second["taskStatus"]) == ("FAILED", "SUCCEEDED", "FAILED")
    assert (first["taskNumberOfSuccessfulRows"], second["taskNumberOfSuccessfulRows"]) == (4800, 48)
    sim.control.change_item("dev", pair("Orders"), definition={"tables": [{"name": "T", "rows": 5}], "fails": "No."})
    work = sim.finished(run(sim, "datasets").headers["oa-work-request-id"])
    assert work["Errors"] == [{"code": "RunFailed", "message": "No."}]


def test_runs_of_others_that_a_test_starts_and_ends(sim: Caller) -> None:
    started = sim.control.start_run("dev", "sequences", pair("Nightly"), seconds=600, user=AUTHOR)
    assert run(sim, "sequences").status_code == 409
    [job] = history(sim, "sequences").json()
    assert (job["jobIdentifier"], job["jobOriginOfRequest"]) == (started["job"], "Schedule")
    work = sim.control.finish("dev", started["work_request"], "CANCELED")
    assert work["status"] == "CANCELED"
    assert history(sim, "sequences", "/latest").json()[0]["jobStatus"] == "CANCELED"
    other = sim.control.start_run("dev", "sequences", pair("Nightly"), seconds=600)
    errors = [{"code": "X", "message": "Y"}]
    assert sim.control.finish("dev", other["work_request"], "FAILED", errors=errors)["Errors"] == errors


def test_filters_of_the_history(sim: Caller) -> None:
    for status in ("SUCCEEDED", "FAILED", "SUCCEEDED"):
        started = sim.control.start_run("dev", "datasets", pair("Orders"), seconds=600)
        sim.control.finish("dev", started["work_request"], status)
    every = history(sim, "datasets").json()
    assert [job["jobIdentifier"] for job in every] == [job["jobIdentifier"] for job in sim.control.jobs("dev")][::-1]
    for query, count in (
        ("numberOfJobs=2", 2), ("numberOfJobs=2.0", 2), ("numberOfJobs=x", 3), ("jobStatus=FAILED", 1),
        ("fromStartTime=2020-01-01", 3), ("toStartTime=2020-01-01 10:00:00", 0),
        ("fromStartTime=2090-01-01T00:00:00.0Z", 0), ("toStartTime=2090-01-01T00:00:00.0Z", 3),
        ("fromStartTime=soon", 3),
    ):  # fmt: skip
        assert len(history(sim, "datasets", f"?{query}").json()) == count, query
    sim.control.settings(job_key_typos=True)
    assert 'jobExecutionTimestamp"' in history(sim, "datasets", "/latest").json()[0]
    sim.control.settings(history_delay=600.0)
    assert history(sim, "datasets").json() == []
    sim.control.settings(empty_history="404")
    assert history(sim, "datasets").status_code == 404
    assert history(sim, "datasets", "/latest").status_code == 404
