"""What the flow that prunes asks of OAC and reports, and which snapshot counts as the newest."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_oac.client.flows.retention import PrunePlan, Retention, newest, prune
from airflow_provider_oac.client.rest.snapshots import Snapshot
from airflow_provider_oac.exceptions import OACError
from airflow_provider_oac.transport.io import Request
from tests.manual import Answer, ManualIO, response
from tests.unit.client.snapshot_lists import NOW, OWN, item, named, snapshot
from tests.unit.client.worlds import START, answering, asked, run

AGE = NOW.timestamp() - START


def pruned(
    *listed: Snapshot, keep: int = 1, max_delete: int = 10, gone: int = 200, **details: Any
) -> tuple[ManualIO, list[str], PrunePlan]:
    """Prune in a world that lists these snapshots and answers deletions with the status `gone`."""

    def oac(_age: float, request: Request) -> Answer:
        if request.method == "GET":
            return response(200, json.dumps({"items": [item(one) for one in listed]}))
        return response(gone)

    io, lines = answering(oac), []  # type: tuple[ManualIO, list[str]]
    io.time += AGE
    plan = run(io, prune(OWN, Retention(keep_last=keep), max_delete=max_delete, **details), lines.append)
    return io, lines, plan


def deleted(io: ManualIO) -> list[tuple[str, Any]]:
    """The ids of the deleted snapshots, each with what was sent about its file."""
    return [
        (request.url.partition("/snapshots/")[2].partition("?")[0], request.url.partition("?")[2] or request.body)
        for request in asked(io, "DELETE")
    ]


def test_the_oldest_go_first_with_their_files_and_each_has_a_line() -> None:
    three = [snapshot(named(age), id=f"s{age}") for age in (1, 3, 2)]
    io, lines, plan = pruned(*three)
    assert [name for name, _ in deleted(io)] == ["s3", "s2"]
    assert lines == [
        f"Keeping {named(1)}: the newest.",
        f"Deleted {named(3)} with its file.",
        f"Deleted {named(2)} with its file.",
    ]
    assert [one.snapshot.id for one in plan.deletions] == ["s3", "s2"]


@pytest.mark.parametrize(
    ("details", "shared", "text"),
    [
        ({}, True, "but not its file, which another snapshot uses"),
        ({"delete_storage": False}, False, "but not its file"),
        ({"delete_storage": False}, True, "but not its file, which another snapshot uses"),
    ],
)
def test_a_file_stays_if_another_snapshot_uses_it_or_files_are_to_stay(
    details: dict[str, Any], shared: bool, text: str
) -> None:
    old = snapshot(named(2), id="old")
    other = snapshot("by hand", bar_uri=old.bar_uri if shared else "file:///x/y.bar")
    with_file, _, _ = pruned(snapshot(named(1)), old)
    io, lines, _ = pruned(snapshot(named(1)), old, other, **details)
    assert lines[-1] == f"Deleted {named(2)} {text}."
    assert deleted(io) != deleted(with_file)


def test_a_dry_run_deletes_nothing_and_tells_what_would_go_and_what_would_fail() -> None:
    io, lines, plan = pruned(*(snapshot(named(age)) for age in (1, 2, 3)), max_delete=1, dry_run=True)
    assert (deleted(io), len(plan.deletions)) == ([], 2)
    assert lines[1] == f"Would delete {named(3)} with its file."
    assert lines[-1].startswith("Without dry_run this fails: Pruning 'nightly' of 'prod' would delete 2 of 3")


def test_more_deletions_than_allowed_delete_none_and_as_many_delete_all() -> None:
    some = [snapshot(named(age), id=f"s{age}") for age in range(1, 9)]
    with pytest.raises(OACError, match=r"would delete 7 of 8 snapshots, more than max_delete=6") as problem:
        pruned(*some, max_delete=6)
    assert [str(named(age)) in str(problem.value) for age in range(8, 1, -1)] == [True] * 5 + [False] * 2
    assert len(deleted(pruned(*some, max_delete=7)[0])) == 7


def test_a_snapshot_that_is_gone_already_is_no_error() -> None:
    io, lines, _ = pruned(snapshot(named(1)), snapshot(named(2)), gone=404)
    assert len(deleted(io)) == 1
    assert lines[-1].startswith("Deleted")


def test_protected_snapshots_stay_by_name_or_id_and_a_misspelled_one_is_reported() -> None:
    by_id, by_name = snapshot(named(2), id="kept"), snapshot(named(3))
    io, lines, _ = pruned(snapshot(named(1)), by_id, by_name, protected=["kept", by_name.name, "misspelled"])
    assert deleted(io) == []
    assert [line for line in lines if "Check the spelling" in line] == [lines[0]]
    assert "'misspelled'" in lines[0]


def test_a_snapshot_named_after_this_very_second_counts() -> None:
    io, lines, _ = pruned(snapshot(named()), snapshot(named(1)))
    assert len(deleted(io)) == 1
    assert lines[0] == f"Keeping {named()}: the newest."


def found(*listed: Snapshot) -> str | None:
    pair = newest(listed, "nightly", "prod", registered=False, now=NOW)
    return pair[0].name if pair else None


def test_the_newest_is_of_the_series_and_not_later_than_now() -> None:
    others = [
        snapshot(named(timedelta(seconds=-1))), snapshot(named(label="other")), snapshot(named(instance="dev")),
        snapshot("by hand"),
    ]  # fmt: skip
    assert found(*others) is None
    assert found(*others, snapshot(named(2)), snapshot(named()), snapshot(named(1))) == str(named())
