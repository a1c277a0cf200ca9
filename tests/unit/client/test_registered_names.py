"""A registered snapshot's name is never that of a created one, nor the other way round: pruning goes by names."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_oac.client.flows.retention import newest
from airflow_provider_oac.client.rest.snapshots import Snapshot
from airflow_provider_oac.client.snapshot_names import (
    RegisteredName,
    SnapshotName,
    origin_of,
    parse,
    parse_registered,
    registered_name,
)

NOW = datetime(2026, 11, 24, 6, tzinfo=UTC)
GOOD = "nightly--analytics-dev--20261123T203637Z--oac_seal_2026--3f9a5c1d77e0b2a4c6d8"

words = st.text("abcXYZ019._", min_size=1, max_size=8)
parts = st.lists(words, min_size=1, max_size=4).map("-".join).filter(lambda part: not part.startswith("."))
parts |= st.sampled_from(["registered", "20261123T203637Z"])
times = st.datetimes(timezones=st.just(UTC)).map(lambda time: time.replace(microsecond=0))
marks = st.text("0123456789abcdef", min_size=20, max_size=20)
created = st.builds(SnapshotName, parts, parts, times, parts, marks)
stems = st.text(min_size=1, max_size=60).filter(lambda text: "/" not in text) | created.map(str)
moments = st.integers(min_value=0, max_value=4_000_000_000)


@given(stems, moments)
def test_a_registered_name_is_read_as_it_was_written_and_never_as_a_created_one(stem: str, now: int) -> None:
    name = registered_name(f"file:///a/folder/{stem}.bar", now)
    assert parse(str(name)) is None
    assert parse_registered(str(name)) == name
    assert name.time == datetime.fromtimestamp(now, UTC)


@given(created)
def test_a_created_name_is_never_read_as_a_registered_one(name: SnapshotName) -> None:
    assert parse_registered(str(name)) is None


@given(created, moments)
def test_a_registered_name_says_what_its_file_is(name: SnapshotName, now: int) -> None:
    registered = registered_name(name.uri("folder"), now)
    assert registered.origin == name
    assert origin_of(str(registered)) == name == origin_of(str(name))


@given(created, moments)
def test_registered_once_more_it_keeps_only_what_is_safe(name: SnapshotName, now: int) -> None:
    twice = registered_name(f"file:///{registered_name(name.uri('folder'), now)}.bar", now)
    assert parse(str(twice)) is None
    assert parse_registered(str(twice)) == twice


@given(st.text(max_size=80))
def test_whatever_it_is_it_is_not_both(text: str) -> None:
    assert parse(text) is None or parse_registered(text) is None


@pytest.mark.parametrize(
    ("file", "stem"),
    [
        (f"{GOOD}.bar", GOOD),
        ("weekly backup.bar", "weekly-backup"),
        ("a--b.bar", "a-b"),
        ("--.bar", "snapshot"),
        ("Ä.bar", "snapshot"),
        (".hidden.bar", ".hidden"),
        ("x" * 200 + ".bar", "x" * 80),
        (f"{GOOD}0.bar", "nightly-analytics-dev-20261123T203637Z-oac_seal_2026-3f9a5c1d77e0b2a4c6d80"),
    ],
)
def test_a_foreign_file_gets_a_name_that_is_fit(file: str, stem: str) -> None:
    assert registered_name(f"file:///folder/{file}", NOW.timestamp()) == RegisteredName(NOW, stem)


@pytest.mark.parametrize(
    "name",
    [
        "registered",
        f"registered--{GOOD}",
        "registered--20261323T203637Z--x",
        "registered--20261124T060000Z--",
        "registered--20261124T060000Z--a--b",
        "Registered--20261124T060000Z--a",
    ],
)
def test_what_only_looks_like_a_registered_name(name: str) -> None:
    assert parse_registered(name) is None


def listed(name: str) -> Snapshot:
    """A snapshot of this name."""
    return Snapshot(name[-8:], name, "", "", "file:///x.bar", "b", None, None, {})


def test_the_newest_is_the_one_whose_file_was_made_last() -> None:
    made = {
        days: SnapshotName("nightly", "dev", NOW - timedelta(days=days), "seal", "0" * 20) for days in (1, 2, 3, -1)
    }
    other = SnapshotName("nightly", "prod", NOW, "seal", "0" * 20)
    names = [
        str(made[3]),
        str(RegisteredName(NOW - timedelta(days=1), str(made[2]))),
        str(RegisteredName(NOW, str(made[3]))),
        str(RegisteredName(NOW, str(made[2]))),
        str(RegisteredName(NOW, str(made[-1]))),
        str(RegisteredName(NOW, "foreign")),
        str(other),
    ]
    snapshots = [listed(name) for name in names]
    found = newest(snapshots, "nightly", "dev", registered=True, now=NOW)
    assert found is not None
    assert found == (snapshots[3], made[2])
    assert newest(snapshots, "nightly", "dev", registered=False, now=NOW) == (snapshots[0], made[3])
    assert newest(snapshots, "weekly", "dev", registered=True, now=NOW) is None
