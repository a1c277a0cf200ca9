"""Calls and flows of runs, connections and the system over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any

import pytest

from airflow_provider_oac.client.calls import Call
from airflow_provider_oac.client.flows import system_settings
from airflow_provider_oac.client.flows.create_connection import MadeConnection, NewConnection, delete_connection
from airflow_provider_oac.client.flows.polling import succeeded, wait
from airflow_provider_oac.client.flows.start_run import Run, job_since, job_target
from airflow_provider_oac.client.flows.submit import submit_once, unless_gone
from airflow_provider_oac.client.ids import object_id
from airflow_provider_oac.client.rest import (
    connections,
    data_flows,
    datasets,
    jobs,
    mail,
    safe_domains,
    sequences,
    settings,
)
from airflow_provider_oac.exceptions import OACApiError, OACTakenError, OACWorkRequestError
from oac_simulator.launch import Simulator
from tests.drivers import Drive, SignIn
from tests.integration.flows import QUICK, Oac, oac
from tests.tasks import ADMIN

ORDERS, FLOW, SEQUENCE = (object_id("admin", name) for name in ("Orders", "Load Orders", "Nightly"))
RELOAD = "POST /catalog/datasets/{datasetId}/actions/reload"
RUNS: list[tuple[ModuleType, str, Callable[[str], Call[str]], str]] = [
    (datasets, ORDERS, datasets.reload, "DATASET"),
    (data_flows, FLOW, data_flows.run, "DATAFLOW"),
    (sequences, SEQUENCE, sequences.run, "SEQUENCE"),
]
PARAMS = {"connectionType": "mysql", "host": "db.example.com", "username": "u", "password": "Pass-Word-1"}
ORDER = connections.ConnectionOrder("Warehouse", PARAMS, "For sales")


@pytest.fixture
def run(drive: Drive, sign_in: SignIn) -> Oac:
    """Runs a call or a flow."""
    return oac(drive, sign_in)


@pytest.mark.parametrize(("area", "object_id", "start", "kind"), RUNS, ids=["dataset", "data flow", "sequence"])
def test_what_runs_has_a_history(
    run: Oac, area: Any, object_id: str, start: Callable[[str], Call[str]], kind: str
) -> None:
    assert run(area.history(object_id)) == []
    first = run(wait(run(start(object_id)), QUICK))
    assert first.status == "SUCCEEDED"
    run(wait(run(start(object_id)), QUICK))
    newest, oldest = run(area.history(object_id))
    assert (newest.run_type, newest.status, newest.origin) == (kind, "SUCCEEDED", "Manual")
    assert newest.tasks[0].rows
    assert [job.id for job in run(area.latest(object_id))] == [newest.id]
    assert run(area.job(object_id, oldest.id, tasks=False)).tasks == ()
    assert len(run(area.history(object_id, limit=1))) == 1
    assert run(area.history(object_id, status="FAILED")) == []
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    assert run(area.history(object_id, since=tomorrow)) == []
    assert len(run(area.history(object_id, since=tomorrow - timedelta(days=2), until=tomorrow))) == 2


def test_a_start_is_found_again_and_its_job_is_waited_for(run: Oac, clean: Simulator) -> None:
    clean.control.fault(RELOAD, "drop_after")
    of, lines = datasets.runnable(ORDERS), []
    launched = run(submit_once(Run(of, datasets.reload(ORDERS))), report=lines.append)
    assert (launched.how, launched.work_request_id) == ("found", None)
    assert run(succeeded(job_target(of, launched.job_id, QUICK))).status == "SUCCEEDED"
    job = run(job_since(of, launched.mark))
    assert (job.id, job.rows) == (launched.job_id, 120_000)
    assert clean.control.calls("dev", RELOAD) == 1
    assert "may or may not have accepted" in lines[0]


def test_a_job_that_fails_is_told(run: Oac, clean: Simulator) -> None:
    clean.control.fault(RELOAD, "fail_work")
    run(datasets.reload(ORDERS))
    (job,) = run(datasets.latest(ORDERS))
    with pytest.raises(OACWorkRequestError, match=f"Job {job.id} .DATASET. ended FAILED"):
        run(succeeded(job_target(datasets.runnable(ORDERS), job.id, QUICK)))


def test_a_job_that_does_not_exist_is_told_in_oacs_own_words(run: Oac) -> None:
    with pytest.raises(OACApiError, match=r"read job 00 of dataset 'admin'\.'Orders' .*The job was not found"):
        run(jobs.one(datasets.runnable(ORDERS), "00"))


def test_a_user_without_the_right_to_run_is_told_so(run: Oac, clean: Simulator) -> None:
    clean.control.user("oac.author@example.com", roles=[])
    with pytest.raises(OACApiError, match="lacks the application role"):
        run(datasets.reload(ORDERS), user="oac.author@example.com")


def test_a_connection_lives_and_goes(run: Oac, clean: Simulator) -> None:
    made = run(submit_once(NewConnection(ORDER, ADMIN)))
    assert made == MadeConnection(object_id(ADMIN, "Warehouse"), "created")
    found = run(connections.get(made.id, ["name", "owner", "description", "content"]))
    assert (found.name, found.owner, connections.type_of(found)) == ("Warehouse", ADMIN, "mysql")
    assert "Pass-Word-1" not in str(found.raw)
    run(connections.update(made.id, connections.ConnectionOrder("Warehouse", PARAMS, wallet=b"\x00\r\n--key")))
    assert run(submit_once(NewConnection(ORDER, ADMIN, "keep"))).how == "kept"
    with pytest.raises(OACTakenError, match="already exists"):
        run(submit_once(NewConnection(ORDER, ADMIN)))
    with pytest.raises(OACApiError, match="409"):
        run(submit_once(NewConnection(ORDER, None)))
    assert run(delete_connection(made.id)) is True
    assert run(delete_connection(made.id)) is False


@pytest.mark.parametrize("fault", ["drop_after", "drop_middle", "truncate", "non_json", "empty"])
def test_a_connection_whose_answer_is_lost_is_there_once(run: Oac, clean: Simulator, fault: str) -> None:
    clean.control.fault("POST /catalog/connections", fault)
    assert run(submit_once(NewConnection(ORDER, ADMIN))).how == "created"
    items = [item for item in clean.control.content("dev")["catalog"] if item["name"] == "Warehouse"]
    assert len(items) == 1
    assert clean.control.calls("dev", "POST /catalog/connections") == 1


@pytest.mark.parametrize("form", ["mixed", "standard"])
def test_what_oac_says_of_a_connection_is_passed_on_in_both_forms(run: Oac, clean: Simulator, form: str) -> None:
    clean.control.settings(connection_error=form)
    order = connections.ConnectionOrder("W", {**PARAMS, "host": ""})
    with pytest.raises(OACApiError, match="required property 'host' not found"):
        run(connections.create(order))


def test_settings_are_read_and_changed(run: Oac) -> None:
    run(settings.update({"EmailMaxRecipients": "64"}))
    chosen = run(settings.get(["EmailMaxRecipients", "DefaultUserPreferredTimeZone"]))
    assert {setting.key: setting.value for setting in chosen} == {
        "EmailMaxRecipients": "64",
        "DefaultUserPreferredTimeZone": "UTC",
    }
    assert [setting.key for setting in run(settings.get(kind="updated"))] == ["EmailMaxRecipients"]
    assert run(settings.get(pending=True)) == []
    assert run(system_settings.effective_settings())["EmailMaxRecipients"] == "64"


def test_a_mail_server_comes_and_goes(run: Oac) -> None:
    assert run(mail.get()) is None
    body = {
        "host": "smtp.example.com", "port": 25, "sender": {"emailAddress": "oac@example.com"},
        "auth": {"authType": "USERNAME_PASSWORD_AUTH", "username": "u", "password": "Pass-Word-1"},
        "connectionSecurity": "NO_CONNECTION_SECURITY",
    }  # fmt: skip
    wanted = mail.MailServer.of(body)
    run(mail.configure(wanted))
    found = run(mail.get())
    assert system_settings.mail_differences(found, wanted) == {}
    assert "password" not in found.auth
    run(unless_gone(mail.delete()))
    run(unless_gone(mail.delete()))
    assert run(mail.get()) is None


def test_safe_domains_come_and_go(run: Oac) -> None:
    wanted = {"*.a.com": safe_domains.checked_policy("*.a.com", ["img-src"])}
    run(system_settings.apply_domains(system_settings.domain_changes({}, wanted)))
    assert run(safe_domains.list_all()) == wanted
    run(system_settings.apply_domains(system_settings.domain_changes(wanted, {}, ["*.a.com"])))
    assert run(safe_domains.list_all()) == {}
