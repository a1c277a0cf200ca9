"""Reloads and data flows: what a run tells, what goes wrong, and what happens if it is running already."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_oac.client.ids import catalog_id
from airflow_provider_oac.client.rest import datasets
from airflow_provider_oac.exceptions import OACApiError, OACKilledError, OACWorkRequestError
from airflow_provider_oac.hooks.oac import OACHook
from airflow_provider_oac.operators.runs import OACReloadDatasetOperator, OACRunDataFlowOperator
from oac_simulator.launch import Simulator
from tests.integration.test_operators_runs_once import FLOW, ORDERS, QUICK, make, ran, statuses
from tests.tasks import Task

BUDGET = "'admin'.'Budget Lines'"
RELOAD = "POST /catalog/datasets/{datasetId}/actions/reload"
HISTORY = "GET /catalog/datasets/{datasetId}/history"

pytestmark = pytest.mark.usefixtures("connections")


def reload(**changes: Any) -> Task:
    return Task(lambda: make(**changes))


def by_somebody_else(clean: Simulator, seconds: float = 0.8) -> str:
    """Somebody else's reload, which runs now; returns its job's id."""
    clean.control.settings(work_seconds=seconds)
    OACHook().run(datasets.reload(catalog_id(ORDERS)))
    return ran()[0].id


def test_a_reload_tells_what_each_table_took(deferrable: bool) -> None:
    result = reload(dataset=BUDGET, deferrable=deferrable).attempt()
    (job,) = ran(BUDGET)
    assert result["work_request_id"].startswith("lfc-cc:")
    told = ("adopted", "job_id", "job_status", "rows", "bytes", "tasks_left_out")
    assert [result[name] for name in told] == [False, job.id, "SUCCEEDED", 4_920, 969_600, 0]
    assert [(table["name"], table["rows"]) for table in result["tasks"]] == [
        ("BUDGET_LINES", 4_800), ("COST_CENTRES", 120),
    ]  # fmt: skip
    assert json.loads(json.dumps(result)) == result


def test_a_data_flow_runs_with_another_source() -> None:
    override = {"type": "source", "parameterName": "P_SOURCE", "datasetId": BUDGET}
    task = Task(lambda: OACRunDataFlowOperator(task_id="flow", data_flow=FLOW, override=override, **QUICK))
    assert task.attempt()["rows"] == 118_500
    override["parameterName"] = "P_NONE"
    task.clear()
    with pytest.raises(OACApiError, match=r"P_NONE.* is no source parameter of the data flow Load Orders"):
        task.attempt()


def test_a_task_that_does_not_wait_names_the_work_request() -> None:
    result = reload(wait_for_completion=False).attempt()
    assert result["work_request_id"]
    assert (result["job_id"], result["rows"], result["tasks"]) == (None, None, [])


def test_a_failure_tells_oacs_errors_and_which_task_failed(
    clean: Simulator, deferrable: bool, said: Callable[[], str]
) -> None:
    clean.control.fault(RELOAD, "fail_work", errors=[{"code": "NoSpace", "message": "The cache is full"}])
    task = reload(dataset=BUDGET, deferrable=deferrable)
    with pytest.raises(OACWorkRequestError, match=r"ended FAILED .*NoSpace: The cache is full"):
        task.attempt()
    assert "Task COST_CENTRES from ADW to OAC cache: FAILED, 48 rows" in said()
    assert [(table["name"], table["status"]) for table in task.ti.xcoms["oac_job"]["tasks"]] == [
        ("BUDGET_LINES", "SUCCEEDED"), ("COST_CENTRES", "FAILED"),
    ]  # fmt: skip
    assert task.attempt()["job_status"] == "SUCCEEDED"
    assert statuses(BUDGET) == ["SUCCEEDED", "FAILED"]


def test_what_is_running_already_fails_the_task_by_default(clean: Simulator, said: Callable[[], str]) -> None:
    job = by_somebody_else(clean, 3.0)
    with pytest.raises(OACApiError, match="already running") as caught:
        reload().attempt()
    assert caught.value.status == 409
    assert f"as job {job}, requested at 20" in said()


@pytest.mark.parametrize("theirs", ["SUCCEEDED", "FAILED"])
def test_what_is_running_already_is_waited_for(clean: Simulator, deferrable: bool, theirs: str) -> None:
    if theirs == "FAILED":
        clean.control.fault(RELOAD, "fail_work")
    by_somebody_else(clean)
    result = reload(if_running="wait", deferrable=deferrable).attempt()
    assert (result["job_id"], result["adopted"]) == (ran()[0].id, False)
    assert statuses() == ["SUCCEEDED", theirs]


def test_what_is_running_already_is_adopted(clean: Simulator) -> None:
    theirs = by_somebody_else(clean)
    result = reload(if_running="adopt", deferrable=True).attempt()
    told = ("job_id", "job_status", "adopted", "work_request_id", "rows")
    assert [result[name] for name in told] == [theirs, "SUCCEEDED", True, None, 120_000]
    assert len(ran()) == 1


def test_an_adopted_job_that_fails_fails_the_task(clean: Simulator) -> None:
    clean.control.fault(RELOAD, "fail_work")
    theirs = by_somebody_else(clean)
    task = reload(if_running="adopt", deferrable=True)
    with pytest.raises(OACWorkRequestError, match=f"Job {theirs} .DATASET. ended FAILED .*task 'ORDERS' ended FAILED"):
        task.attempt()
    assert task.ti.xcoms["oac_job"]["job_id"] == theirs
    result = task.attempt()
    assert (result["job_id"] != theirs, result["adopted"], result["job_status"]) == (True, False, "SUCCEEDED")


def test_a_kill_while_waiting_for_a_job_names_it(clean: Simulator) -> None:
    theirs, operator = by_somebody_else(clean, 3.0), make(if_running="adopt")
    threading.Timer(1.0, operator.on_kill).start()
    with pytest.raises(OACKilledError, match=f"Job {theirs} of dataset 'admin'.'Orders' continues in OAC"):
        Task(lambda: operator).attempt()


def test_a_history_that_cannot_be_read_is_no_reason_to_fail(clean: Simulator, said: Callable[[], str]) -> None:
    clean.control.fault(HISTORY, "status", status=403, after=1, times=None)
    result = reload().attempt()
    assert (bool(result["work_request_id"]), result["job_id"]) == (True, None)
    assert "so the result has no rows" in said()


def test_an_adopted_job_is_named_although_the_history_cannot_be_read_at_the_end(clean: Simulator) -> None:
    class Unread(OACReloadDatasetOperator):
        def complete(self, *arguments: Any) -> Any:
            clean.control.fault(HISTORY + "/{jobId}", "status", status=403, times=None)
            return super().complete(*arguments)

    theirs = by_somebody_else(clean)
    task = Task(lambda: Unread(task_id="reload", dataset=ORDERS, if_running="adopt", **QUICK))
    assert (task.attempt()["job_id"], task.ti.xcoms.get("oac_job")) == (theirs, None)


def test_keys_with_a_stray_quote_and_a_missing_history_are_understood(clean: Simulator) -> None:
    clean.control.settings(job_key_typos=True, empty_history="404")
    reload().attempt()
    (job,) = ran()
    assert None not in (job.seconds, job.requested)


def test_a_failed_job_of_a_work_request_that_succeeded_is_a_failure(clean: Simulator, deferrable: bool) -> None:
    failed = {"jobIdentifier": "A" * 32, "jobName": "Orders", "jobStatus": "FAILED"}
    for endpoint in (HISTORY, HISTORY + "/{jobId}"):
        clean.control.fault(endpoint, "status", status=200, body=[failed], after=int(endpoint == HISTORY))
    task = reload(deferrable=deferrable)
    with pytest.raises(OACWorkRequestError, match=r"but the job history says that job A+ of .* ended FAILED"):
        task.attempt()
    assert task.attempt()["job_status"] == "SUCCEEDED"
    assert len(ran()) == 2
