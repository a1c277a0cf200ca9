"""Registering and restoring: what they do, what they refuse, and that a restore is never sent twice."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_oac._compat import AirflowFailException
from airflow_provider_oac.client.snapshot_names import parse, parse_registered
from airflow_provider_oac.exceptions import OACError, OACWaitTimeoutError, OACWorkRequestError
from airflow_provider_oac.operators.restore import OACRestoreSnapshotOperator
from oac_simulator.launch import Simulator
from tests.integration.restores import QUICK, Made, host, register, registered
from tests.tasks import AUTHOR, SEAL_PASSWORD, Connections, Task, backup_operator, first_event, names

POST, LOOK = "POST /snapshots", "GET /workRequests/{id}"
RESTORE, SYSTEM = "POST /system/actions/restoreSnapshot", "GET /system"
UNCERTAIN = r"Next step: sign in to .* start a new DAG run"
REFUSED_USER = r"is restored in .* but OAC now refuses this user.*Do not restore again"


class RestoreTask(Task):
    """A task that restores into `prod`, and looks often.

    :param task: details of the task.
    :param arguments: of its operator; `arguments` may be changed between two tries.
    """

    def __init__(self, snapshot: Any, task: dict[str, Any] | None = None, **arguments: Any) -> None:
        safety = {"safety_bucket": "oac-backups", "safety_seal_conn_id": "oac_seal"}
        self.arguments = {**QUICK, **safety, "snapshot": snapshot, "expected_host": host(), **arguments}
        super().__init__(lambda: OACRestoreSnapshotOperator(task_id="restore", **self.arguments), **task or {})


@pytest.fixture
def snapshot(connections: Connections) -> Made:
    """A backup of `dev`, registered in `prod`."""
    return registered(connections)


@pytest.fixture
def other(connections: Connections, snapshot: Made) -> Made:
    """Another one."""
    return registered(connections, task_id="another")


def restores(simulator: Simulator, instance: str = "prod") -> int:
    """How often a restore was sent to an instance."""
    return simulator.control.calls(instance, RESTORE)


def safety_snapshots(simulator: Simulator, instance: str = "prod") -> list[str]:
    """Names of the safety snapshots of an instance."""
    names = [item["name"] for item in simulator.control.snapshots(instance)]
    return [name for name in names if name.startswith("before-restore--")]


def plain_ids(simulator: Simulator, instance: str) -> set[str]:
    """What the catalog of an instance holds."""
    return {item["plain"] for item in simulator.control.content(instance)["catalog"]}


@pytest.fixture
def backup(connections: Connections) -> Made:
    """A backup of `dev`, to be registered in `prod`."""
    connections.oac("oac_prod", "prod")
    made: Made = Task(backup_operator).attempt()
    return made


def test_a_backup_of_dev_is_registered_in_prod(clean: Simulator, backup: Made, deferrable: bool) -> None:
    result = register(backup, deferrable=deferrable).attempt()
    (snapshot,) = clean.control.snapshots("prod")
    assert (result["snapshot_id"], result["verified"]) == (snapshot["id"], True)
    assert (result["seal"], result["source_instance"], result["taken_at"]) == ("oac_seal", "dev", backup["taken_at"])
    name = parse_registered(result["name"])
    assert name is not None
    assert str(name.origin) == backup["name"]
    assert parse(result["name"]) is None


def test_a_registered_file_is_found_again_by_either_form_of_its_path(clean: Simulator, backup: Made) -> None:
    path = backup["bar_uri"].removeprefix("file:///")
    first = register(bar_uri=path, bucket="oac-backups").attempt()
    again = register(backup, task_id="another", deferrable=True).attempt()
    assert (again["bar_uri"], again["snapshot_id"]) == (first["bar_uri"], first["snapshot_id"])
    assert (again["verified"], again["work_request_id"]) == (False, None)
    # In its own instance a backup is known already.
    assert register(backup, oac_conn_id="oac_default").attempt()["snapshot_id"] == backup["snapshot_id"]
    assert (clean.control.calls("prod", POST), clean.control.calls("dev", POST)) == (1, 1)


def test_a_failed_registration_cleans_the_list_and_leaves_the_file(clean: Simulator, backup: Made) -> None:
    files = clean.control.bucket()
    clean.control.settings(failed_listing="keep")
    clean.control.fault(POST, "fail_work", instance="prod")
    task = register(backup)
    with pytest.raises(OACWorkRequestError):
        task.attempt()
    assert (clean.control.bucket(), names(clean, "prod")) == (files, [])
    assert task.attempt()["verified"]


# -- restoring


def test_a_snapshot_of_dev_is_restored_into_prod(clean: Simulator, snapshot: Made, deferrable: bool) -> None:
    clean.control.damage("prod")
    assert plain_ids(clean, "prod") < plain_ids(clean, "dev")
    allowed = ("manual", "scheduled")
    task = RestoreTask(snapshot, {"run_type": "scheduled"}, deferrable=deferrable, allowed_run_types=allowed)
    result = task.attempt()
    assert plain_ids(clean, "prod") == plain_ids(clean, "dev")
    assert (restores(clean), restores(clean, "dev")) == (1, 0)
    assert ([result["safety"]["name"]], result["safety"]["verified"]) == (safety_snapshots(clean), True)
    assert (result["snapshot_id"], result["host"]) == (snapshot["snapshot_id"], host())
    assert (result["source_instance"], result["seal"], result["searchable"]) == ("dev", "oac_seal", True)


def test_without_a_safety_snapshot_only_where_it_is_said(clean: Simulator, snapshot: Made) -> None:
    with pytest.raises(AirflowFailException, match="needs safety_bucket and safety_seal_conn_id"):
        RestoreTask(snapshot, safety_bucket=None).attempt()
    assert restores(clean) == 0
    task = RestoreTask(snapshot, safety_bucket=None, without_safety_snapshot=True)
    assert (task.attempt()["safety"], safety_snapshots(clean)) == (None, [])


def test_a_safety_snapshot_that_fails_stops_the_restore(clean: Simulator, snapshot: Made) -> None:
    clean.control.settings(failed_listing="keep")
    clean.control.fault(POST, "fail_work", instance="prod")
    task = RestoreTask(snapshot, deferrable=True)
    with pytest.raises(OACWorkRequestError, match="CREATE_SNAPSHOT"):
        task.attempt()
    assert (restores(clean), safety_snapshots(clean)) == (0, [])
    # A retry takes another one.
    assert task.attempt()["safety"]["verified"]


def test_an_unverified_safety_snapshot_is_not_enough(clean: Simulator, snapshot: Made, store: bool) -> None:
    clean.control.fault(POST, "drop_after", instance="prod")
    safety = RestoreTask(snapshot, {"store": store}).attempt()["safety"]
    first, second = sorted(safety_snapshots(clean))
    assert (safety["name"], safety["verified"]) == (second, True)
    assert first != second


@pytest.mark.parametrize("durable", [True, False])
def test_only_unverified_safety_snapshots_stop_it(clean: Simulator, snapshot: Made, store: bool, durable: bool) -> None:
    clean.control.fault(POST, "drop_after", instance="prod", times=None)
    with pytest.raises(OACError, match=r"None of 3 safety snapshots of .* was seen to succeed"):
        RestoreTask(snapshot, {"store": store}, durable=durable).attempt()
    assert restores(clean) == 0
    assert len(set(safety_snapshots(clean))) == 3


# -- what it refuses


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"snapshot_id": "x"}, "Give either snapshot (the result of the task that registered it"),
        ({"snapshot": {"name": "n"}}, "or snapshot_id (now None"),
        ({"snapshot": None, "snapshot_id": "6e3a7b4e-0000-0000-0000-000000000000"}, "lists no snapshot 6e3a7b4e"),
        ({"expected_system": "Simulated Oracle Analytics Cloud instance dev"}, "The instance is"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    connections: Connections, clean: Simulator, changes: dict[str, Any], message: str
) -> None:
    connections.oac("oac_prod", "prod")
    task = RestoreTask(**{"snapshot": {"snapshot_id": "1", "name": "x", "seal": "oac_seal"}, **changes})
    with pytest.raises(AirflowFailException, match=re.escape(message)):
        task.attempt()
    assert (restores(clean), safety_snapshots(clean)) == (0, [])


def test_a_user_without_the_role_is_refused_before_anything_happens(
    connections: Connections, clean: Simulator, snapshot: Made
) -> None:
    connections.oac("oac_prod", "prod", user=AUTHOR)
    with pytest.raises(OACError, match="BI Service Administrator"):
        RestoreTask(snapshot).attempt()
    assert (restores(clean), safety_snapshots(clean)) == (0, [])


def test_the_target_may_not_change_meanwhile(connections: Connections, clean: Simulator, snapshot: Made) -> None:
    task = RestoreTask(snapshot, deferrable=True)
    task.start()
    event = {"outcome": "ended", "message": "", "carried": task.deferred.trigger.carried}  # type: ignore[union-attr]
    while (work := clean.control.work_requests("prod")[-1])["status"] != "SUCCEEDED":
        threading.Event().wait(0.05)
    # dev knows no such work request; the guard must speak before that matters.
    connections.oac("oac_prod", "dev")
    clean.control.fault(LOOK, "status", body=json.dumps(work), status=200, times=1, instance="dev")
    with pytest.raises(AirflowFailException, match="The Connection names"):
        task.execute_complete(event)
    assert (restores(clean), restores(clean, "dev")) == (0, 0)


def test_the_seal_that_the_name_says_must_exist(
    connections: Connections, clean: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    connections.seal("oac_old_seal", "Another-Horse-8-Battery")
    snapshot = registered(connections, seal_conn_id="oac_old_seal")
    monkeypatch.delenv("AIRFLOW_CONN_OAC_OLD_SEAL")
    with pytest.raises(AirflowFailException, match="password of the Airflow Connection 'oac_old_seal', which cannot"):
        RestoreTask(snapshot).attempt()
    assert (restores(clean), safety_snapshots(clean)) == (0, [])
    connections.seal("oac_vault", "Another-Horse-8-Battery")
    assert RestoreTask(snapshot, seal_conn_id="oac_vault").attempt()["seal"] == "oac_vault"


def test_a_name_that_says_no_password_needs_one(connections: Connections, clean: Simulator) -> None:
    connections.oac("oac_prod", "prod")
    folder = Path(clean.ready["bucket_dir"], "oac-backups")
    file = folder / Task(backup_operator).attempt()["bar_uri"].removeprefix("file:///")
    (folder / "by-hand.bar").write_bytes(file.read_bytes())
    snapshot = register(bar_uri="by-hand.bar", bucket="oac-backups").attempt()
    assert snapshot["seal"] is None
    with pytest.raises(AirflowFailException, match=r"does not show which password sealed it.*set seal_conn_id"):
        RestoreTask(snapshot).attempt()
    assert (restores(clean), safety_snapshots(clean)) == (0, [])
    assert RestoreTask(snapshot, seal_conn_id="oac_seal").attempt()["verified"]


@pytest.mark.parametrize("how", ["fail", "400"])
def test_a_wrong_password(connections: Connections, clean: Simulator, snapshot: Made, how: str) -> None:
    clean.control.settings(wrong_password=how)
    before = clean.control.content("prod")
    connections.seal(password="Wrong-Horse-9-Battery")
    with pytest.raises(OACError, match=r"password is wrong|InvalidPassword") as failure:
        RestoreTask(snapshot, deferrable=True, without_safety_snapshot=True).attempt()
    assert "Wrong-Horse-9-Battery" not in str(failure.value)
    assert (clean.control.content("prod"), restores(clean)) == (before, 1)
    connections.seal(password=SEAL_PASSWORD + "\r\n")
    assert RestoreTask(snapshot, deferrable=True, without_safety_snapshot=True).attempt()["verified"]
    assert restores(clean) == 3


# -- while and after it restores


@pytest.mark.parametrize("again", ["retry", "clear"])
def test_an_instance_that_does_not_come_back_is_looked_at_again(clean: Simulator, snapshot: Made, again: str) -> None:
    clean.control.settings(index_seconds=3.0)
    task = RestoreTask(snapshot, deferrable=True, ready_timeout=0.5)
    with pytest.raises(OACWaitTimeoutError, match=r"The restore is done, but the instance is not ready"):
        task.attempt()
    task.arguments["ready_timeout"] = 30
    if again == "clear":
        task.clear()
    assert task.attempt()["searchable"] is True
    assert restores(clean) == 1


@pytest.mark.parametrize("limit", ["timeout", "execution_timeout"])
def test_a_safety_snapshot_gives_no_new_deadline(clean: Simulator, snapshot: Made, limit: str) -> None:
    clean.control.settings(index_seconds=30.0)
    limits = {limit: timedelta(seconds=100), "ready_timeout": timedelta(hours=1)}
    task: Any = RestoreTask(snapshot, deferrable=True, **limits)
    task.start()
    deadlines = []
    for _ in ("safety snapshot", "restore", "ready"):
        deadlines.append(task.deferred.trigger.deadline)
        if len(deadlines) < 3:
            task.execute_complete(asyncio.run(first_event(task.deferred.trigger)))
    assert deadlines[0] == deadlines[1]
    assert (deadlines[1] == deadlines[2]) is (limit == "execution_timeout")


@pytest.mark.parametrize(
    ("changed", "sent"),
    [((), 1), (("snapshot",), 1), (("snapshot", "approval"), 2)],
    ids=["nothing", "snapshot", "snapshot and approval"],
)
def test_a_user_who_lost_the_role_by_the_restore_and_gets_it_back(
    clean: Simulator, snapshot: Made, other: Made, changed: tuple[str, ...], sent: int
) -> None:
    task = RestoreTask(snapshot, deferrable=True, ready_timeout=0.3, without_safety_snapshot=True)
    body = json.dumps({"user": "oac.admin@example.com", "status": "unauthorized"})
    clean.control.fault(SYSTEM, "status", status=401, body=body, after=1, times=None, instance="prod")
    with pytest.raises(OACError, match=REFUSED_USER):
        task.attempt()
    # Once the role is given back, neither a new approval nor another restore is needed.
    clean.control.clear_faults()
    task.clear()
    task.arguments |= {name: value for name, value in (("snapshot", other), ("approval", "new")) if name in changed}
    if changed == ("snapshot",):
        with pytest.raises(AirflowFailException, match="This task has already restored snapshot"):
            task.attempt()
    else:
        assert task.attempt()["snapshot_id"] == task.arguments["snapshot"]["snapshot_id"]
    assert restores(clean) == sent


# -- never twice


def test_an_uncertain_submission_is_never_sent_again(clean: Simulator, snapshot: Made, store: bool) -> None:
    clean.control.fault(RESTORE, "drop_after")
    task = RestoreTask(snapshot, {"store": store})
    for again in ("a retry", "a Clear", "a Clear with another approval", ""):
        with pytest.raises(AirflowFailException, match=UNCERTAIN):
            task.attempt()
        if "Clear" in again:
            task.clear()
        if "approval" in again:
            task.arguments["approval"] = "another"
    assert restores(clean) == len(safety_snapshots(clean)) == 1
    # A new DAG run is a new order.
    assert RestoreTask(snapshot, {"run_id": "another_run"}).attempt()["verified"]
    assert restores(clean) == 2


def test_a_clear_adopts_no_restore_of_another_snapshot(clean: Simulator, snapshot: Made, other: Made) -> None:
    task = RestoreTask(snapshot, deferrable=True, without_safety_snapshot=True)
    clean.control.settings(work_seconds=300.0)
    task.start()
    task.clear()
    task.arguments["snapshot"] = other
    with pytest.raises(AirflowFailException, match=r"still \w+ .*Nothing is sent\. Next step: wait until it ends"):
        task.attempt()
    assert restores(clean) == 1


def test_a_clear_during_the_safety_snapshot_restores_what_is_named_now(snapshot: Made, other: Made) -> None:
    task = RestoreTask(snapshot, deferrable=True)
    task.start()
    task.clear()
    task.arguments["snapshot"] = other
    assert task.attempt()["snapshot_id"] == other["snapshot_id"] != snapshot["snapshot_id"]


def test_a_clear_with_another_approval_restores_once_more(clean: Simulator, snapshot: Made) -> None:
    task = RestoreTask(snapshot, deferrable=False, approval="10:00")
    first = task.attempt()
    task.clear()
    task.arguments["approval"] = "11:00"
    second = task.attempt()
    assert second["work_request_id"] != first["work_request_id"]
    assert second["safety"]["name"] != first["safety"]["name"]
    assert task.attempt() == second
    assert restores(clean) == 2


def test_a_restore_that_failed_is_sent_again_by_a_person_only(
    clean: Simulator, snapshot: Made, said: Callable[[], str], caplog: pytest.LogCaptureFixture
) -> None:
    def fails(error: type[Exception], says: str) -> str:
        """What is logged by a try that fails."""
        caplog.clear()
        with pytest.raises(error, match=says):
            task.attempt()
        return said()

    broken = [{"code": "Broken", "message": "It broke"}]
    clean.control.fault(RESTORE, "fail_work", errors=broken)
    task = RestoreTask(snapshot, deferrable=False)
    log = fails(OACWorkRequestError, "Broken: It broke")
    (good,) = safety_snapshots(clean)
    assert f"To go back, restore the safety snapshot {good} (" in log
    fails(AirflowFailException, r"Broken: It broke.*A retry does not send it again")
    assert restores(clean) == 1
    # What the failure left behind is saved apart, and not named as the way back: not after a second failure, not after
    # a Clear whose restore was not accepted, and not in the end.
    task.clear()
    clean.control.fault(RESTORE, "fail_work", errors=broken)
    log = fails(OACWorkRequestError, "Broken: It broke")
    assert f"To go back, restore the safety snapshot {good} (" in log
    task.clear()
    clean.control.fault(RESTORE, "status", status=400)
    fails(OACError, "HTTP 400")
    task.clear()
    result = task.attempt()
    assert (result["verified"], result["safety"]["name"], safety_snapshots(clean)) == (True, good, [good])
    assert result["safety_after_failure"]["name"].startswith("before-restore-failed--")
    assert (result["safety_after_failure"]["verified"], restores(clean)) == (True, 4)
    # It is over with this: the next order has a way back of its own.
    task.clear()
    task.arguments["approval"] = "anew"
    result = task.attempt()
    assert result["safety"]["name"] in set(safety_snapshots(clean)) - {good}
    assert result["safety_after_failure"] is None


def test_a_refused_restore_is_sent_by_a_retry_after_the_same_safety_snapshot(clean: Simulator, snapshot: Made) -> None:
    clean.control.fault(RESTORE, "status", status=400, body='{"code": "BadRequest", "message": "Not now"}')
    task = RestoreTask(snapshot)
    with pytest.raises(OACError, match="Not now"):
        task.attempt()
    assert [task.attempt()["safety"]["name"]] == safety_snapshots(clean)
    assert len(clean.control.work_requests("prod")) == 3  # register, safety, restore


def test_a_safety_snapshot_of_another_instance_is_none(connections: Connections, clean: Simulator) -> None:
    connections.oac("oac_prod", "dev")
    task = RestoreTask(Task(backup_operator).attempt())
    clean.control.fault(RESTORE, "status", status=400)
    with pytest.raises(OACError, match="HTTP 400"):
        task.attempt()
    (there,) = safety_snapshots(clean, "dev")
    task.arguments |= {"snapshot": registered(connections), "expected_host": host()}
    assert [task.attempt()["safety"]["name"]] == safety_snapshots(clean)
    assert safety_snapshots(clean, "dev") == [there]
