"""Reloads, data flows and sequences: what a run tells, what goes wrong, and what happens if it is running already."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_oac.client.ids import catalog_id
from airflow_provider_oac.client.rest import datasets, jobs
from airflow_provider_oac.exceptions import (
    OACApiError,
    OACKilledError,
    OACWaitTimeoutError,
    OACWorkRequestError,
)
from airflow_provider_oac.hooks.oac import OACHook
from airflow_provider_oac.operators.runs import (
    OACReloadDatasetOperator,
    OACRunDataFlowOperator,
    OACRunSequenceOperator,
)
from oac_simulator.launch import Simulator
from tests.tasks import Connections, Task

ORDERS, BUDGET, FLOW, SEQUENCE = (
    "'admin'.'Orders'",
    "'admin'.'Budget Lines'",
    "'admin'.'Load Orders'",
    "'admin'.'Nightly'",
)
RELOAD = "POST /catalog/datasets/{datasetId}/actions/reload"
HISTORY = "GET /catalog/datasets/{datasetId}/history"


def reload(**changes: Any) -> OACReloadDatasetOperator:
    arguments = {
        "task_id": "reload",
        "dataset": ORDERS,
        "retries": 2,
        "poll_interval": 0.05,
        "confirmation_timeout": 0.4,
    }
    return OACReloadDatasetOperator(**{**arguments, **changes})


def by_somebody_else(dataset: str = ORDERS) -> str:
    """Somebody else's reload, which runs now; returns its job's id."""
    hook = OACHook("oac_default")
    hook.run(datasets.reload(catalog_id(dataset)))
    return hook.run(datasets.latest(catalog_id(dataset)))[0].id


def ran(dataset: str = ORDERS) -> list[jobs.Job]:
    return OACHook("oac_default").run(datasets.history(catalog_id(dataset)))


def test_a_reload_tells_what_each_table_took(
    connections: Connections, deferrable: bool, said: Callable[[], str]
) -> None:
    result = Task(lambda: reload(dataset=BUDGET, deferrable=deferrable)).attempt()
    (job,) = ran(BUDGET)
    assert result["adopted"] is False
    assert result["work_request_id"].startswith("lfc-cc:")
    assert (result["job_id"], result["job_status"]) == (job.id, "SUCCEEDED")
    assert (result["rows"], result["bytes"]) == (4_920, 969_600)
    first, second = result["tasks"]
    assert (first["name"], first["status"], first["rows"], first["source"]) == (
        "BUDGET_LINES",
        "SUCCEEDED",
        4_800,
        "ADW",
    )
    assert (second["name"], second["rows"], second["throughput"] > 0) == ("COST_CENTRES", 120, True)
    assert result["tasks_left_out"] == 0
    assert json.loads(json.dumps(result)) == result
    assert "Task BUDGET_LINES from ADW to OAC cache: SUCCEEDED, 4,800 rows, 960,000 bytes" in said()


def test_a_data_flow_runs_with_another_source(connections: Connections, clean: Simulator) -> None:
    override = {"type": "source", "parameterName": "P_SOURCE", "datasetId": BUDGET}
    task = Task(
        lambda: OACRunDataFlowOperator(
            task_id="flow", data_flow=FLOW, override=override, deferrable=True, poll_interval=0.05
        )
    )
    assert task.attempt()["rows"] == 118_500
    override["parameterName"] = "P_NONE"
    task.clear()
    with pytest.raises(OACApiError, match=r"P_NONE.* is no source parameter of the data flow Load Orders"):
        task.attempt()


def test_a_sequence_tells_the_tasks_of_its_steps(connections: Connections) -> None:
    result = Task(
        lambda: OACRunSequenceOperator(task_id="s", sequence=SEQUENCE, deferrable=True, poll_interval=0.05)
    ).attempt()
    assert [task["name"] for task in result["tasks"]] == ["Orders Clean", "Scores"]


def test_a_task_that_does_not_wait_names_the_work_request(connections: Connections) -> None:
    result = Task(lambda: reload(wait_for_completion=False)).attempt()
    assert result["work_request_id"]
    assert (result["job_id"], result["rows"], result["tasks"]) == (None, None, [])


def test_a_failure_tells_the_errors_of_oac_and_which_task_failed(
    connections: Connections, clean: Simulator, deferrable: bool, said: Callable[[], str]
) -> None:
    clean.control.fault(RELOAD, "fail_work", errors=[{"code": "NoSpace", "message": "The cache is full"}])
    task = Task(lambda: reload(dataset=BUDGET, deferrable=deferrable))
    with pytest.raises(OACWorkRequestError, match=r"ended FAILED .*NoSpace: The cache is full"):
        task.attempt()
    assert "Task COST_CENTRES from ADW to OAC cache: FAILED, 48 rows" in said()
    kept = task.ti.xcoms["oac_job"]
    assert [(table["name"], table["status"]) for table in kept["tasks"]] == [
        ("BUDGET_LINES", "SUCCEEDED"), ("COST_CENTRES", "FAILED"),
    ]  # fmt: skip
    assert task.attempt()["job_status"] == "SUCCEEDED"
    assert [job.status for job in ran(BUDGET)] == ["SUCCEEDED", "FAILED"]


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ("'admin'.'Targets'", "based on a file and cannot be reloaded.*those made from files .* cannot"),
        ("'admin'.'Live Orders'", "has automatic caching: nothing to reload"),
        ("'admin'.'No Such'", "404.*not found"),
    ],
)
def test_what_cannot_be_reloaded_is_refused_with_oacs_own_words(
    connections: Connections, clean: Simulator, dataset: str, message: str
) -> None:
    with pytest.raises(OACApiError, match=message):
        Task(lambda: reload(dataset=dataset)).attempt()
    assert clean.control.calls("dev", RELOAD) == 1


def test_what_is_running_already_fails_the_task_by_default(
    connections: Connections, clean: Simulator, said: Callable[[], str]
) -> None:
    clean.control.settings(work_seconds=3.0)
    job = by_somebody_else()
    with pytest.raises(OACApiError, match="already running") as caught:
        Task(reload).attempt()
    assert caught.value.status == 409
    assert f"as job {job}, requested at 20" in said()


def test_what_is_running_already_is_waited_for_and_then_ours_runs(
    connections: Connections, clean: Simulator, deferrable: bool
) -> None:
    clean.control.settings(work_seconds=0.8)
    theirs = by_somebody_else()
    result = Task(lambda: reload(if_running="wait", deferrable=deferrable)).attempt()
    ours, other = ran()
    assert (other.id, result["job_id"], result["adopted"]) == (theirs, ours.id, False)
    assert result["job_status"] == "SUCCEEDED"


def test_what_runs_may_fail_before_ours_starts(connections: Connections, clean: Simulator) -> None:
    clean.control.settings(work_seconds=0.8)
    clean.control.fault(RELOAD, "fail_work")
    by_somebody_else()
    assert Task(lambda: reload(if_running="wait", deferrable=True)).attempt()["job_status"] == "SUCCEEDED"
    assert [job.status for job in ran()] == ["SUCCEEDED", "FAILED"]


def test_what_is_running_already_is_adopted(connections: Connections, clean: Simulator) -> None:
    clean.control.settings(work_seconds=0.8)
    theirs = by_somebody_else()
    result = Task(lambda: reload(if_running="adopt", deferrable=True)).attempt()
    assert (result["job_id"], result["job_status"], result["adopted"]) == (theirs, "SUCCEEDED", True)
    assert result["work_request_id"] is None
    assert result["rows"] == 120_000
    assert len(ran()) == 1


def test_an_adopted_job_that_fails_fails_the_task(connections: Connections, clean: Simulator) -> None:
    clean.control.settings(work_seconds=0.8)
    clean.control.fault(RELOAD, "fail_work")
    theirs = by_somebody_else()
    task = Task(lambda: reload(if_running="adopt", deferrable=True))
    with pytest.raises(OACWorkRequestError, match=f"Job {theirs} .DATASET. ended FAILED .*task 'ORDERS' ended FAILED"):
        task.attempt()
    assert task.ti.xcoms["oac_job"]["job_id"] == theirs
    result = task.attempt()
    assert (result["job_id"] != theirs, result["adopted"], result["job_status"]) == (True, False, "SUCCEEDED")


def test_a_wait_for_somebody_elses_run_that_takes_too_long_fails(
    connections: Connections, clean: Simulator, deferrable: bool
) -> None:
    clean.control.settings(work_seconds=5.0)
    theirs = by_somebody_else()
    with pytest.raises(OACWaitTimeoutError, match=f"Job {theirs} did not end in time"):
        Task(lambda: reload(if_running="wait", deferrable=deferrable, timeout=0.5)).attempt()


def test_a_kill_while_waiting_for_a_job_names_it(connections: Connections, clean: Simulator) -> None:
    clean.control.settings(work_seconds=3.0)
    theirs = by_somebody_else()
    operator = reload(if_running="adopt")
    timer = threading.Timer(1.0, operator.on_kill)
    timer.start()
    with pytest.raises(OACKilledError, match=f"Job {theirs} of dataset 'admin'.'Orders' continues in OAC"):
        Task(lambda: operator).attempt()


def test_a_history_that_cannot_be_read_is_no_reason_to_fail(
    connections: Connections, clean: Simulator, said: Callable[[], str]
) -> None:
    clean.control.fault(HISTORY, "status", status=403, after=1, times=None)
    result = Task(reload).attempt()
    assert result["work_request_id"]
    assert result["job_id"] is None
    assert "so the result has no rows" in said()


def test_keys_with_a_stray_quote_and_a_missing_history_are_understood(
    connections: Connections, clean: Simulator
) -> None:
    clean.control.settings(job_key_typos=True, empty_history="404")
    Task(reload).attempt()
    (job,) = ran()
    assert job.seconds is not None
    assert job.requested is not None


def test_a_job_that_failed_although_its_work_request_succeeded_is_a_failure(
    connections: Connections, clean: Simulator, deferrable: bool
) -> None:
    failed = {"jobIdentifier": "A" * 32, "jobName": "Orders", "jobStatus": "FAILED"}
    for endpoint in (HISTORY, HISTORY + "/{jobId}"):
        clean.control.fault(endpoint, "status", status=200, body=[failed], after=int(endpoint == HISTORY))
    task = Task(lambda: reload(deferrable=deferrable))
    with pytest.raises(OACWorkRequestError, match=r"but the job history says that job A+ of .* ended FAILED"):
        task.attempt()
    assert task.attempt()["job_status"] == "SUCCEEDED"
    assert len(ran()) == 2
