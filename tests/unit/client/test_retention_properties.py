"""What holds for pruning whatever is listed and whatever the rules are."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_oac.client.flows.retention import Retention, plan_prune
from airflow_provider_oac.client.rest.snapshots import Snapshot
from airflow_provider_oac.client.snapshot_names import SnapshotName, parse
from tests.unit.client.snapshot_lists import BUCKET, NOW, OWN, RUN, named, snapshot

# Few values, so that there are many encounters: of times, of names, of files.
ages = st.one_of(st.integers(0, 40).map(float), st.integers(0, 900).map(float), st.floats(-30, 0.1))
marks = st.sampled_from(["0" * 20, "1" * 20, RUN + "0" * 12])
own_names = st.builds(lambda age, mark: named(age, mark=mark), ages, marks)
any_names = st.builds(
    lambda age, mark, label, instance: named(age, mark=mark, label=label, instance=instance),
    ages, marks, st.sampled_from(["nightly", "weekly"]), st.sampled_from(["prod", "dev"]),
)  # fmt: skip
ids = st.integers(0, 10_000).map(str)
plain = st.builds(lambda name, id_: snapshot(name, id=id_), own_names, ids)
odd = st.builds(
    lambda name, id_, bucket, file: snapshot(name, id=id_, bucket=bucket, bar_uri=file.uri("oac-snapshots")),
    any_names, ids, st.sampled_from([BUCKET, "other", None]), own_names,
)  # fmt: skip
foreign = st.builds(lambda age, id_, file: snapshot(f"by hand {age}", id=id_, bar_uri=file.uri("oac-snapshots")),
                    ages, ids, own_names)  # fmt: skip
lists = st.lists(st.one_of(plain, odd, foreign), max_size=25, unique_by=lambda item: item.id)
rules = st.builds(
    lambda last, days, weekly, monthly: (last, days, weekly, monthly),
    st.integers(0, 6), st.none() | st.integers(1, 60), st.integers(0, 4), st.integers(0, 4),
).filter(any).map(lambda rule: Retention(rule[0], timedelta(days=rule[1]) if rule[1] else None, *rule[2:]))  # fmt: skip


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
    plan = plan_prune(listed, OWN, retention, now=NOW, run=RUN)
    ours = {item.id for _, item in own(listed)}
    gone, stay = {item.snapshot.id for item in plan.deletions}, {item.id for item, _ in plan.kept}
    assert gone | stay == ours
    assert not gone & stay
    assert plan.others == len(listed) - len(ours)


@given(lists, rules)
def test_the_newest_and_what_a_rule_names_stays(listed: list[Snapshot], retention: Retention) -> None:
    plan = plan_prune(listed, OWN, retention, now=NOW, run=RUN)
    gone = {item.snapshot.id for item in plan.deletions}
    ours = own(listed)
    past = sorted((pair for pair in ours if pair[0] <= NOW), key=lambda pair: pair[0], reverse=True)
    newest_left = sorted((time for time, item in past if item.id not in gone), reverse=True)
    wanted = max(1, retention.keep_last)
    assert newest_left[:wanted] == [time for time, _ in past[:wanted]]
    for time, item in ours:
        if time > NOW or RUN in item.name.rpartition("--")[2][:8]:
            assert item.id not in gone
        if retention.keep_for and NOW - time < retention.keep_for:
            assert item.id not in gone


@given(lists, rules)
def test_the_last_weeks_and_months_keep_their_newest(listed: list[Snapshot], retention: Retention) -> None:
    plan = plan_prune(listed, OWN, retention, now=NOW)
    gone = {item.snapshot.id for item in plan.deletions}
    past = [(time, item) for time, item in own(listed) if time <= NOW]
    for count, form in ((retention.keep_weekly, "%G-%V"), (retention.keep_monthly, "%Y-%m")):
        periods = sorted({time.strftime(form) for time, _ in past}, reverse=True)[:count]
        for period in periods:
            newest = max(time for time, _ in past if time.strftime(form) == period)
            assert any(item.id not in gone for time, item in past if time == newest)


@given(lists, rules)
def test_what_no_rule_keeps_goes(listed: list[Snapshot], retention: Retention) -> None:
    plan = plan_prune(listed, OWN, retention, now=NOW)
    past = [item for item, reason in plan.kept if not reason.startswith("named after")]
    most = max(1, retention.keep_last) + retention.keep_weekly + retention.keep_monthly
    if retention.keep_for is None:
        assert len(past) <= most
    else:
        old = [item for item in past if NOW - _time(item) >= retention.keep_for]
        assert len(old) <= most


@given(lists, rules)
def test_a_file_goes_only_if_exactly_one_listed_snapshot_uses_it(listed: list[Snapshot], retention: Retention) -> None:
    uses = Counter(item.bar_uri for item in listed)
    for item in plan_prune(listed, OWN, retention, now=NOW).deletions:
        assert item.delete_file == (uses[item.snapshot.bar_uri] == 1)


@given(lists, rules, st.randoms(use_true_random=False))
def test_the_order_of_the_list_does_not_matter(listed: list[Snapshot], retention: Retention, random: object) -> None:
    shuffled = list(listed)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert plan_prune(shuffled, OWN, retention, now=NOW) == plan_prune(listed, OWN, retention, now=NOW)


@given(lists, rules)
def test_pruning_twice_deletes_nothing_more(listed: list[Snapshot], retention: Retention) -> None:
    gone = {item.snapshot.id for item in plan_prune(listed, OWN, retention, now=NOW).deletions}
    left = [item for item in listed if item.id not in gone]
    assert plan_prune(left, OWN, retention, now=NOW).deletions == ()


@given(lists, rules, st.data())
def test_protected_ones_stay(listed: list[Snapshot], retention: Retention, data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.sampled_from(listed), max_size=3)) if listed else []
    protected = [data.draw(st.sampled_from([item.id, item.name])) for item in chosen]
    plan = plan_prune(listed, OWN, retention, now=NOW, protected=protected)
    for item in plan.deletions:
        assert not {item.snapshot.id, item.snapshot.name} & set(protected)


def _time(item: Snapshot) -> datetime:
    name: SnapshotName | None = parse(item.name)
    assert name is not None
    return name.time
