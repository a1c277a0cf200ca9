"""Examples of what Airflow's lines do alike, all started at once: tried on the oldest line and the newest one only."""

from __future__ import annotations

import csv
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from oac_simulator.launch import Simulator
from tests.airflow.mailbox import Mailbox
from tests.airflow.scenario import local, over, ran
from tools.stack import AirflowStack

Result = Callable[[str, str], Any]
LEAVER, HEIR = "oac.leaver@example.com", "oac.colleague@example.com"
HOME, KEPT, REPORT = f"/@Catalog/users/{LEAVER}", f"/@Catalog/shared/Leavers/{LEAVER}", "/@Catalog/shared/Sales/Report"
DATASET = f"'{LEAVER}'.'Forecast'"
# "nightly_backup" is the DAG of README.md.
EXAMPLES = (
    "oac_offboarding", "oac_data_source", "oac_settings_apply", "oac_sequence_then_wait", "oac_checked_report",
    "oac_nightly_extract", "oac_compare_figures", "oac_workbooks_to_git", "oac_report_on_time", "nightly_backup",
)  # fmt: skip
CONF = {
    "oac_offboarding": {"leaver": LEAVER, "heir": HEIR, "connection_user": "oac.admin@example.com"},
    "oac_data_source": {"name": "Warehouse", "retired": "'admin'.'CRM 2025'"},
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
    started = {dag_id: stack.trigger(dag_id, CONF.get(dag_id)) for dag_id in EXAMPLES}
    return {dag_id: over(stack, dag_id, run_id, timeout=480) for dag_id, run_id in started.items()}


@pytest.fixture
def result(stack: AirflowStack, runs: dict[str, str]) -> Result:
    """The result of a task of an example."""
    return lambda dag_id, task_id: stack.xcom(dag_id, runs[dag_id], task_id)


@pytest.fixture
def catalog(simulator: Simulator, runs: dict[str, str]) -> dict[str, dict[str, Any]]:
    """The catalog after the runs, by plain id."""
    return {item["plain"]: item for item in simulator.control.content("dev")["catalog"]}


def test_what_a_leaver_owned_is_handed_over_and_kept(
    catalog: dict[str, dict[str, Any]], result: Result, audits: Path
) -> None:
    assert [item["plain"] for item in catalog.values() if item["owner"] == LEAVER] == []
    assert {catalog[plain]["owner"] for plain in (KEPT, f"{KEPT}/Draft", REPORT, DATASET)} == {HEIR}
    assert HOME not in catalog
    path = local(result("oac_offboarding", "who_sees_it"))
    assert path.parent == audits / "leavers"
    assert {row["path"] for row in csv.DictReader(path.open(newline=""))} == {KEPT, f"{KEPT}/Draft"}


def test_settings_are_brought_to_what_the_file_says_and_a_change_by_hand_is_told(
    stack: AirflowStack, simulator: Simulator, result: Result
) -> None:
    assert result("oac_settings_apply", "mail")["secret"] == "sent"
    content = simulator.control.content("dev")
    assert (content["settings"]["EmailMaxRecipients"], content["mail"]["port"]) == ("200", 587)
    assert set(content["safeDomains"]) == {"maps.example.com", "*.intranet.example.com"}
    ran(stack, "oac_settings_check")


def test_a_data_source_is_added_and_the_one_before_it_retired(
    catalog: dict[str, dict[str, Any]], result: Result
) -> None:
    made = result("oac_data_source", "create")
    assert (made["name"], made["how"]) == ("Warehouse", "created")
    assert result("oac_data_source", "look")["name"] == "Warehouse"
    assert catalog["'oac.admin@example.com'.'Warehouse'"]["definition"]["sslType"] == "ServerAuthentication"
    assert "'admin'.'CRM 2025'" not in catalog


def test_a_sensor_waits_for_the_sequence_that_another_task_started(
    stack: AirflowStack, runs: dict[str, str], result: Result
) -> None:
    dag_id = "oac_sequence_then_wait"
    assert result(dag_id, "published")["name"] == "Pipeline"
    assert "Load Orders" in {item["name"] for item in result(dag_id, "meanwhile")}
    log = stack.log(dag_id, runs[dag_id], "done", stack.task(dag_id, runs[dag_id], "done")["try_number"])
    assert f"Work request {result(dag_id, 'start')['work_request_id']}" in log
    assert "SUCCEEDED" in log


def test_the_dag_of_the_readme_makes_a_snapshot_when_pasted(result: Result) -> None:
    assert result("nightly_backup", "backup")["verified"]


def test_a_report_goes_out_after_its_figures_were_checked(result: Result, mail: Mailbox) -> None:
    assert result("oac_checked_report", "fresh").startswith(f"{datetime.now(UTC):%Y-%m}")
    (message,) = [message for _, message in mail.messages if message["subject"].startswith("Checked revenue")]
    assert [part.get_filename() for part in message.iter_attachments()] == ["Revenue by Region.pdf"]


def test_a_dataset_is_extracted(result: Result, home: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    extract = result("oac_nightly_extract", "extract")
    path = local(extract)
    assert path.parent == home / "extracts" / "orders"
    table = parquet.read_table(path)
    assert (table.num_rows, str(table.schema.field("amount").type)) == (extract["rows"], "decimal128(18, 2)")
    assert Path(f"{path}.manifest.json").exists()


def test_the_figures_of_two_instances_are_compared(result: Result) -> None:
    assert result("oac_compare_figures", "compare_by_category") == 4
    assert result("oac_compare_figures", "compare_by_month") == 6


def test_a_report_that_is_there_in_time_is_exported(result: Result) -> None:
    assert local(result("oac_report_on_time", "report")).read_bytes().startswith(b"%PDF")


def test_definitions_of_workbooks_are_committed(checkout: Path, runs: dict[str, str]) -> None:
    assert "Workbooks of" in git("log", "--format=%s", "origin/main", folder=checkout)
    files = git("ls-tree", "-r", "--name-only", "origin/main", folder=checkout).split()
    assert {"workbooks/manifest.json", "workbooks/Sales/Pipeline.json"} <= set(files)
