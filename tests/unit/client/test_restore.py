"""The guards before a restore, what is certain and what is not when it was sent, and the look after it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from airflow_provider_oac.client.flows import restore
from airflow_provider_oac.client.flows.polling import WaitPlan, WorkRequestTarget
from airflow_provider_oac.client.flows.restore import TOLERATED, Restore, check_system, check_target
from airflow_provider_oac.client.flows.submit import submit_once
from airflow_provider_oac.client.rest.system import System
from airflow_provider_oac.exceptions import (
    OACApiError,
    OACConfigurationError,
    OACError,
    OACUncertainError,
    OACWaitTimeoutError,
)
from airflow_provider_oac.transport.io import Request
from tests.manual import Answer, ManualIO, response, unreachable
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


OTHERS = ["dev.example.com", "prod.example.com:8443", "example.com", "prod.example.com.evil.example", "prod"]
NO_HOSTS = ["", " ", "https://", "http://[", "prod.example.com:port", "None:0:1"]


@pytest.mark.parametrize(
    ("expected", "says"),
    [
        *((host, f"but expected_host is {host!r}") for host in OTHERS),
        *((text, "must be the host") for text in NO_HOSTS),
    ],
)
def test_another_target_and_a_text_that_names_no_host_are_refused(expected: str, says: str) -> None:
    with pytest.raises(OACConfigurationError, match=re.escape(says)):
        check_target(expected, ADDRESS)


def test_what_an_instance_says_of_itself_is_compared_where_it_is_known() -> None:
    found = System("key", "Production", (), {})
    for expected in (None, "key", "Production"):
        check_system(expected, found)
    with pytest.raises(OACConfigurationError, match=r"'Production'.*only 'Development'"):
        check_system("Development", found)


def test_a_restore_with_a_lost_response_is_uncertain_and_not_sent_again() -> None:
    io = answering(unreachable(sent=True))
    with pytest.raises(OACUncertainError, match=r"It is not sent again\. Next step: sign in to host"):
        run(io, submit_once(Restore("id", "password", "host")))
    assert len(asked(io)) == 1


def test_what_certainly_did_not_arrive_is_sent_again() -> None:
    answers = [unreachable(), response(429), response(202, "", {"oa-work-request-id": "w"})]
    io = answering(lambda _seconds, _request: answers.pop(0))
    assert run(io, submit_once(Restore("id", "password", "host"))) == "w"


def by_path(system: list[Answer], search: list[Answer]) -> ManualIO:
    """A server that gives these answers in turn, each the last one for ever."""

    def answer(_seconds: float, request: Request) -> Answer:
        left = system if "/system" in request.url else search
        return left.pop(0) if len(left) > 1 else left[0]

    return answering(answer)


LIST = response(body="[]")


def test_a_poll_that_meets_no_instance_fails() -> None:
    with pytest.raises(OACApiError, match="503"):
        run(by_path([response(503)], [LIST]), restore.ReadinessTarget(WaitPlan()).poll)


@pytest.mark.parametrize(
    ("system", "search"), [(response(503), LIST), (NOBODY, LIST), (unreachable(), LIST), (SYSTEM, NO_INDEX)]
)
def test_one_look_at_an_instance_that_is_not_ready_is_no_failure(system: Answer, search: Answer) -> None:
    assert run(by_path([system], [search]), restore.ready_now()) is None


def ready_within(
    io: ManualIO, seconds: float = 1800.0, lines: list[str] | None = None, **details: Any
) -> restore.Readiness:
    report = (lines if lines is not None else []).append
    return run(io, restore.ready_again(WaitPlan(deadline=io.time + seconds), **details), report)


def test_an_instance_is_ready_when_it_answers_and_can_search() -> None:
    io = by_path([unreachable(), response(503), response(502), NOBODY, NOBODY, response(404), SYSTEM], [NO_INDEX, LIST])
    lines: list[str] = []
    ready = ready_within(io, lines=lines)
    assert (ready.system.description, ready.searchable) == ("Production", True)
    assert [line[:33] for line in lines] == ["The instance is not ready yet; st"] * 6
    # The time that the search index asks for.
    assert io.slept[-1] == 5.0


def test_an_instance_that_does_not_come_back_in_time() -> None:
    io = by_path([response(503)], [LIST])
    with pytest.raises(OACWaitTimeoutError, match="The restore is done, but the instance is not ready 60 s later"):
        ready_within(io, 60)
    assert sum(io.slept) == pytest.approx(60)


def test_a_deadline_that_has_passed_leaves_one_poll() -> None:
    io = by_path([SYSTEM], [LIST])
    assert ready_within(io, -1).searchable
    assert len(asked(io)) == 2


@pytest.mark.parametrize(
    ("answer", "says", "seconds"), [(NOBODY, "lacks the application role", 300), (response(400), "400", 0)]
)
def test_a_user_who_stays_refused_is_an_error_after_some_minutes_and_a_lasting_error_at_once(
    answer: Answer, says: str, seconds: int
) -> None:
    io = by_path([answer], [LIST])
    with pytest.raises(OACApiError, match=says):
        ready_within(io)
    assert seconds <= sum(io.slept) < seconds + 40


def test_a_user_who_may_not_search_leaves_the_index_unchecked() -> None:
    assert ready_within(by_path([SYSTEM], [NOBODY]), refusal_patience=0.0).searchable is None


@pytest.mark.parametrize("status", TOLERATED)
def test_a_wait_tolerates_what_a_restore_brings_about_and_no_other_wait_does(status: int) -> None:
    error = OACApiError("m", status=status, method="GET", path="/workRequests/w")
    tolerant = WorkRequestTarget("w", WaitPlan(tolerated=frozenset(TOLERATED)))
    assert all(tolerant.on_error(error, now) > 0 for now in (1000.0, 2700.0))
    with pytest.raises(OACError, match="Work request w could not be read for 1900 s"):
        tolerant.on_error(error, 2900.0)
    with pytest.raises(OACError):
        WorkRequestTarget("w").on_error(error, 1000.0)


def test_roles_show_in_the_calls_that_need_them() -> None:
    assert run(by_path([SYSTEM], [NOBODY]), restore.roles_held()) == {"administrator": True, "author": False}
    with pytest.raises(OACApiError):
        run(by_path([response(400)], [LIST]), restore.roles_held())
