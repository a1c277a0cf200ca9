"""The Airflow of these tests does what the others count on: retries of killed tasks, deferral, clearing."""

from __future__ import annotations

import pytest

from tools.stack import AirflowStack


@pytest.mark.begins("stack_deferred")
def test_a_task_waits_in_the_triggerer_and_comes_back(stack: AirflowStack, run_id: str) -> None:
    assert stack.wait_run("stack_deferred", run_id) == "success", stack.report("stack_deferred", run_id)
    assert stack.xcom("stack_deferred", run_id, "deferred") == "resumed after True"
    log = stack.log("stack_deferred", run_id, "deferred")
    assert "deferring" in log
    assert "resumed" in log


@pytest.mark.parametrize(
    "supervisor_too",
    [
        pytest.param(value, marks=pytest.mark.begins("stack_killed", conf={"supervisor_too": value}))
        for value in (False, True)
    ],
)
def test_a_killed_task_is_tried_again(stack: AirflowStack, supervisor_too: bool, run_id: str) -> None:
    assert stack.wait_run("stack_killed", run_id) == "success", stack.report("stack_killed", run_id)
    task = stack.task("stack_killed", run_id, "killed")
    assert (task["state"], task["try_number"], task["max_tries"]) == ("success", 2, 1)
    answer = {"try_number": 2, "what": ["survived", 1, None]}
    assert stack.xcom("stack_killed", run_id, "killed") == answer


@pytest.mark.begins("stack_deferred")
def test_a_cleared_task_runs_again_with_more_tries(stack: AirflowStack, run_id: str) -> None:
    assert stack.wait_run("stack_deferred", run_id) == "success"
    before = stack.task("stack_deferred", run_id, "deferred")
    stack.clear("stack_deferred", run_id, ["deferred"])
    assert stack.wait_run("stack_deferred", run_id) == "success"
    after = stack.task("stack_deferred", run_id, "deferred")
    assert after["try_number"] == before["try_number"] + 1
    assert after["max_tries"] > before["max_tries"]


@pytest.mark.begins("stack_deferred", conf={"seconds": 3600})
def test_a_deferred_task_can_be_marked_failed(stack: AirflowStack, run_id: str) -> None:
    stack.wait_task_state("stack_deferred", run_id, "deferred", "deferred")
    stack.set_task_state("stack_deferred", run_id, "deferred", "failed")
    assert stack.wait_run("stack_deferred", run_id) == "failed"


def test_the_triggerer_can_die_and_be_started_again(stack: AirflowStack) -> None:
    run_id = stack.trigger("stack_deferred", conf={"seconds": 10})
    stack.wait_task_state("stack_deferred", run_id, "deferred", "deferred")
    stack.kill_component("triggerer")
    stack.start_component("triggerer")
    stack.wait_ready()
    assert stack.wait_run("stack_deferred", run_id) == "success", stack.report("stack_deferred", run_id)


@pytest.mark.smoke
def test_every_dag_can_be_imported(stack: AirflowStack) -> None:
    stack.wait_dag("stack_deferred")
    assert stack.dag_import_errors() == {}
