"""What a backup tells a real Airflow, and the notifier in its callback and in its deadline alert."""

from __future__ import annotations

import json

import pytest

from tests.airflow.mailbox import Mailbox
from tools.stack import AirflowStack, until

DAG = "oac_events"


def mailed(mail: Mailbox, to: str) -> list[str]:
    """Subjects of what was mailed to an address."""
    return [str(message["Subject"]) for people, message in mail.messages if to in people]


def mailed_texts(mail: Mailbox, to: str) -> list[str]:
    """Texts of what was mailed to an address."""
    bodies = [message.get_body() for people, message in mail.messages if to in people]
    return [str(body.get_content()) for body in bodies if body is not None]


@pytest.mark.smoke
def test_a_backup_is_an_event_and_its_failure_is_mailed(stack: AirflowStack, mail: Mailbox) -> None:
    run_id = stack.trigger(DAG)
    assert stack.wait_run(DAG, run_id) == "failed", stack.report(DAG, run_id)
    result = stack.xcom(DAG, run_id, "backup")
    assert result is not None, stack.report(DAG, run_id)
    (extra,) = [event for event in stack.asset_events(DAG, run_id) if event]
    assert json.loads(extra) == result
    assert result["work_request_id"]
    link = stack.xcom(DAG, run_id, "backup", "oac_work_request_url")
    assert ("/workRequests/" if stack.is_airflow_2 else f"oac/work?dag_id={DAG}&") in link
    subjects = until(lambda: mailed(mail, "night@example.com") or None, 60, lambda: "nobody was told of the failure")
    assert subjects[0].startswith(f"OAC backup events failed: task failing of the run {run_id} of {DAG}")
    told = until(lambda: mailed_texts(mail, "work@example.com") or None, 60, lambda: "nobody was told of the work")
    work = stack.xcom(DAG, run_id, "failing", "oac_work_request")["work_request_id"]
    assert f"Work request {work} (CREATE_SNAPSHOT) is FAILED in OAC" in told[0]
    if not stack.is_airflow_2:
        late = until(
            lambda: mailed(mail, "deadline@example.com") or None, 120, lambda: "nobody was told of the deadline"
        )
        assert late == [f"OAC backup events did not come in time: the run {run_id} of {DAG} missed its deadline"]
