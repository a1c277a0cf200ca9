"""What pruning deletes, and above all what it never deletes."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_oac.client.flows.retention import PrunePlan, Retention, SnapshotSeries, plan_prune
from airflow_provider_oac.client.rest.snapshots import Snapshot, Storage
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
        (Retention(keep_last=9), [1, 2, 3], []),
        (Retention(keep_for=timedelta(days=2.5)), [1, 2, 3], [3]),
        # Exactly as old as the limit is not younger.
        (Retention(keep_for=timedelta(days=2)), [1, 2, 3], [3, 2]),
        (Retention(keep_last=1, keep_for=timedelta(days=3)), [1, 2, 3, 4], [4, 3]),
        # NOW is a Monday: 0 is of this week, 1 to 7 of the last one, 8 to 14 of the one before.
        (Retention(keep_weekly=1), [0, 1, 7, 8], [8, 7, 1]),
        (Retention(keep_weekly=3), [0, 1, 7, 8, 14], [14, 7]),
        # A week without a snapshot does not count.
        (Retention(keep_weekly=2), [0, 30, 31, 60], [60, 31]),
        # 2 January and 30 December belong to one ISO week.
        (Retention(keep_weekly=3), [0, 325, 328], [328]),
        # November has 23 days so far, October 31.
        (Retention(keep_monthly=2), [1, 22, 23, 24], [24, 22]),
        (Retention(keep_monthly=3), [1, 23, 200, 201, 500], [500, 201]),
        (Retention(keep_last=2, keep_weekly=2, keep_monthly=3), [0, 1, 2, 8, 23, 40, 60], [40, 8, 2]),
    ],
)
def test_what_no_rule_keeps_goes_oldest_first(retention: Retention, listed: list[int], gone: list[int]) -> None:
    assert ages(deletions(plan(*at(*listed), retention=retention))) == gone


def test_the_kept_ones_are_listed_newest_first_with_their_reason() -> None:
    rules = Retention(keep_last=2, keep_for=timedelta(days=3), keep_weekly=2, keep_monthly=2)
    listed = [*at(5, 1, 2, 9, 40, 3.5, 0, -0.001, -400), snapshot(named(50, mark=RUN + "0" * 12))]
    made = plan(*listed, retention=rules, run=RUN, protected=[str(named(9))])
    assert [(age, reason) for age, reason in zip(ages(list(kept(made))), kept(made).values(), strict=True)][2:] == [
        (0, "the newest"), (1, "among the newest 2"), (2, "younger than 3 days, 0:00:00"), (9, "protected"),
        (40, "the newest of its month"), (50, "of this DAG run"),
    ]  # fmt: skip
    assert list(kept(made).values())[:2] == ["named after a time in the future"] * 2


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ({}, r"empty.*every snapshot.*Set at least one of keep_last"),
        ({"keep_for": timedelta(0)}, "empty"),
        ({"keep_last": 0, "keep_weekly": 0, "keep_monthly": 0}, "empty"),
        ({"keep_last": -1}, "must not be negative"),
        ({"keep_last": 3, "keep_weekly": -1}, "must not be negative"),
        ({"keep_for": timedelta(days=-1), "keep_last": 1}, "must not be negative"),
    ],
)
def test_a_rule_that_is_empty_or_negative_is_refused(rule: dict[str, Any], says: str) -> None:
    with pytest.raises(OACConfigurationError, match=says):
        Retention(**rule)


OLD = named(99)
# The properties below go through other labels, instances, buckets and files.
FOREIGN = {
    "a label that begins alike": snapshot(named(99, label="nightly-eu")),
    "a label in other letters": snapshot(named(99, label="Nightly")),
    "a name that is nearly ours": snapshot(f"{OLD} copy", bar_uri=OLD.uri("oac-snapshots")),
    "a name without a mark": snapshot(str(OLD).rpartition("--")[0]),
    "no name": snapshot("", bar_uri=OLD.uri("oac-snapshots")),
    "a path above the folder": snapshot(OLD, bar_uri=f"file:///{OLD}.bar"),
    "another folder": snapshot(OLD, bar_uri=OLD.uri("archive")),
    "the folder of another instance": snapshot(OLD, bar_uri=f"file:///oac-snapshots/dev/{OLD}.bar"),
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
def test_another_region_or_namespace_than_that_of_the_series_is_not_ours(listed: dict[str, str], ours: bool) -> None:
    one = snapshot(OLD, **listed)
    assert deletions(plan(one, *at(1), own=REGION)) == ([str(OLD)] if ours else [])
    # OAC may list its own region for every snapshot; name, bucket and the whole path show already whose it is.
    assert deletions(plan(one, *at(1))) == [str(OLD)]


def test_snapshots_of_the_future_stay_and_do_not_push_out_the_good_ones() -> None:
    future = at(-0.001, -1, -400, -401)
    for rule in (Retention(keep_last=2), Retention(keep_weekly=1, keep_monthly=2)):
        assert ages(deletions(plan(*future, *at(1, 40, 70), retention=rule))) == [70]
    # The newest of the past stays, too.
    assert ages(deletions(plan(*future, *at(4000, 4001), retention=Retention(keep_for=timedelta(days=1))))) == [4001]


def test_nothing_listed_is_nothing_to_do() -> None:
    assert plan() == PrunePlan((), (), 0)


def test_snapshots_of_this_run_stay_and_those_of_other_runs_go() -> None:
    mine, other = snapshot(named(9, mark=RUN + "a" * 12)), snapshot(named(8, mark="a" * 12 + RUN))
    assert deletions(plan(mine, other, *at(1), run=RUN)) == [other.name]
    for no_run in (None, ""):
        assert deletions(plan(mine, other, *at(1), run=no_run)) == [mine.name, other.name]


URI = OLD.uri("oac-snapshots")
SAME_FILE = {
    "a region": snapshot("by hand", bar_uri=URI, region="eu-frankfurt-1"),
    "another spelling": snapshot("by hand", bar_uri=URI.replace("///", "////")),
    "dots": snapshot("by hand", bar_uri=URI.replace("///", "///./")),
    "percent": snapshot("by hand", bar_uri=URI.replace("-", "%2D")),
}


@pytest.mark.parametrize("other", SAME_FILE.values(), ids=SAME_FILE)
def test_a_file_that_another_listed_snapshot_might_use_stays(other: Snapshot) -> None:
    made = plan(other, snapshot(OLD), *at(1))
    assert [(item.snapshot.name, item.delete_file) for item in made.deletions] == [(str(OLD), False)]


@pytest.mark.parametrize("label", ["", "a--b", "a b"])
def test_a_label_that_cannot_be_in_a_name_is_refused(label: str) -> None:
    with pytest.raises(OACConfigurationError, match="snapshot_label"):
        SnapshotSeries.checked(label, "prod", "f", Storage(BUCKET))


def test_a_folder_is_read_as_it_is_for_taking() -> None:
    assert SnapshotSeries.checked("nightly", "prod", "/oac-snapshots/", Storage(BUCKET)) == OWN


# ------------------------------------------------------------- what holds whatever is listed and whatever the rules are


# Few values, so that there are many encounters: of times, of names, of files.
some_ages = st.one_of(st.integers(0, 40).map(float), st.integers(0, 900).map(float), st.floats(-30, 0.1))
marks = st.sampled_from(["0" * 20, "1" * 20, RUN + "0" * 12])
own_names = st.builds(named, some_ages, mark=marks)
labels, instances = st.sampled_from(["nightly", "weekly"]), st.sampled_from(["prod", "dev"])
any_names = st.builds(named, some_ages, label=labels, instance=instances, mark=marks)
ids = st.integers(0, 10_000).map(str)
files = own_names.map(lambda name: name.uri("oac-snapshots"))
plain = st.builds(snapshot, own_names, id=ids)
odd = st.builds(snapshot, any_names, id=ids, bucket=st.sampled_from([BUCKET, "other", None]), bar_uri=files)
by_hand = st.builds(snapshot, some_ages.map("by hand {}".format), id=ids, bar_uri=files)
lists = st.lists(st.one_of(plain, odd, by_hand), max_size=25, unique_by=lambda item: item.id)
days = st.none() | st.integers(1, 60).map(lambda days: timedelta(days=days))
rules = (
    st.tuples(st.integers(0, 6), days, st.integers(0, 4), st.integers(0, 4)).filter(any).map(lambda r: Retention(*r))
)


def own(listed: list[Snapshot]) -> list[tuple[datetime, Snapshot]]:
    """Own snapshots by an account of what is ours that shares no line with the code under test."""
    found = []
    for item in listed:
        label, instance, time, *rest = (item.name.split("--") + [""] * 5)[:5]
        path = f"file:///oac-snapshots/prod/{item.name}.bar"
        if (label, instance, item.bucket, item.bar_uri) == ("nightly", "prod", BUCKET, path) and all(rest):
            found.append((datetime.strptime(time + "+0000", "%Y%m%dT%H%M%SZ%z"), item))
    return found


@given(lists, rules)
def test_only_own_snapshots_go_and_each_is_accounted_for(listed: list[Snapshot], retention: Retention) -> None:
    made = plan_prune(listed, OWN, retention, now=NOW, run=RUN)
    ours = [item.id for _, item in own(listed)]
    assert sorted([*(item.snapshot.id for item in made.deletions), *(item.id for item, _ in made.kept)]) == sorted(ours)
    assert made.others == len(listed) - len(ours)
    uses = Counter(item.bar_uri for item in listed)
    for item in made.deletions:
        assert item.delete_file == (uses[item.snapshot.bar_uri] == 1)


@given(lists, rules)
def test_what_a_rule_names_stays(listed: list[Snapshot], retention: Retention) -> None:
    made = plan_prune(listed, OWN, retention, now=NOW, run=RUN)
    gone = {item.snapshot.id for item in made.deletions}
    for time, item in own(listed):
        if time > NOW or RUN in item.name.rpartition("--")[2][:8]:
            assert item.id not in gone
        if retention.keep_for and NOW - time < retention.keep_for:
            assert item.id not in gone
    past = sorted(((time, item.id) for time, item in own(listed) if time <= NOW), reverse=True)
    left = [time for time, id_ in past if id_ not in gone]
    wanted = max(1, retention.keep_last)
    assert left[:wanted] == [time for time, _ in past[:wanted]]
    for count, form in ((retention.keep_weekly, "%G-%V"), (retention.keep_monthly, "%Y-%m")):
        for period in sorted({time.strftime(form) for time, _ in past}, reverse=True)[:count]:
            assert max(time for time, _ in past if time.strftime(form) == period) in left


@given(lists, rules)
def test_what_no_rule_keeps_goes(listed: list[Snapshot], retention: Retention) -> None:
    kept = {item.id for item, _ in plan_prune(listed, OWN, retention, now=NOW).kept}
    limit = NOW - retention.keep_for if retention.keep_for else NOW
    old = [item for time, item in own(listed) if item.id in kept and time <= limit]
    assert len(old) <= max(1, retention.keep_last) + retention.keep_weekly + retention.keep_monthly


@given(lists, rules, st.randoms(use_true_random=False))
def test_the_order_of_the_list_does_not_matter(listed: list[Snapshot], retention: Retention, random: Random) -> None:
    shuffled = random.sample(listed, len(listed))
    assert plan_prune(shuffled, OWN, retention, now=NOW) == plan_prune(listed, OWN, retention, now=NOW)


@given(lists, rules)
def test_pruning_twice_deletes_nothing_more(listed: list[Snapshot], retention: Retention) -> None:
    gone = {item.snapshot.id for item in plan_prune(listed, OWN, retention, now=NOW).deletions}
    left = [item for item in listed if item.id not in gone]
    assert plan_prune(left, OWN, retention, now=NOW).deletions == ()


@given(lists, rules, st.data())
def test_protected_ones_stay_by_id_and_by_name(
    listed: list[Snapshot], retention: Retention, data: st.DataObject
) -> None:
    texts = st.sampled_from([text for item in listed for text in (item.id, item.name)]) if listed else st.nothing()
    protected = data.draw(st.lists(texts, max_size=3) if listed else st.just([]))
    for chosen in (protected, dict.fromkeys(protected), *protected[:1]):
        for item in plan_prune(listed, OWN, retention, now=NOW, protected=chosen).deletions:
            assert not {item.snapshot.id, item.snapshot.name} & ({chosen} if isinstance(chosen, str) else set(chosen))
