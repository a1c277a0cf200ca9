"""The guards before a restore, what is certain and what is not when it was sent, and the look after it."""

from __future__ import annotations

import json
import re

import pytest

from airflow_provider_oac.client.flows import restore
from airflow_provider_oac.client.flows.polling import WaitPlan, WorkRequestTarget
from airflow_provider_oac.client.flows.restore import (
    TOLERATED,
    ReadinessTarget,
    Restore,
    check_system,
    check_target,
    ready_again,
    ready_now,
)
from airflow_provider_oac.client.flows.submit import submit_once
from airflow_provider_oac.client.rest.system import System
from airflow_provider_oac.exceptions import (
    OACApiError,
    OACConfigurationError,
    OACError,
    OACTransportError,
    OACUncertainError,
    OACWaitTimeoutError,
)
from airflow_provider_oac.transport.io import Request
from tests.manual import Answer, ManualIO, in_turn, response, unreachable
from tests.unit.client.worlds import answering, asked, run

ADDRESS = "https://prod.example.com"
SYSTEM = response(body=json.dumps({"serviceInstanceKey": "k", "description": "Production", "owners": []}))
NOBODY = response(401, json.dumps({"user": "u", "status": "unauthorized"}))
NO_INDEX = response(503, json.dumps({"code": "SearchIndexNotReady", "message": "m"}), {"retry-after": "5"})


@pytest.mark.parametrize(
    ("expected", "address"),
    [
        ("prod.example.com", ADDRESS),
        ("PROD.example.com.", ADDRESS),
        (" prod.example.com ", ADDRESS),
        ("https://prod.example.com/ui/", ADDRESS),
        ("prod.example.com:443", ADDRESS),
        ("prod.example.com:8443", "https://prod.example.com:8443"),
        ("127.0.0.1:4711", "http://127.0.0.1:4711"),
        ("http://127.0.0.1", "http://127.0.0.1"),
    ],
)
def test_the_target_is_the_one_that_is_meant(expected: str, address: str) -> None:
    check_target(expected, address)


@pytest.mark.parametrize(
    "expected",
    ["dev.example.com", "prod.example.com:8443", "example.com", "prod.example.com.evil.example", "prod"],
)
def test_another_target_is_refused(expected: str) -> None:
    with pytest.raises(OACConfigurationError, match=re.escape(f"expected_host is {expected!r}")):
        check_target(expected, ADDRESS)


@pytest.mark.parametrize("expected", ["", " ", "https://", "http://[", "prod.example.com:port", "None:0:1"])
def test_an_expectation_that_names_no_host_is_refused(expected: str) -> None:
    with pytest.raises(OACConfigurationError, match="must be the host"):
        check_target(expected, ADDRESS)


def test_what_an_instance_says_of_itself_is_compared_where_it_is_known() -> None:
    found = System("key", "Production", (), {})
    for expected in (None, "key", "Production"):
        check_system(expected, found)
    with pytest.raises(OACConfigurationError, match=r"'Production'.*only 'Development'"):
        check_system("Development", found)


@pytest.mark.parametrize(
    "answer",
    [
        unreachable(sent=True), response(500), response(502), response(503), response(504), response(408),
        response(202, ""), response(200, "<html>"),
    ],
)  # fmt: skip
def test_an_answer_that_leaves_it_open_is_uncertain_and_not_sent_again(answer: Answer) -> None:
    answers = in_turn(answer)
    io = answering(lambda _seconds, request: answers(request))
    with pytest.raises(OACUncertainError, match=r"It is not sent again\. Next step: sign in to host"):
        run(io, submit_once(Restore("id", "password", "host")))
    assert len(asked(io)) == 1


@pytest.mark.parametrize("answer", [unreachable(sent=False, passing=False), response(400), response(404), NOBODY])
def test_an_answer_that_says_no_is_certain(answer: Answer) -> None:
    io = answering(lambda _seconds, _request: answer)
    with pytest.raises((OACApiError, OACTransportError)):
        run(io, submit_once(Restore("id", "password", "host")))


def test_what_certainly_did_not_arrive_is_sent_again() -> None:
    accepted = response(202, "", {"oa-work-request-id": "w"})
    answers = in_turn(unreachable(), response(429), accepted)
    io = answering(lambda _seconds, request: answers(request))
    assert run(io, submit_once(Restore("id", "password", "host"))) == "w"


def by_path(system: list[Answer], search: list[Answer]) -> ManualIO:
    """A server that gives these answers in turn, each the last one for ever."""

    def answer(_seconds: float, request: Request) -> Answer:
        left = system if "/system" in request.url else search
        return left.pop(0) if len(left) > 1 else left[0]

    return answering(answer)


LIST = response(body="[]")


def test_a_look_that_met_no_instance_is_a_look_that_failed() -> None:
    io = by_path([response(503)], [LIST])
    with pytest.raises(OACApiError, match="503"):
        run(io, ReadinessTarget(WaitPlan(deadline=io.time + 60)).poll)


@pytest.mark.parametrize(
    ("system", "search"), [(response(503), LIST), (NOBODY, LIST), (unreachable(), LIST), (SYSTEM, NO_INDEX)]
)
def test_one_look_at_an_instance_that_is_not_ready_is_no_failure(system: Answer, search: Answer) -> None:
    assert run(by_path([system], [search]), ready_now()) is None


def test_an_instance_is_ready_when_it_answers_and_can_search() -> None:
    io = by_path([unreachable(), response(503), response(502), NOBODY, NOBODY, response(404), SYSTEM], [NO_INDEX, LIST])
    lines: list[str] = []
    ready = run(io, ready_again(WaitPlan(deadline=io.time + 1800)), lines.append)
    assert (ready.system.description, ready.searchable) == ("Production", True)
    assert len(lines) == 6
    assert all(line.startswith("The instance is not ready yet") for line in lines)


def test_the_time_that_the_index_asks_for_is_kept() -> None:
    io = by_path([SYSTEM], [NO_INDEX, LIST])
    run(io, ready_again(WaitPlan(deadline=io.time + 1800)))
    assert io.slept == [5.0]


def test_an_instance_that_does_not_come_back_in_time() -> None:
    io = by_path([response(503)], [LIST])
    began = io.time
    with pytest.raises(OACWaitTimeoutError, match="The restore is done, but the instance is not ready 60 s later"):
        run(io, ready_again(WaitPlan(deadline=io.time + 60)))
    assert io.time - began == 60


def test_a_deadline_that_has_passed_leaves_one_look() -> None:
    io = by_path([SYSTEM], [LIST])
    assert run(io, ready_again(WaitPlan(deadline=io.time - 1))).searchable
    assert len(asked(io)) == 2


def test_a_user_who_stays_refused_is_told_after_some_minutes() -> None:
    io = by_path([NOBODY], [LIST])
    began = io.time
    with pytest.raises(OACApiError, match="lacks the application role"):
        run(io, ready_again(WaitPlan(deadline=io.time + 1800)))
    assert 300 <= io.time - began < 340


def test_a_user_who_may_not_search_leaves_the_index_unseen() -> None:
    io = by_path([SYSTEM], [NOBODY])
    assert run(io, ready_again(WaitPlan(deadline=io.time + 1800), refusal_patience=0.0)).searchable is None


def test_what_will_not_pass_ends_it_at_once() -> None:
    io = by_path([response(400)], [LIST])
    with pytest.raises(OACApiError):
        run(io, ready_again(WaitPlan(deadline=io.time + 1800)))
    assert io.slept == []


@pytest.mark.parametrize("status", TOLERATED)
def test_a_wait_tolerates_what_a_restore_brings_about_and_no_other_wait_does(status: int) -> None:
    error = OACApiError("m", status=status, method="GET", path="/workRequests/w")
    tolerant = WorkRequestTarget("w", WaitPlan(tolerated=frozenset(TOLERATED)))
    assert tolerant.on_error(error, 1000.0) > 0
    assert tolerant.on_error(error, 2700.0) > 0
    with pytest.raises(OACError, match="Work request w could not be read for 1900 s"):
        tolerant.on_error(error, 2900.0)
    with pytest.raises(OACError):
        WorkRequestTarget("w").on_error(error, 1000.0)


def test_roles_are_told_by_the_calls_that_need_them() -> None:
    io = by_path([SYSTEM], [NOBODY])
    assert run(io, restore.roles_held()) == {"administrator": True, "author": False}
    broken = by_path([response(400)], [LIST])
    with pytest.raises(OACApiError):
        run(broken, restore.roles_held())
