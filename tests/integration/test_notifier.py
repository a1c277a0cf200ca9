"""The notifier, as callbacks call it and as the triggerer awaits it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
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
    with mailbox() as running:
        extra = {"disable_ssl": True, "disable_tls": True, "from_email": "airflow@example.com"}
        smtp = {"conn_type": "smtp", "host": "127.0.0.1", "port": running.port, "extra": json.dumps(extra)}
        connections.set("smtp_default", smtp)
        yield running


def backup(label: str = "nightly", to: str | None = "night@example.com", **changes: Any) -> OACBackupNotifier:
    return OACBackupNotifier(snapshot_label=label, to=to, **changes)


def work() -> OACWorkNotifier:
    return OACWorkNotifier(work_name="sales export", to="night@example.com")


def notified(
    mail: Mailbox, notifier: OACBackupNotifier | OACWorkNotifier, context: dict[str, Any], awaited: bool = False
) -> tuple[str, str]:
    """Subject and text of the one mail that a notifier sends."""
    mail.messages.clear()
    asyncio.run(notifier.async_notify(context)) if awaited else notifier.notify(context)
    ((recipients, message),) = mail.messages
    assert recipients == ["night@example.com"]
    body = message.get_body()
    assert body is not None
    return str(message["Subject"]), str(body.get_content())


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


@AWAITED
def test_a_failure_is_told_with_the_newest_snapshot(mail: Mailbox, clean: Simulator, awaited: bool) -> None:
    name = Task(backup_operator).attempt()["name"]
    subject, body = notified(mail, backup(), FAILED, awaited)
    assert subject == f"OAC backup nightly failed: task backup of the run {RUN_ID} of oac_nightly_backup"
    assert f"The newest snapshot that OAC lists is {name}, 0.0 hours old." in body
    assert "the bucket is &lt;gone&gt;" in body


def test_a_missing_backup_is_told_and_the_callback_of_a_dag_names_the_run(
    mail: Mailbox, said: Callable[[], str]
) -> None:
    subject, body = notified(mail, backup("weekly"), MISSED)
    late = "did not come in time: the run scheduled__1 of oac_nightly_backup missed its deadline"
    assert subject == f"OAC backup weekly {late}"
    assert "OAC lists NO snapshot of the series weekly of dev." in body
    of_dag = {"dag": SimpleNamespace(dag_id="a_dag"), "run_id": "scheduled__1", "reason": "task_failure"}
    assert "failed: the run scheduled__1 of a_dag (task_failure)." in notified(mail, backup(), of_dag)[1]
    mail.messages.clear()
    # Without addresses it is a line of the log.
    said()
    backup(to=None).notify({**FAILED, "exception": RuntimeError("only logged")})
    assert (mail.messages, "only logged" in said()) == ([], True)


@AWAITED
@pytest.mark.parametrize(
    ("oac_conn_id", "why"),
    [
        ("oac_away", ""),
        ("oac_gone", "AirflowNotFoundException: The conn_id `oac_gone` isn&#x27;t defined"),
        ("oac_damaged", ""),
    ],
)
def test_people_are_told_although_oac_is_away(
    oac_conn_id: str, why: str, awaited: bool, mail: Mailbox, connections: Connections
) -> None:
    connections.oac("oac_away", host=f"http://127.0.0.1:{unused_port()}")
    connections.set("oac_damaged", "oac://robot:Very-Secret-1@a://b://c")
    body = notified(mail, backup(oac_conn_id=oac_conn_id), FAILED, awaited)[1]
    assert f"could not be reached: {why}" in body
    assert "Very-Secret-1" not in body


@AWAITED
def test_work_that_failed_is_told_with_what_oac_says_of_it(
    mail: Mailbox, clean: Simulator, awaited: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, left = failed_task(clean)
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.com/here/")
    left["oac_job"] = {
        "job_id": "77", "job_status": "FAILED", "rows": 12,
        "tasks": [{"name": "load", "status": "FAILED"}, {"name": "read", "status": "SUCCEEDED"}],
    }  # fmt: skip
    subject, body = notified(mail, work(), context, awaited)
    assert subject == f"OAC sales export failed: task export of the run {RUN_ID} of oac_nightly_backup"
    work_request_id = left["oac_work_request"]["work_request_id"]
    assert f"Work request {work_request_id} (CREATE_SNAPSHOT) is FAILED in OAC: DiskFull: No space." in body
    assert "Job 77 ended FAILED after 12 rows, in load." in body
    link = "https://airflow.example.com/here/oac/work?dag_id=oac_export&amp;run_id=scheduled__1&amp;task_id=export"
    assert (link in body) is not is_airflow_2()


def test_work_that_is_missing_or_never_began_is_told_and_oac_is_not_asked(mail: Mailbox, clean: Simulator) -> None:
    assert notified(mail, work(), MISSED)[0].startswith("OAC sales export did not come in time: the run scheduled__1")
    never = SimpleNamespace(task_id="export", map_index=-1, xcom_pull=lambda **_: None)
    subject, body = notified(mail, work(), {**FAILED, "ti": never})
    assert subject.startswith("OAC sales export failed: task export of")
    assert ("the bucket is &lt;gone&gt;" in body, "in OAC" in body) == (True, False)
    assert clean.control.calls("identity", "token") == 0


def test_people_are_told_of_work_although_oac_or_the_xcoms_are_away(
    mail: Mailbox, connections: Connections, clean: Simulator
) -> None:
    def fails(**_: Any) -> Any:
        raise RuntimeError("Very-Secret-1")

    context, _ = failed_task(clean)
    connections.oac(host=f"http://127.0.0.1:{unused_port()}")
    unknown = "The state of the work request is unknown because OAC could not be reached: "
    assert unknown in notified(mail, work(), context)[1]
    context["ti"].xcom_pull = fails
    body = notified(mail, work(), context)[1]
    assert ("sales export failed" in body, "Very-Secret-1" in body) == (True, False)
