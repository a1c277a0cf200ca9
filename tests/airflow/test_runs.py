"""Runs and connections in a real Airflow: the examples that people copy."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from oac_simulator.launch import Simulator
from tests.airflow.scenario import local, over, ran
from tools.oac_connections import WAREHOUSE_PASSWORD
from tools.stack import AirflowStack, until

RELOAD, EXPORT, ROTATE = "oac_reload_after_load", "oac_data_flow_then_export", "oac_rotate_connection_password"


def test_datasets_are_reloaded_when_the_warehouse_is_loaded(stack: AirflowStack) -> None:
    stack.wait_dag(RELOAD)
    ran(stack, "case_warehouse_load")
    # The scheduler of these tests starts no run by itself.
    until(lambda: RELOAD in stack.queued_by_assets() or None, 60, lambda: "the asset queued no run")
    run_id = ran(stack, RELOAD)
    results: list[dict[str, Any]] = [stack.xcom(RELOAD, run_id, "reload", map_index=index) for index in range(2)]
    assert [result["rows"] for result in results] == [120_000, 4_920]
    rows = {"'admin'.'Orders'": 120_000, "'admin'.'Budget Lines'": 4_920}
    assert stack.xcom(RELOAD, run_id, "no_empty_dataset") == rows
    log = stack.log(RELOAD, run_id, "reload", map_index=1)
    assert "Task COST_CENTRES from ADW to OAC cache: SUCCEEDED, 120 rows" in log


@pytest.mark.begins(EXPORT)
def test_a_data_flow_runs_and_then_the_workbook_is_exported(stack: AirflowStack, exports: Path, run_id: str) -> None:
    over(stack, EXPORT, run_id)
    flow, export = stack.xcom(EXPORT, run_id, "clean_orders"), stack.xcom(EXPORT, run_id, "export")
    assert (flow["job_status"], flow["rows"], flow["adopted"]) == ("SUCCEEDED", 118_500, False)
    path = local(export)
    assert path.parent == exports / "orders"
    assert path.read_bytes().startswith(b"%PDF-")


@pytest.mark.begins(ROTATE)
def test_a_password_is_rotated_and_nobody_sees_it(stack: AirflowStack, simulator: Simulator, run_id: str) -> None:
    over(stack, ROTATE, run_id)
    catalog = simulator.control.content("dev")["catalog"]
    (connection,) = [item for item in catalog if item["type"] == "connections" and item["name"] == "ADW"]
    assert connection["definition"]["passwordSha256"] == sha256(WAREHOUSE_PASSWORD.encode()).hexdigest()
    assert stack.xcom(ROTATE, run_id, "rotate")["sent"] == ["connectionType", "password", "username"]
    assert stack.xcom(ROTATE, run_id, "prove")["job_status"] == "SUCCEEDED"
    logs = stack.log(ROTATE, run_id, "rotate") + stack.log(ROTATE, run_id, "prove")
    assert "Updated connection 'admin'.'ADW'" in logs
    assert WAREHOUSE_PASSWORD not in logs
