"""What pruning deletes, and above all what it never deletes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_oac.client.flows.retention import PrunePlan, Retention, SnapshotSeries, plan_prune
from airflow_provider_oac.client.rest.snapshots import Snapshot, Storage
from airflow_provider_oac.client.snapshot_names import SnapshotName
from airflow_provider_oac.exceptions import OACConfigurationError
from tests.unit.client.snapshot_lists import BUCKET, NOW, OWN, RUN, named, snapshot

LAST = Retention(keep_last=1)


def plan(*listed: Snapshot, own: SnapshotSeries = OWN, retention: Retention = LAST, **details: Any) -> PrunePlan:
    return plan_prune(listed, own, retention, now=NOW, **details)


def deletions(plan: PrunePlan) -> list[str]:
    return [item.snapshot.name for item in plan.deletions]


def kept(plan: PrunePlan) -> dict[str, str]:
    return {item.name: reason for item, reason in plan.kept}


def at(*ages: float) -> list[Snapshot]:
    """Own snapshots of these ages in days."""
    return [snapshot(named(age)) for age in ages]


def ages(names: list[str]) -> list[float]:
    """The ages in days of names."""
    times = [datetime.strptime(name.split("--")[2], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC) for name in names]
    return [(NOW - time) / timedelta(days=1) for time in times]


@pytest.mark.parametrize(
    ("retention", "listed", "gone"),
    [
        (Retention(keep_last=1), [1, 2, 3], [3, 2]),
        (Retention(keep_last=2), [3, 1, 2], [3]),
        (Retention(keep_last=9), [1, 2, 3], []),
        (Retention(keep_for=timedelta(days=2.5)), [1, 2, 3], [3]),
        # Exactly as old as the limit is not younger.
        (Retention(keep_for=timedelta(days=2)), [1, 2, 3], [3, 2]),
        (Retention(keep_for=timedelta(days=1)), [5, 6], [6]),
        (Retention(keep_last=1, keep_for=timedelta(days=3)), [1, 2, 3, 4], [4, 3]),
        (Retention(keep_last=3, keep_for=timedelta(hours=1)), [1, 2, 3, 4], [4]),
        # NOW is a Monday: 0 is of this week, 1 to 7 of the last one, 8 to 14 of the one before.
        (Retention(keep_weekly=1), [0, 1, 7, 8], [8, 7, 1]),
        (Retention(keep_weekly=2), [0, 1, 7, 8], [8, 7]),
        (Retention(keep_weekly=3), [0, 1, 7, 8, 14], [14, 7]),
        # A week without a snapshot does not count.
        (Retention(keep_weekly=2), [0, 30, 31, 60], [60, 31]),
        # 2 January and 30 December belong to one ISO week.
        (Retention(keep_weekly=3), [0, 325, 328], [328]),
        # November has 23 days so far, October 31.
        (Retention(keep_monthly=1), [1, 22, 23, 24], [24, 23, 22]),
        (Retention(keep_monthly=2), [1, 22, 23, 24], [24, 22]),
        (Retention(keep_monthly=3), [1, 23, 200, 201, 500], [500, 201]),
        (Retention(keep_last=2, keep_weekly=2, keep_monthly=3), [0, 1, 2, 8, 23, 40, 60], [40, 8, 2]),
    ],
)
def test_what_no_rule_keeps_goes_oldest_first(retention: Retention, listed: list[int], gone: list[int]) -> None:
    made = plan(*at(*listed), retention=retention)
    assert ages(deletions(made)) == gone
    assert sorted(ages(list(kept(made)))) == sorted(set(listed) - set(gone))


def test_the_kept_ones_are_told_newest_first_with_their_reason() -> None:
    rules = Retention(keep_last=2, keep_for=timedelta(days=3), keep_weekly=2, keep_monthly=2)
    listed = [*at(5, 1, 2, 9, 40, 3.5, 0), snapshot(named(50, mark=RUN + "0" * 12))]
    made = plan(*listed, retention=rules, run=RUN, protected=[named(9).__str__()])
    assert [reason for _, reason in made.kept] == [
        "the newest", "among the newest 2", "younger than 3 days, 0:00:00", "protected",
        "the newest of its month", "of this DAG run",
    ]  # fmt: skip
    assert ages([item.name for item, _ in made.kept]) == [0, 1, 2, 9, 40, 50]


@pytest.mark.parametrize(
    "rule", [{}, {"keep_last": 0}, {"keep_for": timedelta(0)}, {"keep_last": 0, "keep_weekly": 0, "keep_monthly": 0}]
)
def test_an_empty_rule_is_refused(rule: dict[str, Any]) -> None:
    with pytest.raises(OACConfigurationError, match=r"empty.*every snapshot.*Set at least one of keep_last"):
        Retention(**rule)


@pytest.mark.parametrize(
    "rule", [{"keep_last": -1}, {"keep_last": 3, "keep_weekly": -1}, {"keep_for": timedelta(days=-1), "keep_last": 1}]
)
def test_a_negative_rule_is_refused(rule: dict[str, Any]) -> None:
    with pytest.raises(OACConfigurationError, match="must not be negative"):
        Retention(**rule)


OLD = named(99)
FOREIGN = {
    "another label": snapshot(named(99, label="nightly2")),
    "a label that begins alike": snapshot(named(99, label="nightly-eu")),
    "a label in other letters": snapshot(named(99, label="Nightly")),
    "another instance": snapshot(named(99, instance="prod2")),
    "another instance in its folder": snapshot(named(99, instance="dev")),
    "a name by hand": snapshot("before-the-upgrade"),
    "a name that is nearly ours": snapshot(f"{OLD} copy", bar_uri=OLD.uri("oac-snapshots")),
    "a name without a mark": snapshot(str(OLD).rpartition("--")[0]),
    "no name": snapshot("", bar_uri=OLD.uri("oac-snapshots")),
    "another bucket": snapshot(OLD, bucket="archive"),
    "a bucket that is not told": snapshot(OLD, bucket=None),
    "a path above the folder": snapshot(OLD, bar_uri=f"file:///{OLD}.bar"),
    "another folder": snapshot(OLD, bar_uri=OLD.uri("archive")),
    "the folder of another instance": snapshot(OLD, bar_uri=f"file:///oac-snapshots/dev/{OLD}.bar"),
    "another file": snapshot(OLD, bar_uri=named(98).uri("oac-snapshots")),
    "a way around": snapshot(OLD, bar_uri=f"file:///oac-snapshots/dev/../prod/{OLD}.bar"),
    "no path": snapshot(OLD, bar_uri=""),
}


@pytest.mark.parametrize("foreign", FOREIGN.values(), ids=FOREIGN)
def test_what_is_not_ours_is_neither_deleted_nor_counted(foreign: Snapshot) -> None:
    made = plan(foreign, *at(1, 2))
    assert (ages(deletions(made)), list(ages(list(kept(made)))), made.others) == ([2], [1], 1)


REGION = SnapshotSeries("nightly", "prod", "oac-snapshots", Storage(BUCKET, region="eu-frankfurt-1", namespace="mine"))


@pytest.mark.parametrize(
    ("listed", "ours"),
    [
        ({}, True),
        ({"region": "eu-frankfurt-1", "namespace": "mine"}, True),
        ({"region": "eu-frankfurt-1"}, True),
        ({"region": "us-ashburn-1", "namespace": "mine"}, False),
        ({"region": "eu-frankfurt-1", "namespace": "theirs"}, False),
    ],
)
def test_another_region_or_namespace_is_not_ours(listed: dict[str, str], ours: bool) -> None:
    made = plan(snapshot(OLD, **listed), *at(1), own=REGION)
    assert deletions(made) == ([str(OLD)] if ours else [])


def test_a_region_that_was_not_asked_for_is_taken_for_the_instances_own() -> None:
    # OAC may list it for every snapshot; name, bucket and the whole path say already whose it is.
    assert deletions(plan(snapshot(OLD, region="eu-frankfurt-1", namespace="mine"), *at(1))) == [str(OLD)]


def test_names_of_the_future_stay_and_do_not_push_out_the_good_ones() -> None:
    future = [snapshot(named(-age)) for age in (0.001, 1, 400, 401)]
    for rule in (Retention(keep_last=2), Retention(keep_weekly=1, keep_monthly=2)):
        made = plan(*future, *at(1, 40, 70), retention=rule)
        assert ages(deletions(made)) == [70]
        assert list(kept(made).values())[:4] == ["named after a time in the future"] * 4


def test_the_newest_of_the_past_stays_beside_one_of_the_future() -> None:
    made = plan(snapshot(named(-1)), *at(5, 6), retention=Retention(keep_for=timedelta(days=1)))
    assert ages(deletions(made)) == [6]


def test_a_single_snapshot_stays_however_old() -> None:
    assert kept(plan(*at(4000), retention=Retention(keep_for=timedelta(days=1)))) == {str(named(4000)): "the newest"}


def test_of_two_of_one_second_the_choice_is_always_the_same() -> None:
    first, second = (snapshot(named(1, mark=digit * 20)) for digit in "ab")
    assert deletions(plan(first, second)) == deletions(plan(second, first)) == [first.name]


def test_nothing_listed_is_nothing_to_do() -> None:
    assert plan() == PrunePlan((), (), 0)


def test_snapshots_of_this_run_stay_and_those_of_other_runs_go() -> None:
    mine, other = snapshot(named(9, mark=RUN + "a" * 12)), snapshot(named(8, mark="a" * 12 + RUN))
    assert deletions(plan(mine, other, *at(1), run=RUN)) == [other.name]
    assert deletions(plan(mine, other, *at(1), run=None)) == [mine.name, other.name]
    assert deletions(plan(mine, other, *at(1), run="")) == [mine.name, other.name]


@pytest.mark.parametrize(
    "wrapped", [str, lambda value: [value], lambda value: {value: 1}], ids=["text", "list", "dict"]
)
@pytest.mark.parametrize("by", ["id", "name"])
def test_protected_ones_stay(by: str, wrapped: Any) -> None:
    listed = at(1, 2, 3)
    made = plan(*listed, protected=wrapped(getattr(listed[1], by)))
    assert deletions(made) == [listed[2].name]
    assert kept(made)[listed[1].name] == "protected"


def others_of(name: SnapshotName) -> dict[str, Snapshot]:
    """Snapshots of another name that use, or might use, the file of this one."""
    uri = name.uri("oac-snapshots")
    path = uri.removeprefix("file:///")
    return {
        "registered by hand": snapshot("by hand", bar_uri=uri),
        "in a bucket that is not told": snapshot("by hand", bar_uri=uri, bucket=None),
        "with a region": snapshot("by hand", bar_uri=uri, region="eu-frankfurt-1"),
        "another spelling": snapshot("by hand", bar_uri=f"file:////{path}"),
        "dots": snapshot("by hand", bar_uri=f"file:///./{path}"),
        "percent": snapshot("by hand", bar_uri=uri.replace("-", "%2D")),
        "of a foreign label": snapshot(named(1, label="other"), bar_uri=uri),
        "the same name twice": snapshot(name, id="twice"),
    }


@pytest.mark.parametrize("how", others_of(OLD))
def test_a_file_that_another_listed_snapshot_uses_stays(how: str) -> None:
    made = plan(others_of(OLD)[how], snapshot(OLD), *at(1))
    assert str(OLD) in deletions(made)
    assert [item.delete_file for item in made.deletions] == [False] * len(made.deletions)


def test_the_file_of_a_doomed_snapshot_goes_if_nobody_else_uses_it() -> None:
    made = plan(snapshot("by hand"), snapshot(OLD), *at(1))
    assert [(item.snapshot.name, item.delete_file) for item in made.deletions] == [(str(OLD), True)]


@pytest.mark.parametrize("label", ["", "a--b", "a b"])
def test_a_label_that_cannot_be_in_a_name_is_refused(label: str) -> None:
    with pytest.raises(OACConfigurationError, match="snapshot_label"):
        SnapshotSeries.checked(label, "prod", "f", Storage(BUCKET))


def test_a_folder_is_read_as_it_is_for_taking() -> None:
    assert SnapshotSeries.checked("nightly", "prod", "/oac-snapshots/", Storage(BUCKET)) == OWN
