"""Backups in a real Airflow: the example that people copy, both grants, every operator and sensor, failure, Clear."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from airflow_provider_oac.simulator.launch import Simulator
from tests.airflow.scenario import ran, taken
from tools.oac_connections import connection_environment
from tools.stack import AirflowStack

EXAMPLE = "oac_nightly_backup"


@pytest.mark.smoke
def test_the_nightly_backup_takes_one_snapshot_and_waits_in_the_triggerer(
    stack: AirflowStack, simulator: Simulator
) -> None:
    before = taken(simulator, "nightly")
    run_id = ran(stack, EXAMPLE)
    result = stack.xcom(EXAMPLE, run_id, "backup")
    assert [name for name in taken(simulator, "nightly") if name not in before] == [result["name"]]
    assert result["verified"] is True
    assert f"{result['bucket']}/{result['bar_uri'].removeprefix('file:///')}" in simulator.control.bucket()
    assert stack.xcom(EXAMPLE, run_id, "prune")["kept"][0] == result["name"]
    assert stack.xcom(EXAMPLE, run_id, "backup", "oac_instance_url").endswith("/ui/")
    log = stack.log(EXAMPLE, run_id, "backup")
    assert f"OAC accepted {result['name']} as work request {result['work_request_id']}" in log
    assert log.count("SUCCEEDED") >= 1


@pytest.mark.smoke
def test_the_blocking_form_does_the_same(stack: AirflowStack, simulator: Simulator) -> None:
    run_id = ran(stack, "case_oaccreatesnapshotoperator_blocking")
    result = stack.xcom("case_oaccreatesnapshotoperator_blocking", run_id, "backup")
    assert taken(simulator, "oaccreatesnapshotoperator-blocking") == [result["name"]]
    assert result["verified"] is True


def test_each_run_hands_on_how_long_the_work_took(stack: AirflowStack) -> None:
    dag_id = "case_oaccreatesnapshotoperator_blocking"
    runs = [ran(stack, dag_id) for _ in range(3)]
    took = [(stack.xcom(dag_id, run_id, "backup", "oac_seconds") or {}).get("work", []) for run_id in runs]
    first, second, third = took
    tries = [stack.task(dag_id, run_id, "backup")["try_number"] for run_id in runs]
    logs = "\n".join(
        stack.log(dag_id, run_id, "backup", number)
        for run_id, count in zip(runs, tries, strict=True)
        for number in range(1, count + 1)
    )
    assert first, logs
    assert (second[1:], third[1:]) == (first[:9], second[:9]), f"{took}, {tries} tries\n{logs}"


def test_sensors_wait_in_every_mode_and_the_snapshot_is_deleted_with_its_file(
    stack: AirflowStack, simulator: Simulator
) -> None:
    run_id = ran(stack, "case_sensors")
    result = stack.xcom("case_sensors", run_id, "start")
    assert result["verified"] is False, "it did not wait"
    assert result["name"] not in taken(simulator, "sensors")
    assert not [path for path in simulator.control.bucket() if result["name"] in path]


def test_a_failed_work_request_fails_the_task_with_the_errors_of_oac(stack: AirflowStack) -> None:
    run_id = ran(stack, "case_failing", "failed")
    log = stack.log("case_failing", run_id, "backup")
    assert "OACWorkRequestError" in log
    assert "ended FAILED" in log
    assert "no-such-bucket" in log


def test_a_clear_after_success_takes_a_new_snapshot(stack: AirflowStack, simulator: Simulator) -> None:
    dag_id = "case_oaccreatesnapshotoperator_deferred"
    run_id = ran(stack, dag_id)
    first = stack.xcom(dag_id, run_id, "backup")
    stack.clear(dag_id, run_id, ["backup"])
    assert stack.wait_run(dag_id, run_id, timeout=180) == "success", stack.report(dag_id, run_id)
    second = stack.xcom(dag_id, run_id, "backup")
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
