"""How many requests a task makes, beside a script that somebody writes by hand."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography.fernet import Fernet

from airflow_provider_oac.auth.session import PROCESS_STORE
from airflow_provider_oac.hooks.oac import OACHook
from airflow_provider_oac.operators.workbooks import OACExportWorkbookOperator
from oac_simulator.launch import Simulator
from tests.tasks import AUTHOR, SEAL_PASSWORD, Connections, Task, backup_operator


def by_hand(address: str, token: str, pause: float) -> None:
    """Take a snapshot, and look at its work request until it ends."""
    api = f"{address}/api/20210901"
    bar = {"uri": "file:///by-hand/a.bar", "password": SEAL_PASSWORD}
    storage = {"type": "OCI_NATIVE", "bucket": "oac-backups", "auth": {"type": "OCI_RESOURCE_PRINCIPAL"}}
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {token}"
        made = session.post(
            f"{api}/snapshots", json={"type": "CREATE", "name": "by hand", "bar": bar, "storage": storage}, timeout=10
        )
        made.raise_for_status()
        work = made.headers.get("oa-work-request-id") or made.json()["workRequestId"]
        while True:
            found = session.get(f"{api}/workRequests/{requests.utils.quote(work, safe='')}", timeout=10)
            found.raise_for_status()
            if found.json()["status"] not in ("ACCEPTED", "IN_PROGRESS"):
                break
            time.sleep(pause)
    assert found.json()["status"] == "SUCCEEDED"


@pytest.fixture
def warm_store(connections: Connections, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store with a fresh token, as another task of this host has left it; the token."""
    monkeypatch.setenv("AIRFLOW__OAC__STORE", "file")
    monkeypatch.setenv("AIRFLOW__OAC__STORE_FOLDER", str(tmp_path / "tokens"))
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", Fernet.generate_key().decode())
    token = OACHook().access_token()
    # A task is a process of its own, which has signed in nowhere.
    PROCESS_STORE.clear()
    return token


def made_since(simulator: Simulator) -> dict[str, Any]:
    """Requests by place and operation, and how many connections they took."""
    counters = simulator.control.counters()
    simulator.control.reset_counters()
    calls = {place: calls for place, calls in counters["calls"].items() if place != "control"}
    return {"calls": calls, "connections": counters["connections"]["dev"]["accepted"]}


def test_a_blocking_task_makes_no_more_requests_than_a_script(warm_store: str, clean: Simulator) -> None:
    # The work is done before it is looked at for the first time, so that one look is enough for whoever looks.
    clean.control.settings(work_seconds=0)
    clean.control.fault("POST /snapshots", "delay_after", seconds=1.5, times=None)
    clean.control.reset_counters()
    by_hand(clean.ready["instances"]["dev"]["url"], warm_store, 0.05)
    script = made_since(clean)
    assert script == {"calls": {"dev": {"POST /snapshots": 1, "GET /workRequests/{id}": 1}}, "connections": 1}
    Task(backup_operator).attempt()
    assert made_since(clean) == script
    # Where Airflow remembers nothing from try to try (before 3.3), the task looks first whether it has a snapshot.
    Task(lambda: backup_operator(task_id="other"), store=False).attempt()
    script["calls"]["dev"]["GET /snapshots"] = 1
    assert made_since(clean) == script


def test_mapped_exports_sign_in_once(
    connections: Connections, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clean: Simulator
) -> None:
    """By a user who is no administrator, as recommended: its 401s of missing roles renew nothing."""
    monkeypatch.setenv("AIRFLOW__OAC__STORE", "file")
    monkeypatch.setenv("AIRFLOW__OAC__STORE_FOLDER", str(tmp_path / "tokens"))
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", Fernet.generate_key().decode())
    connections.oac(user=AUTHOR)
    clean.control.settings(work_seconds=0)

    def export(number: int) -> OACExportWorkbookOperator:
        return OACExportWorkbookOperator(
            task_id=f"export_{number}",
            workbook_path="/@Catalog/shared/Sales/Revenue by Region",
            destination=f"file://{tmp_path}/{number}.pdf",
            canvases=["Overview"],
            poll_interval=0.05,
        )

    for number in range(8):
        # A task is a process of its own, which has signed in nowhere.
        PROCESS_STORE.clear()
        Task(partial(export, number)).attempt()
    assert len(list(tmp_path.glob("*.pdf"))) == 8
    assert clean.control.grants("jwt-bearer") == 1
    assert clean.control.calls("dev", "GET /system") == 0
