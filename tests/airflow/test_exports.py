"""Exports in a real Airflow: the examples that people copy, and a worker that is killed while it downloads."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from oac_simulator.launch import Simulator
from tests.airflow.mailbox import Mailbox
from tests.airflow.scenario import over
from tools.stack import AirflowStack, until

WEEKLY, MAIL = "oac_weekly_dashboard_pdf", "oac_pdf_by_mail"
DOWNLOAD = "GET /catalog/workbooks/{urlBase64WorkbookId}/exports/{exportId}"


def mailed(mail: Mailbox) -> list[Any]:
    """What this example mailed; another one mails to the same people."""
    return [message for _, message in mail.messages if str(message["Subject"]).startswith("Revenue by region")]


def local(path: str) -> Path:
    return Path(path.removeprefix("file://"))


@pytest.mark.smoke
@pytest.mark.begins(WEEKLY)
def test_the_weekly_pdf_and_its_figures_lie_in_the_folder_of_the_day(
    stack: AirflowStack, exports: Path, run_id: str
) -> None:
    over(stack, WEEKLY, run_id)
    dashboard, figures = stack.xcom(WEEKLY, run_id, "dashboard"), stack.xcom(WEEKLY, run_id, "figures")
    path = local(dashboard["path"])
    data = path.read_bytes()
    assert (path.parent.parent, path.name) == (exports, "All Regions.pdf")
    assert (len(data), hashlib.sha256(data).hexdigest()) == (dashboard["size"], dashboard["sha256"])
    assert data.startswith(b"%PDF-")
    assert dashboard["canvases"] == [f"Region {number}" for number in range(1, 8)]
    assert len(dashboard["work_request_ids"]) == 2
    assert sorted(item.name for item in (path.parent / "figures").iterdir()) == [
        "Pipeline.pdf", "Revenue_by_Region.pdf", "Revenue_by_Region.png",
    ]  # fmt: skip
    assert [local(file["path"]).stat().st_size for file in figures["files"]] == [
        file["size"] for file in figures["files"]
    ]
    log = stack.log(WEEKLY, run_id, "dashboard")
    assert "Joined 2 exports" in log
    assert "is an administrator" not in log


@pytest.mark.begins(MAIL)
def test_the_pdf_is_mailed_to_everybody_with_the_file_attached(
    stack: AirflowStack, mail: Mailbox, exports: Path, run_id: str
) -> None:
    over(stack, MAIL, run_id)
    (message,) = mailed(mail)
    assert message["From"] == "airflow@example.com"
    assert str(message["Subject"]).startswith("Revenue by region, 20")
    assert message["To"] == "sales@example.com, board@example.com"
    (attachment,) = message.iter_attachments()
    content = attachment.get_payload(decode=True)
    result = stack.xcom(MAIL, run_id, "export")
    assert attachment.get_filename() == "Revenue by Region.pdf"
    assert isinstance(content, bytes)
    assert hashlib.sha256(content).hexdigest() == result["sha256"]
    assert content == local(result["path"]).read_bytes()


@pytest.mark.parametrize("mode", ["blocking", "deferred"])
@pytest.mark.begins("case_export_killed_{mode}")
def test_a_worker_that_is_killed_while_it_downloads_leaves_no_half_file(
    stack: AirflowStack, exports: Path, mode: str, run_id: str
) -> None:
    dag_id = f"case_export_killed_{mode}"
    over(stack, dag_id, run_id)
    assert stack.task(dag_id, run_id, "export")["try_number"] == 2
    result = stack.xcom(dag_id, run_id, "export")
    folder = exports / f"killed-{mode}"
    assert [path.name for path in folder.iterdir()] == ["Pipeline.pdf"]
    assert (folder / "Pipeline.pdf").stat().st_size == result["size"]
    # What the first try had seen of the folder when it died: only something beside the name.
    (seen,) = Path(f"{folder}-seen").read_text().splitlines()
    assert seen.startswith(".Pipeline.pdf.")
    assert seen.endswith("-1.part")


@pytest.mark.begins("case_lineage")
def test_a_reader_of_hook_lineage_sees_files_queries_and_their_sources(
    stack: AirflowStack, simulator: Simulator, home: Path, exports: Path, run_id: str
) -> None:
    over(stack, "case_lineage", run_id)

    def seen(task_id: str) -> dict[str, Any]:
        # Airflow calls listeners after the task has told its state.
        path = home / "lineage" / f"case_lineage.{task_id}.json"
        until(
            lambda: path.exists() or None,
            60,
            lambda: f"no lineage of {task_id}: {stack.report('case_lineage', run_id)}",
        )
        found: dict[str, Any] = json.loads(path.read_text())
        return found

    oac = f"oac://{urlsplit(simulator.ready['instances']['dev']['url']).netloc}"
    workbook = ["OACHook", f"{oac}/catalog/shared/Sales/Pipeline"]
    for task_id in ("by_hook", "by_operator"):
        file = ["ObjectStoragePath", f"file://{exports}/lineage/{task_id.replace('_', ' ')}.pdf"]
        assert seen(task_id) == {"inputs": [workbook], "outputs": [file], "extra": []}
    query = seen("query")
    assert query["inputs"] == [["OACSqlHook", f"{oac}/subject-areas/Sales%20History"]]
    ((reporter, key, job),) = query["extra"]
    assert (reporter, key, job["sql_parameters"], job["row_count"]) == ("OACSqlHook", "sql_job", ["Category 1"], 1)
    assert job["sql"].startswith('SELECT "Sales History"."Facts"."Revenue"')


def test_no_mail_goes_out_when_the_export_fails(stack: AirflowStack, simulator: Simulator, mail: Mailbox) -> None:
    """The last one, since all exports act for this user."""
    before = len(mailed(mail))
    simulator.control.user("oac.author@example.com", active=False)
    try:
        run_id = stack.trigger(MAIL)
        stack.wait_task_state(MAIL, run_id, "export", "up_for_retry")
        assert len(mailed(mail)) == before
    finally:
        simulator.control.user("oac.author@example.com", active=True)
    stack.set_task_state(MAIL, run_id, "export", "failed")
    assert stack.wait_run(MAIL, run_id) == "failed"
