"""One run for a logical task, whatever happens to its process or to an answer on the way."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from airflow_provider_oac.client.ids import catalog_id
from airflow_provider_oac.client.rest import data_flows, datasets
from airflow_provider_oac.client.rest.jobs import Job
from airflow_provider_oac.hooks.oac import OACHook
from airflow_provider_oac.operators.runs import OACReloadDatasetOperator, OACRunDataFlowOperator
from oac_simulator.launch import Simulator
from tests.tasks import Task, forget_work

ORDERS, FLOW = "'admin'.'Orders'", "'admin'.'Load Orders'"
QUICK: dict[str, Any] = {"retries": 2, "poll_interval": 0.05, "confirmation_timeout": 0.4}

pytestmark = pytest.mark.usefixtures("connections")


def make(**changes: Any) -> OACReloadDatasetOperator:
    return OACReloadDatasetOperator(**{"task_id": "reload", "dataset": ORDERS, **QUICK, **changes})


def ran(dataset: str = ORDERS) -> list[Job]:
    return OACHook().run(datasets.history(catalog_id(dataset)))


def statuses(dataset: str = ORDERS) -> list[str]:
    return [job.status for job in ran(dataset)]


@pytest.mark.parametrize("again", ["clear while it runs", "retry after it ended"])
def test_another_try_goes_on_with_the_job_that_was_adopted(clean: Simulator, again: str) -> None:
    clean.control.settings(work_seconds=1.0)
    OACHook().run(datasets.reload(catalog_id(ORDERS)))
    arguments = {"deferrable": True, "if_running": "adopt"}
    task = Task(lambda: make(**arguments))
    task.start()
    if again == "clear while it runs":
        task.clear()
        arguments["if_running"] = "fail"
    else:
        while statuses() != ["SUCCEEDED"]:
            threading.Event().wait(0.05)
    assert task.attempt()["adopted"] is True
    assert statuses() == ["SUCCEEDED"]


def test_a_retry_while_somebody_elses_run_is_waited_for_starts_ours_once(clean: Simulator) -> None:
    clean.control.settings(work_seconds=1.0)
    hook, flow = OACHook(), catalog_id(FLOW)
    hook.run(data_flows.run(flow))
    clean.control.settings(work_seconds=0.2)
    waits = {"if_running": "wait", "deferrable": True, "confirmation_timeout": 0}
    task = Task(lambda: OACRunDataFlowOperator(**{"task_id": "flow", "data_flow": FLOW, **QUICK, **waits}))
    task.start()
    assert task.attempt()["adopted"] is False
    assert len(hook.run(data_flows.history(flow))) == 2


def test_a_run_that_oac_forgot_is_looked_for_in_the_history(clean: Simulator) -> None:
    task = Task(lambda: make(deferrable=True))
    task.start()
    forget_work(task, clean)
    assert task.attempt()["adopted"] is True
    assert statuses() == ["SUCCEEDED"]
