"""Pruning over real HTTP: what goes, what stays, and the files in the bucket."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_oac.client.flows.retention import PrunePlan, Retention, SnapshotSeries, prune
from airflow_provider_oac.client.flows.submit import unless_gone
from airflow_provider_oac.client.rest import snapshots
from airflow_provider_oac.client.snapshot_names import SnapshotName, task_mark
from airflow_provider_oac.exceptions import OACApiError, OACError, OACResponseError
from oac_simulator.launch import Simulator
from tests.drivers import Drive, SignIn
from tests.integration import flows
from tests.integration.flows import BUCKET, DELETE, FOLDER, LIST, STORAGE, Oac, take

OWN = SnapshotSeries("nightly", "dev", FOLDER, STORAGE)
KEEP_ONE = Retention(keep_last=1)


@pytest.fixture
def run(drive: Drive, sign_in: SignIn, clean: Simulator) -> Oac:
    clean.control.settings(work_seconds=0.0)
    return flows.oac(drive, sign_in)


def named(
    days: float, *, label: str = "nightly", instance: str = "dev", run_id: str = "an earlier run"
) -> SnapshotName:
    time = (datetime.now(UTC) - timedelta(days=days)).replace(microsecond=0)
    return SnapshotName(label, instance, time, "oac_seal", task_mark("backup", run_id, f"{days}", -1, 0))


def series(run: Oac, *days: float) -> list[str]:
    """Own snapshots of these ages in days, with their files; returns their names."""
    names = [named(age) for age in days]
    for name in names:
        take(run, name)
    return [str(name) for name in names]


def pruned(oac: Oac, lines: list[str] | None = None, retention: Retention = KEEP_ONE, **details: Any) -> PrunePlan:
    report = (lines if lines is not None else []).append
    plan: PrunePlan = oac(prune(OWN, retention, **{"max_delete": 10, **details}), report=report)
    return plan


def deleted(plan: PrunePlan) -> list[str]:
    return [item.snapshot.name for item in plan.deletions]


def names(clean: Simulator) -> set[str]:
    return {item["name"] for item in clean.control.snapshots("dev")}


def files(clean: Simulator) -> set[str]:
    """The names of the files of own snapshots that are in the bucket."""
    prefix = f"{BUCKET}/{FOLDER}/dev/"
    return {path.removeprefix(prefix).removesuffix(".bar") for path in clean.control.bucket()}


def test_old_snapshots_go_with_their_files(run: Oac, clean: Simulator) -> None:
    old, older, new = series(run, 2, 3, 1)
    lines: list[str] = []
    assert deleted(pruned(run, lines)) == [older, old]
    assert names(clean) == files(clean) == {new}
    assert lines == [
        f"Keeping {new}: the newest.", f"Deleted {older} with its file.", f"Deleted {old} with its file.",
    ]  # fmt: skip


def test_a_dry_run_only_tells(run: Oac, clean: Simulator) -> None:
    old, older, new = series(run, 2, 3, 1)
    lines: list[str] = []
    assert deleted(pruned(run, lines, dry_run=True, max_delete=1)) == [older, old]
    assert names(clean) == files(clean) == {old, older, new}
    assert lines[1:3] == [f"Would delete {older} with its file.", f"Would delete {old} with its file."]
    assert lines[3].startswith("Without dry_run this fails: Pruning 'nightly' of 'dev' would delete 2 of 3 snapshots")
    assert clean.control.calls("dev", DELETE) == 0


def test_too_many_at_once_stop_it_before_anything_is_deleted(run: Oac, clean: Simulator) -> None:
    made = series(run, 1, 2, 3, 4)
    with pytest.raises(OACError, match=r"would delete 3 of 4 snapshots, more than max_delete=2. None was deleted"):
        pruned(run, max_delete=2)
    assert names(clean) == files(clean) == set(made)
    assert clean.control.calls("dev", DELETE) == 0
    assert len(deleted(pruned(run, max_delete=3))) == 3


def test_what_is_not_ours_is_not_touched(run: Oac, clean: Simulator) -> None:
    old, new = series(run, 9, 1)
    foreign = [named(9.5, label="weekly"), named(9.5, instance="prod"), "by hand"]
    for name in foreign:
        take(run, name)
    moved = named(8.5)
    take(run, moved, f"file:///archive/{moved}.bar")
    future = named(-30)
    take(run, future)
    before = set(clean.control.bucket())
    plan = pruned(run)
    assert (deleted(plan), plan.others) == ([old], 4)
    assert names(clean) == {new, str(moved), str(future), *map(str, foreign)}
    assert before - set(clean.control.bucket()) == {f"{BUCKET}/{FOLDER}/dev/{old}.bar"}


def test_the_file_of_a_snapshot_that_is_registered_as_well_stays(run: Oac, clean: Simulator) -> None:
    shared = named(9)
    take(run, shared)
    take(run, "for the auditors", shared.uri(FOLDER), registered=True)
    series(run, 1)
    lines: list[str] = []
    assert deleted(pruned(run, lines)) == [str(shared)]
    assert f"Deleted {shared} but not its file, which another snapshot uses." in lines
    assert "for the auditors" in names(clean)
    assert str(shared) in files(clean)


@pytest.mark.parametrize(
    "fault", [{"fault": "drop_after"}, {"fault": "status", "status": 503}], ids=["lost after", "503 before"]
)
def test_a_delete_whose_answer_is_lost_is_sent_again(run: Oac, clean: Simulator, fault: dict[str, Any]) -> None:
    *_, new = series(run, 3, 2, 1)
    clean.control.fault(DELETE, **fault)
    assert len(deleted(pruned(run))) == 2
    assert names(clean) == files(clean) == {new}
    assert clean.control.calls("dev", DELETE) == 3


def test_a_delete_that_is_refused_stops_it_and_the_next_run_goes_on(run: Oac, clean: Simulator) -> None:
    old, older, new = series(run, 2, 3, 1)
    clean.control.fault(DELETE, "status", status=403, body={"code": "Forbidden", "message": "no"}, after=1)
    with pytest.raises(OACApiError, match=r"Could not delete snapshot .*HTTP 403, Forbidden: no"):
        pruned(run)
    assert names(clean) == files(clean) == {old, new}
    assert deleted(pruned(run)) == [old]
    assert older not in names(clean)


@pytest.mark.parametrize(
    "answer",
    [{"fault": "empty"}, {"fault": "status", "status": 200, "body": {"items": [{"name": "without an id"}]}}],
)
def test_a_list_that_cannot_be_read_is_no_list(run: Oac, clean: Simulator, answer: dict[str, Any]) -> None:
    made = series(run, 3, 2, 1)
    clean.control.fault(LIST, **answer)
    with pytest.raises(OACResponseError, match="Could not list the snapshots"):
        pruned(run)
    assert names(clean) == files(clean) == set(made)
    assert clean.control.calls("dev", DELETE) == 0


def test_removing_what_is_gone_says_so(run: Oac, clean: Simulator) -> None:
    snapshot = take(run, "one")
    assert run(unless_gone(snapshots.delete(snapshot))) is True
    assert run(unless_gone(snapshots.delete(snapshot, delete_storage=True))) is False
    assert len(clean.control.bucket()) == 1


def test_removing_what_may_not_be_removed_is_an_error(run: Oac, clean: Simulator) -> None:
    clean.control.settings(work_seconds=60.0)
    run(snapshots.create("one", "file:///a/one.bar", STORAGE, flows.PASSWORD))
    (listed,) = run(snapshots.list_all())
    with pytest.raises(OACApiError, match=r"HTTP 400.*being created"):
        run(unless_gone(snapshots.delete(listed.id, delete_storage=True)))
