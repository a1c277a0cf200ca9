"""One run for a logical task, whatever happens to its process or to an answer on the way."""

from __future__ import annotations

import threading
from typing import Any

from airflow_provider_oac.client.ids import catalog_id
from airflow_provider_oac.client.rest import data_flows, datasets
from airflow_provider_oac.hooks.oac import OACHook
from airflow_provider_oac.operators.runs import OACReloadDatasetOperator, OACRunDataFlowOperator
from oac_simulator.launch import Simulator
from tests.tasks import Connections, Task

ORDERS, FLOW = "'admin'.'Orders'", "'admin'.'Load Orders'"
RELOAD = "POST /catalog/datasets/{datasetId}/actions/reload"
LOOK = "GET /workRequests/{id}"


def make(**changes: Any) -> OACReloadDatasetOperator:
    arguments = {
        "task_id": "reload",
        "dataset": ORDERS,
        "retries": 2,
        "poll_interval": 0.05,
        "confirmation_timeout": 0.4,
    }
    return OACReloadDatasetOperator(**{**arguments, **changes})


def statuses() -> list[str]:
    return [job.status for job in OACHook("oac_default").run(datasets.history(catalog_id(ORDERS)))]


def until_it_is_over() -> None:
    while "SUCCEEDED" not in statuses() and "FAILED" not in statuses():
        threading.Event().wait(0.05)


def test_a_retry_after_success_runs_nothing_again(connections: Connections, clean: Simulator, store: bool) -> None:
    task = Task(lambda: make(deferrable=True), store=store)
    first, second = task.attempt(), task.attempt()
    assert clean.control.calls("dev", RELOAD) == 1
    assert second["job_id"] == first["job_id"]


def test_a_clear_while_an_adopted_job_runs_waits_for_that_job(connections: Connections, clean: Simulator) -> None:
    clean.control.settings(work_seconds=1.5)
    OACHook("oac_default").run(datasets.reload(catalog_id(ORDERS)))
    policy = "adopt"
    task = Task(lambda: make(deferrable=True, if_running=policy))
    task.start()
    task.clear()
    policy = "fail"
    assert task.attempt()["adopted"] is True
    assert statuses() == ["SUCCEEDED"]


def test_a_retry_goes_on_with_the_job_that_was_adopted(connections: Connections, clean: Simulator) -> None:
    clean.control.settings(work_seconds=1.0)
    OACHook("oac_default").run(datasets.reload(catalog_id(ORDERS)))
    waits_deferred = True
    task = Task(lambda: make(deferrable=waits_deferred, if_running="adopt"))
    task.start()
    until_it_is_over()
    waits_deferred = False
    assert task.attempt()["adopted"] is True
    assert statuses() == ["SUCCEEDED"]


def test_a_retry_while_somebody_elses_run_is_waited_for_starts_ours_once(
    connections: Connections, clean: Simulator
) -> None:
    clean.control.settings(work_seconds=1.0)
    hook, flow = OACHook("oac_default"), catalog_id(FLOW)
    hook.run(data_flows.run(flow))
    clean.control.settings(work_seconds=0.2)
    task = Task(
        lambda: OACRunDataFlowOperator(
            task_id="flow",
            data_flow=FLOW,
            if_running="wait",
            deferrable=True,
            retries=2,
            poll_interval=0.05,
            confirmation_timeout=0,
        )
    )
    task.start()
    assert task.attempt()["adopted"] is False
    assert len(hook.run(data_flows.history(flow))) == 2


def test_a_run_that_oac_forgot_is_looked_for_in_the_history(connections: Connections, clean: Simulator) -> None:
    task = Task(lambda: make(deferrable=True))
    task.start()
    assert task.store is not None
    record = task.store.get("oac_work")
    task.store.set("oac_work", {**record, "submitted_at": record["submitted_at"] - 3600})
    clean.control.fault(LOOK, "status", status=404, times=None)
    assert task.attempt()["adopted"] is True
    assert statuses() == ["SUCCEEDED"]
