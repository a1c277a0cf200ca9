"""Promotion, restore drill and standby in a real Airflow: the examples that people copy, and approvals."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from oac_simulator.launch import Simulator
from tests.airflow.scenario import over, ran
from tools.stack import AirflowStack, until

PROMOTE, DRILL, STANDBY, FAILOVER = "oac_promote", "oac_restore_drill", "oac_dr_standby", "oac_dr_failover"
RESTORE = "POST /system/actions/restoreSnapshot"


def catalog(simulator: Simulator, instance: str) -> dict[str, Any]:
    """What the catalog of an instance holds, by plain id."""
    return {item["plain"]: item for item in simulator.control.content(instance)["catalog"]}


def approve(stack: AirflowStack, dag_id: str, run_id: str, variable: str, host: str, option: str = "Approve") -> str:
    """Answer the task `approve` as a person does; returns what the person was shown (Airflow 3)."""
    if stack.is_airflow_2:
        stack.wait_task_state(dag_id, run_id, "approve", "up_for_reschedule")
        stack.airflow("variables", "set", variable, f"{run_id} {host}")
        return ""
    stack.wait_task_state(dag_id, run_id, "approve", "awaiting_input", "deferred", timeout=180)
    path = f"/api/v2/dags/{dag_id}/dagRuns/{quote(run_id)}/taskInstances/approve/-1/hitlDetails"
    asked = until(lambda: stack._http("GET", path), 30, lambda: "nothing is asked")
    # An answer that comes earlier may fail the task. A person takes longer to read what is asked.
    stack.wait_noticed(dag_id, run_id, "approve")
    stack._http("PATCH", path, {"chosen_options": [option], "params_input": {}})
    return f"{asked['subject']}\n{asked['body']}"


def host_of(simulator: Simulator, instance: str) -> str:
    """Host and port of an instance."""
    return str(simulator.ready["instances"][instance]["url"]).partition("://")[2]


@pytest.fixture(scope="module")
def nightly(stack: AirflowStack) -> None:
    """There is a nightly backup of development."""
    ran(stack, "oac_nightly_backup")


@pytest.mark.smoke
def test_a_promotion_waits_for_a_person_and_makes_production_what_development_is(
    stack: AirflowStack, simulator: Simulator
) -> None:
    host = host_of(simulator, "prod")
    simulator.control.damage("prod")
    before = simulator.control.calls("prod", RESTORE)
    lost = catalog(simulator, "prod")
    run_id = stack.trigger(PROMOTE)
    stack.wait_task_state(PROMOTE, run_id, "review", "success", timeout=180)
    assert catalog(simulator, "prod") == lost
    shown = approve(stack, PROMOTE, run_id, "oac_promote_approval", host)
    review = stack.xcom(PROMOTE, run_id, "review")
    for said in (f"**Target: {host}**", "**Taken of:** dev", " ago**", "Lost, because", "schedules of deliveries"):
        assert said in review
    if not stack.is_airflow_2:
        assert shown.startswith(f"Replace the whole content of {host}?")
        assert review in shown
    over(stack, PROMOTE, run_id)
    assert set(catalog(simulator, "prod")) == set(catalog(simulator, "dev"))
    assert simulator.control.calls("prod", RESTORE) == before + 1
    assert simulator.control.calls("dev", RESTORE) == 0
    result = stack.xcom(PROMOTE, run_id, "restore")
    assert result["safety"]["verified"] is True
    assert f"oac-backups/{result['safety']['bar_uri'].removeprefix('file:///')}" in simulator.control.bucket()
    # Production's own user of the data source, not development's.
    (adw,) = [item for item in catalog(simulator, "prod").values() if item["name"] == "ADW"]
    assert "reader_of_production" in str(adw)
    assert "reader_of_production" not in str(catalog(simulator, "dev").values())
    assert stack.xcom(PROMOTE, run_id, "roles") == {"administrator": True, "author": True}
    assert "schedules of deliveries" in stack.xcom(PROMOTE, run_id, "by_hand")
    assert result["snapshot_id"] not in [item["id"] for item in simulator.control.snapshots("prod")]
    assert "REPLACES the content of" in stack.log(PROMOTE, run_id, "restore")


def test_who_is_refused_restores_nothing(stack: AirflowStack, simulator: Simulator) -> None:
    if stack.is_airflow_2:
        # A person who does not approve does nothing there.
        return
    before = simulator.control.calls("prod", RESTORE)
    run_id = stack.trigger(PROMOTE)
    approve(stack, PROMOTE, run_id, "oac_promote_approval", host_of(simulator, "prod"), option="Reject")
    over(stack, PROMOTE, run_id, "failed")
    assert stack.task(PROMOTE, run_id, "restore")["state"] == "upstream_failed"
    assert simulator.control.calls("prod", RESTORE) == before


@pytest.mark.usefixtures("nightly")
def test_the_drill_proves_last_nights_backup(stack: AirflowStack, simulator: Simulator) -> None:
    simulator.control.damage("scratch")
    files = simulator.control.bucket()
    run_id = ran(stack, DRILL)
    result = stack.xcom(DRILL, run_id, "compare")
    assert result["equal"] is True
    assert result["compared"] > 10
    assert (result["missing"], result["different"]) == ([], [])
    assert set(catalog(simulator, "scratch")) == set(catalog(simulator, "dev"))
    # The backup itself stays.
    assert simulator.control.bucket() == files
    assert "items are in both" in stack.log(DRILL, run_id, "compare")


@pytest.mark.usefixtures("nightly")
def test_the_standby_registers_the_replica_and_takes_over(stack: AirflowStack, simulator: Simulator) -> None:
    buckets = Path(simulator.ready["bucket_dir"])
    shutil.copytree(buckets / "oac-backups", buckets / "oac-backups-replica")
    newest = stack.xcom(STANDBY, ran(stack, STANDBY), "register")
    assert newest["verified"] is True
    assert newest["bucket"] == "oac-backups-replica"
    simulator.control.damage("scratch")
    run_id = stack.trigger(FAILOVER)
    approve(stack, FAILOVER, run_id, "oac_failover_approval", host_of(simulator, "scratch"))
    over(stack, FAILOVER, run_id)
    assert stack.xcom(FAILOVER, run_id, "restore")["snapshot_id"] == newest["snapshot_id"]
    assert set(catalog(simulator, "scratch")) == set(catalog(simulator, "dev"))
    assert stack.airflow("variables", "get", "oac_active_conn_id").split()[-1].strip('"') == "oac_standby"
    stack.airflow("variables", "delete", "oac_active_conn_id")
