"""The notifier, as callbacks call it and as the triggerer awaits it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_oac._compat import BaseHook, is_airflow_2
from airflow_provider_oac.exceptions import OACWorkRequestError
from airflow_provider_oac.notifications.oac import OACBackupNotifier, OACWorkNotifier
from oac_simulator.launch import Simulator
from tests.airflow.mailbox import Mailbox, mailbox
from tests.integration.servers import unused_port
from tests.tasks import Connections, Task, backup_operator

# The ID of a run that a person started has a dot.
RUN_ID = "manual__2026-11-30T02:00:00.512345+00:00"
FAILED: dict[str, Any] = {
    "ti": SimpleNamespace(task_id="backup"),
    "dag_run": SimpleNamespace(dag_id="oac_nightly_backup", run_id=RUN_ID),
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


def work_notified(context: dict[str, Any], awaited: bool = False) -> None:
    notifier = OACWorkNotifier(work_name="sales export", to="night@example.com")
    if awaited:
        asyncio.run(notifier.async_notify(context))
    else:
        notifier.notify(context)


def failed_task(simulator: Simulator) -> tuple[dict[str, Any], dict[str, Any]]:
    """The context of a callback of a task whose work failed in OAC, and what the task left in XCom."""
    simulator.control.fault("POST /snapshots", "fail_work", errors=[{"code": "DiskFull", "message": "No space"}])
    task = Task(backup_operator)
    with pytest.raises(OACWorkRequestError) as error:
        task.attempt()
    left = dict(task.ti.xcoms)
    ti = SimpleNamespace(
        dag_id="oac_export", run_id="scheduled__1", task_id="export", map_index=3,
        # Without the task, Airflow 2 gives what any task of the run has left.
        xcom_pull=lambda task_ids, key, map_indexes: left.get(key) if (task_ids, map_indexes) == ("export", 3) else "",
    )  # fmt: skip
    return {**FAILED, "ti": ti, "exception": error.value}, left


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
    assert subject == f"OAC backup nightly failed: task backup of the run {RUN_ID} of oac_nightly_backup"
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


@AWAITED
def test_work_that_failed_is_told_with_what_oac_says_of_it(
    mail: Mailbox, connections: Connections, clean: Simulator, awaited: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    connections.seal()
    context, left = failed_task(clean)
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.com/here/")
    left["oac_job"] = {
        "job_id": "77", "job_status": "FAILED", "rows": 12,
        "tasks": [{"name": "load", "status": "FAILED"}, {"name": "read", "status": "SUCCEEDED"}],
    }  # fmt: skip
    work_notified(context, awaited)
    subject, body = text(mail)
    assert subject == f"OAC sales export failed: task export of the run {RUN_ID} of oac_nightly_backup"
    work = left["oac_work_request"]["work_request_id"]
    assert f"Work request {work} (CREATE_SNAPSHOT) is FAILED in OAC: DiskFull: No space." in body
    assert "Job 77 ended FAILED after 12 rows, in load." in body
    link = "https://airflow.example.com/here/oac/work?dag_id=oac_export&amp;run_id=scheduled__1&amp;task_id=export"
    assert (link in body) is not is_airflow_2()


@AWAITED
def test_work_that_is_missing_or_never_began_is_told(mail: Mailbox, clean: Simulator, awaited: bool) -> None:
    clean.control.reset_counters()
    work_notified(MISSED, awaited)
    assert text(mail)[0].startswith("OAC sales export did not come in time: the run scheduled__1")
    mail.messages.clear()
    never = SimpleNamespace(task_id="export", map_index=-1, xcom_pull=lambda **_: None)
    work_notified({**FAILED, "ti": never}, awaited)
    subject, body = text(mail)
    assert subject.startswith("OAC sales export failed: task export of")
    assert ("the bucket is &lt;gone&gt;" in body, "in OAC" in body) == (True, False)
    assert clean.control.calls("identity", "token") == 0


@AWAITED
def test_people_are_told_of_work_although_oac_or_the_xcoms_are_away(
    mail: Mailbox, connections: Connections, clean: Simulator, awaited: bool
) -> None:
    connections.seal()
    context, _ = failed_task(clean)
    connections.oac(host=f"http://127.0.0.1:{unused_port()}")
    work_notified(context, awaited)
    assert "The state of the work request is unknown because OAC could not be reached: " in text(mail)[1]
    mail.messages.clear()

    def fails(**_: Any) -> Any:
        raise RuntimeError("Very-Secret-1")

    context["ti"].xcom_pull = fails
    work_notified(context, awaited)
    body = text(mail)[1]
    assert ("sales export failed" in body, "Very-Secret-1" in body) == (True, False)
