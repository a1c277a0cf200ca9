"""The flow that waits for a work request, with a clock that moves only by sleeping."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_oac.client.flows.polling import WaitPlan, WorkRequestTarget, done_within, poll_until_done, wait
from airflow_provider_oac.client.rest.work_requests import WorkRequest
from airflow_provider_oac.exceptions import OACError, OACWaitTimeoutError, OACWorkRequestError
from airflow_provider_oac.transport.io import Request
from tests.manual import Answer, ManualIO, response, unreachable
from tests.unit.client.worlds import START, answering, asked, run

ID = "lfc-cc:1-c9:2"


def state(status: str, percent: float = 0.0, **members: Any) -> Answer:
    body = {"id": ID, "status": status, "operationType": "CREATE_SNAPSHOT", "percentComplete": percent, **members}
    return response(200, json.dumps(body))


def waited(io: ManualIO, plan: WaitPlan = WaitPlan(), **details: Any) -> tuple[WorkRequest, list[str]]:
    lines: list[str] = []
    return run(io, wait(ID, plan, **details), lines.append), lines


def test_a_long_wait_looks_a_hundred_times_and_tells_each_status_once() -> None:
    def oac(age: float, _request: Request) -> Answer:
        if age < 10:
            return state("ACCEPTED")
        return state("IN_PROGRESS", age / 72.0) if age < 7200 else state("SUCCEEDED", 100.0)

    io = answering(oac)
    work, lines = waited(io)
    assert work.status == "SUCCEEDED"
    assert [line.split(": ")[1].split(",")[0] for line in lines] == ["ACCEPTED", "IN_PROGRESS", "SUCCEEDED"]
    assert "after 0 s" in lines[0]
    assert 100 < len(asked(io)) < 400
    assert io.time - START < 7200 + 30 + 1


def test_the_last_look_is_at_the_deadline_and_not_after_it() -> None:
    io = answering(lambda age, _request: state("IN_PROGRESS", age))
    with pytest.raises(OACWaitTimeoutError, match="after 95 s its state is IN_PROGRESS, 95 %"):
        waited(io, WaitPlan(deadline=START + 95.0, longest_pause=30.0))
    assert io.time == pytest.approx(START + 95.0)


def test_the_age_counts_from_the_submission() -> None:
    io = answering(lambda age, _request: state("IN_PROGRESS") if age < 60 else state("SUCCEEDED"))
    _, lines = waited(io, started_at=START - 1000.0)
    assert io.slept == [30.0, 30.0]
    assert "after 1000 s" in lines[0]


def test_an_instance_that_is_down_for_twenty_minutes_is_waited_for_and_two_lines_tell_it() -> None:
    def oac(age: float, _request: Request) -> Answer:
        if age < 100:
            return state("IN_PROGRESS")
        return response(503, "") if age < 1300 else state("SUCCEEDED")

    _, lines = waited(answering(oac))
    assert [line.split(": ")[0].split(" cannot")[0] for line in lines] == [f"Work request {ID}"] * 3
    assert "cannot be read at the moment" in lines[1]
    assert "503" in lines[1]
    assert "SUCCEEDED" in lines[2]


def test_an_instance_that_stays_down_is_given_up() -> None:
    io = answering(lambda _age, _request: unreachable())
    with pytest.raises(OACError, match=r"could not be read for .* no answer came"):
        waited(io, WaitPlan(trouble_patience=1800.0))
    assert 1800 < io.time - START < 2000


def test_a_retry_after_is_respected() -> None:
    ages: list[float] = []

    def oac(age: float, _request: Request) -> Answer:
        ages.append(age)
        return response(429, "", {"retry-after": "17"}) if len(ages) == 1 else state("SUCCEEDED")

    _, lines = waited(answering(oac))
    assert ages[1] >= 17.0
    assert [("cannot be read" in line) for line in lines] == [True, False]


def test_trouble_and_work_in_turns_are_told_at_each_change() -> None:
    answers = [
        state("IN_PROGRESS"), response(200, "<html>"), response(200, "<html>"), state("IN_PROGRESS"),
        response(200, "<html>"), state("SUCCEEDED"),
    ]  # fmt: skip
    _, lines = waited(answering(lambda _age, _request: answers.pop(0)))
    assert ["cannot be read" in line for line in lines] == [False, True, False, True, False]


def test_a_status_that_nobody_knows_is_told_and_given_up_in_the_end() -> None:
    io = answering(lambda _age, _request: state("SUSPENDED"))
    lines: list[str] = []
    with pytest.raises(OACWorkRequestError, match="'SUSPENDED'"):
        run(io, wait(ID), lines.append)
    assert len(lines) == 1
    assert len(asked(io)) == 11


def test_success_is_said_once_by_the_task_and_not_by_the_trigger_before_it() -> None:
    io = answering(lambda age, _request: state("IN_PROGRESS") if age < 5 else state("SUCCEEDED", 100.0))
    lines: list[str] = []
    run(io, poll_until_done(WorkRequestTarget(ID, report=lines.append)))
    assert [line.split(", ")[0] for line in lines] == [f"Work request {ID}: IN_PROGRESS"]
    lines += waited(io)[1]
    assert [line.split(", ")[0] for line in lines[1:]] == [f"Work request {ID}: SUCCEEDED"]


def test_hundreds_of_tokens_serve_one_wait() -> None:
    def oac(age: float, _request: Request) -> Answer:
        return state("IN_PROGRESS") if age < 7200 else state("SUCCEEDED")

    io = answering(oac)
    waited(io)
    tokens = len(io.requests) - len(asked(io))
    # A token lives 100 s here; a margin of 25 s leaves 75 s of each.
    assert 7200 / 100 <= tokens <= 7200 / 75 + 2


@pytest.mark.parametrize("status", [429, 503])
def test_what_oac_asks_for_does_not_move_the_deadline(status: int) -> None:
    io = answering(lambda _age, _request: response(status, "", {"retry-after": "100"}))
    with pytest.raises(OACWaitTimeoutError, match=f"HTTP {status}"):
        run(io, wait(ID, WaitPlan(deadline=START + 60.0), started_at=START))
    assert io.time - START == pytest.approx(60.0)


@pytest.mark.parametrize(
    ("ends_after", "within", "done", "polls"),
    [(0.0, 3.0, True, 1), (2.5, 3.0, True, 4), (5.0, 3.0, False, 4), (5.0, 0.0, False, 1), (3.0, 3.0, True, 4)],
)
def test_work_is_polled_for_some_seconds_and_at_least_once(
    ends_after: float, within: float, done: bool, polls: int
) -> None:
    io = answering(lambda age, _request: state("SUCCEEDED" if age >= ends_after else "IN_PROGRESS"))
    target = WorkRequestTarget(ID, WaitPlan(), report=lambda _line: None)
    assert run(io, done_within(target, within)) is done
    assert (len(asked(io)), io.slept) == (polls, [1.0] * (polls - 1))


@pytest.mark.parametrize("answer", [state("FAILED"), response(403, "{}")])
def test_a_lasting_error_within_these_seconds_counts_as_done(answer: Answer) -> None:
    target = WorkRequestTarget(ID, WaitPlan(), report=lambda _line: None)
    assert run(answering(lambda _age, _request: answer), done_within(target, 3.0)) is True


def test_a_passing_error_within_these_seconds_is_polled_again() -> None:
    io = answering(lambda age, _request: unreachable() if age < 1 else state("SUCCEEDED"))
    target = WorkRequestTarget(ID, WaitPlan(), report=lambda _line: None)
    assert run(io, done_within(target, 3.0)) is True
    assert len(asked(io)) == 2


def test_a_status_that_the_work_itself_causes_is_waited_through() -> None:
    io = answering(lambda age, _request: response(403, "{}") if age < 90 else state("SUCCEEDED"))
    work, lines = waited(io, WaitPlan(tolerated=[403]))
    assert (work.status, len(lines)) == ("SUCCEEDED", 2)
    with pytest.raises(OACError, match="403"):
        waited(answering(lambda _age, _request: response(403, "{}")), WaitPlan(tolerated=[401]))
