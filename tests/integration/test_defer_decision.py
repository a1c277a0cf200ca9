"""Whether a task defers at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_oac.hooks import defer_decision
from airflow_provider_oac.sensors.work_requests import OACWorkRequestSensor
from oac_simulator.launch import Simulator
from tests.tasks import Task, TaskDeferred, backup_operator


@pytest.fixture(autouse=True)
def looking(connections: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(defer_decision, "WORKER_SECONDS", 1.5)


def backup() -> Task:
    return Task(lambda: backup_operator(deferrable=True))


def wait(work_request_id: str) -> None:
    """Run a sensor until it ends or defers."""
    arguments: dict[str, Any] = {"deferrable": True, "poke_interval": 0.05, "timeout": 60}
    OACWorkRequestSensor(task_id="wait", work_request_id=work_request_id, **arguments).execute(backup().context())


def test_short_work_is_waited_for_in_the_worker_and_long_work_is_not(clean: Simulator) -> None:
    task = backup()
    task.start()
    assert task.deferred is None
    assert task.result["verified"]
    clean.control.settings(work_seconds=60)
    task.clear()
    task.start()
    assert task.deferred is not None
    # A retry whose work is done does not defer.
    clean.control.finish("dev", task.deferred.trigger.work_request_id)
    task.start()
    assert task.deferred is None
    assert task.result["verified"]
    assert len(clean.control.snapshots("dev")) == 2


def test_a_sensor_looks_before_it_defers(clean: Simulator) -> None:
    wait(clean.control.start_work("dev", 0.2)[0])
    with pytest.raises(TaskDeferred):
        wait(clean.control.start_work("dev", 60.0)[0])


class Terminated(BaseException):
    """What Airflow 2.11 raises out of its signal handler, wherever the task is."""


@pytest.mark.parametrize(("durable", "then"), [(True, "reattaches to it"), (False, "starts new work")])
def test_a_kill_before_the_deferral_names_the_work_request_and_what_the_next_try_does(
    clean: Simulator, monkeypatch: pytest.MonkeyPatch, said: Callable[[], str], durable: bool, then: str
) -> None:
    clean.control.settings(work_seconds=60)
    operator = backup_operator(deferrable=True, durable=durable)

    def ended(*_args: Any) -> bool:
        operator.on_kill()
        raise Terminated

    monkeypatch.setattr(defer_decision, "over_soon", ended)
    with pytest.raises(Terminated):
        Task(lambda: operator).start()
    (work,) = clean.control.work_requests("dev")
    lines = said()
    assert f"Its work continues in OAC as work request {work['id']}" in lines
    assert f"The next try {then}" in lines
