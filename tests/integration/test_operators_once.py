"""Exactly one snapshot for a logical task, whatever happens to its process or to an answer on the way."""

from __future__ import annotations

import threading

import pytest

from airflow_provider_oac.exceptions import (
    OACWorkRequestError,
)
from oac_simulator.launch import Simulator
from tests.tasks import Connections, Task, names
from tests.tasks import backup_operator as make

POST = "POST /snapshots"


def test_a_retry_after_success_takes_no_second_snapshot(
    connections: Connections, clean: Simulator, store: bool
) -> None:
    task = Task(lambda: make(deferrable=True), store=store)
    first, second = task.attempt(), task.attempt()
    assert len(names(clean)) == 1
    assert second["snapshot_id"] == first["snapshot_id"]
    assert second["verified"] is store


def test_failed_work_fails_the_task_with_the_errors_of_oac_and_leaves_the_list_clean(
    connections: Connections, clean: Simulator
) -> None:
    clean.control.settings(failed_listing="keep")
    clean.control.fault(POST, "fail_work", errors=[{"code": "DiskFull", "message": "No space is left"}])
    task = Task(lambda: make(deferrable=True))
    with pytest.raises(OACWorkRequestError, match=r"\(CREATE_SNAPSHOT\) ended FAILED .*DiskFull: No space is left"):
        task.attempt()
    assert names(clean) == []
    result = task.attempt()
    assert result["verified"]
    assert names(clean) == [result["name"]]


def test_a_failed_snapshot_that_stays_listed_is_never_adopted(connections: Connections, clean: Simulator) -> None:
    clean.control.settings(failed_listing="keep")
    clean.control.fault("DELETE /snapshots/{snapshotId}", "status", status=403, times=None)
    clean.control.fault(POST, "fail_work", times=2)
    task = Task(make)
    for _ in range(2):
        with pytest.raises(OACWorkRequestError):
            task.attempt()
    failed = set(names(clean))
    assert len(failed) == 2
    # A lost answer makes the third try look for its mark, which both failed ones carry.
    clean.control.fault(POST, "drop_after")
    result = task.attempt()
    assert {result["name"]} == set(names(clean)) - failed


def test_what_is_found_again_is_told_as_it_was_ordered(connections: Connections, clean: Simulator, store: bool) -> None:
    connections.seal("oac_seal_new", "Another-Horse-8-Battery")
    changes: dict[str, str] = {}
    task = Task(lambda: make(deferrable=True, **changes), store=store)
    task.start()
    # What a template renders, or an author edits, between two tries.
    changes |= {"seal_conn_id": "oac_seal_new", "bucket": "another-bucket"}
    result = task.attempt()
    assert [result["name"]] == names(clean)
    assert (result["seal"], result["bucket"]) == ("oac_seal", "oac-backups")


def test_work_that_ended_after_all_is_no_timeout(connections: Connections, clean: Simulator) -> None:
    task = Task(lambda: make(deferrable=True))
    task.start()
    while clean.control.snapshots("dev")[0]["state"] == "IN_PROGRESS":
        threading.Event().wait(0.05)
    assert task.deferred is not None
    carried = task.deferred.trigger.carried
    assert task.execute_complete({"outcome": "timeout", "message": "late", "carried": carried})["verified"]
