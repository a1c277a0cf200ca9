"""Whether and when a request is sent again."""

from __future__ import annotations

import asyncio
import logging
from email.utils import formatdate

import pytest

from airflow_provider_oac.exceptions import OACAuthError, OACTransportError
from airflow_provider_oac.transport.io import Request, Response, http_date
from airflow_provider_oac.transport.retry import ONCE, PASSING, RetryPolicy, may_repeat, retry_after, send
from tests.manual import ManualIO, in_turn, response, unreachable

NOW = 1_700_000_000.0
POLICY = RetryPolicy(attempts=4, base=1.0, cap=3.0, longest_retry_after=60.0)
URL = "https://oac.example.com/api?secret=query"


def busy(status: int = 503, **headers: str) -> Response:
    return response(status, headers={name.replace("_", "-"): value for name, value in headers.items()})


def sent(io: ManualIO, *, repeatable: bool, policy: RetryPolicy = POLICY) -> Response:
    made = 0

    async def make() -> Request:
        nonlocal made
        made += 1
        return Request("POST", URL, {"x-attempt": str(made)})

    return asyncio.run(send(io, make, repeatable=repeatable, policy=policy))


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("value", "seconds"),
        [("0", 0.0), ("12", 12.0), (" 7 ", 7.0), ("1.5", 1.5), ("-3", 0.0)],
    )
    def test_reads_seconds(self, value: str, seconds: float) -> None:
        assert retry_after(busy(retry_after=value), NOW) == seconds

    @pytest.mark.parametrize("value", ["", "soon", "nan", "inf", "Thu, 99 Foo 2020 99:99:99 GMT"])
    def test_takes_nonsense_for_nothing(self, value: str) -> None:
        assert retry_after(busy(retry_after=value), NOW) is None

    def test_is_none_without_the_header(self) -> None:
        assert retry_after(busy(), NOW) is None

    def test_reads_a_date(self) -> None:
        assert retry_after(busy(retry_after=formatdate(NOW + 30, usegmt=True)), NOW) == 30.0

    def test_takes_a_past_date_for_at_once(self) -> None:
        assert retry_after(busy(retry_after=formatdate(NOW - 30, usegmt=True)), NOW) == 0.0

    def test_compares_a_date_with_the_servers_clock_not_with_this_machines(self) -> None:
        answer = busy(retry_after=formatdate(NOW + 1030, usegmt=True), date=formatdate(NOW + 1000, usegmt=True))
        assert retry_after(answer, NOW) == 30.0


@pytest.mark.parametrize(
    "text",
    ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"],
)
def test_all_three_forms_of_an_http_date_are_in_utc(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert http_date(text) == 784111777.0
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(("seconds", "attempts"), [(898.0, 2), (899.9, 1), (900.0, 1), (100.0, 4)])
def test_a_server_that_takes_all_the_time_it_may_gets_no_second_turn(seconds: float, attempts: int) -> None:
    def slowly(_request: Request) -> Response | OACTransportError:
        io.time += seconds
        return unreachable(sent=True)

    io = ManualIO(slowly)
    with pytest.raises(OACTransportError):
        sent(io, repeatable=True)
    assert len(io.requests) == attempts


class TestPolicy:
    @pytest.mark.parametrize(("elapsed", "pause"), [(779.0, 120.0), (780.0, None)])
    def test_counts_the_pause_that_a_server_asks_for(self, elapsed: float, pause: float | None) -> None:
        assert RetryPolicy().delay(1, 120.0, 0.0, elapsed) == pause

    def test_waits_longer_each_time_up_to_the_cap(self) -> None:
        policy = RetryPolicy(attempts=9, base=1.0, cap=5.0)
        assert [policy.delay(attempt, None, 1.0) for attempt in range(1, 6)] == [1.0, 2.0, 4.0, 5.0, 5.0]

    @pytest.mark.parametrize(("random", "share"), [(0.0, 0.5), (0.5, 0.75), (1.0, 1.0)])
    def test_spreads_clients_over_the_second_half_of_the_delay(self, random: float, share: float) -> None:
        assert RetryPolicy(base=4.0).delay(1, None, random) == 4.0 * share

    def test_gives_up_after_the_last_attempt_even_if_asked_to_come_back(self) -> None:
        assert POLICY.delay(3, None, 0.5) is not None
        assert POLICY.delay(4, None, 0.5) is None
        assert POLICY.delay(4, 1.0, 0.5) is None
        assert ONCE.delay(1, 0.0, 0.5) is None

    @pytest.mark.parametrize("random", [0.0, 0.3, 0.99])
    def test_never_comes_back_before_the_time_asked_for(self, random: float) -> None:
        delay = POLICY.delay(1, 10.0, random)
        assert delay is not None
        assert 10.0 <= delay < 10.5

    def test_gives_up_at_once_if_asked_to_wait_too_long(self) -> None:
        assert POLICY.delay(1, 60.0, 0.0) == 60.0
        assert POLICY.delay(1, 60.1, 0.0) is None


class TestMayRepeat:
    @pytest.mark.parametrize("status", sorted(PASSING))
    def test_a_passing_answer_to_what_may_be_done_twice(self, status: int) -> None:
        assert may_repeat(response(status), repeatable=True)

    @pytest.mark.parametrize("status", [200, 202, 301, 400, 401, 403, 404, 409, 422, 501, 505])
    def test_no_other_answer(self, status: int) -> None:
        assert not may_repeat(response(status), repeatable=True)

    def test_only_429_to_what_must_not_be_done_twice(self) -> None:
        assert [status for status in sorted(PASSING) if may_repeat(response(status), repeatable=False)] == [429]

    @pytest.mark.parametrize(
        ("was_sent", "passing", "repeatable", "may"),
        [
            (False, True, False, True),
            (False, True, True, True),
            (True, True, False, False),
            (True, True, True, True),
            (False, False, True, False),
            (True, False, True, False),
        ],
    )
    def test_a_lost_answer(self, was_sent: bool, passing: bool, repeatable: bool, may: bool) -> None:
        assert may_repeat(unreachable(sent=was_sent, passing=passing), repeatable) is may


class TestSend:
    def test_makes_the_request_anew_for_each_attempt(self) -> None:
        io = ManualIO(in_turn(busy(), unreachable(), busy(429), response()))
        assert sent(io, repeatable=True).status == 200
        assert [request.headers["x-attempt"] for request in io.requests] == ["1", "2", "3", "4"]
        assert io.slept == [0.75, 1.5, 2.25]

    def test_returns_the_last_answer_when_attempts_run_out(self) -> None:
        io = ManualIO(lambda _request: busy(502))
        assert sent(io, repeatable=True).status == 502
        assert len(io.requests) == POLICY.attempts
        assert len(io.slept) == POLICY.attempts - 1

    def test_raises_the_last_error_when_attempts_run_out(self) -> None:
        errors = [unreachable(sent=True) for _ in range(POLICY.attempts)]
        with pytest.raises(OACTransportError) as caught:
            sent(ManualIO(in_turn(*errors)), repeatable=True)
        assert caught.value is errors[-1]

    @pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
    def test_sends_once_what_the_server_may_have_acted_on(self, status: int) -> None:
        io = ManualIO(in_turn(busy(status)))
        assert sent(io, repeatable=False).status == status
        assert io.slept == []

    def test_sends_once_if_the_answer_to_it_was_lost(self) -> None:
        io = ManualIO(in_turn(lost := unreachable(sent=True)))
        with pytest.raises(OACTransportError) as caught:
            sent(io, repeatable=False)
        assert caught.value is lost
        assert io.slept == []

    def test_sends_again_what_the_server_cannot_have_acted_on(self) -> None:
        io = ManualIO(in_turn(unreachable(sent=False), busy(429, retry_after="5"), response(202)))
        assert sent(io, repeatable=False).status == 202
        assert io.slept == [0.75, 5.25]

    def test_does_not_wait_for_a_server_that_asks_for_too_much(self) -> None:
        io = ManualIO(in_turn(busy(429, retry_after="3600")))
        assert sent(io, repeatable=True).status == 429
        assert io.slept == []

    def test_waits_by_itself_if_what_was_asked_for_is_nonsense(self) -> None:
        io = ManualIO(in_turn(busy(429, retry_after="soon"), response()))
        assert sent(io, repeatable=True).status == 200
        assert io.slept == [0.75]

    def test_does_not_repeat_what_the_caller_knows_to_be_lasting(self) -> None:
        io = ManualIO(in_turn(response(500, "no user in the token")))

        async def make() -> Request:
            return Request("GET", URL)

        refused = asyncio.run(send(io, make, repeatable=True, lasting=lambda answer: b"no user" in answer.body))
        assert refused.status == 500

    def test_does_not_catch_errors_of_making_the_request(self) -> None:
        async def make() -> Request:
            raise OACAuthError("no token")

        with pytest.raises(OACAuthError):
            asyncio.run(send(ManualIO(in_turn()), make, repeatable=True))

    def test_logs_each_repetition_without_the_query(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.DEBUG, "airflow_provider_oac"):
            sent(ManualIO(in_turn(busy(503), unreachable(), response())), repeatable=True)
        ours = [record for record in caplog.records if record.name.startswith("airflow_provider_oac")]
        assert [record.levelname for record in ours] == ["WARNING", "WARNING"]
        assert "HTTP 503 from POST https://oac.example.com/api; trying again in 0.8 s." in caplog.text
        assert "secret=query" not in caplog.text
