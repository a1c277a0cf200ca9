"""What the flow that prunes asks of OAC and reports, and which snapshot counts as the newest."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_oac.client.flows.retention import PrunePlan, Retention, newest, prune
from airflow_provider_oac.client.rest.snapshots import Snapshot
from airflow_provider_oac.client.snapshot_names import RegisteredName
from airflow_provider_oac.exceptions import OACError
from tests.manual import ManualIO, response
from tests.unit.client.snapshot_lists import NOW, OWN, listing, named, snapshot
from tests.unit.client.worlds import START, answering, asked, run

AGE = NOW.timestamp() - START
THREE = [snapshot(named(age), id=f"s{age}") for age in (1, 3, 2)]


def pruned(
    *listed: Snapshot, keep: int = 1, max_delete: int = 10, status: int = 200, **details: Any
) -> tuple[ManualIO, list[str], PrunePlan]:
    io = answering(lambda _age, request: listing(*listed) if request.method == "GET" else response(status))
    lines: list[str] = []
    io.time += AGE
    plan = run(io, prune(OWN, Retention(keep_last=keep), max_delete=max_delete, **details), lines.append)
    return io, lines, plan


def deleted(io: ManualIO) -> list[str]:
    """The ids of the deleted snapshots, each with what was sent about its file."""
    return [request.url.partition("/snapshots/")[2] for request in asked(io, "DELETE")]


# A snapshot that is gone already is no error.
@pytest.mark.parametrize("status", [200, 404])
def test_the_oldest_go_first_with_their_files_and_each_has_a_line(status: int) -> None:
    io, lines, plan = pruned(*THREE, status=status)
    assert deleted(io) == ["s3?deleteStorage=true", "s2?deleteStorage=true"]
    assert lines == [
        f"Keeping {named(1)}: the newest.",
        f"Deleted {named(3)} with its file.",
        f"Deleted {named(2)} with its file.",
    ]
    assert [one.snapshot.id for one in plan.deletions] == ["s3", "s2"]


@pytest.mark.parametrize(
    ("delete_storage", "shared", "text"),
    [
        (True, True, "but not its file, which another snapshot uses"),
        (False, False, "but not its file"),
        (False, True, "but not its file, which another snapshot uses"),
    ],
)
def test_a_file_stays_if_another_snapshot_uses_it_or_files_are_to_stay(
    delete_storage: bool, shared: bool, text: str
) -> None:
    others = [snapshot("by hand", bar_uri=THREE[1].bar_uri)] if shared else []
    io, lines, _ = pruned(*THREE[:2], *others, delete_storage=delete_storage)
    assert (deleted(io), lines[-1]) == (["s3?deleteStorage=false"], f"Deleted {named(3)} {text}.")


@pytest.mark.parametrize("max_delete", [1, 2])
def test_a_dry_run_deletes_nothing_and_reports_what_would_go_and_what_would_fail(max_delete: int) -> None:
    io, lines, plan = pruned(*THREE, max_delete=max_delete, dry_run=True)
    assert (deleted(io), len(plan.deletions)) == ([], 2)
    assert lines[1:3] == [f"Would delete {named(age)} with its file." for age in (3, 2)]
    fails = ["Without dry_run this fails: Pruning 'nightly' of 'prod' would delete 2 of 3"]
    assert [line[:75] for line in lines[3:]] == ([line[:75] for line in fails] if max_delete == 1 else [])


def test_more_deletions_than_allowed_delete_none_and_as_many_delete_all() -> None:
    some = [snapshot(named(age), id=f"s{age}") for age in range(1, 9)]
    with pytest.raises(OACError, match=r"would delete 7 of 8 snapshots, more than max_delete=6") as problem:
        pruned(*some, max_delete=6)
    assert [str(named(age)) in str(problem.value) for age in range(8, 1, -1)] == [True] * 5 + [False] * 2
    assert len(deleted(pruned(*some, max_delete=7)[0])) == 7


def test_protected_snapshots_stay_and_a_misspelled_one_is_reported() -> None:
    io, lines, _ = pruned(*THREE, protected=["s3", THREE[2].name, "misspelled"])
    assert deleted(io) == []
    assert ["'misspelled'" in line and "Check the spelling" in line for line in lines] == [True, False, False, False]


def test_the_newest_is_of_the_series_and_not_later_than_now() -> None:
    later, second = named(timedelta(seconds=-1)), named(timedelta(seconds=1))
    others = [later, named(label="other"), named(instance="dev"), "by hand"]
    listed = [snapshot(name) for name in (*others, second, named(), named(1))]

    def found(count: int) -> tuple[Snapshot, Any] | None:
        return newest(listed[:count], "nightly", "prod", registered=False, now=NOW)

    assert [found(count) for count in (4, 5, 7)] == [None, (listed[4], second), (listed[5], named())]


def test_the_newest_registered_is_the_one_whose_file_was_made_last() -> None:
    stems = [(1, named(2)), (0, named(3)), (0, named(2)), (0, named(-1)), (0, named(instance="dev")), (0, "foreign")]
    registered = [RegisteredName(named(age).time, str(stem)) for age, stem in stems]
    listed = [snapshot(named(1)), *(snapshot(str(name), bar_uri="file:///x.bar") for name in registered)]
    assert newest(listed, "nightly", "prod", registered=True, now=NOW) == (listed[3], named(2))
    assert newest(listed, "nightly", "prod", registered=False, now=NOW) == (listed[0], named(1))
    assert newest(listed, "weekly", "prod", registered=True, now=NOW) is None
