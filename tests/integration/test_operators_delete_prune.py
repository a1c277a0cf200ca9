"""OACDeleteSnapshotOperator and OACPruneSnapshotsOperator: what tests/unit/client/test_prune.py does not show."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_oac._compat import AirflowFailException
from airflow_provider_oac.client.flows.polling import WaitPlan
from airflow_provider_oac.client.rest.snapshots import Storage, create, register
from airflow_provider_oac.client.snapshot_names import SnapshotName, task_mark
from airflow_provider_oac.exceptions import OACError
from airflow_provider_oac.hooks.oac import OACHook
from airflow_provider_oac.operators.snapshots import OACDeleteSnapshotOperator, OACPruneSnapshotsOperator
from oac_simulator.launch import Simulator
from tests.tasks import SEAL_PASSWORD, Connections, Task, names

BUCKET = Storage("oac-backups")


def take(*wanted: tuple[str, str], registered: bool = False) -> None:
    """Take snapshots with these names and paths, and wait for them."""
    hook = OACHook()
    calls = (
        register(name, uri, BUCKET) if registered else create(name, uri, BUCKET, SEAL_PASSWORD) for name, uri in wanted
    )
    for work in [hook.run(call) for call in calls]:
        hook.wait(work, WaitPlan(longest_pause=0.05))


def take_own(*days_old: int, run: str = "another_run", label: str = "nightly") -> list[str]:
    """Take snapshots of a series; returns their names."""
    now, mark = datetime.now(UTC).replace(microsecond=0), task_mark("a_dag", run, "backup", -1, 2)
    wanted = [SnapshotName(label, "dev", now - timedelta(days=days), "oac_seal", mark) for days in days_old]
    take(*((str(name), name.uri("oac-snapshots")) for name in wanted))
    return [str(name) for name in wanted]


def prune(**changes: Any) -> Any:
    arguments = {"snapshot_label": "nightly", "bucket": "oac-backups", "keep_last": 1, **changes}
    return Task(lambda: OACPruneSnapshotsOperator(task_id="prune", **arguments)).attempt()


def delete(**arguments: Any) -> Task:
    return Task(lambda: OACDeleteSnapshotOperator(task_id="delete", retries=2, **arguments))


@pytest.fixture(autouse=True)
def quick_work(connections: Connections, clean: Simulator) -> None:
    clean.control.settings(work_seconds=0.0)


def test_prune_deletes_what_no_rule_keeps_and_its_files(clean: Simulator) -> None:
    take_own(9, label="weekly")
    oldest, older, old, new = take_own(4, 3, 2, 1)
    with pytest.raises(OACError, match="would delete 2 of 4 snapshots, more than max_delete=1"):
        prune(keep_last=2, max_delete=1)
    told = {"deleted": [oldest, older], "kept": [new, old], "others": 1}
    assert prune(keep_last=2, dry_run=True) == {**told, "dry_run": True}
    assert (len(names(clean)), len(clean.control.bucket())) == (5, 5)
    # A lost answer to a deletion does not fail it.
    clean.control.fault("DELETE /snapshots/{snapshotId}", "drop_after")
    assert prune(keep_last=2) == {**told, "dry_run": False}
    assert (names(clean)[1:], len(clean.control.bucket())) == ([old, new], 3)
    # Of the list alone, without a right to delete in the bucket.
    clean.control.settings(object_deletion="deny")
    assert prune(delete_storage=False)["deleted"] == [old]
    assert (names(clean)[1:], len(clean.control.bucket())) == ([new], 3)


def test_prune_keeps_the_newest_and_the_snapshots_of_its_run() -> None:
    (own,), (old, new) = take_own(8, run="a_run"), take_own(9, 7)
    result = prune(keep_last=0, keep_for=timedelta(days=1))
    assert (result["deleted"], result["kept"]) == ([old], [new, own])


@pytest.mark.parametrize("form", ["name", "list", "rendered list", "comma"])
def test_what_is_named_stays(clean: Simulator, form: str) -> None:
    good, better, _ = take_own(9, 8, 1)
    better_id = next(item["id"] for item in clean.control.snapshots("dev") if item["name"] == better)
    both = [good, better_id]
    keep = {"name": good, "list": both, "rendered list": repr(both), "comma": ", ".join(both)}[form]
    assert prune(keep=keep)["deleted"] == ([better] if form == "name" else [])


@pytest.mark.parametrize("by", ["snapshot_id", "snapshot_name"])
@pytest.mark.parametrize("delete_storage", [False, True])
def test_delete_takes_a_snapshot_off_the_list(clean: Simulator, by: str, delete_storage: bool) -> None:
    take_own(2, 1)
    first, second = clean.control.snapshots("dev")
    wanted = {by: first["id" if by == "snapshot_id" else "name"]}
    assert delete(**wanted, delete_storage=delete_storage).attempt() == first["id"]
    assert names(clean) == [second["name"]]
    assert len(clean.control.bucket()) == (1 if delete_storage else 2)


def test_a_snapshot_that_does_not_exist_is_an_error_on_the_first_try_of_each_order() -> None:
    task = delete(snapshot_id="gone")
    for _ in range(2):
        # Without a retry, which would take the snapshot for deleted.
        with pytest.raises(AirflowFailException, match=r"There is no snapshot 'gone' to delete\. OAC lists only"):
            task.attempt()
        task.clear()
    task.try_number += 1
    assert task.attempt() == delete(snapshot_id="gone", missing_ok=True).attempt() == "gone"


def test_a_name_that_fits_two_snapshots_deletes_neither(clean: Simulator) -> None:
    take(("twice", "file:///one.bar"), ("twice", "file:///two.bar"))
    with pytest.raises(OACError, match=r"2 snapshots are named 'twice': .* Set snapshot_id"):
        delete(snapshot_name="twice").attempt()
    assert len(names(clean)) == 2


def test_a_shared_file_is_not_deleted(clean: Simulator) -> None:
    take(("first", "file:///shared.bar"))
    take(("second", "file:///shared.bar"), registered=True)
    with pytest.raises(OACError, match=r"also belongs to 'second'. Nothing was deleted"):
        delete(snapshot_name="first", delete_storage=True).attempt()
    assert names(clean) == ["first", "second"]
