"""Restoring: what it does, what it refuses, and that it is never sent twice."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_oac._compat import AirflowFailException
from airflow_provider_oac.exceptions import (
    OACError,
    OACWaitTimeoutError,
    OACWorkRequestError,
)
from oac_simulator.launch import Simulator
from tests.integration.restores import (
    LOOK,
    POST,
    SYSTEM,
    host,
    register_operator,
    registered,
    restores,
    restoring,
    safety_snapshots,
)
from tests.tasks import AUTHOR, SEAL_PASSWORD, Connections, Task, backup_operator, first_event


def plain_ids(simulator: Simulator, instance: str) -> set[str]:
    """What the catalog of an instance holds."""
    return {item["plain"] for item in simulator.control.content(instance)["catalog"]}


def test_a_snapshot_of_one_instance_is_restored_into_another(
    connections: Connections, clean: Simulator, deferrable: bool
) -> None:
    snapshot = registered(connections)
    clean.control.damage("prod")
    assert plain_ids(clean, "prod") < plain_ids(clean, "dev")
    task, _ = restoring(connections, snapshot, deferrable=deferrable)
    result = task.attempt()
    assert plain_ids(clean, "prod") == plain_ids(clean, "dev")
    assert restores(clean) == 1
    assert restores(clean, "dev") == 0
    assert [result["safety"]["name"]] == safety_snapshots(clean)
    assert result["safety"]["verified"]
    assert (result["snapshot_id"], result["host"]) == (snapshot["snapshot_id"], host(connections))
    assert (result["source_instance"], result["seal"], result["searchable"]) == ("dev", "oac_seal", True)


def test_without_a_safety_snapshot_only_where_it_is_said(connections: Connections, clean: Simulator) -> None:
    snapshot = registered(connections)
    task, _ = restoring(connections, snapshot, safety_bucket=None)
    with pytest.raises(AirflowFailException, match="needs safety_bucket and safety_seal_conn_id"):
        task.attempt()
    assert restores(clean) == 0
    task, _ = restoring(connections, snapshot, safety_bucket=None, without_safety_snapshot=True)
    assert task.attempt()["safety"] is None
    assert safety_snapshots(clean) == []


def test_a_safety_snapshot_that_fails_stops_the_restore(connections: Connections, clean: Simulator) -> None:
    snapshot = registered(connections)
    clean.control.fault(POST, "fail_work", instance="prod")
    task, _ = restoring(connections, snapshot, deferrable=True)
    with pytest.raises(OACWorkRequestError, match="CREATE_SNAPSHOT"):
        task.attempt()
    assert restores(clean) == 0
    # A retry takes another one.
    assert task.attempt()["safety"]["verified"]
    assert restores(clean) == 1


@pytest.mark.parametrize("store", [True, False])
def test_a_safety_snapshot_that_nobody_can_verify_is_not_enough(
    connections: Connections, clean: Simulator, store: bool
) -> None:
    snapshot = registered(connections)
    clean.control.fault(POST, "drop_after", instance="prod")
    task, _ = restoring(connections, snapshot, store=store)
    result = task.attempt()
    first, second = sorted(safety_snapshots(clean))
    assert result["safety"]["name"] == second != first
    assert result["safety"]["verified"]


@pytest.mark.parametrize("how", [{}, {"store": False}, {"durable": False}])
def test_nothing_but_unverified_safety_snapshots_stops_the_restore(
    connections: Connections, clean: Simulator, how: dict[str, Any]
) -> None:
    snapshot = registered(connections)
    clean.control.fault(POST, "drop_after", instance="prod", times=None)
    task, _ = restoring(connections, snapshot, **how)
    with pytest.raises(OACError, match=r"None of 3 safety snapshots of .* was seen to succeed"):
        task.attempt()
    assert restores(clean) == 0
    assert len(set(safety_snapshots(clean))) == 3


# -- what it refuses


def test_an_instance_that_says_that_it_is_another_one_is_refused(connections: Connections, clean: Simulator) -> None:
    snapshot = registered(connections)
    task, _ = restoring(connections, snapshot, expected_system="Simulated Oracle Analytics Cloud instance dev")
    with pytest.raises(AirflowFailException, match="The instance is"):
        task.attempt()
    assert restores(clean) == 0
    for said in ("prod", "Simulated Oracle Analytics Cloud instance prod"):
        task, _ = restoring(connections, snapshot, expected_system=said)
        assert task.attempt()["verified"]


def test_the_connection_may_not_lead_elsewhere_after_the_safety_snapshot(
    connections: Connections, clean: Simulator
) -> None:
    snapshot = registered(connections)
    task, _ = restoring(connections, snapshot, deferrable=True)
    task.start()
    event = {"outcome": "ended", "message": "", "carried": task.deferred.trigger.carried}  # type: ignore[union-attr]
    while json.loads(_last_work(clean))["status"] != "SUCCEEDED":
        threading.Event().wait(0.05)
    # dev knows no such work request; the guard must speak before that matters.
    connections.oac("oac_prod", "dev")
    clean.control.fault(LOOK, "status", body=_last_work(clean), status=200, times=1, instance="dev")
    with pytest.raises(AirflowFailException, match="The Connection names"):
        task.execute_complete(event)
    assert (restores(clean), restores(clean, "dev")) == (0, 0)


def _last_work(simulator: Simulator) -> str:
    return json.dumps(simulator.control.work_requests("prod")[-1])


def test_a_scheduled_run_may_restore_where_it_is_allowed(connections: Connections, clean: Simulator) -> None:
    snapshot = registered(connections)
    task, _ = restoring(connections, snapshot, run_type="scheduled", allowed_run_types=("manual", "scheduled"))
    assert task.attempt()["verified"]


def test_the_connection_that_the_name_says_must_exist(connections: Connections, clean: Simulator) -> None:
    connections.seal("oac_old_seal", "Another-Horse-8-Battery")
    snapshot = registered(connections, seal_conn_id="oac_old_seal")
    assert snapshot["seal"] == "oac_old_seal"
    connections._monkeypatch.delenv("AIRFLOW_CONN_OAC_OLD_SEAL")
    task, _ = restoring(connections, snapshot)
    with pytest.raises(AirflowFailException, match="password of the Airflow Connection 'oac_old_seal', which cannot"):
        task.attempt()
    assert (restores(clean), safety_snapshots(clean)) == (0, [])
    connections.seal("oac_vault", "Another-Horse-8-Battery")
    other, _ = restoring(connections, snapshot, seal_conn_id="oac_vault")
    assert other.attempt()["seal"] == "oac_vault"


def test_a_name_that_says_no_password_needs_one(connections: Connections, clean: Simulator) -> None:
    connections.oac("oac_prod", "prod")
    backup = Task(backup_operator).attempt()
    folder = clean.ready["bucket_dir"] + "/oac-backups/"
    with open(folder + backup["bar_uri"].removeprefix("file:///"), "rb") as source:
        data = source.read()
    with open(folder + "by-hand.bar", "wb") as target:
        target.write(data)
    snapshot = Task(lambda: register_operator(bar_uri="by-hand.bar", bucket="oac-backups")).attempt()
    assert snapshot["seal"] is None
    task, _ = restoring(connections, snapshot)
    with pytest.raises(AirflowFailException, match=r"does not show which password sealed it.*set seal_conn_id"):
        task.attempt()
    assert (restores(clean), safety_snapshots(clean)) == (0, [])
    other, _ = restoring(connections, snapshot, seal_conn_id="oac_seal")
    assert other.attempt()["verified"]


@pytest.mark.parametrize("how", ["fail", "400"])
def test_a_wrong_password_fails_with_the_words_of_oac(connections: Connections, clean: Simulator, how: str) -> None:
    clean.control.settings(wrong_password=how)
    snapshot = registered(connections)
    before = clean.control.content("prod")
    connections.seal("oac_wrong", "Wrong-Horse-9-Battery")
    task, _ = restoring(connections, snapshot, seal_conn_id="oac_wrong", deferrable=True)
    with pytest.raises(OACError, match=r"password is wrong|InvalidPassword") as failure:
        task.attempt()
    assert "Wrong-Horse-9-Battery" not in str(failure.value)
    assert clean.control.content("prod") == before


@pytest.mark.parametrize("how", ["fail", "400"])
def test_a_password_with_a_line_break_is_tried_without_it(connections: Connections, clean: Simulator, how: str) -> None:
    clean.control.settings(wrong_password=how)
    snapshot = registered(connections)
    connections.seal("oac_line_break", SEAL_PASSWORD + "\r\n")
    task, _ = restoring(connections, snapshot, seal_conn_id="oac_line_break", deferrable=True)
    assert task.attempt()["verified"]
    assert restores(clean) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"snapshot": None}, "Give either snapshot (the result of the task that registered it"),
        ({"snapshot_id": "x"}, "Give either snapshot (the result of the task that registered it"),
        ({"snapshot": {"name": "n"}}, "or snapshot_id (now None"),
        ({"snapshot": None, "snapshot_id": "6e3a7b4e-0000-0000-0000-000000000000"}, "lists no snapshot 6e3a7b4e"),
    ],
)
def test_what_cannot_be_restored_is_refused(
    connections: Connections, clean: Simulator, changes: dict[str, Any], message: str
) -> None:
    connections.oac("oac_prod", "prod")
    task, _ = restoring(connections, **{"snapshot": {"snapshot_id": "1", "name": "x", "seal": "oac_seal"}, **changes})
    with pytest.raises(AirflowFailException, match=re.escape(message)):
        task.attempt()
    assert (restores(clean), safety_snapshots(clean)) == (0, [])


def test_a_user_without_the_role_is_told_so_before_anything_happens(connections: Connections, clean: Simulator) -> None:
    snapshot = registered(connections)
    connections.oac("oac_prod", "prod", user=AUTHOR)
    task, _ = restoring(connections, snapshot)
    with pytest.raises(OACError, match="BI Service Administrator"):
        task.attempt()
    assert (restores(clean), safety_snapshots(clean)) == (0, [])


def test_nothing_that_crosses_the_database_holds_a_secret(connections: Connections, clean: Simulator) -> None:
    snapshot = registered(connections)
    clean.control.settings(index_seconds=1.5)
    task, _ = restoring(connections, snapshot, deferrable=True)
    task.start()
    seen = []
    for _ in ("safety snapshot", "restore", "ready"):
        assert task.deferred is not None
        seen.append(json.dumps([task.deferred.trigger.serialize(), task.deferred.kwargs]))
        result = task.execute_complete(asyncio.run(first_event(task.deferred.trigger)))
        seen.append(json.dumps([task.event, task.ti.xcoms, task.store.texts, result]))  # type: ignore[union-attr]
    assert result["verified"]
    assert SEAL_PASSWORD not in "".join(seen)
    assert "PRIVATE KEY" not in "".join(seen)


# -- while and after it restores


@pytest.mark.parametrize("again", ["retry", "clear"])
def test_an_instance_that_does_not_come_back_is_said_so_and_looked_at_again(
    connections: Connections, clean: Simulator, again: str
) -> None:
    snapshot = registered(connections)
    clean.control.settings(index_seconds=3.0)
    task, change = restoring(connections, snapshot, deferrable=True, ready_timeout=0.5)
    with pytest.raises(OACWaitTimeoutError, match=r"The restore is done, but the instance is not ready"):
        task.attempt()
    change(ready_timeout=30)
    if again == "clear":
        task.clear()
    assert task.attempt()["searchable"] is True
    assert restores(clean) == 1


@pytest.mark.parametrize("limit", ["timeout", "execution_timeout"])
def test_a_safety_snapshot_gives_the_restore_no_new_deadline(
    connections: Connections, clean: Simulator, limit: str
) -> None:
    snapshot = registered(connections)
    limits = {limit: timedelta(seconds=100)}
    task, _ = restoring(connections, snapshot, deferrable=True, ready_timeout=timedelta(hours=1), **limits)
    deadlines = []
    clean.control.settings(index_seconds=30.0)
    task.start()
    for _ in range(2):
        trigger = task.deferred.trigger  # type: ignore[union-attr]
        deadlines.append(trigger.deadline)
        task.execute_complete(asyncio.run(first_event(trigger)))
    ready = task.deferred.trigger.deadline  # type: ignore[union-attr]
    assert deadlines[0] == deadlines[1]
    assert (ready == deadlines[0]) is (limit == "execution_timeout")


def test_a_user_who_lost_the_role_by_the_restore_is_told_so(connections: Connections, clean: Simulator) -> None:
    snapshot = registered(connections)
    task, _ = restoring(connections, snapshot, deferrable=True, ready_timeout=0.3)
    body = json.dumps({"user": "oac.admin@example.com", "status": "unauthorized"})
    clean.control.fault(SYSTEM, "status", status=401, body=body, after=1, times=None, instance="prod")
    with pytest.raises(OACError, match=r"is restored in .* but OAC now refuses this user.*Do not restore again"):
        task.attempt()
    # Once the role is given back, neither a new approval nor another restore is needed.
    clean.control.clear_faults()
    task.clear()
    assert task.attempt()["verified"]
    assert restores(clean) == 1
    task.clear()
    with pytest.raises(AirflowFailException, match="This task has already restored snapshot"):
        task.attempt()


@pytest.mark.parametrize("change", ["approval", "snapshot"])
def test_only_what_was_restored_is_looked_at_again(connections: Connections, clean: Simulator, change: str) -> None:
    snapshot, other = registered(connections), registered(connections, task_id="another")
    task, changed = restoring(connections, snapshot, ready_timeout=0.3, without_safety_snapshot=True)
    clean.control.fault(SYSTEM, "status", status=401, after=1, times=None, instance="prod")
    with pytest.raises(OACError, match="OAC now refuses this user"):
        task.attempt()
    clean.control.clear_faults()
    task.clear()
    changed(snapshot=other)
    if change == "approval":
        changed(approval="another")
        assert task.attempt()["snapshot_id"] == other["snapshot_id"]
        assert restores(clean) == 2
        return
    with pytest.raises(AirflowFailException, match="This task has already restored snapshot"):
        task.attempt()
    assert restores(clean) == 1
