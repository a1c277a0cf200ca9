"""The catalog in a real Airflow: the examples that people copy, every operator, the sensor in its modes, any call."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from oac_simulator.launch import Simulator
from tests.airflow.scenario import ran
from tools.stack import AirflowStack

SALES = "/@Catalog/shared/Sales"
AUDIT, PRODUCTION, BACKUP, CASES = "oac_acl_audit", "oac_copy_to_production", "oac_folder_backup", "case_catalog"


def below(simulator: Simulator, folder: str) -> list[str]:
    """Plain ids of what lies below a folder."""
    catalog: list[dict[str, Any]] = simulator.control.content("dev")["catalog"]
    return sorted(item["plain"] for item in catalog if item["plain"].startswith(folder + "/"))


def ran_with(stack: AirflowStack, dag_id: str, **conf: Any) -> str:
    run_id = stack.trigger(dag_id, conf)
    assert stack.wait_run(dag_id, run_id, timeout=180) == "success", stack.report(dag_id, run_id)
    return run_id


def test_the_audit_writes_everything_down_and_tells_what_changed(
    stack: AirflowStack, simulator: Simulator, audits: Path
) -> None:
    first = stack.xcom(AUDIT, ran(stack, AUDIT), "audit")
    file = Path(first["path"].removeprefix("file://"))
    rows = list(csv.DictReader(file.open(newline="")))
    assert file.parent == audits
    assert {row["path"] for row in rows} == {"/@Catalog/shared", *below(simulator, "/@Catalog/shared")}
    # Another DAG of these tests changes permissions, too.
    ran(stack, CASES)
    second = ran(stack, AUDIT)
    changed = stack.xcom(AUDIT, second, "compare")
    assert changed["granted"] >= 2
    log = stack.log(AUDIT, second, "compare")
    assert f"+ {SALES}/Case (folders): User oac.colleague@example.com may read" in log
    assert len(list(audits.glob("acl-*.csv"))) == 2


def test_workbooks_are_brought_into_production_and_the_way_back_is_kept(
    stack: AirflowStack, simulator: Simulator
) -> None:
    target = "/@Catalog/shared/Production/Sales"
    first = ran(stack, PRODUCTION)
    assert f"{target}/Pipeline" in below(simulator, target)
    assert [item["name"] for item in stack.xcom(PRODUCTION, first, "workbooks")] == [
        "All Regions", "Pipeline", "Revenue by Region",
    ]  # fmt: skip
    assert stack.xcom(PRODUCTION, first, "readers")["changed"] is True
    second = ran(stack, PRODUCTION)
    kept = stack.xcom(PRODUCTION, second, "keep")["path"]
    assert [path.removeprefix(kept) for path in below(simulator, kept)] == [
        path.removeprefix(target) for path in below(simulator, target)
    ]
    assert stack.xcom(PRODUCTION, second, "copy", map_index=1)["path"] == f"{target}/Pipeline"


def test_dated_copies_of_a_folder_are_kept_and_old_ones_go(stack: AirflowStack, simulator: Simulator) -> None:
    runs = [ran_with(stack, BACKUP, keep=2) for _ in range(3)]
    made = [stack.xcom(BACKUP, run_id, "copy")["path"] for run_id in runs]
    there = below(simulator, "/@Catalog/shared/Copies")
    assert [path for path in made if path in there] == made[1:]
    assert len([path for path in there if path.startswith(made[2] + "/")]) == len(below(simulator, SALES))
    assert stack.xcom(BACKUP, runs[2], "delete", map_index=0) == {"path": made[0], "deleted": True}
    folder = next(item for item in simulator.control.content("dev")["catalog"] if item["plain"] == made[2])
    assert folder["acl"] is None or [line["accountGuid"] for line in folder["acl"]] == ["BIServiceAdministrator"]


def test_every_operator_and_the_sensor_in_its_modes(stack: AirflowStack, simulator: Simulator) -> None:
    run_id = ran(stack, CASES)
    assert stack.xcom(CASES, run_id, "moved")["path"] == f"{SALES}/Case/Moved"
    for mode in ("poke", "reschedule", "deferred"):
        assert stack.xcom(CASES, run_id, f"there_{mode}")["name"] == "Moved"
    assert stack.xcom(CASES, run_id, "owner")["changed"] == 1
    assert stack.xcom(CASES, run_id, "acl")["acl"][-1]["account"] == "oac.colleague@example.com"
    assert stack.xcom(CASES, run_id, "reload")["status"] == "SUCCEEDED"
    assert stack.xcom(CASES, run_id, "by_name")["name"] == "Sales"
    assert stack.xcom(CASES, run_id, "by_path")[0]["type"] == "workbooks"
    lines = Path(stack.xcom(CASES, run_id, "all")["path"].removeprefix("file://")).read_text().splitlines()
    assert len([json.loads(line) for line in lines]) == stack.xcom(CASES, run_id, "all")["items"]
    assert stack.xcom(CASES, run_id, "gone")["deleted"] is True
