"""How many requests a task makes: no more than a script that somebody writes by hand."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from airflow_provider_oac.auth.session import PROCESS_STORE
from airflow_provider_oac.hooks.oac import OACHook
from airflow_provider_oac.operators.workbooks import OACExportWorkbookOperator
from oac_simulator.launch import Simulator
from tests.tasks import AUTHOR, Connections, Task, backup_operator


@pytest.fixture(autouse=True)
def shared_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clean: Simulator) -> None:
    """Tasks share a store of tokens; work is over before it is looked at for the first time."""
    monkeypatch.setenv("AIRFLOW__OAC__STORE", "file")
    monkeypatch.setenv("AIRFLOW__OAC__STORE_FOLDER", str(tmp_path / "tokens"))
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", Fernet.generate_key().decode())
    clean.control.settings(work_seconds=0)


def made_since(simulator: Simulator) -> tuple[dict[str, int], int]:
    """Requests by operation, and how many connections they took."""
    counters = simulator.control.counters()
    simulator.control.reset_counters()
    calls: dict[str, Any] = {place: calls for place, calls in counters["calls"].items() if place != "control"}
    assert calls.keys() == {"dev"}
    return calls["dev"], counters["connections"]["dev"]["accepted"]


def test_a_blocking_task_makes_no_more_requests_than_a_script(connections: Connections, clean: Simulator) -> None:
    OACHook().access_token()
    # A task is a process of its own, which has signed in nowhere.
    PROCESS_STORE.clear()
    clean.control.fault("POST /snapshots", "delay_after", seconds=1.5, times=None)
    clean.control.reset_counters()
    script = {"POST /snapshots": 1, "GET /workRequests/{id}": 1}
    Task(backup_operator).attempt()
    assert made_since(clean) == (script, 1)
    # Where Airflow remembers nothing from try to try (before 3.3), the task looks first whether it has a snapshot.
    Task(lambda: backup_operator(task_id="other"), store=False).attempt()
    assert made_since(clean) == ({**script, "GET /snapshots": 1}, 1)


def test_mapped_exports_sign_in_once(connections: Connections, tmp_path: Path, clean: Simulator) -> None:
    """By a user who is no administrator, as recommended: its 401s of missing roles renew nothing."""
    connections.oac(user=AUTHOR)

    def export(number: int) -> OACExportWorkbookOperator:
        return OACExportWorkbookOperator(
            task_id=f"export_{number}",
            workbook_path="/@Catalog/shared/Sales/Revenue by Region",
            destination=f"file://{tmp_path}/{number}.pdf",
            canvases=["Overview"],
            poll_interval=0.05,
        )

    for number in range(8):
        PROCESS_STORE.clear()
        Task(partial(export, number)).attempt()
    assert len(list(tmp_path.glob("*.pdf"))) == 8
    assert clean.control.grants("jwt-bearer") == 1
    assert clean.control.calls("dev", "GET /system") == 0
