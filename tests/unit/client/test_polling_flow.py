"""The flow that waits for a work request, with a clock that moves only by sleeping."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_oac.client.flows.polling import WaitPlan, WorkRequestTarget, done_within, poll_until_done, wait
from airflow_provider_oac.client.rest.work_requests import WorkRequest
from airflow_provider_oac.exceptions import OACError, OACWaitTimeoutError
from airflow_provider_oac.transport.io import Request
from tests.manual import Answer, ManualIO, response, unreachable
from tests.unit.client.worlds import START, answering, asked, run

ID = "lfc-cc:1-c9:2"


def state(status: str, percent: float = 0.0) -> Answer:
    body = {"id": ID, "status": status, "operationType": "CREATE_SNAPSHOT", "percentComplete": percent}
    return response(200, json.dumps(body))


def waited(io: ManualIO, plan: WaitPlan = WaitPlan(), **details: Any) -> tuple[WorkRequest, list[str]]:
    lines: list[str] = []
    return run(io, wait(ID, plan, **details), lines.append), lines


def statuses(lines: list[str]) -> list[str]:
    return ["trouble" if "cannot be read" in line else line.split(": ")[1].split(",")[0] for line in lines]


def test_a_long_wait_polls_a_hundred_times_and_reports_each_status_once() -> None:
    def oac(age: float, _request: Request) -> Answer:
        if age < 10:
            return state("ACCEPTED")
        return state("IN_PROGRESS", age / 72.0) if age < 7200 else state("SUCCEEDED", 100.0)

    io = answering(oac)
    work, lines = waited(io)
    assert work.status == "SUCCEEDED"
    assert statuses(lines) == ["ACCEPTED", "IN_PROGRESS", "SUCCEEDED"]
    assert "after 0 s" in lines[0]
    assert 100 < len(asked(io)) < 400
    assert io.slept[0] == 1.0
    assert io.slept == sorted(io.slept)
    assert io.time - START < 7200 + 30 + 1


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (state("IN_PROGRESS", 7), "after 95 s its state is IN_PROGRESS, 7 %"),
        (response(429, "", {"retry-after": "100"}), "HTTP 429"),
        (response(503, "", {"retry-after": "100"}), "HTTP 503"),
    ],
)
def test_the_last_poll_is_at_the_deadline_whatever_oac_asks_for(answer: Answer, says: str) -> None:
    io = answering(answer)
    with pytest.raises(OACWaitTimeoutError, match=says):
        waited(io, WaitPlan(deadline=START + 95.0), started_at=START)
    assert io.time == pytest.approx(START + 95.0)


def test_the_age_counts_from_the_submission() -> None:
    io = answering(lambda age, _request: state("IN_PROGRESS") if age < 60 else state("SUCCEEDED"))
    _, lines = waited(io, started_at=START - 1000.0)
    assert io.slept == [30.0, 30.0]
    assert "after 1000 s" in lines[0]


def test_trouble_and_work_in_turns_are_reported_at_each_change_and_a_retry_after_is_respected() -> None:
    page, busy = response(200, "<html>"), response(503, "", {"retry-after": "17"})
    answers = [state("IN_PROGRESS"), page, page, state("IN_PROGRESS"), busy, page, state("SUCCEEDED")]
    io = answering(lambda _age, _request: answers.pop(0))
    _, lines = waited(io)
    assert statuses(lines) == ["IN_PROGRESS", "trouble", "IN_PROGRESS", "trouble", "trouble", "SUCCEEDED"]
    assert "HTTP 503" in lines[3]
    assert io.slept == [1.0, 1.0, 1.0, 1.0, 17.0, 1.05]


def test_success_is_reported_once_by_the_task_and_not_by_the_trigger_before_it() -> None:
    io = answering(lambda age, _request: state("IN_PROGRESS") if age < 5 else state("SUCCEEDED", 100.0))
    lines: list[str] = []
    run(io, poll_until_done(WorkRequestTarget(ID, report=lines.append)))
    assert statuses(lines) == ["IN_PROGRESS"]
    assert statuses(waited(io)[1]) == ["SUCCEEDED"]


@pytest.mark.parametrize(
    ("before", "ends_after", "within", "done", "polls"),
    [
        (state("IN_PROGRESS"), 0.0, 3.0, True, 1),
        (state("IN_PROGRESS"), 2.5, 3.0, True, 4),
        (state("IN_PROGRESS"), 5.0, 3.0, False, 4),
        (state("IN_PROGRESS"), 5.0, 0.0, False, 1),
        (state("IN_PROGRESS"), 3.0, 3.0, True, 4),
        (unreachable(), 1.0, 3.0, True, 2),
        # A lasting error counts as done: the caller polls again and judges.
        (state("FAILED"), 5.0, 3.0, True, 1),
        (response(403), 5.0, 3.0, True, 1),
    ],
)
def test_work_is_polled_for_some_seconds_and_at_least_once(
    before: Answer, ends_after: float, within: float, done: bool, polls: int
) -> None:
    io = answering(lambda age, _request: state("SUCCEEDED") if age >= ends_after else before)
    assert run(io, done_within(WorkRequestTarget(ID), within)) is done
    assert (len(asked(io)), io.slept) == (polls, [1.0] * (polls - 1))


def test_a_status_that_the_work_itself_causes_is_waited_through() -> None:
    io = answering(lambda age, _request: response(403) if age < 90 else state("SUCCEEDED"))
    assert statuses(waited(io, WaitPlan(tolerated=[403]))[1]) == ["trouble", "SUCCEEDED"]
    with pytest.raises(OACError, match="403"):
        waited(answering(response(403)), WaitPlan(tolerated=[401]))
