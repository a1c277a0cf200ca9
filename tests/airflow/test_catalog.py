"""The catalog in a real Airflow: the examples that people copy."""

from __future__ import annotations

import csv
from pathlib import Path

from oac_simulator.launch import Simulator
from tests.airflow.scenario import local, ran
from tools.stack import AirflowStack

SALES = "/@Catalog/shared/Sales"
AUDIT, PRODUCTION, BACKUP = "oac_acl_audit", "oac_copy_to_production", "oac_folder_backup"


def below(simulator: Simulator, folder: str) -> list[str]:
    """Plain ids of what lies below a folder."""
    catalog = simulator.control.content("dev")["catalog"]
    return sorted(item["plain"] for item in catalog if item["plain"].startswith(folder + "/"))


def test_workbooks_are_brought_into_production_the_way_back_is_kept_and_the_audit_tells_what_changed(
    stack: AirflowStack, simulator: Simulator, audits: Path
) -> None:
    audit = stack.xcom(AUDIT, ran(stack, AUDIT), "audit")
    file = local(audit)
    assert file.parent == audits
    written = {row["path"] for row in csv.DictReader(file.open(newline=""))}
    assert written == {"/@Catalog/shared", *below(simulator, "/@Catalog/shared")}
    target = "/@Catalog/shared/Production/Sales"
    first = ran(stack, PRODUCTION)
    assert f"{target}/Pipeline" in below(simulator, target)
    names = [item["name"] for item in stack.xcom(PRODUCTION, first, "workbooks")]
    assert names == ["All Regions", "Pipeline", "Revenue by Region"]
    assert stack.xcom(PRODUCTION, first, "readers")["changed"] is True
    second = ran(stack, PRODUCTION)
    kept = stack.xcom(PRODUCTION, second, "keep")["path"]
    assert [path.removeprefix(kept) for path in below(simulator, kept)] == [
        path.removeprefix(target) for path in below(simulator, target)
    ]
    assert stack.xcom(PRODUCTION, second, "copy", map_index=1)["path"] == f"{target}/Pipeline"
    compared = ran(stack, AUDIT)
    assert stack.xcom(AUDIT, compared, "compare")["granted"] >= 2
    assert "+ /@Catalog/shared/" in stack.log(AUDIT, compared, "compare")
    assert len(list(audits.glob("acl-*.csv"))) == 2


def test_dated_copies_of_a_folder_are_kept_and_old_ones_go(stack: AirflowStack, simulator: Simulator) -> None:
    runs = [ran(stack, BACKUP, keep=2) for _ in range(3)]
    made = [stack.xcom(BACKUP, run_id, "copy")["path"] for run_id in runs]
    there = below(simulator, "/@Catalog/shared/Copies")
    assert [path for path in made if path in there] == made[1:]
    assert len([path for path in there if path.startswith(made[2] + "/")]) == len(below(simulator, SALES))
    assert stack.xcom(BACKUP, runs[2], "delete", map_index=0) == {"path": made[0], "deleted": True}
    folder = next(item for item in simulator.control.content("dev")["catalog"] if item["plain"] == made[2])
    assert folder["acl"] is None or [line["accountGuid"] for line in folder["acl"]] == ["BIServiceAdministrator"]
