"""When a work request is polled again, and when waiting for it ends: the decisions, and the flow that polls."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_oac.client.flows.polling import WaitPlan, WorkRequestTarget, done_within, poll_until_done, wait
from airflow_provider_oac.client.rest.work_requests import WorkRequest
from airflow_provider_oac.exceptions import (
    OACApiError,
    OACAuthError,
    OACConfigurationError,
    OACError,
    OACKilledError,
    OACResponseError,
    OACTransportError,
    OACWaitTimeoutError,
    OACWorkRequestError,
)
from airflow_provider_oac.transport.io import Request
from tests.manual import Answer, ManualIO, response, unreachable
from tests.unit.client.worlds import START, answering, asked, run
from tools.bench.pauses import FIXED, OURS, compared

ID = "lfc-cc:1-c9:2"


def work(status: str, percent: float | None = 40.0, **members: Any) -> WorkRequest:
    body = {"id": ID, "status": status, "operationType": "CREATE_SNAPSHOT", "percentComplete": percent, **members}
    return WorkRequest.parse(body, "A work request")


def target(**plan: Any) -> WorkRequestTarget:
    made = WorkRequestTarget(ID, WaitPlan(**plan), started_at=START)
    made.begin(START)
    return made


def api_error(status: int, *, retryable: bool = False, missing_role: bool = False) -> OACApiError:
    return OACApiError(
        f"OAC said {status}", status=status, method="GET", path="/x", retryable=retryable, missing_role=missing_role
    )


BUSY = api_error(503, retryable=True)


@given(st.floats(0.0, 86400.0))
def test_a_pause_is_5_percent_of_the_age_within_1_to_30_s(age: float) -> None:
    assert WaitPlan().pause(age) == pytest.approx(max(1.0, min(30.0, 0.05 * age)))


def test_half_of_all_ends_are_noticed_sooner_than_every_5_s_with_half_the_polls() -> None:
    outcomes = compared()
    ours, often = outcomes[OURS], outcomes[FIXED[5]]
    assert ours.median < often.median
    assert ours.polls < often.polls / 2


@given(st.floats(-1e9, 1e9), st.floats(-1.0, 3600.0), st.floats(0.001, 7200.0))
def test_a_pause_is_never_beyond_the_longest_nor_the_deadline_nor_nothing(
    age: float, longest: float, until_deadline: float
) -> None:
    now = START + age
    pause = target(longest_pause=longest, deadline=now + until_deadline).on_result(work("ACCEPTED"), now)
    assert pause is not None
    assert 0 < pause <= max(longest, 0.05)
    assert now + pause <= now + until_deadline


@pytest.mark.parametrize(
    ("status", "plan", "age", "pause"),
    [
        ("ACCEPTED", {"longest_pause": 0.0}, 0.0, 0.05),
        ("ACCEPTED", {"longest_pause": -1.0}, 0.0, 0.05),
        ("ACCEPTED", {"longest_pause": 0.2}, 0.0, 0.2),
        # The clock is behind that of the submitter.
        ("ACCEPTED", {}, -500.0, 1.0),
        ("IN_PROGRESS", {"deadline": None}, 10_000_000.0, 30.0),
        ("CANCELING", {}, 0.0, 1.0),
        ("in_progress", {}, 0.0, 1.0),
        # Success ends the wait even after the deadline.
        ("SUCCEEDED", {"deadline": START}, 5.0, None),
        ("succeeded", {"deadline": START}, 5.0, None),
    ],
)
def test_the_pause_after_a_status(status: str, plan: dict[str, Any], age: float, pause: float | None) -> None:
    assert target(**plan).on_result(work(status, None), START + age) == pause


ERRORS = [{"code": "ObjectExists", "message": "It exists."}, {"message": "And so on."}]


@pytest.mark.parametrize("status", ["FAILED", "CANCELED"])
@pytest.mark.parametrize(("errors", "says"), [(ERRORS, "ObjectExists: It exists.; And so"), ([], "OAC gave no reason")])
def test_a_bad_end_is_an_error_with_oacs_own_words(status: str, errors: list[Any], says: str) -> None:
    with pytest.raises(OACWorkRequestError) as caught:
        target(deadline=START).on_result(work(status, Errors=errors), START + 5.0)
    assert (caught.value.status, caught.value.work_request_id) == (status, ID)
    assert f"{ID} (CREATE_SNAPSHOT) ended {status} at 40 %: {says}" in str(caught.value)


def test_ten_unknown_statuses_in_a_row_are_tolerated_and_reported_once() -> None:
    lines: list[str] = []
    poll = WorkRequestTarget(ID, started_at=START, report=lines.append)
    for status in [*["SUSPENDED"] * 10, "IN_PROGRESS", *["SUSPENDED"] * 10]:
        assert poll.on_result(work(status), START) is not None
    with pytest.raises(OACWorkRequestError, match=r"undocumented status 'SUSPENDED'.*11 polls in a row.*check in"):
        poll.on_result(work("SUSPENDED"), START)
    assert [line.split(", ")[0].split(": ")[1] for line in lines] == ["SUSPENDED", "IN_PROGRESS", "SUSPENDED"]


def test_unknown_work_right_after_the_start_is_not_visible_yet() -> None:
    poll = target(not_found_grace=60.0)
    assert poll.on_error(api_error(404), START) == 1.0
    assert poll.on_error(api_error(404), START + 60.0) == 3.0
    with pytest.raises(OACWorkRequestError, match=rf"does not know work request {ID}, so.*Likely.*Next.*OAC said 404"):
        poll.on_error(api_error(404), START + 60.1)


def test_a_node_of_a_cluster_may_learn_of_work_later_but_work_that_vanished_is_an_error() -> None:
    poll = target(not_found_grace=60.0)
    poll.on_result(work("IN_PROGRESS"), START + 1.0)
    assert poll.on_error(api_error(404), START + 2.0) == 1.0
    with pytest.raises(OACWorkRequestError, match=r"any more \(last state: IN_PROGRESS, .*\), so its") as caught:
        poll.on_error(api_error(404), START + 71.0)
    assert caught.value.status == "NOT_FOUND"


PASSING: list[OACError] = [
    BUSY,
    api_error(429, retryable=True),
    OACTransportError("reset", sent=True),
    OACTransportError("no route", sent=False),
    OACResponseError("a page in HTML"),
    OACAuthError("the domain is busy", retryable=True),
]
LASTING: list[OACError] = [
    api_error(401, missing_role=True),
    api_error(403),
    api_error(500),
    OACTransportError("a certificate", sent=False, passing=False),
    OACAuthError("invalid_client"),
    OACConfigurationError("no"),
    OACKilledError("stop"),
]


@pytest.mark.parametrize("error", PASSING, ids=repr)
def test_passing_trouble_is_survived_for_minutes_and_not_for_ever(error: OACError) -> None:
    poll = target(trouble_patience=1800.0)
    poll.on_result(work("IN_PROGRESS"), START)
    for age in (0.0, 1800.0):
        assert poll.on_error(error, START + age) > 0
    with pytest.raises(OACError, match=r"Work request .* could not be read for 1801 s\. It may continue") as caught:
        poll.on_error(error, START + 1801.0)
    assert str(error) in str(caught.value)
    assert caught.value.__cause__ is error


def test_a_poll_that_succeeds_renews_the_patience() -> None:
    poll = target(trouble_patience=100.0)
    for minutes in range(0, 6, 2):
        poll.on_error(BUSY, START + 60.0 * minutes)
        poll.on_result(work("IN_PROGRESS"), START + 60.0 * minutes + 60.0)
    assert poll.on_error(BUSY, START + 7200.0) > 0


def test_trouble_that_asks_for_no_pause_does_not_prolong_it() -> None:
    assert target(longest_pause=0.2).on_error(BUSY, START) == 0.2


@pytest.mark.parametrize("error", LASTING, ids=repr)
def test_what_will_not_pass_ends_the_wait_at_once(error: OACError) -> None:
    with pytest.raises(type(error)) as caught:
        target().on_error(error, START)
    assert caught.value is error


def test_the_deadline_ends_the_wait_and_says_that_the_work_continues() -> None:
    poll = target(deadline=START + 100.0)
    assert poll.on_result(work("IN_PROGRESS"), START + 99.0) == 1.0
    says = (
        rf"{ID} .*after 100 s its state is IN_PROGRESS, 40 %\. It continues in OAC, which cannot cancel.*raise timeout"
    )
    with pytest.raises(OACWaitTimeoutError, match=says) as caught:
        poll.on_result(work("IN_PROGRESS"), START + 100.0)
    assert "last poll failed" not in str(caught.value)
    assert caught.value.work_request_id == ID


def test_a_deadline_that_comes_during_trouble_names_the_trouble() -> None:
    never_seen = (
        r"unknown, since no poll succeeded.* correct the cause of the last failure.*last poll failed: OAC said 503"
    )
    with pytest.raises(OACWaitTimeoutError, match=never_seen) as caught:
        target(deadline=START + 5.0).on_error(BUSY, START + 5.0)
    assert caught.value.__cause__ is BUSY
    seen = target(deadline=START + 5.0)
    seen.on_result(work("IN_PROGRESS", 10), START)
    with pytest.raises(OACWaitTimeoutError, match=r"IN_PROGRESS, 10 %.* raise timeout.*OAC said 503"):
        seen.on_error(BUSY, START + 5.0)


# ------------------------------------------------------------- the flow, with a clock that moves only by sleeping


def shown(status: str, percent: float = 0.0) -> Answer:
    return response(200, json.dumps(work(status, percent).raw))


def waited(io: ManualIO, plan: WaitPlan = WaitPlan(), **details: Any) -> tuple[WorkRequest, list[str]]:
    lines: list[str] = []
    return run(io, wait(ID, plan, **details), lines.append), lines


def statuses(lines: list[str]) -> list[str]:
    return ["trouble" if "cannot be read" in line else line.split(": ")[1].split(",")[0] for line in lines]


def test_a_long_wait_polls_a_hundred_times_and_reports_each_status_once() -> None:
    def oac(age: float, _request: Request) -> Answer:
        if age < 10:
            return shown("ACCEPTED")
        return shown("IN_PROGRESS", age / 72.0) if age < 7200 else shown("SUCCEEDED", 100.0)

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
        (shown("IN_PROGRESS", 7), "after 95 s its state is IN_PROGRESS, 7 %"),
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
    io = answering(lambda age, _request: shown("IN_PROGRESS") if age < 60 else shown("SUCCEEDED"))
    _, lines = waited(io, started_at=START - 1000.0)
    assert io.slept == [30.0, 30.0]
    assert "after 1000 s" in lines[0]


def test_trouble_and_work_in_turns_are_reported_at_each_change_and_a_retry_after_is_respected() -> None:
    page, busy = response(200, "<html>"), response(503, "", {"retry-after": "17"})
    answers = [shown("IN_PROGRESS"), page, page, shown("IN_PROGRESS"), busy, page, shown("SUCCEEDED")]
    io = answering(lambda _age, _request: answers.pop(0))
    _, lines = waited(io)
    assert statuses(lines) == ["IN_PROGRESS", "trouble", "IN_PROGRESS", "trouble", "trouble", "SUCCEEDED"]
    assert "HTTP 503" in lines[3]
    assert io.slept == [1.0, 1.0, 1.0, 1.0, 17.0, 1.05]


def test_success_is_reported_once_by_the_task_and_not_by_the_trigger_before_it() -> None:
    io = answering(lambda age, _request: shown("IN_PROGRESS") if age < 5 else shown("SUCCEEDED", 100.0))
    lines: list[str] = []
    run(io, poll_until_done(WorkRequestTarget(ID, report=lines.append)))
    assert statuses(lines) == ["IN_PROGRESS"]
    assert statuses(waited(io)[1]) == ["SUCCEEDED"]


@pytest.mark.parametrize(
    ("before", "ends_after", "within", "done", "polls"),
    [
        (shown("IN_PROGRESS"), 0.0, 3.0, True, 1),
        (shown("IN_PROGRESS"), 2.5, 3.0, True, 4),
        (shown("IN_PROGRESS"), 5.0, 3.0, False, 4),
        (shown("IN_PROGRESS"), 5.0, 0.0, False, 1),
        (shown("IN_PROGRESS"), 3.0, 3.0, True, 4),
        (unreachable(), 1.0, 3.0, True, 2),
        # A lasting error counts as done: the caller polls again and judges.
        (shown("FAILED"), 5.0, 3.0, True, 1),
        (response(403), 5.0, 3.0, True, 1),
    ],
)
def test_work_is_polled_for_some_seconds_and_at_least_once(
    before: Answer, ends_after: float, within: float, done: bool, polls: int
) -> None:
    io = answering(lambda age, _request: shown("SUCCEEDED") if age >= ends_after else before)
    assert run(io, done_within(WorkRequestTarget(ID), within)) is done
    assert (len(asked(io)), io.slept) == (polls, [1.0] * (polls - 1))


def test_a_status_that_the_work_itself_causes_is_waited_through() -> None:
    io = answering(lambda age, _request: response(403) if age < 90 else shown("SUCCEEDED"))
    assert statuses(waited(io, WaitPlan(tolerated=[403]))[1]) == ["trouble", "SUCCEEDED"]
    with pytest.raises(OACError, match="403"):
        waited(answering(response(403)), WaitPlan(tolerated=[401]))
