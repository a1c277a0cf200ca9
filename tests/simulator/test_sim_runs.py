"""Datasets, data flows and sequences: runs and their history."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.simulator.sim_caller import AUTHOR, Caller, encoded, pair

KINDS = {
    "datasets": ("Orders", "reload", "DATASET", "RELOAD_DATASET"),
    "dataflows": ("Load Orders", "run", "DATAFLOW", "RUN_DATAFLOW"),
    "sequences": ("Nightly", "run", "SEQUENCE", "RUN_SEQUENCE"),
}


def run(sim: Caller, kind: str, name: str = "", **kwargs: Any) -> Any:
    known, action, _, _ = KINDS[kind]
    return sim.oac("POST", f"/catalog/{kind}/{encoded(pair(name or known))}/actions/{action}", **kwargs)


def history(sim: Caller, kind: str, rest: str = "", name: str = "", **kwargs: Any) -> Any:
    return sim.oac("GET", f"/catalog/{kind}/{encoded(pair(name or KINDS[kind][0]))}/history{rest}", **kwargs)


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_run_and_its_history(sim: Caller, kind: str) -> None:
    assert history(sim, kind).json() == history(sim, kind, "/latest").json() == []
    work = sim.ended(run(sim, kind))
    assert (work["status"], work["operationType"]) == ("SUCCEEDED", KINDS[kind][3])
    assert "jobIdentifier" not in str(work), "nothing leads from the work request to the job"
    [job] = history(sim, kind).json()
    assert re.fullmatch("[0-9A-F]{32}", job["jobIdentifier"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", job["jobStartTimestamp"])
    assert (job["jobStatus"], job["jobRunType"], job["jobOriginOfRequest"]) == ("SUCCEEDED", KINDS[kind][2], "Manual")
    assert job["jobNumberOfTasks"] == len(job["jobTasks"])
    assert all(task["taskNumberOfSuccessfulRows"] > 0 for task in job["jobTasks"])
    for rest in ("/latest", f"/{job['jobIdentifier']}"):
        assert history(sim, kind, rest).json() == [job]
    assert "jobTasks" not in history(sim, kind, "?includeTasks=false").json()[0]


@pytest.mark.parametrize(("name", "words"), [("Targets", "based on a file"), ("Live Orders", "automatic caching")])
def test_what_cannot_be_reloaded(sim: Caller, name: str, words: str) -> None:
    reply = run(sim, "datasets", name)
    assert (reply.status_code, words in reply.json()["message"]) == (400, True)


def test_who_may_run_and_what_is_not_there(sim: Caller) -> None:
    assert run(sim, "datasets", user=AUTHOR).status_code == 202
    sim.control.change_item("dev", pair("Load Orders"), acl=[])
    for send in (run, history):
        assert send(sim, "dataflows", user=AUTHOR).status_code == 403
        assert send(sim, "dataflows", name="None").status_code == 404
    assert history(sim, "dataflows", "/none").status_code == 404
    assert sim.status("GET /catalog/dataflows/_/history") == 404


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"type": "source", "parameterName": "P_SOURCE", "datasetId": encoded(pair("Orders"))}, 202),
        ({"type": "target", "parameterName": "P_TARGET", "datasetName": "Orders"}, 202),
        ({"type": "cube", "appParameterName": "P_APP", "appName": "Sample", "cubeParameterName": "P_CUBE",
          "cubeName": "Basic"}, 202),
        ({"type": "source", "parameterName": {"a": 1}, "datasetId": pair("Orders")}, 400),
        ({"type": "source", "parameterName": "P_SOURCE", "datasetId": pair("None")}, 404),
        ({"type": "source", "parameterName": "P_SOURCE"}, 404),
        ({"type": "cube", "appParameterName": "P_APP", "appName": "Sample"}, 400),
        ({"type": "sink"}, 400), ({}, 400), ([], 400),
    ],
)  # fmt: skip
def test_the_body_of_a_data_flow(sim: Caller, body: Any, status: int) -> None:
    assert run(sim, "dataflows", json=body).status_code == status


def test_a_definition_that_fails(sim: Caller) -> None:
    sim.control.change_item("dev", pair("Orders"), definition={"tables": [{"name": "T", "rows": 5}], "fails": "No."})
    assert sim.ended(run(sim, "datasets"))["Errors"] == [{"code": "RunFailed", "message": "No."}]


def test_runs_of_others_that_a_test_starts_and_ends(sim: Caller) -> None:
    started = sim.control.start_run("dev", "sequences", pair("Nightly"), seconds=600, user=AUTHOR)
    assert run(sim, "sequences").status_code == 409
    [job] = history(sim, "sequences").json()
    assert (job["jobIdentifier"], job["jobOriginOfRequest"]) == (started["job"], "Schedule")
    assert sim.control.finish("dev", started["work_request"], "CANCELED")["status"] == "CANCELED"
    assert history(sim, "sequences", "/latest").json()[0]["jobStatus"] == "CANCELED"
    other = sim.control.start_run("dev", "sequences", pair("Nightly"), seconds=600)
    errors = [{"code": "X", "message": "Y"}]
    assert sim.control.finish("dev", other["work_request"], "FAILED", errors=errors)["Errors"] == errors


def test_filters_and_switches_of_the_history(sim: Caller) -> None:
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
    sim.control.settings(history_delay=600.0)
    assert history(sim, "datasets").json() == []
    sim.control.settings(empty_history="404")
    assert [history(sim, "datasets", rest).status_code for rest in ("", "/latest")] == [404, 404]
