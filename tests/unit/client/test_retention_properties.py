"""What holds for pruning whatever is listed and whatever the rules are."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_oac.client.flows.retention import Retention, plan_prune
from airflow_provider_oac.client.rest.snapshots import Snapshot
from tests.unit.client.snapshot_lists import BUCKET, NOW, OWN, RUN, named, snapshot

# Few values, so that there are many encounters: of times, of names, of files.
ages = st.one_of(st.integers(0, 40).map(float), st.integers(0, 900).map(float), st.floats(-30, 0.1))
marks = st.sampled_from(["0" * 20, "1" * 20, RUN + "0" * 12])
own_names = st.builds(named, ages, mark=marks)
labels, instances = st.sampled_from(["nightly", "weekly"]), st.sampled_from(["prod", "dev"])
any_names = st.builds(named, ages, label=labels, instance=instances, mark=marks)
ids = st.integers(0, 10_000).map(str)
files = own_names.map(lambda name: name.uri("oac-snapshots"))
plain = st.builds(snapshot, own_names, id=ids)
odd = st.builds(snapshot, any_names, id=ids, bucket=st.sampled_from([BUCKET, "other", None]), bar_uri=files)
foreign = st.builds(snapshot, ages.map("by hand {}".format), id=ids, bar_uri=files)
lists = st.lists(st.one_of(plain, odd, foreign), max_size=25, unique_by=lambda item: item.id)
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
    plan = plan_prune(listed, OWN, retention, now=NOW, run=RUN)
    ours = [item.id for _, item in own(listed)]
    assert sorted([*(item.snapshot.id for item in plan.deletions), *(item.id for item, _ in plan.kept)]) == sorted(ours)
    assert plan.others == len(listed) - len(ours)
    uses = Counter(item.bar_uri for item in listed)
    for item in plan.deletions:
        assert item.delete_file == (uses[item.snapshot.bar_uri] == 1)


@given(lists, rules)
def test_what_a_rule_names_stays(listed: list[Snapshot], retention: Retention) -> None:
    plan = plan_prune(listed, OWN, retention, now=NOW, run=RUN)
    gone = {item.snapshot.id for item in plan.deletions}
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
