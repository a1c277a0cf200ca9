"""Taking a snapshot once: what is decided when OAC's answer is lost, with a clock that moves only by sleeping."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_oac.client.flows.create_snapshot import NewSnapshot, SnapshotOrder, Taken, find_named
from airflow_provider_oac.client.flows.submit import Attempts, submit_once
from airflow_provider_oac.client.rest.snapshots import Storage
from airflow_provider_oac.client.snapshot_names import SnapshotName, parse
from airflow_provider_oac.exceptions import (
    OACApiError,
    OACConfigurationError,
    OACError,
    OACKilledError,
    OACResponseError,
    OACTransportError,
    OACUncertainError,
)
from airflow_provider_oac.transport.io import Request
from tests.manual import Answer, ManualIO, response, unreachable
from tests.unit.client.snapshot_lists import item, snapshot
from tests.unit.client.worlds import START, answering, asked, run

MARK, PASSWORD = "feedbeef" + "a" * 12, "Correct-Horse-7-Battery"
ORDER = SnapshotOrder("nightly", "prod", "oac_seal", MARK, "oac-snapshots", Storage("backups"))
ACCEPTED = response(202, '{"workRequestId": "w:1"}')
SETTLING = 30.0


class Oac:
    """An OAC that lists what it accepted `listed_after` seconds later.

    :param posts: what becomes of the orders, one after the other: whether it acts, and what it answers.
    :param listing: what the list answers instead of the list, by the seconds since the start.
    """

    def __init__(
        self,
        *posts: tuple[bool, Answer],
        listed_after: float = 0.0,
        listing: Callable[[float], Answer | None] = lambda _age: None,
    ) -> None:
        self.posts = list(posts)
        self.listed_after = listed_after
        self.listing = listing
        self.taken: list[tuple[float, str]] = []

    def __call__(self, age: float, request: Request) -> Answer:
        if request.method == "POST":
            acts, answer = self.posts.pop(0)
            if acts:
                self.taken.append((age, json.loads(request.body or b"")["name"]))
            return answer
        instead = self.listing(age)
        if instead is not None:
            return instead
        names = [name for since, name in self.taken if age >= since + self.listed_after]
        return response(200, json.dumps({"items": [item(snapshot(parse(name) or name)) for name in names]}))


def taken(io: ManualIO, lines: list[str] | None = None, **details: Any) -> Taken:
    arguments: dict[str, Any] = {"confirmation_timeout": SETTLING, **details}
    task = arguments.pop("task", Attempts())
    report = (lines if lines is not None else []).append
    return run(io, submit_once(NewSnapshot(ORDER, PASSWORD, **arguments), task), report)


def posted(io: ManualIO) -> list[str]:
    return [json.loads(request.body or b"")["name"] for request in asked(io, "POST")]


def existing(seconds: int = 0, mark: str = MARK) -> str:
    """The name of a snapshot that an earlier try took so many seconds ago."""
    name = ORDER.name(START - seconds, None)
    return str(SnapshotName(name.label, name.instance, name.time, name.seal, mark))


def test_a_first_try_sends_once_and_looks_at_nothing() -> None:
    io, before, lines = answering(Oac((True, ACCEPTED))), [], []
    got = taken(io, lines, task=Attempts(lambda name: before.append((name, len(asked(io))))))
    assert got == Taken(existing(), f"file:///oac-snapshots/prod/{existing()}.bar", "backups", "w:1")
    assert [request.method for request in asked(io)] == ["POST"]
    assert before == [(existing(), 0)]
    assert lines == [f"OAC accepted {existing()} as work request w:1."]


def test_what_is_ordered_is_sealed_and_goes_into_the_bucket() -> None:
    io = answering(Oac((True, ACCEPTED)))
    taken(io)
    body = json.loads(asked(io)[0].body or b"")
    assert body["bar"] == {"uri": f"file:///oac-snapshots/prod/{existing()}.bar", "password": PASSWORD}
    assert body["storage"]["bucket"] == "backups"


LOST: dict[str, Answer] = {
    "a lost reply": unreachable(sent=True),
    "a 500": response(500, '{"code": "x"}'),
    "a 502": response(502, "<html>"),
    "a 503": response(503, ""),
    "a 504": response(504, ""),
    "a 408": response(408, ""),
    "a 520": response(520, ""),
    "a 202 in HTML": response(202, "<html>"),
    "a 202 without an id": response(202, "{}"),
    "a 200 with a page": response(200, "<html>"),
    "a body beyond the limit": OACResponseError("larger than any answer may be"),
}


@pytest.mark.parametrize("listed_after", [0.0, 3.0, 29.0])
@pytest.mark.parametrize("answer", LOST.values(), ids=LOST)
def test_an_order_whose_answer_says_nothing_is_found_by_its_mark(answer: Answer, listed_after: float) -> None:
    io, lines = answering(Oac((True, answer), listed_after=listed_after)), []
    got = taken(io, lines)
    assert (got.name, got.work_request_id, got.snapshot_id) == (existing(), None, f"id of {existing()}")
    assert len(posted(io)) == 1
    assert "may or may not have accepted" in lines[0]
    assert "has this task's mark" in lines[1]
    assert "UNVERIFIED" in lines[1]


@pytest.mark.parametrize("answer", LOST.values(), ids=LOST)
def test_an_order_that_is_not_listed_after_settling_is_sent_again_under_another_name(answer: Answer) -> None:
    oac = Oac((False, answer), (True, ACCEPTED))
    io, lines, before = answering(oac), [], []
    got = taken(io, lines, task=Attempts(before.append))
    first, second = posted(io)
    assert got.work_request_id == "w:1"
    assert before == [first, second]
    assert got.name == second != first
    assert io.time - START >= SETTLING
    assert len(oac.taken) == 1
    assert "shows no result after 30 s, so the request counts as not accepted" in lines[1]


def test_oac_that_lists_later_than_the_settling_time_gets_a_second_order_and_it_is_told() -> None:
    # What is promised holds where OAC lists a snapshot as soon as it accepts it. Where it does not, the task's log
    # names the one that may be too many.
    oac = Oac((True, unreachable(sent=True)), (True, ACCEPTED), listed_after=45.0)
    io, lines = answering(oac), []
    got = taken(io, lines)
    first, second = (name for _, name in oac.taken)
    assert got.name == second
    assert "it is a duplicate: " in lines[1]
    assert f"named {first}." in lines[1]


@pytest.mark.parametrize("jump", [-3600.0, 3600.0])
def test_a_clock_that_is_set_while_looking_ends_the_search_neither_early_nor_late(jump: float) -> None:
    oac = Oac((True, unreachable(sent=True)), listed_after=20.0)

    def jumping(_age: float, request: Request) -> Answer:
        if len(asked(io)) == 3:
            io.time += jump
        return oac(sum(io.slept), request)

    io = answering(jumping)
    assert taken(io).name == posted(io)[0]
    assert 20.0 <= sum(io.slept) <= 22.0


def test_a_clock_that_is_set_back_does_not_prolong_the_search() -> None:
    def jumping(_age: float, _request: Request) -> Answer:
        if len(asked(io)) == 2:
            io.time -= 3600.0
        return response(200, '{"items": []}')

    io = answering(jumping)
    assert run(io, find_named("any", SETTLING)) is None
    assert sum(io.slept) == pytest.approx(SETTLING)


def test_an_earlier_order_that_is_listed_late_is_adopted_instead_of_a_third_one() -> None:
    oac = Oac((True, unreachable(sent=True)), (False, unreachable(sent=True)), listed_after=45.0)
    io, lines = answering(oac), []
    got = taken(io, lines)
    assert [got.name] == [name for _, name in oac.taken]
    assert len(posted(io)) == 2


def test_in_the_end_it_is_uncertain() -> None:
    io, lines = answering(Oac(*[(False, response(503, '{"message": "Come back"}'))] * 3)), []
    with pytest.raises(
        OACUncertainError, match=r"feedbeef.*: 3 requests had .*run the task again; it searches.*503: Come back"
    ) as caught:
        taken(io, lines)
    assert isinstance(caught.value.__cause__, OACApiError)
    assert len(set(posted(io))) == 3
    assert len(lines) == 6


def test_with_an_unreadable_list_it_is_uncertain_at_once() -> None:
    io = answering(Oac((True, unreachable(sent=True)), listing=lambda _age: response(503, '{"message": "Not now"}')))
    with pytest.raises(
        OACUncertainError,
        match=r"the list of snapshots could not be read.*First failure: no answer.*Second failure: .*Not now",
    ):
        taken(io)
    assert len(posted(io)) == 1


def test_an_empty_page_instead_of_the_list_is_not_an_empty_list() -> None:
    io = answering(Oac((True, unreachable(sent=True)), listing=lambda _age: response(200, "{}")))
    with pytest.raises(OACUncertainError, match="The member 'items'"):
        taken(io)
    assert len(posted(io)) == 1


def test_a_kill_while_looking_is_a_kill() -> None:
    def kill(_age: float) -> Answer:
        return OACKilledError("told to stop")  # type: ignore[return-value]

    with pytest.raises(OACKilledError):
        taken(answering(Oac((True, unreachable(sent=True)), listing=kill)))


REFUSED: dict[str, tuple[Answer, type[OACError]]] = {
    "a bad request": (response(400, '{"message": "bucket"}'), OACApiError),
    "a missing role": (response(401, '{"user": "u", "status": "unauthorized"}'), OACApiError),
    "forbidden": (response(403, ""), OACApiError),
    "not found": (response(404, ""), OACApiError),
    "a conflict": (response(409, ""), OACApiError),
    "a redirect": (response(302, "", {"location": "https://login.example.com"}), OACApiError),
    "a token without a user": (response(500, '{"servlet": "x.PublicAPIJerseyServlet"}'), OACApiError),
    "a refused certificate": (unreachable(passing=False), OACTransportError),
}


@pytest.mark.parametrize(("answer", "error"), REFUSED.values(), ids=REFUSED)
def test_a_refusal_is_final(answer: Answer, error: type[OACError]) -> None:
    # A 401 is replayed once with a new token.
    io, lines = answering(Oac((False, answer), (False, answer))), []
    with pytest.raises(error):
        taken(io, lines)
    assert lines == []
    assert {request.method for request in asked(io)} == {"POST"}
    assert len(set(posted(io))) == 1


@pytest.mark.parametrize("answer", [response(429, "", {"retry-after": "3"}), unreachable(sent=False)])
def test_what_oac_certainly_did_not_act_on_is_sent_again_under_the_same_name(answer: Answer) -> None:
    io, lines = answering(Oac((False, answer), (True, ACCEPTED))), []
    got = taken(io, lines)
    assert posted(io) == [got.name] * 2
    assert len(lines) == 1


def test_an_instance_that_is_too_busy_for_any_request_has_accepted_none() -> None:
    io, lines = answering(Oac(*[(False, response(429, ""))] * 5)), []
    with pytest.raises(OACApiError, match="HTTP 429"):
        taken(io, lines)
    assert len(set(posted(io))) == 1
    assert lines == []


def test_a_weak_password_is_refused_before_anything_is_remembered_or_sent() -> None:
    io, before = answering(Oac()), []
    flow = submit_once(NewSnapshot(ORDER, "weak"), Attempts(before.append))
    with pytest.raises(OACConfigurationError, match="does not follow OAC's rules"):
        run(io, flow)
    assert (before, asked(io)) == ([], [])


def before_now(*names: str, listed_after: float = 0.0, posts: int = 0) -> Oac:
    oac = Oac(*[(True, ACCEPTED)] * posts, listed_after=listed_after)
    oac.taken = [(0.0, name) for name in names]
    return oac


@pytest.mark.parametrize("how", [{"search_first": True}, {"suspect": True}, {"search_first": True, "suspect": True}])
def test_what_an_earlier_try_took_is_adopted(how: dict[str, bool]) -> None:
    io = answering(before_now(existing(500, "b" * 20), existing(500), existing(400), "by hand"))
    got = taken(io, **how)
    assert (got.name, got.work_request_id) == (existing(400), None)
    assert got.bar_uri == f"file:///oac-snapshots/prod/{existing(400)}.bar"
    assert posted(io) == []


def test_a_suspect_looks_again_for_the_settling_time() -> None:
    io = answering(before_now(existing(500), listed_after=20.0))
    assert taken(io, suspect=True).name == existing(500)
    assert 20.0 <= io.time - START < 23.0


def test_a_suspect_that_finds_nothing_sends_after_the_settling_time() -> None:
    io = answering(before_now(posts=1))
    assert taken(io, suspect=True).work_request_id == "w:1"
    assert io.time - START == pytest.approx(SETTLING)


def test_one_that_is_not_suspect_looks_once() -> None:
    io = answering(before_now(existing(500), listed_after=20.0, posts=1))
    assert taken(io, search_first=True).work_request_id == "w:1"
    assert [request.method for request in asked(io)] == ["GET", "POST"]


def test_snapshots_that_failed_are_not_adopted() -> None:
    io = answering(before_now(existing(500), existing(400), posts=1))
    assert taken(io, search_first=True, ignore=[existing(400)]).name == existing(500)
    assert taken(io, search_first=True, ignore=[existing(400), existing(500)]).work_request_id == "w:1"


def test_failed_names_are_ignored_after_a_lost_answer_too() -> None:
    oac = before_now(existing(500))
    oac.posts = [(False, unreachable(sent=True)), (True, ACCEPTED)]
    io = answering(oac)
    assert taken(io, ignore=[existing(500)]).work_request_id == "w:1"


@pytest.mark.parametrize("ahead", [0, 1, 3600])
def test_no_name_is_used_twice_whatever_the_clock_shows(ahead: int) -> None:
    used = existing(-ahead)
    io = answering(Oac((True, ACCEPTED)))
    got = taken(io, clue=used)
    assert got.name == existing(-ahead - 1) > used


def test_a_used_name_that_is_none_of_ours_does_no_harm() -> None:
    assert taken(answering(Oac((True, ACCEPTED))), clue="by hand").name == existing()


@pytest.mark.parametrize(("listed_after", "found"), [(0.0, True), (29.0, True), (31.0, False)])
def test_a_snapshot_is_looked_for_by_its_exact_name(listed_after: float, found: bool) -> None:
    io = answering(before_now(existing(1), existing(2), listed_after=listed_after))
    got = run(io, find_named(existing(2), SETTLING))
    assert (got.name if got else None) == (existing(2) if found else None)
