"""Whether a task defers at all."""

from __future__ import annotations

import time
from typing import Any

import pytest

from airflow_provider_oac._compat import AirflowSensorTimeout, AirflowSkipException
from airflow_provider_oac.client.ids import catalog_id
from airflow_provider_oac.client.rest import datasets
from airflow_provider_oac.hooks import defer_decision
from airflow_provider_oac.hooks.oac import OACHook
from airflow_provider_oac.operators.runs import OACReloadDatasetOperator
from airflow_provider_oac.sensors.catalog import OACCatalogItemSensor
from airflow_provider_oac.sensors.work_requests import OACWorkRequestSensor
from oac_simulator.launch import Simulator
from tests.tasks import Connections, Task, TaskDeferred, backup_operator


def task() -> Task:
    return Task(lambda: backup_operator(deferrable=True))


@pytest.fixture(autouse=True)
def looking(connections: Connections, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(defer_decision, "WORKER_SECONDS", 3.0)


def test_short_work_is_waited_for_in_the_worker() -> None:
    backup = task()
    backup.start()
    assert backup.deferred is None
    assert backup.result["verified"]


def test_long_work_is_not(clean: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(defer_decision, "WORKER_SECONDS", 0.2)
    clean.control.settings(work_seconds=60)
    backup = task()
    backup.start()
    assert backup.deferred is not None


def test_a_retry_whose_work_is_done_does_not_defer(clean: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(defer_decision, "WORKER_SECONDS", 0.2)
    clean.control.settings(work_seconds=60)
    backup = task()
    backup.start()
    assert backup.deferred is not None
    clean.control.finish("dev", backup.deferred.trigger.work_request_id)
    backup.start()
    assert backup.deferred is None
    assert backup.result["verified"]
    assert len(clean.control.snapshots("dev")) == 1


@pytest.mark.parametrize("seconds", [0.2, 60.0], ids=["done", "not done"])
def test_a_sensor_looks_before_it_defers(clean: Simulator, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    monkeypatch.setattr(defer_decision, "WORKER_SECONDS", 1.5)
    (work,) = clean.control.start_work("dev", seconds)
    sensor = OACWorkRequestSensor(task_id="wait", work_request_id=work, deferrable=True, poke_interval=0.05, timeout=60)
    began = time.time()
    if seconds < 1:
        sensor.execute(task().context())
        assert time.time() - began < 60
    else:
        with pytest.raises(TaskDeferred):
            sensor.execute(task().context())


class Terminated(BaseException):
    """What Airflow 2.11 raises out of its signal handler, wherever the task is."""


def ended_by_a_signal(operator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(*_args: Any) -> bool:
        operator.on_kill()
        raise Terminated

    monkeypatch.setattr(defer_decision, "over_soon", ended)
    with pytest.raises(Terminated):
        Task(lambda: operator).start()


@pytest.mark.parametrize(("durable", "then"), [(True, "reattaches to it"), (False, "starts new work")])
def test_a_kill_before_the_deferral_names_the_work_request_and_what_the_next_try_does(
    clean: Simulator, monkeypatch: pytest.MonkeyPatch, said: Any, durable: bool, then: str
) -> None:
    clean.control.settings(work_seconds=60)
    ended_by_a_signal(backup_operator(deferrable=True, durable=durable), monkeypatch)
    (work,) = clean.control.work_requests("dev")
    assert f"Its work continues in OAC as work request {work['id']}" in (lines := said())
    assert f"The next try {then}" in lines


def test_a_kill_before_the_deferral_names_the_job(clean: Simulator, monkeypatch: pytest.MonkeyPatch, said: Any) -> None:
    clean.control.settings(work_seconds=60)
    hook, orders = OACHook(), catalog_id("'admin'.'Orders'")
    hook.run(datasets.reload(orders))
    job = hook.run(datasets.latest(orders))[0].id
    reload = OACReloadDatasetOperator(
        task_id="reload", dataset="'admin'.'Orders'", if_running="adopt", deferrable=True, confirmation_timeout=0.4
    )
    ended_by_a_signal(reload, monkeypatch)
    assert f"Job {job} of dataset 'admin'.'Orders' continues in OAC" in said()


@pytest.mark.parametrize("sensor", ["of a work request", "of the catalog"])
def test_a_connection_that_cannot_work_is_a_failure_of_a_look(sensor: str) -> None:
    arguments: dict[str, Any] = {"task_id": "wait", "deferrable": True, "poke_interval": 0.05, "timeout": 0.3}
    arguments["oac_conn_id"] = "oac_none"
    made: Any = OACWorkRequestSensor
    if sensor == "of the catalog":
        made, arguments = OACCatalogItemSensor, {**arguments, "catalog_type": "folders", "path": "/@Catalog/shared"}
    else:
        arguments["work_request_id"] = "1"
    with pytest.raises(Exception, match="oac_none"):
        made(**arguments).execute(task().context())
    with pytest.raises(AirflowSkipException):
        made(**arguments, never_fail=True).execute(task().context())
    with pytest.raises(AirflowSensorTimeout):
        made(**arguments, silent_fail=True).execute(task().context())
