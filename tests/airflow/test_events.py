"""What a backup tells a real Airflow, and the notifier in its callback and in its deadline alert."""

from __future__ import annotations

import json

import pytest

from tests.airflow.mailbox import Mailbox
from tests.airflow.scenario import over
from tools.stack import AirflowStack, until

DAG = "oac_events"


def mailed(mail: Mailbox, to: str) -> tuple[str, str]:
    """Subject and text of the first mail to an address."""
    sent = until(
        lambda: [message for people, message in mail.messages if to in people] or None, 120, lambda: f"no mail to {to}"
    )
    body = sent[0].get_body()
    assert body is not None
    return str(sent[0]["Subject"]), str(body.get_content())


@pytest.mark.smoke
def test_a_backup_is_an_event_and_its_failure_is_mailed(stack: AirflowStack, mail: Mailbox) -> None:
    run_id = over(stack, DAG, stack.trigger(DAG), "failed")
    result = stack.xcom(DAG, run_id, "backup")
    assert result["work_request_id"], stack.report(DAG, run_id)
    (extra,) = [event for event in stack.asset_events(DAG, run_id) if event]
    assert json.loads(extra) == result
    link = stack.xcom(DAG, run_id, "backup", "oac_work_request_url")
    assert ("/workRequests/" if stack.is_airflow_2 else f"oac/work?dag_id={DAG}&") in link
    subject, _ = mailed(mail, "night@example.com")
    assert subject.startswith(f"OAC backup events failed: task failing of the run {run_id} of {DAG}")
    _, text = mailed(mail, "work@example.com")
    work = stack.xcom(DAG, run_id, "failing", "oac_work_request")["work_request_id"]
    assert f"Work request {work} (CREATE_SNAPSHOT) is FAILED in OAC" in text
    if not stack.is_airflow_2:
        subject, _ = mailed(mail, "deadline@example.com")
        assert subject == f"OAC backup events did not come in time: the run {run_id} of {DAG} missed its deadline"
