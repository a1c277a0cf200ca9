"""Whether and when a request is sent again."""

from __future__ import annotations

import asyncio
import logging
import time
from email.utils import formatdate
from typing import Any

import pytest

from airflow_provider_oac.exceptions import OACAuthError, OACTransportError
from airflow_provider_oac.transport.io import Request, Response, http_date
from airflow_provider_oac.transport.retry import ONCE, RetryPolicy, may_repeat, retry_after, send
from tests.manual import Answer, ManualIO, in_turn, response, unreachable

NOW = 1_700_000_000.0
POLICY = RetryPolicy(attempts=4, base=1.0, cap=3.0, longest_retry_after=60.0)


def busy(status: int = 503, **headers: str) -> Response:
    return response(status, headers={name.replace("_", "-"): value for name, value in headers.items()})


def http(moment: float) -> str:
    return formatdate(moment, usegmt=True)


def sent(io: ManualIO, *, repeatable: bool, **judges: Any) -> Response:
    """Send a request that says which attempt it is."""

    async def make() -> Request:
        return Request("POST", "https://oac.example.com/api?secret=query", {"x-attempt": str(len(io.requests))})

    return asyncio.run(send(io, make, repeatable=repeatable, policy=POLICY, **judges))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        *(({"retry_after": text}, seconds) for text, seconds in (("0", 0), ("12", 12), (" 7 ", 7), ("1.5", 1.5))),
        *(({"retry_after": text}, None) for text in ("", "soon", "nan", "inf", "Thu, 99 Foo 2020 99:99:99 GMT")),
        ({"retry_after": "-3"}, 0.0),
        ({"retry_after": http(NOW + 30)}, 30.0),
        ({"retry_after": http(NOW - 30)}, 0.0),
        # The server's clock counts, not this machine's.
        ({"retry_after": http(NOW + 1030), "date": http(NOW + 1000)}, 30.0),
        ({}, None),
    ],
)
def test_retry_after_is_a_number_or_a_date(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(busy(**headers), NOW) == seconds


@pytest.mark.parametrize(
    "text", ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
)
def test_all_three_forms_of_an_http_date_are_in_utc(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert http_date(text) == 784111777.0
    finally:
        monkeypatch.undo()
        time.tzset()


class TestPolicy:
    def test_counts_the_pause_that_a_server_asks_for(self) -> None:
        assert [RetryPolicy().delay(1, 120.0, 0.0, elapsed) for elapsed in (779.0, 780.0)] == [120.0, None]

    def test_waits_longer_each_time_up_to_the_cap(self) -> None:
        policy = RetryPolicy(attempts=9, base=1.0, cap=5.0)
        assert [policy.delay(attempt, None, 1.0) for attempt in range(1, 6)] == [1.0, 2.0, 4.0, 5.0, 5.0]

    def test_spreads_clients_over_the_second_half_of_the_delay(self) -> None:
        assert [RetryPolicy(base=4.0).delay(1, None, random) for random in (0.0, 0.5, 1.0)] == [2.0, 3.0, 4.0]

    def test_gives_up_after_the_last_attempt_even_if_asked_to_come_back(self) -> None:
        assert POLICY.delay(3, None, 0.5) is not None
        assert [POLICY.delay(4, None, 0.5), POLICY.delay(4, 1.0, 0.5), ONCE.delay(1, 0.0, 0.5)] == [None] * 3

    def test_never_comes_back_before_the_time_asked_for(self) -> None:
        assert [POLICY.delay(1, 10.0, random) for random in (0.0, 0.3, 1.0)] == [10.0, 10.15, 10.5]

    def test_gives_up_at_once_if_asked_to_wait_too_long(self) -> None:
        assert [POLICY.delay(1, seconds, 0.0) for seconds in (60.0, 60.1)] == [60.0, None]
        assert RetryPolicy(longest_retry_after=0.0).delay(1, None, 0.0) == 0.25


def test_a_passing_answer_is_worth_another_attempt_and_only_429_to_what_must_not_be_done_twice() -> None:
    def repeated(repeatable: bool) -> list[int]:
        return [status for status in range(100, 600) if may_repeat(response(status), repeatable)]

    assert repeated(True) == [408, 429, 500, 502, 503, 504]
    assert repeated(False) == [429]


@pytest.mark.parametrize(
    ("was_sent", "passing", "repeatable", "may"),
    [
        (False, True, False, True), (False, True, True, True), (True, True, False, False), (True, True, True, True),
        (False, False, True, False), (True, False, True, False),
    ],
)  # fmt: skip
def test_a_lost_answer(was_sent: bool, passing: bool, repeatable: bool, may: bool) -> None:
    assert may_repeat(unreachable(sent=was_sent, passing=passing), repeatable) is may


@pytest.mark.parametrize(
    ("answers", "repeatable", "slept"),
    [
        pytest.param([busy(), unreachable(), busy(429), response()], True, [0.75, 1.5, 2.25], id="until one succeeds"),
        pytest.param([busy(502)] * 4, True, [0.75, 1.5, 2.25], id="attempts run out"),
        pytest.param([busy(503)], False, [], id="the server may have acted"),
        pytest.param([unreachable(), busy(429, retry_after="5"), response(202)], False, [0.75, 5.25], id="it has not"),
        pytest.param([busy(429, retry_after="3600")], True, [], id="asked to wait too long"),
        pytest.param([busy(429, retry_after="soon"), response()], True, [0.75], id="asked for nonsense"),
        pytest.param([response(500, "no user in the token")], True, [], id="the cause is lasting"),
        pytest.param([response(401), response(202)], False, [], id="new credentials at once"),
        pytest.param([response(401), response(401)], True, [], id="refused again"),
        pytest.param([response(401), busy(), response()], True, [1.5], id="refused, then busy"),
    ],
)
def test_each_attempt_is_a_new_request(answers: list[Answer], repeatable: bool, slept: list[float]) -> None:
    io = ManualIO(in_turn(*answers))
    judges = {"lasting": lambda answer: b"no user" in answer.body, "refused": lambda answer: answer.status == 401}
    assert sent(io, repeatable=repeatable, **judges) is answers[-1]
    assert io.slept == slept
    assert [request.headers["x-attempt"] for request in io.requests] == [str(number) for number in range(len(answers))]


@pytest.mark.parametrize(
    ("answers", "repeatable", "reached"),
    [
        pytest.param([unreachable(sent=True) for _ in range(4)], True, True, id="attempts run out"),
        pytest.param([unreachable(sent=True)], False, True, id="the server may have acted"),
        pytest.param([unreachable() for _ in range(4)], False, False, id="none left this machine"),
        pytest.param([busy(429), unreachable(passing=False)], False, True, id="the first was answered"),
        pytest.param([unreachable(sent=True), unreachable(passing=False)], True, True, id="the first was sent"),
    ],
)
def test_the_last_error_says_whether_any_was_sent(answers: list[Answer], repeatable: bool, reached: bool) -> None:
    io = ManualIO(in_turn(*answers))
    with pytest.raises(OACTransportError) as caught:
        sent(io, repeatable=repeatable)
    assert caught.value is answers[-1]
    assert caught.value.sent is reached
    assert len(io.slept) == len(answers) - 1


@pytest.mark.parametrize(("seconds", "attempts"), [(898.0, 2), (899.9, 1), (900.0, 1), (100.0, 4)])
def test_a_server_that_takes_all_the_time_it_may_gets_no_second_turn(seconds: float, attempts: int) -> None:
    def slowly(_request: Request) -> Response | OACTransportError:
        io.time += seconds
        return unreachable(sent=True)

    io = ManualIO(slowly)
    with pytest.raises(OACTransportError):
        sent(io, repeatable=True)
    assert len(io.requests) == attempts


def test_errors_of_making_the_request_are_not_caught() -> None:
    async def make() -> Request:
        raise OACAuthError("no token")

    with pytest.raises(OACAuthError):
        asyncio.run(send(ManualIO(in_turn()), make, repeatable=True))


def test_each_repetition_is_logged_without_the_query(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "airflow_provider_oac"):
        sent(ManualIO(in_turn(busy(503), unreachable(), response())), repeatable=True)
    ours = [record for record in caplog.records if record.name.startswith("airflow_provider_oac")]
    assert [record.levelname for record in ours] == ["WARNING", "WARNING"]
    assert "HTTP 503 from POST https://oac.example.com/api; trying again in 0.8 s." in caplog.text
    assert "secret=query" not in caplog.text
