"""The notifier, as callbacks call it and as the triggerer awaits it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_oac._compat import BaseHook
from airflow_provider_oac.notifications.oac import OACBackupNotifier
from oac_simulator.launch import Simulator
from tests.airflow.mailbox import Mailbox, mailbox
from tests.integration.servers import unused_port
from tests.tasks import Connections, Task, backup_operator

FAILED: dict[str, Any] = {
    "ti": SimpleNamespace(task_id="backup"),
    "dag_run": SimpleNamespace(dag_id="oac_nightly_backup", run_id="scheduled__1"),
    "exception": RuntimeError("the bucket is <gone>"),
}
# As Airflow 3.3 hands it over.
MISSED: dict[str, Any] = {
    "dag_run": {"dag_id": "oac_nightly_backup", "dag_run_id": "scheduled__1"},
    "deadline": {"id": "x", "deadline_time": "2026-11-24T02:00:00Z"},
}

# Airflow 2.11 awaits no notifier, and has no asynchronous way to a mail server's Connection.
AWAITED = pytest.mark.parametrize("awaited", [False, True] if hasattr(BaseHook, "aget_connection") else [False])


@pytest.fixture
def mail(connections: Connections) -> Iterator[Mailbox]:
    """A mail server that Airflow's Connection `smtp_default` leads to."""
    connections.oac()
    with mailbox() as running:
        extra = {"disable_ssl": True, "disable_tls": True, "from_email": "airflow@example.com"}
        smtp = {"conn_type": "smtp", "host": "127.0.0.1", "port": running.port, "extra": json.dumps(extra)}
        connections.set("smtp_default", smtp)
        yield running


def notified(context: dict[str, Any], awaited: bool, **changes: Any) -> None:
    notifier = OACBackupNotifier(**{"snapshot_label": "nightly", "to": "night@example.com", **changes})
    if awaited:
        asyncio.run(notifier.async_notify(context))
    else:
        notifier.notify(context)


def text(mail: Mailbox) -> tuple[str, str]:
    """Subject and text of the one mail."""
    ((_, message),) = mail.messages
    body = message.get_body()
    assert body is not None
    return str(message["Subject"]), str(body.get_content())


@AWAITED
def test_a_failure_is_told_with_the_newest_snapshot(
    mail: Mailbox, connections: Connections, clean: Simulator, awaited: bool
) -> None:
    connections.seal()
    name = Task(backup_operator).attempt()["name"]
    notified(FAILED, awaited)
    subject, body = text(mail)
    assert subject.startswith("OAC backup nightly failed: task backup of the run scheduled__1 of oac_nightly_backup")
    assert f"The newest snapshot that OAC lists is {name}, 0.0 hours old." in body
    assert "the bucket is &lt;gone&gt;" in body
    assert mail.messages[0][0] == ["night@example.com"]


@AWAITED
def test_a_missing_backup_is_told(mail: Mailbox, clean: Simulator, awaited: bool) -> None:
    notified(MISSED, awaited, snapshot_label="weekly")
    subject, body = text(mail)
    assert subject == (
        "OAC backup weekly did not come in time: the run scheduled__1 of oac_nightly_backup missed its deadline"
    )
    assert "OAC lists NO snapshot of the series weekly of dev." in body


@AWAITED
def test_people_are_told_although_oac_is_away(mail: Mailbox, connections: Connections, awaited: bool) -> None:
    connections.oac(host=f"http://127.0.0.1:{unused_port()}")
    notified(FAILED, awaited)
    assert "could not be reached" in text(mail)[1]


def test_without_addresses_it_is_a_line_of_the_log(mail: Mailbox, clean: Simulator) -> None:
    notified(FAILED, False, to=None)
    assert mail.messages == []


@AWAITED
def test_people_are_told_although_there_is_no_connection(mail: Mailbox, awaited: bool) -> None:
    notified(FAILED, awaited, oac_conn_id="oac_gone")
    assert "could not be reached: AirflowNotFoundException: The conn_id `oac_gone` isn&#x27;t defined" in text(mail)[1]


@AWAITED
def test_people_are_told_although_the_connection_is_damaged(
    mail: Mailbox, connections: Connections, awaited: bool
) -> None:
    connections.set("oac_odd", "oac://robot:Very-Secret-1@a://b://c")
    notified(FAILED, awaited, oac_conn_id="oac_odd")
    body = text(mail)[1]
    assert ("could not be reached" in body, "Very-Secret-1" in body) == (True, False)


def test_the_callback_of_a_dag_names_the_run(mail: Mailbox, clean: Simulator) -> None:
    dag = SimpleNamespace(dag_id="oac_nightly_backup")
    notified({"dag": dag, "run_id": "scheduled__1", "reason": "task_failure"}, False)
    assert "failed: the run scheduled__1 of oac_nightly_backup (task_failure)." in text(mail)[1]
