"""Creating a snapshot once: names, marks and what the list shows. `test_submit.py` tests what all work shares."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_oac.client.flows.create_snapshot import NewSnapshot, SnapshotOrder, Taken, find_named
from airflow_provider_oac.client.flows.submit import Attempts, submit_once
from airflow_provider_oac.client.rest.snapshots import Storage
from airflow_provider_oac.transport.io import Request
from tests.manual import Answer, ManualIO, response, unreachable
from tests.unit.client.snapshot_lists import listing
from tests.unit.client.worlds import START, answering, asked, run

MARK, PASSWORD = "feedbeef" + "a" * 12, "Correct-Horse-7-Battery"
ORDER = SnapshotOrder("nightly", "prod", "oac_seal", MARK, "oac-snapshots", Storage("backups"))
ACCEPTED, LOST = response(202, '{"workRequestId": "w:1"}'), unreachable(sent=True)


class Oac:
    """An OAC that lists what it accepted `listed_after` seconds later.

    :param posts: the fate of the requests, one after the other: whether it acts, and what it answers.
    :param listed: names that it lists from the beginning.
    """

    def __init__(self, *posts: tuple[bool, Answer], listed_after: float = 0.0, listed: tuple[str, ...] = ()) -> None:
        self.posts, self.listed_after = list(posts), listed_after
        self.taken = [(0.0, name) for name in listed]

    def __call__(self, age: float, request: Request) -> Answer:
        if request.method == "GET":
            return listing(*(name for since, name in self.taken if age >= since + self.listed_after))
        acts, answer = self.posts.pop(0)
        if acts:
            self.taken.append((age, json.loads(request.body or b"")["name"]))
        return answer


def taken(io: ManualIO, lines: list[str] | None = None, task: Attempts | None = None, **details: Any) -> Taken:
    report = (lines if lines is not None else []).append
    return run(io, submit_once(NewSnapshot(ORDER, PASSWORD, **details), task or Attempts()), report)


def posted(io: ManualIO) -> list[str]:
    return [json.loads(request.body or b"")["name"] for request in asked(io, "POST")]


def existing(seconds: int = 0, mark: str = MARK) -> str:
    """The name of a snapshot that an earlier try created so many seconds ago."""
    return str(ORDER.name(START - seconds, None)).replace(MARK, mark)


def test_a_first_try_sends_once_and_does_not_search() -> None:
    io, before, lines = answering(Oac((True, ACCEPTED))), [], []  # type: tuple[ManualIO, list[Any], list[str]]
    got = taken(io, lines, Attempts(lambda name: before.append((name, len(asked(io))))))
    assert got == Taken(existing(), f"file:///oac-snapshots/prod/{existing()}.bar", "backups", "w:1")
    (request,) = asked(io)
    body = json.loads(request.body or b"")
    assert (body["bar"], body["storage"]["bucket"]) == ({"uri": got.bar_uri, "password": PASSWORD}, "backups")
    assert before == [(existing(), 0)]
    assert lines == [f"OAC accepted {existing()} as work request w:1."]


@pytest.mark.parametrize("listed_after", [0.0, 3.0, 29.0])
@pytest.mark.parametrize("answer", [LOST, response(202, "{}")], ids=["a lost response", "a 202 without an id"])
def test_a_request_whose_answer_says_nothing_is_found_by_its_mark(answer: Answer, listed_after: float) -> None:
    io, lines = answering(Oac((True, answer), listed_after=listed_after)), []  # type: tuple[ManualIO, list[str]]
    got = taken(io, lines)
    assert (got.name, got.work_request_id, got.snapshot_id) == (existing(), None, f"id of {existing()}")
    assert posted(io) == [existing()]
    assert "has this task's mark" in lines[1]
    assert "UNVERIFIED" in lines[1]


def test_a_request_that_is_not_listed_in_time_is_sent_again_under_another_name() -> None:
    # Should OAC list the first one later, the task's log names the duplicate.
    io, before, lines = answering(Oac((True, LOST), (True, ACCEPTED), listed_after=45.0)), [], []  # type: ignore[var-annotated]
    got = taken(io, lines, Attempts(before.append))
    first, second = posted(io)
    assert (got.name, before) == (second, [first, second])
    assert first != second
    assert io.time - START >= 30.0
    assert f"it is a duplicate: create a snapshot with the mark {MARK}, named {first}." in lines[1]


@pytest.mark.parametrize("how", [{"search_first": True}, {"suspect": True}, {"search_first": True, "suspect": True}])
def test_what_an_earlier_try_created_is_adopted(how: dict[str, bool]) -> None:
    io = answering(Oac(listed=(existing(500, "b" * 20), existing(500), existing(400), "by hand")))
    got = taken(io, **how)
    uri = f"file:///oac-snapshots/prod/{existing(400)}.bar"
    assert got == Taken(existing(400), uri, "backups", None, f"id of {existing(400)}")
    assert posted(io) == []


def test_a_try_that_is_not_suspect_searches_once() -> None:
    io = answering(Oac((True, ACCEPTED), listed=(existing(500),), listed_after=20.0))
    assert taken(io, search_first=True).work_request_id == "w:1"
    assert [request.method for request in asked(io)] == ["GET", "POST"]


@pytest.mark.parametrize("answers", [[ACCEPTED], [LOST, ACCEPTED]], ids=["before it is sent", "after a lost response"])
def test_snapshots_that_failed_are_not_adopted(answers: list[Answer]) -> None:
    io = answering(Oac(*((False, answer) for answer in answers), listed=(existing(500), existing(400))))
    assert taken(io, search_first=True, ignore=[existing(400)]).name == existing(500)
    assert taken(io, search_first=True, ignore=[existing(400), existing(500)]).work_request_id == "w:1"


@pytest.mark.parametrize(
    ("clue", "name"),
    [*((existing(-ahead), existing(-ahead - 1)) for ahead in (0, 1, 3600)), ("by hand", existing())],
    ids=["the clock is right", "a second behind", "an hour behind", "a name that is not ours"],
)
def test_no_name_is_used_twice_whatever_the_clock_shows(clue: str, name: str) -> None:
    assert taken(answering(Oac((True, ACCEPTED))), clue=clue).name == name


@pytest.mark.parametrize(("listed_after", "found"), [(0.0, True), (29.0, True), (31.0, False)])
def test_a_snapshot_is_searched_for_by_its_exact_name(listed_after: float, found: bool) -> None:
    io = answering(Oac(listed=(existing(1), existing(2)), listed_after=listed_after))
    got = run(io, find_named(existing(2), 30.0))
    assert (got.name if got else None) == (existing(2) if found else None)
