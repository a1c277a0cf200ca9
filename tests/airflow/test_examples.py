"""Examples of what Airflow's lines do alike, all started at once: tried on the oldest line and the newest one only."""

from __future__ import annotations

import csv
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from oac_simulator.launch import Simulator
from tests.airflow.mailbox import Mailbox
from tests.airflow.scenario import ran
from tools.stack import AirflowStack

LEAVER, HEIR = "oac.leaver@example.com", "oac.colleague@example.com"
HOME, KEPT, REPORT = f"/@Catalog/users/{LEAVER}", f"/@Catalog/shared/Leavers/{LEAVER}", "/@Catalog/shared/Sales/Report"
DATASET = f"'{LEAVER}'.'Forecast'"
CONF: dict[str, dict[str, Any]] = {
    "oac_offboarding": {"leaver": LEAVER, "heir": HEIR, "connection_user": "oac.admin@example.com"},
    "oac_settings_apply": {},
    "oac_data_source": {"name": "Warehouse", "retired": "'admin'.'CRM 2025'"},
    "oac_sequence_then_wait": {},
    "oac_checked_report": {},
    "oac_nightly_extract": {},
    "oac_compare_figures": {},
    "oac_workbooks_to_git": {},
    "oac_report_on_time": {},
    # The DAG of README.md.
    "nightly_backup": {},
}


def git(*arguments: str, folder: Path) -> str:
    """What git says in a folder."""
    return subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def checkout(home: Path) -> Path:
    """The checkout that the example commits to, of a repository with one commit."""
    folder, origin = home / "checkout", home / "origin.git"
    git("init", "--quiet", "--bare", "--initial-branch=main", str(origin), folder=home)
    git("clone", "--quiet", str(origin), str(folder), folder=home)
    git("config", "user.name", "Airflow", folder=folder)
    git("config", "user.email", "airflow@example.com", folder=folder)
    git("commit", "--quiet", "--allow-empty", "--message=Begin", folder=folder)
    git("push", "--quiet", "--set-upstream", "origin", "HEAD:main", folder=folder)
    return folder


@pytest.fixture(scope="module")
def runs(stack: AirflowStack, simulator: Simulator, checkout: Path) -> dict[str, str]:
    """Name of each example to its run, which was a success."""
    today = f"{datetime.now(UTC):%Y-%m-%d} 00:00:00.0"
    simulator.control.data("dev", 'UPDATE "Sales History" SET "Time.Day" = ? WHERE "Time.Month" = ?', today, "2026-06")
    simulator.control.add_items(
        "dev",
        {"type": "folders", "plain": HOME, "owner": LEAVER, "acl": []},
        {"type": "workbooks", "plain": f"{HOME}/Draft", "owner": LEAVER},
        {"type": "workbooks", "plain": REPORT, "owner": LEAVER},
        {"type": "datasets", "plain": DATASET, "owner": LEAVER},
        {"type": "connections", "plain": "'admin'.'CRM 2025'", "owner": "oac.admin@example.com"},
    )
    started = {dag_id: stack.trigger(dag_id, conf) for dag_id, conf in CONF.items()}
    for dag_id, run_id in started.items():
        assert stack.wait_run(dag_id, run_id, timeout=480) == "success", stack.report(dag_id, run_id)
    return started


def items(simulator: Simulator) -> dict[str, dict[str, Any]]:
    """The catalog, by plain id."""
    return {item["plain"]: item for item in simulator.control.content("dev")["catalog"]}


def test_what_a_leaver_owned_is_handed_over_and_kept(
    stack: AirflowStack, simulator: Simulator, runs: dict[str, str], audits: Path
) -> None:
    catalog = items(simulator)
    assert [item["plain"] for item in catalog.values() if item["owner"] == LEAVER] == []
    assert {catalog[plain]["owner"] for plain in (KEPT, f"{KEPT}/Draft", REPORT, DATASET)} == {HEIR}
    assert HOME not in catalog
    result = stack.xcom("oac_offboarding", runs["oac_offboarding"], "who_sees_it")
    path = Path(result["path"].removeprefix("file://"))
    assert path.parent == audits / "leavers"
    assert {row["path"] for row in csv.DictReader(path.open(newline=""))} == {KEPT, f"{KEPT}/Draft"}


def test_settings_are_brought_to_what_the_file_says_and_a_change_by_hand_is_told(
    stack: AirflowStack, simulator: Simulator, runs: dict[str, str]
) -> None:
    content = simulator.control.content("dev")
    assert (content["settings"]["EmailMaxRecipients"], content["mail"]["port"]) == ("200", 587)
    assert set(content["safeDomains"]) == {"maps.example.com", "*.intranet.example.com"}
    assert stack.xcom("oac_settings_apply", runs["oac_settings_apply"], "mail")["secret"] == "sent"
    ran(stack, "oac_settings_check")


def test_a_data_source_is_added_and_the_one_before_it_retired(
    stack: AirflowStack, simulator: Simulator, runs: dict[str, str]
) -> None:
    run_id, catalog = runs["oac_data_source"], items(simulator)
    made = stack.xcom("oac_data_source", run_id, "create")
    assert (made["name"], made["how"]) == ("Warehouse", "created")
    assert stack.xcom("oac_data_source", run_id, "look")["name"] == "Warehouse"
    assert catalog["'oac.admin@example.com'.'Warehouse'"]["definition"]["sslType"] == "ServerAuthentication"
    assert "'admin'.'CRM 2025'" not in catalog


def test_a_sensor_waits_for_the_sequence_that_another_task_started(stack: AirflowStack, runs: dict[str, str]) -> None:
    run_id, dag_id = runs["oac_sequence_then_wait"], "oac_sequence_then_wait"
    started = stack.xcom(dag_id, run_id, "start")["work_request_id"]
    assert stack.xcom(dag_id, run_id, "published")["name"] == "Pipeline"
    assert "Load Orders" in {item["name"] for item in stack.xcom(dag_id, run_id, "meanwhile")}
    log = stack.log(dag_id, run_id, "done", stack.task(dag_id, run_id, "done")["try_number"])
    assert f"Work request {started}" in log
    assert "SUCCEEDED" in log


def test_the_dag_of_the_readme_makes_a_snapshot_when_pasted(stack: AirflowStack, runs: dict[str, str]) -> None:
    backup = stack.xcom("nightly_backup", runs["nightly_backup"], "backup")
    assert backup["name"].startswith("nightly--")
    assert backup["verified"]


def test_a_report_goes_out_after_its_figures_were_checked(
    stack: AirflowStack, mail: Mailbox, runs: dict[str, str]
) -> None:
    dag_id, run_id = "oac_checked_report", runs["oac_checked_report"]
    assert stack.xcom(dag_id, run_id, "fresh").startswith(f"{datetime.now(UTC):%Y-%m}")
    (message,) = [message for _, message in mail.messages if message["subject"].startswith("Checked revenue")]
    assert [part.get_filename() for part in message.iter_attachments()] == ["Revenue by Region.pdf"]


def test_a_dataset_is_extracted(stack: AirflowStack, home: Path, runs: dict[str, str]) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    result = stack.xcom("oac_nightly_extract", runs["oac_nightly_extract"], "extract")
    path = Path(result["path"].removeprefix("file://"))
    assert path.parent == home / "extracts" / "orders"
    table = parquet.read_table(path)
    assert (table.num_rows, str(table.schema.field("amount").type)) == (result["rows"], "decimal128(18, 2)")
    assert Path(f"{path}.manifest.json").exists()


def test_the_figures_of_two_instances_are_compared(stack: AirflowStack, runs: dict[str, str]) -> None:
    run_id = runs["oac_compare_figures"]
    assert stack.xcom("oac_compare_figures", run_id, "compare_by_category") == 4
    assert stack.xcom("oac_compare_figures", run_id, "compare_by_month") == 6


def test_a_report_that_is_there_in_time_is_exported(stack: AirflowStack, runs: dict[str, str]) -> None:
    result = stack.xcom("oac_report_on_time", runs["oac_report_on_time"], "report")
    assert Path(result["path"].removeprefix("file://")).read_bytes().startswith(b"%PDF")


def test_definitions_of_workbooks_are_committed(checkout: Path, runs: dict[str, str]) -> None:
    assert "Workbooks of" in git("log", "--format=%s", "origin/main", folder=checkout)
    files = git("ls-tree", "-r", "--name-only", "origin/main", folder=checkout).split()
    assert {"workbooks/manifest.json", "workbooks/Sales/Pipeline.json"} <= set(files)
