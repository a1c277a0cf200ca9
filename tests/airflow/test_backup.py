"""Backups in a real Airflow: the example that people copy, sensors in every mode, a Clear, `dags test`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from oac_simulator.launch import Simulator
from tests.airflow.scenario import over, taken
from tools.oac_connections import connection_environment
from tools.stack import AirflowStack

EXAMPLE, SENSORS, DEFERRED = "oac_nightly_backup", "case_sensors", "case_oaccreatesnapshotoperator_deferred"


@pytest.mark.smoke
def test_every_dag_can_be_imported(stack: AirflowStack) -> None:
    stack.wait_dag(EXAMPLE)
    assert stack.dag_import_errors() == {}


@pytest.mark.smoke
@pytest.mark.begins(EXAMPLE)
def test_the_nightly_backup_takes_one_snapshot_and_waits_in_the_triggerer(
    stack: AirflowStack, simulator: Simulator, run_id: str
) -> None:
    over(stack, EXAMPLE, run_id)
    result = stack.xcom(EXAMPLE, run_id, "backup")
    assert taken(simulator, "nightly") == [result["name"]]
    assert result["verified"] is True
    assert f"{result['bucket']}/{result['bar_uri'].removeprefix('file:///')}" in simulator.control.bucket()
    assert stack.xcom(EXAMPLE, run_id, "prune")["kept"][0] == result["name"]
    assert stack.xcom(EXAMPLE, run_id, "backup", "oac_instance_url").endswith("/ui/")
    log = stack.log(EXAMPLE, run_id, "backup")
    assert f"OAC accepted {result['name']} as work request {result['work_request_id']}" in log
    assert "SUCCEEDED" in log


@pytest.mark.smoke
@pytest.mark.begins(SENSORS)
def test_sensors_wait_in_every_mode_and_the_snapshot_is_deleted_with_its_file(
    stack: AirflowStack, simulator: Simulator, run_id: str
) -> None:
    result = stack.xcom(SENSORS, over(stack, SENSORS, run_id), "start")
    assert result["verified"] is False, "it did not wait"
    assert result["name"] not in taken(simulator, "sensors")
    assert not [path for path in simulator.control.bucket() if result["name"] in path]


@pytest.mark.smoke
@pytest.mark.begins(DEFERRED)
def test_a_clear_after_success_takes_a_new_snapshot(stack: AirflowStack, simulator: Simulator, run_id: str) -> None:
    first = stack.xcom(DEFERRED, over(stack, DEFERRED, run_id), "backup")
    stack.clear(DEFERRED, run_id, ["backup"])
    second = stack.xcom(DEFERRED, over(stack, DEFERRED, run_id), "backup")
    assert second["name"] != first["name"]
    assert second["verified"] is True
    assert {first["name"], second["name"]} <= set(taken(simulator, "oaccreatesnapshotoperator-deferred"))


def test_airflow_dags_test_runs_a_deferred_backup_with_connections_of_the_database(
    tmp_path: Path, dags_folder: Path, simulator: Simulator
) -> None:
    # In a home of its own: a running triggerer would take over the task that `dags test` waits for itself.
    still = AirflowStack(sys.prefix, tmp_path, dags_folder, connection_environment(simulator.ready))
    still.airflow("db", "migrate")
    for name in ("oac_default", "oac_seal"):
        still.airflow("connections", "add", f"{name}_stored", "--conn-json", still.env[f"AIRFLOW_CONN_{name.upper()}"])
    said = still.airflow("dags", "test", "case_stored_connections")
    assert len(taken(simulator, "stored")) == 1, said
    assert "[DAG TEST] running trigger in line" in said, said
