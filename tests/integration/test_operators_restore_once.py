"""A restore is never sent twice: whatever happens to its process, to an answer, or to the task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_oac._compat import AirflowFailException
from airflow_provider_oac.exceptions import OACError, OACWorkRequestError
from oac_simulator.launch import Simulator
from tests.integration.restores import (
    RESTORE,
    host,
    registered,
    restore_operator,
    restores,
    restoring,
    safety_snapshots,
)
from tests.tasks import Connections, Task, backup_operator

UNCERTAIN = r"Next step: sign in to .* start a new DAG run"


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """What was logged since the last call: Airflow 2 hands it to logging, Airflow 3 writes it itself."""

    def read() -> str:
        text = caplog.text + capsys.readouterr().out
        caplog.clear()
        return text

    return read


@pytest.mark.parametrize(
    ("fault", "again", "store"),
    [("drop_after", "retry", True), ("drop_after", "clear", True), ("drop_after", "retry", False),
     ("non_json", "clear", False), ("status 503", "clear", True), ("without user", "retry", True)],
)  # fmt: skip
def test_an_uncertain_submission_is_never_sent_again(
    connections: Connections, clean: Simulator, store: bool, again: str, fault: str
) -> None:
    snapshot = registered(connections)
    kind, _, status = fault.partition(" ")
    details: dict[str, Any] = {"status": int(status)} if kind == "status" else {}
    if fault == "without user":
        kind, details = "status", {"status": 500, "body": '{"servlet": "PublicAPIJerseyServlet"}'}
    clean.control.fault(RESTORE, kind, times=1, headers={}, **details)
    task, _ = restoring(connections, snapshot, store=store)
    with pytest.raises(AirflowFailException, match=UNCERTAIN):
        task.attempt()
    assert restores(clean) == 1
    for _ in range(2):
        if again == "clear":
            task.clear()
        with pytest.raises(AirflowFailException, match=UNCERTAIN):
            task.attempt()
    assert restores(clean) == 1
    assert len(safety_snapshots(clean)) == 1


def test_a_clear_that_names_another_snapshot_takes_no_running_restore_for_its_own(
    connections: Connections, clean: Simulator
) -> None:
    snapshot = registered(connections)
    other = registered(connections, task_id="another")
    task, change = restoring(connections, snapshot, deferrable=True, without_safety_snapshot=True)
    clean.control.settings(work_seconds=300.0)
    task.start()
    task.clear()
    change(snapshot=other)
    with pytest.raises(AirflowFailException, match=r"still \w+ .*Nothing is sent\. Next step: wait until it ends"):
        task.attempt()
    assert restores(clean) == 1


def test_a_clear_after_success_with_another_approval_restores_once_more(
    connections: Connections, clean: Simulator
) -> None:
    snapshot = registered(connections)
    task, change = restoring(connections, snapshot, deferrable=False, approval="10:00")
    first = task.attempt()
    task.clear()
    change(approval="11:00")
    second = task.attempt()
    assert restores(clean) == 2
    assert second["work_request_id"] != first["work_request_id"]
    assert second["safety"]["name"] != first["safety"]["name"]
    assert task.attempt() == second
    assert restores(clean) == 2


def test_an_uncertain_one_is_not_sent_under_another_approval_either(connections: Connections, clean: Simulator) -> None:
    snapshot = registered(connections)
    clean.control.fault(RESTORE, "drop_after")
    task, change = restoring(connections, snapshot, approval="10:00")
    with pytest.raises(AirflowFailException, match=UNCERTAIN):
        task.attempt()
    task.clear()
    change(approval="11:00")
    with pytest.raises(AirflowFailException, match=UNCERTAIN):
        task.attempt()
    assert restores(clean) == 1


def test_a_new_dag_run_is_a_new_order(connections: Connections, clean: Simulator) -> None:
    snapshot = registered(connections)
    clean.control.fault(RESTORE, "drop_after")
    task, _ = restoring(connections, snapshot)
    with pytest.raises(AirflowFailException, match=UNCERTAIN):
        task.attempt()
    again = Task(lambda: restore_operator(connections, snapshot), run_id="another_run")
    assert again.attempt()["verified"]
    assert restores(clean) == 2


def test_a_restore_that_failed_is_sent_again_by_a_person_only(
    connections: Connections, clean: Simulator, logged: Callable[[], str]
) -> None:
    snapshot = registered(connections)
    broken = [{"code": "Broken", "message": "It broke"}]
    clean.control.fault(RESTORE, "fail_work", errors=broken)
    task, change = restoring(connections, snapshot, deferrable=False)
    with pytest.raises(OACWorkRequestError, match="Broken: It broke"):
        task.attempt()
    (good,) = safety_snapshots(clean)
    assert f"To go back, restore the safety snapshot {good} (" in logged()
    with pytest.raises(AirflowFailException, match=r"Broken: It broke.*A retry does not send it again"):
        task.attempt()
    assert restores(clean) == 1
    task.clear()
    # What the failure left behind is saved apart, and not named as the way back: not after a second failure, not after
    # a Clear whose restore was not accepted, and not in the end.
    clean.control.fault(RESTORE, "fail_work", errors=broken)
    task.clear()
    with pytest.raises(OACWorkRequestError, match="Broken: It broke"):
        task.attempt()
    assert f"To go back, restore the safety snapshot {good} (" in logged()
    clean.control.fault(RESTORE, "status", status=400)
    task.clear()
    with pytest.raises(OACError, match="HTTP 400"):
        task.attempt()
    task.clear()
    result = task.attempt()
    assert result["verified"]
    assert restores(clean) == 4
    assert result["safety"]["name"] == good
    assert result["safety_after_failure"]["name"].startswith("before-restore-failed--")
    assert result["safety_after_failure"]["verified"]
    assert safety_snapshots(clean) == [good]
    # It is over with this: the next order has a way back of its own.
    task.clear()
    change(approval="anew")
    result = task.attempt()
    assert result["safety"]["name"] in set(safety_snapshots(clean)) - {good}
    assert result["safety_after_failure"] is None


def test_a_safety_snapshot_of_another_instance_is_none(connections: Connections, clean: Simulator) -> None:
    connections.oac("oac_prod", "dev")
    backup = Task(backup_operator).attempt()
    clean.control.fault(RESTORE, "status", status=400)
    task, change = restoring(connections, backup, expected_host=host(connections, "dev"))
    with pytest.raises(OACError, match="HTTP 400"):
        task.attempt()
    (there,) = safety_snapshots(clean, "dev")
    change(snapshot=registered(connections), expected_host=host(connections))
    result = task.attempt()
    assert safety_snapshots(clean) == [result["safety"]["name"]]
    assert safety_snapshots(clean, "dev") == [there]


def test_a_restore_that_certainly_was_not_accepted_is_sent_by_a_retry_after_the_same_safety_snapshot(
    connections: Connections, clean: Simulator
) -> None:
    snapshot = registered(connections)
    clean.control.fault(RESTORE, "status", status=400, body='{"code": "BadRequest", "message": "Not now"}')
    task, _ = restoring(connections, snapshot)
    with pytest.raises(OACError, match="Not now"):
        task.attempt()
    result = task.attempt()
    assert safety_snapshots(clean) == [result["safety"]["name"]]
    assert len(clean.control.work_requests("prod")) == 3  # register, safety, restore


def test_a_clear_during_the_safety_snapshot_restores_what_is_named_now(
    connections: Connections, clean: Simulator
) -> None:
    old = registered(connections)
    new = registered(connections, task_id="another")
    assert old["snapshot_id"] != new["snapshot_id"]
    task, change = restoring(connections, old, deferrable=True)
    task.start()
    task.clear()
    change(snapshot=new)
    assert task.attempt()["snapshot_id"] == new["snapshot_id"]
