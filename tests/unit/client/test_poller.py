"""When a work request is polled again, and when waiting for it ends: pure decisions."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_oac.client.flows.polling import WaitPlan, WorkRequestTarget
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
from tests.unit.client.waiting_simulation import FIXED, OURS, compared, polled

ID, START = "lfc-cc:1-c9:2", 1_700_000_000.0


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


@given(st.floats(1.0, 86400.0))
def test_an_end_is_noticed_within_5_percent_of_the_age_or_the_longest_pause(seconds: float) -> None:
    late, _ = polled(seconds, WaitPlan(longest_pause=30.0).pause)
    assert late <= max(1.0, min(30.0, 0.05 * seconds)) + 1e-6


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


def test_ten_unknown_statuses_in_a_row_are_tolerated_with_one_line() -> None:
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
