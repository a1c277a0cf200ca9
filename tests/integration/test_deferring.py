"""Whether a task defers at all, and what it knows of earlier runs."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_oac._compat import AirflowSensorTimeout
from airflow_provider_oac.client import datasets
from airflow_provider_oac.client.ids import catalog_id
from airflow_provider_oac.hooks import deferring
from airflow_provider_oac.hooks.oac import OACHook
from airflow_provider_oac.operators.history import KEY
from airflow_provider_oac.operators.runs import OACReloadDatasetOperator
from airflow_provider_oac.operators.workbooks import OACExportWorkbookOperator
from airflow_provider_oac.sensors.catalog import OACCatalogItemSensor
from airflow_provider_oac.sensors.work_requests import OACWorkRequestSensor
from airflow_provider_oac.simulator.launch import Simulator
from tests.integration.flows import LOOK
from tests.tasks import Connections, Task, TaskDeferred, backup_operator

try:
    from airflow.sdk.exceptions import AirflowSkipException
except ImportError:  # before Airflow 3.2
    from airflow.exceptions import AirflowSkipException


class Remembering(Task):
    """A task that had earlier runs."""

    earlier: dict[str, Any]

    def context(self, task_id: str = "a_task") -> dict[str, Any]:
        context = super().context(task_id)
        self.ti.earlier = self.earlier
        return context


def task(**earlier: list[float]) -> Remembering:
    made = Remembering(lambda: backup_operator(deferrable=True))
    made.earlier = {KEY: earlier} if earlier else {}
    return made


@pytest.fixture(autouse=True)
def looking(connections: Connections, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deferring, "WORKER_SECONDS", 3.0)


def test_short_work_is_waited_for_in_the_worker() -> None:
    backup = task()
    backup.start()
    assert backup.deferred is None
    assert backup.result["verified"]


def test_long_work_is_not(clean: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deferring, "WORKER_SECONDS", 0.2)
    clean.control.settings(work_seconds=60)
    backup = task()
    backup.start()
    assert backup.deferred is not None


def test_work_that_is_known_to_be_long_is_looked_at_once(clean: Simulator) -> None:
    clean.control.settings(work_seconds=60)
    backup = task(work=[700.0, 690.0, 720.0])
    backup.start()
    assert backup.deferred is not None
    assert backup.deferred.trigger.earlier == (700.0, 690.0, 720.0)
    assert clean.control.calls("dev", LOOK) == 1


def test_a_retry_whose_work_is_done_does_not_defer(clean: Simulator) -> None:
    clean.control.settings(work_seconds=60)
    backup = task(work=[700.0])
    backup.start()
    assert backup.deferred is not None
    clean.control.finish("dev", backup.deferred.trigger.work_request_id)
    backup.start()
    assert backup.deferred is None
    assert backup.result["verified"]
    assert len(clean.control.snapshots("dev")) == 1


def test_each_run_hands_on_what_it_took_and_what_those_before_it_took() -> None:
    backup = task(work=[float(number) for number in range(1, 11)])
    backup.start()
    kept = backup.ti.xcoms[KEY]["work"]
    assert kept[1:] == [float(number) for number in range(1, 10)]
    assert 0.0 <= kept[0] < 5.0


@pytest.mark.parametrize("deferrable", [True, False])
def test_what_earlier_runs_took_is_read_once(deferrable: bool) -> None:
    backup = Task(lambda: backup_operator(deferrable=deferrable))
    backup.start()
    assert backup.ti.pulled.count(KEY) == 1


def test_what_no_export_writes_no_export_reads(tmp_path: Path) -> None:
    arguments = {"task_id": "export", "workbook_path": "/@Catalog/shared/Sales/Revenue by Region", "deferrable": True}
    url = f"file://{tmp_path}/it.pdf"
    exported = Task(lambda: OACExportWorkbookOperator(**arguments, destination=url, poll_interval=0.05))
    exported.start()
    assert exported.deferred is None
    assert exported.ti.pulled == []


@pytest.mark.parametrize("nonsense", [None, "nonsense", {"work": "x"}, {"work": [None, "7", True]}, [1.0]])
def test_what_is_no_history_is_none(nonsense: Any) -> None:
    backup = task()
    backup.earlier = {KEY: nonsense}
    backup.start()
    assert backup.result["verified"]


@pytest.mark.parametrize("broken", ["xcom_pull", "xcom_push"])
def test_a_history_that_cannot_be_reached_fails_no_task(monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    from tests.tasks import TaskInstance

    real = getattr(TaskInstance, broken)

    def fails(self: TaskInstance, *args: Any, **kwargs: Any) -> Any:
        if kwargs.get("key") == KEY:
            raise RuntimeError("the API server does not answer")
        return real(self, *args, **kwargs)

    monkeypatch.setattr(TaskInstance, broken, fails)
    backup = task()
    backup.start()
    assert backup.result["verified"]


@pytest.mark.parametrize("seconds", [0.2, 60.0], ids=["done", "not done"])
def test_a_sensor_looks_before_it_defers(clean: Simulator, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    monkeypatch.setattr(deferring, "WORKER_SECONDS", 1.5)
    (work,) = clean.control.start_work("dev", seconds)
    sensor = OACWorkRequestSensor(task_id="wait", work_request_id=work, deferrable=True, poke_interval=0.05, timeout=60)
    began = time.time()
    if seconds < 1:
        sensor.execute(task().context())
        assert time.time() - began < 60
    else:
        with pytest.raises(TaskDeferred):
            sensor.execute(task().context())


def test_a_sensor_of_the_catalog_looks_before_it_defers() -> None:
    sensor = OACCatalogItemSensor(
        task_id="wait", catalog_type="folders", path="/@Catalog/shared", deferrable=True, poke_interval=0.05, timeout=60
    )
    assert sensor.execute(task().context())


class Terminated(BaseException):
    """What Airflow 2.11 raises out of its signal handler, wherever the task is."""


def ended_by_a_signal(operator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(*_args: Any) -> bool:
        operator.on_kill()
        raise Terminated

    monkeypatch.setattr(deferring, "over_soon", ended)
    with pytest.raises(Terminated):
        Task(lambda: operator).start()


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> Any:
    """What was logged, wherever this Airflow writes it to."""
    caplog.set_level(logging.INFO)
    return lambda: "".join([caplog.text, *capsys.readouterr()])


def test_a_kill_before_the_deferral_names_the_work_request(
    clean: Simulator, monkeypatch: pytest.MonkeyPatch, said: Any
) -> None:
    clean.control.settings(work_seconds=60)
    ended_by_a_signal(backup_operator(deferrable=True), monkeypatch)
    (work,) = clean.control.work_requests("dev")
    assert f"Its work goes on in OAC as work request {work['id']}" in said()


def test_a_kill_before_the_deferral_names_the_job(clean: Simulator, monkeypatch: pytest.MonkeyPatch, said: Any) -> None:
    clean.control.settings(work_seconds=60)
    hook, orders = OACHook(), catalog_id("'admin'.'Orders'")
    hook.run(datasets.reload(orders))
    job = hook.run(datasets.latest(orders))[0].id
    reload = OACReloadDatasetOperator(
        task_id="reload", dataset="'admin'.'Orders'", if_running="adopt", deferrable=True, settling_time=0.4
    )
    ended_by_a_signal(reload, monkeypatch)
    assert f"Job {job} of dataset 'admin'.'Orders' goes on in OAC" in said()


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
