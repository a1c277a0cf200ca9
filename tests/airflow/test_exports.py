"""Exports in a real Airflow: the examples that people copy."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.airflow.mailbox import Mailbox
from tests.airflow.scenario import local, over
from tools.stack import AirflowStack

WEEKLY, MAIL = "oac_weekly_dashboard_pdf", "oac_pdf_by_mail"


@pytest.mark.smoke
@pytest.mark.begins(WEEKLY)
def test_the_weekly_pdf_and_its_figures_lie_in_the_folder_of_the_day(
    stack: AirflowStack, exports: Path, run_id: str
) -> None:
    over(stack, WEEKLY, run_id)
    dashboard, figures = stack.xcom(WEEKLY, run_id, "dashboard"), stack.xcom(WEEKLY, run_id, "figures")
    path = local(dashboard)
    data = path.read_bytes()
    assert (path.parent.parent, path.name) == (exports, "All Regions.pdf")
    assert (len(data), hashlib.sha256(data).hexdigest()) == (dashboard["size"], dashboard["sha256"])
    assert data.startswith(b"%PDF-")
    assert dashboard["canvases"] == [f"Region {number}" for number in range(1, 8)]
    assert len(dashboard["work_request_ids"]) == 2
    assert sorted(item.name for item in (path.parent / "figures").iterdir()) == [
        "Pipeline.pdf", "Revenue_by_Region.pdf", "Revenue_by_Region.png",
    ]  # fmt: skip
    assert [local(file).stat().st_size for file in figures["files"]] == [file["size"] for file in figures["files"]]
    log = stack.log(WEEKLY, run_id, "dashboard")
    assert "Joined 2 exports" in log
    assert "is an administrator" not in log


@pytest.mark.begins(MAIL)
def test_the_pdf_is_mailed_to_everybody_with_the_file_attached(
    stack: AirflowStack, mail: Mailbox, exports: Path, run_id: str
) -> None:
    over(stack, MAIL, run_id)
    # Another example mails to the same people.
    (message,) = [one for _, one in mail.messages if str(one["Subject"]).startswith("Revenue by region, 20")]
    assert message["From"] == "airflow@example.com"
    assert message["To"] == "sales@example.com, board@example.com"
    (attachment,) = message.iter_attachments()
    content = attachment.get_payload(decode=True)
    result = stack.xcom(MAIL, run_id, "export")
    assert attachment.get_filename() == "Revenue by Region.pdf"
    assert isinstance(content, bytes)
    assert hashlib.sha256(content).hexdigest() == result["sha256"]
    assert content == local(result).read_bytes()
