"""Names that carry what OAC does not keep, and marks that tell one logical task from another.

A registered snapshot's name is never that of a created one, nor the other way round: pruning goes by names.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_oac.client.snapshot_names import (
    RegisteredName,
    SnapshotName,
    checked_folder,
    checked_part,
    instance_prefix,
    origin_of,
    parse,
    parse_registered,
    registered_name,
    run_mark,
    task_mark,
)
from airflow_provider_oac.exceptions import OACConfigurationError

MARK = "3f9a5c1d77e0b2a4c6d8"
TIME = "20261123T203637Z"
GOOD = f"nightly--analytics-prod--{TIME}--oac_seal_2026--{MARK}"

words = st.text("abcXYZ019._", min_size=1, max_size=8)
parts = st.lists(words, min_size=1, max_size=4).map("-".join).filter(lambda part: not part.startswith("."))
parts |= st.sampled_from(["registered", TIME, "a" * 80])
times = st.datetimes(timezones=st.just(UTC)).map(lambda time: time.replace(microsecond=0))
marks = st.text("0123456789abcdef", min_size=20, max_size=20)
names = st.builds(SnapshotName, parts, parts, times, parts, marks)
moments = st.integers(min_value=0, max_value=4_000_000_000)


@given(names)
def test_a_name_is_read_as_it_was_written_and_each_of_its_parts_is_accepted(name: SnapshotName) -> None:
    assert parse(str(name)) == name
    assert parse_registered(str(name)) is None
    for part in (name.label, name.instance, name.seal):
        assert checked_part(part, "part") == part


@given(st.text(max_size=12))
def test_a_part_is_accepted_only_if_the_name_stays_readable(text: str) -> None:
    name = SnapshotName(text, text, datetime(2026, 1, 2, tzinfo=UTC), text, MARK)
    try:
        checked_part(text, "part")
    except OACConfigurationError:
        assert parse(str(name)) is None
    else:
        assert parse(str(name)) == name


@given(names, st.integers(min_value=0), st.sampled_from("- \n/\0é٣Z"))
def test_a_character_too_many_makes_another_name_or_none(name: SnapshotName, where: int, character: str) -> None:
    text = str(name)
    at = where % (len(text) + 1)
    changed = text[:at] + character + text[at:]
    read = parse(changed)
    assert read is None or (str(read) == changed and read != name)


@given(names, times)
def test_the_order_of_times_is_the_order_of_names_of_one_series(name: SnapshotName, other: datetime) -> None:
    later = SnapshotName(name.label, name.instance, other, name.seal, name.mark)
    assert (str(name) < str(later)) == (name.time < other)


def test_a_name_is_in_utc_whatever_the_clock_of_the_worker() -> None:
    there = datetime(2026, 11, 23, 22, 36, 37, tzinfo=timezone(timedelta(hours=2)))
    name = SnapshotName("nightly", "analytics-prod", there, "oac_seal_2026", MARK)
    assert str(name) == GOOD
    assert parse(GOOD) == name


@pytest.mark.parametrize(
    "name",
    [
        "", "my_snapshot", "nightly--prod", GOOD.upper(), f"{GOOD} ", f"{GOOD}\n", f" {GOOD}", f"{GOOD}.bar",
        f"{GOOD}0", GOOD[:-1], f"{GOOD[:-1]}G",
        *(f"{label}--{GOOD.partition('--')[2]}" for label in ("nightly-", "-nightly", "", "night ly", "a/b", "a--b")),
        GOOD.replace("nightly", "nïghtly"), GOOD.replace("20261123", "٢٠٢٦١١٢٣"), GOOD.replace(TIME, TIME[:-1]),
        *(GOOD.replace(TIME, f"{day}T203637Z") for day in ("20261323", "20260229", "00001123")),
        GOOD.replace("203637Z", "243637Z"), GOOD.replace("203637Z", "203637+0200"),
    ],
)  # fmt: skip
def test_what_is_not_exactly_our_form_is_no_name_of_ours(name: str) -> None:
    assert parse(name) is None


@pytest.mark.parametrize(
    "part", ["", "-", "a-", "-a", "a--b", "a b", "a/b", "..\n", "ä", ".", "..", ".a", "a" * 81, "a:b", "{{ ds }}"]
)
def test_a_part_that_would_make_a_name_ambiguous_is_refused(part: str) -> None:
    with pytest.raises(OACConfigurationError, match=r"^The label is .*part of the snapshot's name.*single hyphens in"):
        checked_part(part, "The label")


@pytest.mark.parametrize(
    ("given_folder", "folder"),
    [("", ""), ("/", ""), ("a", "a"), ("/a/b/", "a/b"), ("oac-snapshots", "oac-snapshots"), ("a.b/c_d", "a.b/c_d")],
)
def test_a_folder_is_written_in_one_way(given_folder: str, folder: str) -> None:
    assert checked_folder(given_folder) == folder


@pytest.mark.parametrize(
    "folder",
    ["..", "a/../b", "../a", "./a", "a/.", "a//b", "a b", "a\\b", "a\n", "a?b", "a%2e", "file:///a", "ä", "a\0"],
)
def test_a_folder_that_leaves_its_place_is_refused(folder: str) -> None:
    with pytest.raises(OACConfigurationError, match="The folder is"):
        checked_folder(folder)


@given(names)
def test_the_file_lies_in_the_folder_of_its_instance_under_the_whole_name(name: SnapshotName) -> None:
    for folder, prefix in (("", f"file:///{name.instance}/"), ("a/b", f"file:///a/b/{name.instance}/")):
        assert (instance_prefix(folder, name.instance), name.uri(folder)) == (prefix, f"{prefix}{name}.bar")


TASK = {"dag_id": "backup", "run_id": "manual__2026", "task_id": "snapshot", "map_index": -1, "max_tries": 2}
CHANGES = [{"dag_id": "other"}, {"run_id": "manual__2027"}, {"task_id": "other"}, {"map_index": 0}, {"max_tries": 5}]


def test_the_mark_is_the_same_on_every_try_and_another_for_another_task_and_after_a_clear() -> None:
    # Written down: a new version that computed another mark would take every running backup a second time.
    assert task_mark(**TASK) == "92fe6f694e2a7f2f7b72"
    assert len({task_mark(**{**TASK, **change}) for change in [{}, *CHANGES]}) == 6


@given(st.text(max_size=5), st.text(max_size=5), st.text(max_size=5), st.integers(-1, 9), st.integers(0, 9))
def test_all_tasks_of_a_run_share_the_first_part_of_the_mark(
    dag_id: str, run_id: str, task_id: str, map_index: int, max_tries: int
) -> None:
    assert task_mark(dag_id, run_id, task_id, map_index, max_tries).startswith(run_mark(dag_id, run_id))


def test_runs_differ_in_the_first_part_of_the_mark() -> None:
    assert run_mark("backup", "monday") != run_mark("backup", "tuesday")
    assert run_mark("ab", "c") != run_mark("a", "bc")


# ------------------------------------------------------------------------------------------------ registered names


@given(st.text(min_size=1, max_size=60).filter(lambda text: "/" not in text), moments)
def test_a_registered_name_is_read_as_it_was_written_and_never_as_a_created_one(stem: str, now: int) -> None:
    name = registered_name(f"file:///a/folder/{stem}.bar", now)
    assert parse(str(name)) is None
    assert parse_registered(str(name)) == name
    assert name.time == datetime.fromtimestamp(now, UTC)


@given(names, moments)
def test_a_registered_name_says_what_its_file_is_and_registered_once_more_what_is_safe(
    name: SnapshotName, now: int
) -> None:
    registered = registered_name(name.uri("folder"), now)
    assert registered.origin == origin_of(str(registered)) == origin_of(str(name)) == name
    twice = registered_name(f"file:///{registered}.bar", now)
    for one in (registered, twice):
        assert (parse(str(one)), parse_registered(str(one))) == (None, one)


@given(st.text(max_size=80))
def test_no_text_is_both_names(text: str) -> None:
    assert parse(text) is None or parse_registered(text) is None


@pytest.mark.parametrize(
    ("file", "stem"),
    [
        (GOOD, GOOD),
        ("weekly backup", "weekly-backup"),
        ("a--b", "a-b"),
        ("--", "snapshot"),
        ("Ä", "snapshot"),
        (".hidden", ".hidden"),
        ("x" * 200, "x" * 80),
        (f"{GOOD}0", f"{GOOD.replace('--', '-')}0"),
    ],
)
def test_a_foreign_file_gets_a_name_that_is_fit(file: str, stem: str) -> None:
    assert registered_name(f"file:///folder/{file}.bar", 0.0) == RegisteredName(datetime.fromtimestamp(0, UTC), stem)


@pytest.mark.parametrize(
    "name",
    [
        "registered", f"registered--{GOOD}", "registered--20261323T203637Z--x", f"registered--{TIME}--",
        f"registered--{TIME}--a--b", f"Registered--{TIME}--a",
    ],
)  # fmt: skip
def test_what_only_looks_like_a_registered_name(name: str) -> None:
    assert parse_registered(name) is None
