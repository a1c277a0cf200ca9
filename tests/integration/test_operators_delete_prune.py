"""OACDeleteSnapshotOperator and OACPruneSnapshotsOperator."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_oac._compat import AirflowFailException
from airflow_provider_oac.client.flows.polling import WaitPlan
from airflow_provider_oac.client.rest.snapshots import Storage, create, register
from airflow_provider_oac.client.snapshot_names import SnapshotName, run_mark, task_mark
from airflow_provider_oac.exceptions import OACApiError, OACError
from airflow_provider_oac.hooks.oac import OACHook
from airflow_provider_oac.operators.snapshots import OACDeleteSnapshotOperator, OACPruneSnapshotsOperator
from oac_simulator.launch import Simulator
from tests.tasks import SEAL_PASSWORD, Connections, Task, names

BUCKET = Storage("oac-backups")
FOREIGN_MARK = task_mark("a_dag", "another_run", "backup", -1, 2)


def own_name(
    days_old: float, *, mark: str = FOREIGN_MARK, label: str = "nightly", instance: str = "dev"
) -> SnapshotName:
    time = (datetime.now(UTC) - timedelta(days=days_old)).replace(microsecond=0)
    return SnapshotName(label, instance, time, "oac_seal", mark)


def take(*wanted: tuple[str, str], registered: bool = False) -> None:
    """Take snapshots with these names and paths, and wait for them."""
    hook = OACHook()
    calls = (
        register(name, uri, BUCKET) if registered else create(name, uri, BUCKET, SEAL_PASSWORD) for name, uri in wanted
    )
    for work in [hook.run(call) for call in calls]:
        hook.wait(work, WaitPlan(longest_pause=0.05))


def take_own(*wanted: SnapshotName) -> list[str]:
    take(*((str(name), name.uri("oac-snapshots")) for name in wanted))
    return [str(name) for name in wanted]


def prune(**changes: Any) -> dict[str, Any]:
    arguments = {"snapshot_label": "nightly", "bucket": "oac-backups", "keep_last": 1}
    result: dict[str, Any] = Task(
        lambda: OACPruneSnapshotsOperator(task_id="prune", **{**arguments, **changes})
    ).attempt()
    return result


def delete(try_number: int = 1, **arguments: Any) -> Any:
    task = Task(lambda: OACDeleteSnapshotOperator(task_id="delete", **arguments))
    task.try_number = try_number - 1
    return task.attempt()


@pytest.fixture(autouse=True)
def quick_work(connections: Connections, clean: Simulator) -> None:
    clean.control.settings(work_seconds=0.0)


def test_prune_deletes_what_no_rule_keeps_and_its_files(clean: Simulator) -> None:
    old, middle, new = take_own(own_name(3), own_name(2), own_name(1))
    assert prune(keep_last=2) == {"deleted": [old], "kept": [new, middle], "others": 0, "dry_run": False}
    assert names(clean) == [middle, new]
    assert len(clean.control.bucket()) == 2


def test_prune_of_the_list_needs_no_right_to_delete_in_the_bucket(clean: Simulator) -> None:
    old, new = take_own(own_name(2), own_name(1))
    clean.control.settings(object_deletion="deny")
    with pytest.raises(OACApiError, match="may not delete objects in the bucket"):
        prune()
    assert prune(delete_storage=False)["deleted"] == [old]
    assert names(clean) == [new]
    assert len(clean.control.bucket()) == 2


def test_a_dry_run_deletes_nothing(clean: Simulator) -> None:
    old, new = take_own(own_name(2), own_name(1))
    assert prune(dry_run=True) == {"deleted": [old], "kept": [new], "others": 0, "dry_run": True}
    assert len(names(clean)) == 2


def test_prune_considers_its_own_series_only(clean: Simulator) -> None:
    take_own(own_name(9, label="weekly"), own_name(9, instance="prod"), own_name(1))
    moved = own_name(9)
    take((str(moved), f"file:///elsewhere/{moved}.bar"), ("by hand", "file:///by-hand.bar"))
    result = prune()
    assert (result["deleted"], result["others"]) == ([], 4)
    assert len(names(clean)) == 5


def test_prune_keeps_the_newest_and_the_snapshots_of_its_run(clean: Simulator) -> None:
    mine = own_name(8, mark=task_mark("a_dag", "a_run", "backup", -1, 2))
    assert mine.mark.startswith(run_mark("a_dag", "a_run"))
    own, old, new = take_own(mine, own_name(9), own_name(7))
    result = prune(keep_last=0, keep_for=timedelta(days=1))
    assert (result["deleted"], result["kept"]) == ([old], [new, own])


@pytest.mark.parametrize("form", ["name", "list", "rendered list", "comma"])
def test_what_is_named_stays(clean: Simulator, form: str) -> None:
    good, better, _ = take_own(own_name(9), own_name(8), own_name(1))
    better_id = next(item["id"] for item in clean.control.snapshots("dev") if item["name"] == better)
    keep = {
        "name": good,
        "list": [good, better_id],
        "rendered list": repr([good, better_id]),
        "comma": f"{good}, {better_id}",
    }[form]
    assert prune(keep=keep)["deleted"] == ([better] if form == "name" else [])


def test_too_many_at_once_is_refused(clean: Simulator) -> None:
    take_own(own_name(4), own_name(3), own_name(2), own_name(1))
    with pytest.raises(OACError, match="would delete 3 of 4 snapshots, more than max_delete=2"):
        prune(max_delete=2)
    assert len(names(clean)) == 4


def test_a_file_that_another_snapshot_uses_stays(clean: Simulator) -> None:
    shared = own_name(9)
    take_own(shared, own_name(1))
    take(("by hand", shared.uri("oac-snapshots")), registered=True)
    assert prune()["deleted"] == [str(shared)]
    assert f"oac-backups/oac-snapshots/dev/{shared}.bar" in clean.control.bucket()


def test_prune_goes_on_where_a_lost_answer_stopped_it(clean: Simulator) -> None:
    take_own(own_name(3), own_name(2), own_name(1))
    clean.control.fault("DELETE /snapshots/{snapshotId}", "drop_after")
    assert len(prune()["deleted"]) == 2
    assert len(names(clean)) == 1


@pytest.mark.parametrize("by", ["snapshot_id", "snapshot_name"])
@pytest.mark.parametrize("delete_storage", [False, True])
def test_delete_takes_a_snapshot_off_the_list(clean: Simulator, by: str, delete_storage: bool) -> None:
    take_own(own_name(2), own_name(1))
    first, second = clean.control.snapshots("dev")
    wanted = {by: first["id" if by == "snapshot_id" else "name"]}
    assert delete(**wanted, delete_storage=delete_storage) == first["id"]
    assert names(clean) == [second["name"]]
    assert len(clean.control.bucket()) == (1 if delete_storage else 2)


def test_a_snapshot_that_does_not_exist_is_an_error(clean: Simulator) -> None:
    # And one that is not tried again: a retry would take the snapshot for deleted.
    with pytest.raises(AirflowFailException, match=r"There is no snapshot 'nothing' to delete\. OAC lists only"):
        delete(snapshot_name="nothing", retries=2)


def test_a_snapshot_that_does_not_exist_is_an_error_after_a_clear_as_well(clean: Simulator) -> None:
    task = Task(lambda: OACDeleteSnapshotOperator(task_id="delete", snapshot_id="gone", retries=2), retries=2)
    for _ in range(2):
        with pytest.raises(AirflowFailException):
            task.attempt()
        task.clear()


@pytest.mark.parametrize("case", [{"missing_ok": True}, {"try_number": 2, "retries": 2}], ids=["missing_ok", "retry"])
def test_a_snapshot_that_is_gone_may_be_as_good_as_deleted(clean: Simulator, case: dict[str, Any]) -> None:
    assert delete(snapshot_id="gone", **case) == "gone"


def test_a_name_that_fits_two_snapshots_deletes_neither(clean: Simulator) -> None:
    take(("twice", "file:///one.bar"), ("twice", "file:///two.bar"))
    with pytest.raises(OACError, match=r"2 snapshots are named 'twice': .* Set snapshot_id"):
        delete(snapshot_name="twice")
    assert len(names(clean)) == 2


def test_a_shared_file_is_not_deleted(clean: Simulator) -> None:
    take(("first", "file:///shared.bar"))
    take(("second", "file:///shared.bar"), registered=True)
    with pytest.raises(OACError, match=r"also belongs to 'second'. Nothing was deleted"):
        delete(snapshot_name="first", delete_storage=True)
    assert names(clean) == ["first", "second"]
    delete(snapshot_name="first")
    delete(snapshot_name="second", delete_storage=True)
    assert clean.control.bucket() == {}
