"""Names that carry what OAC does not keep, and marks that tell one logical task from another."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_oac.client.snapshot_names import (
    SnapshotName,
    checked_folder,
    checked_part,
    instance_prefix,
    parse,
    run_mark,
    task_mark,
)
from airflow_provider_oac.exceptions import OACConfigurationError

MARK = "3f9a5c1d77e0b2a4c6d8"
GOOD = f"nightly--analytics-prod--20261123T203637Z--oac_seal_2026--{MARK}"

words = st.text("abcXYZ019._", min_size=1, max_size=8)
parts = st.lists(words, min_size=1, max_size=4).map("-".join).filter(lambda part: not part.startswith("."))
times = st.datetimes(timezones=st.just(UTC)).map(lambda time: time.replace(microsecond=0))
marks = st.text("0123456789abcdef", min_size=20, max_size=20)
names = st.builds(SnapshotName, parts, parts, times, parts, marks)


@given(names)
def test_a_name_is_read_as_it_was_written(name: SnapshotName) -> None:
    assert parse(str(name)) == name


@given(names)
def test_every_part_that_is_accepted_can_be_part_of_a_name(name: SnapshotName) -> None:
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


def test_the_parts_of_a_name() -> None:
    name = parse(GOOD)
    assert name is not None
    assert (name.label, name.instance, name.seal, name.mark) == ("nightly", "analytics-prod", "oac_seal_2026", MARK)
    assert name.time == datetime(2026, 11, 23, 20, 36, 37, tzinfo=UTC)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "my_snapshot",
        "nightly--prod",
        GOOD.upper(),
        GOOD + " ",
        GOOD + "\n",
        " " + GOOD,
        GOOD + ".bar",
        GOOD + "0",
        GOOD[:-1],
        GOOD[:-1] + "G",
        GOOD.replace("nightly--", "nightly---"),
        GOOD.replace("nightly--", "-nightly--"),
        GOOD.replace("nightly--", "--"),
        GOOD.replace("nightly--", "night ly--"),
        GOOD.replace("nightly--", "a/b--"),
        GOOD.replace("nightly--", "nightly--weekly--"),
        GOOD.replace("20261123T203637Z", "20261123T203637"),
        GOOD.replace("20261123T203637Z", "20261123T203637+0200"),
        GOOD.replace("20261123T203637Z", "20261323T203637Z"),
        GOOD.replace("20261123T203637Z", "20260229T203637Z"),
        GOOD.replace("20261123T203637Z", "20261123T243637Z"),
        GOOD.replace("20261123T203637Z", "00001123T203637Z"),
        GOOD.replace("20261123", "٢٠٢٦١١٢٣"),
        GOOD.replace("nightly", "nïghtly"),
    ],
)
def test_what_is_not_exactly_our_form_is_no_name_of_ours(name: str) -> None:
    assert parse(name) is None


@pytest.mark.parametrize(
    "part", ["", "-", "a-", "-a", "a--b", "a b", "a/b", "..\n", "ä", ".", "..", ".a", "a" * 81, "a:b", "{{ ds }}"]
)
def test_a_part_that_would_make_a_name_ambiguous_is_refused(part: str) -> None:
    with pytest.raises(
        OACConfigurationError, match=r"^The label is .*part of the snapshot's name.*single hyphens inside"
    ):
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


@given(names, st.sampled_from(["", "a", "a/b"]))
def test_the_file_lies_in_the_folder_of_its_instance_under_the_whole_name(name: SnapshotName, folder: str) -> None:
    uri = name.uri(folder)
    assert uri.startswith(instance_prefix(folder, name.instance))
    assert uri.split("/")[-2:] == [name.instance, f"{name}.bar"]


def test_instances_have_folders_of_their_own() -> None:
    assert instance_prefix("backups", "dev") == "file:///backups/dev/"
    assert instance_prefix("", "dev") == "file:///dev/"


TASK = {"dag_id": "backup", "run_id": "manual__2026", "task_id": "snapshot", "map_index": -1, "max_tries": 2}


def test_the_mark_is_the_same_on_every_try_and_fits_into_a_name() -> None:
    mark = task_mark(**TASK)
    assert mark == task_mark(**TASK)
    assert re.fullmatch("[0-9a-f]{20}", mark)
    # Written down: a new version that computed another mark would take every running backup a second time.
    assert mark == "92fe6f694e2a7f2f7b72"


@pytest.mark.parametrize(
    "change",
    [{"dag_id": "other"}, {"run_id": "manual__2027"}, {"task_id": "other"}, {"map_index": 0}, {"max_tries": 5}],
)
def test_another_task_and_a_clear_have_another_mark(change: dict[str, object]) -> None:
    assert task_mark(**{**TASK, **change}) != task_mark(**TASK)


@given(st.text(max_size=5), st.text(max_size=5), st.text(max_size=5), st.integers(-1, 9), st.integers(0, 9))
def test_all_tasks_of_a_run_share_the_first_part_of_the_mark(
    dag_id: str, run_id: str, task_id: str, map_index: int, max_tries: int
) -> None:
    assert task_mark(dag_id, run_id, task_id, map_index, max_tries).startswith(run_mark(dag_id, run_id))


def test_runs_differ_in_the_first_part_of_the_mark() -> None:
    assert run_mark("backup", "monday") != run_mark("backup", "tuesday")
    assert run_mark("ab", "c") != run_mark("a", "bc")
