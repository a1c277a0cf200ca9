"""One snapshot per logical task, in a real Airflow, when workers, replies and triggerers get lost."""

from __future__ import annotations

import pytest

from airflow_provider_oac.simulator.launch import Simulator
from tests.airflow.scenario import ran, taken
from tools.stack import AirflowStack

MODES = ("blocking", "deferred")


@pytest.mark.parametrize("mode", MODES)
def test_a_worker_killed_between_submit_and_the_next_line_leads_to_one_snapshot(
    stack: AirflowStack, simulator: Simulator, mode: str
) -> None:
    dag_id = f"case_killedaftersubmit_{mode}"
    run_id = ran(stack, dag_id)
    assert stack.task(dag_id, run_id, "backup")["try_number"] == 2
    result = stack.xcom(dag_id, run_id, "backup")
    assert taken(simulator, f"killedaftersubmit-{mode}") == [result["name"]]
    assert (result["verified"], result["work_request_id"]) == (False, None)
    assert "UNVERIFIED" in stack.log(dag_id, run_id, "backup", 2)


@pytest.mark.parametrize("mode", MODES)
def test_a_worker_killed_while_waiting_leads_to_one_snapshot(
    stack: AirflowStack, simulator: Simulator, mode: str
) -> None:
    dag_id = f"case_killedwhilewaiting_{mode}"
    run_id = ran(stack, dag_id)
    # Not exactly 2: Airflow may fail a try of its own accord. However many there are, there is one snapshot.
    assert stack.task(dag_id, run_id, "backup")["try_number"] >= 2
    result = stack.xcom(dag_id, run_id, "backup")
    assert taken(simulator, f"killedwhilewaiting-{mode}") == [result["name"]]
    remembers = not stack.version.startswith(("2.", "3.1", "3.2"))
    assert result["verified"] is remembers, "with a task state store the work request is found again"


@pytest.mark.parametrize("mode", MODES)
def test_a_lost_reply_to_the_submit_leads_to_one_snapshot(stack: AirflowStack, simulator: Simulator, mode: str) -> None:
    dag_id = f"case_oaccreatesnapshotoperator_{mode}"
    before = taken(simulator, f"oaccreatesnapshotoperator-{mode}")
    simulator.control.fault("POST /snapshots", "drop_after")
    run_id = ran(stack, dag_id)
    assert [fault["hits"] for fault in simulator.control.faults()] == [1]
    simulator.control.clear_faults()
    assert stack.task(dag_id, run_id, "backup")["try_number"] == 1
    result = stack.xcom(dag_id, run_id, "backup")
    new = [name for name in taken(simulator, f"oaccreatesnapshotoperator-{mode}") if name not in before]
    assert new == [result["name"]]


def test_a_request_that_oac_never_saw_is_sent_again(stack: AirflowStack, simulator: Simulator) -> None:
    before = taken(simulator, "oaccreatesnapshotoperator-blocking")
    simulator.control.fault("POST /snapshots", "drop_before")
    run_id = ran(stack, "case_oaccreatesnapshotoperator_blocking")
    simulator.control.clear_faults()
    result = stack.xcom("case_oaccreatesnapshotoperator_blocking", run_id, "backup")
    new = [name for name in taken(simulator, "oaccreatesnapshotoperator-blocking") if name not in before]
    assert new == [result["name"]]
    assert result["verified"] is True


def test_the_wait_survives_the_death_of_the_triggerer(stack: AirflowStack, simulator: Simulator) -> None:
    dag_id = "case_oaccreatesnapshotoperator_deferred"
    before = taken(simulator, "oaccreatesnapshotoperator-deferred")
    simulator.control.settings(work_seconds=25.0)
    run_id = stack.trigger(dag_id)
    stack.wait_task_state(dag_id, run_id, "backup", "deferred")
    stack.kill_component("triggerer")
    stack.start_component("triggerer")
    stack.wait_ready()
    simulator.control.settings(work_seconds=5.0)
    assert stack.wait_run(dag_id, run_id, timeout=180) == "success", stack.report(dag_id, run_id)
    result = stack.xcom(dag_id, run_id, "backup")
    new = [name for name in taken(simulator, "oaccreatesnapshotoperator-deferred") if name not in before]
    assert new == [result["name"]]
    assert result["verified"] is True
