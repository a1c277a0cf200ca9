"""The cells of the fault matrix that need a real Airflow: its workers, triggerer, scheduler and API server get lost."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import pytest

from oac_simulator.launch import Simulator
from tests.airflow.scenario import taken
from tests.faults.matrix import AIRFLOW_FAULTS, NEW, OLD, Cell, Outcome, chosen
from tests.faults.world import until
from tools.stack import AirflowStack

LOOK = "GET /workRequests/{id}"
LINE = OLD if version("apache-airflow").startswith(("2.", "3.1", "3.2")) else NEW
Act = Callable[[AirflowStack, Simulator, str], "Run"]
Note = Callable[[str, Any], None]
#: Faults whose DAGs kill the worker of their first try: which DAG, and the instance that it has for itself.
KILLED = {
    "worker killed between submit and persist, in Airflow": ("killedaftersubmit", "spare-1"),
    "worker killed while waiting, in Airflow": ("killedwhilewaiting", "spare-2"),
}


class Run:
    """A DAG run whose one task takes a snapshot, and what it came to.

    :param kind: which of the DAGs of dags/oac_cases.py.
    :param mode: how it waits.
    :param instance: where it takes its snapshots.
    :param run_id: the run, if it has begun; then it is the first of its DAG.
    """

    def __init__(
        self,
        stack: AirflowStack,
        simulator: Simulator,
        mode: str,
        kind: str = "oaccreatesnapshotoperator",
        instance: str = "dev",
        run_id: str = "",
    ) -> None:
        self.stack, self.simulator, self.mode, self.instance = stack, simulator, mode, instance
        self.dag_id, self.label = f"case_{kind}_{mode}", f"{kind}-{mode}"
        self._before = [] if run_id else taken(simulator, self.label, instance)
        self.run_id = run_id or stack.trigger(self.dag_id)

    def until_it_waits(self) -> None:
        """Wait until its task looks at its work request, in a worker or in the triggerer."""
        if self.mode == "deferred":
            self.stack.wait_task_state(self.dag_id, self.run_id, "backup", "deferred")
        # The task looked itself before it deferred.
        looks = self.simulator.control.calls("dev", LOOK)
        until(lambda: self.simulator.control.calls("dev", LOOK) > looks, "the task looks at its work request", 120)

    def finish(self) -> str:
        """Wait for the end of the run; returns its state."""
        return self.stack.wait_run(self.dag_id, self.run_id, timeout=240)

    def log(self) -> str:
        """What the task logged, in all its tries."""
        tries = self.stack.task(self.dag_id, self.run_id, "backup")["try_number"]
        return "\n".join(self.stack.log(self.dag_id, self.run_id, "backup", number) for number in range(1, tries + 1))

    def outcome(self) -> Outcome:
        """What there is to judge."""
        result = self.stack.xcom(self.dag_id, self.run_id, "backup") or {}
        new = [name for name in taken(self.simulator, self.label, self.instance) if name not in self._before]
        row = self.stack.task(self.dag_id, self.run_id, "backup")
        assert result.get("name") in new, self.stack.report(self.dag_id, self.run_id)
        return Outcome(row["state"], row["try_number"] > 1, False, len(new), result.get("verified"))


def lost_on_the_way(fault: str) -> Act:
    """The request to take the snapshot, or the reply to it, gets lost."""

    def act(stack: AirflowStack, simulator: Simulator, mode: str) -> Run:
        simulator.control.fault("POST /snapshots", fault)
        run = Run(stack, simulator, mode)
        run.finish()
        assert [one["hits"] for one in simulator.control.faults()] == [1]
        return run

    return act


def restarted(component: str) -> Act:
    """A component of Airflow is killed while the task waits, and another one takes over."""

    def act(stack: AirflowStack, simulator: Simulator, mode: str) -> Run:
        simulator.control.settings(work_seconds=25.0)
        run = Run(stack, simulator, mode)
        run.until_it_waits()
        stack.kill_component(component)
        stack.start_component(component)
        stack.wait_ready()
        run.finish()
        return run

    return act


def ended_by_a_person(stack: AirflowStack, simulator: Simulator, mode: str) -> Run:
    """A person marks the waiting task as failed, and clears it while its work goes on."""
    simulator.control.settings(work_seconds=40.0)
    run = Run(stack, simulator, mode)
    run.until_it_waits()
    stack.set_task_state(run.dag_id, run.run_id, "backup", "failed")
    assert run.finish() == "failed"
    if mode == "blocking":
        # Airflow 2.11 stops the process at its next heartbeat. Cleared before that, it would carry on unaware.
        until(lambda: "continues in OAC" in run.log(), "the task is told to stop")
    stack.clear(run.dag_id, run.run_id, ["backup"])
    # A moment until the cleared task counts as such.
    stack.wait_task_state(run.dag_id, run.run_id, "backup", "running", "deferred", "success")
    run.finish()
    return run


ACTS = {
    "reply to the submit lost, in Airflow": lost_on_the_way("drop_after"),
    "request to OAC lost, in Airflow": lost_on_the_way("drop_before"),
    "triggerer killed, another one takes over": restarted("triggerer"),
    "scheduler killed with its tasks and restarted": restarted("scheduler"),
    "API server killed and restarted": restarted("api-server"),
    "marked as failed while waiting, then cleared": ended_by_a_person,
}


def test_every_row_is_done() -> None:
    assert [*KILLED, *ACTS] == [fault.name for fault in AIRFLOW_FAULTS]


def chosen_of(killed: bool) -> list[Any]:
    """The cells of this Airflow line whose worker is killed by its DAG, or the others."""
    cells = [one for one in chosen(AIRFLOW_FAULTS) if one.line == LINE and (one.fault.name in KILLED) is killed]
    return [pytest.param(one, id=one.id) for one in cells]


def judge(cell: Cell, run: Run, record_property: Note) -> None:
    """Hold what a run came to against the matrix."""
    record_property("fault", (cell.fault.name, cell.mode, cell.line))
    found = run.outcome()
    if cell.wanted.retried is None:
        found = replace(found, retried=None)
    record_property("outcome", cell.says_of(found))
    assert found == cell.wanted, run.stack.report(run.dag_id, run.run_id)
    assert re.search(cell.fault.says, run.log()), run.log()[-3000:]


@pytest.mark.smoke
@pytest.mark.parametrize("cell", chosen_of(killed=True))
def test_cell_of_a_killed_worker(
    cell: Cell, killed: dict[str, str], stack: AirflowStack, simulator: Simulator, record_property: Note
) -> None:
    kind, instance = KILLED[cell.fault.name]
    run = Run(stack, simulator, cell.mode, kind, instance, killed[cell.id])
    run.finish()
    judge(cell, run, record_property)


@pytest.fixture(scope="module")
def killed(stack: AirflowStack) -> dict[str, str]:
    """Ids of the cells whose worker is killed to their runs, all started at once."""
    cells = [param.values[0] for param in chosen_of(killed=True)]
    return {cell.id: stack.trigger(f"case_{KILLED[cell.fault.name][0]}_{cell.mode}") for cell in cells}


@pytest.mark.parametrize("cell", chosen_of(killed=False))
def test_cell(cell: Cell, stack: AirflowStack, simulator: Simulator, record_property: Note) -> None:
    seconds = simulator.control.settings()["work_seconds"]
    try:
        run = ACTS[cell.fault.name](stack, simulator, cell.mode)
    finally:
        simulator.control.clear_faults()
        simulator.control.settings(work_seconds=seconds)
    judge(cell, run, record_property)
