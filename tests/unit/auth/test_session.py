"""Keeping and renewing a token, with a clock that moves only when told."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, TypeVar
from urllib.parse import parse_qs

import jwt
import pytest

from airflow_provider_oac.auth.session import MemoryStore, Session, mint
from airflow_provider_oac.auth.settings import AuthSettings
from airflow_provider_oac.auth.store import Record
from airflow_provider_oac.auth.token import Token
from airflow_provider_oac.client.api import Api
from airflow_provider_oac.client.calls import Call
from airflow_provider_oac.exceptions import OACApiError, OACAuthError, OACKilledError, OACTransportError
from airflow_provider_oac.transport.io import Request, Response
from airflow_provider_oac.transport.retry import ONCE
from tests.manual import Answer, ManualIO, in_turn, response, unreachable
from tests.unit.auth.stores import CHAIN, PASSWORD, SIGNED, Dictionary, store_entry

T = TypeVar("T")
REFUSED = response(401, json.dumps({"error": "invalid_client", "error_description": "no"}))
NOT_NOW = response(503, "{}")


def issued(number: int) -> Response:
    return response(200, json.dumps({"access_token": f"token-{number}", "expires_in": 100}))


def issuing() -> Callable[[Request], Answer]:
    numbers = itertools.count(1)
    return lambda _request: issued(next(numbers))


def run(flow: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(flow)


def text(session: Session, io: ManualIO) -> str:
    return run(session.token(io)).access_token


def at(io: ManualIO, seconds: float) -> ManualIO:
    io.time += seconds
    return io


@pytest.fixture
def session() -> Session:
    return Session(PASSWORD, MemoryStore())


class TestFresh:
    def test_one_token_serves_until_it_is_stale_or_the_clock_is_set_back(self, session: Session) -> None:
        io = ManualIO(issuing())
        tokens = [text(session, at(io, seconds)) for seconds in (0, 74, 2, -3600, 200)]
        assert tokens == ["token-1", "token-1", "token-2", "token-3", "token-4"]

    def test_only_the_first_sign_in_is_logged(self, session: Session, caplog: pytest.LogCaptureFixture) -> None:
        io = ManualIO(issuing())
        with caplog.at_level(logging.INFO):
            assert [text(session, at(io, 78)) for _ in range(5)][-1] == "token-5"
        (record,) = caplog.records
        assert record.message.startswith("Signed in at https://idcs.example.com (grant password, user user); ")

    def test_the_time_that_the_answer_took_counts_as_age(self, session: Session) -> None:
        io, answer = ManualIO(), issuing()
        io._answer = lambda request: (at(io, 30), answer(request))[1]
        text(session, io)
        assert text(session, at(io, 46)) == "token-2"


class TestStale:
    def test_while_one_renews_the_others_use_the_old_token(self, session: Session) -> None:
        io = ManualIO(issuing())
        text(session, io)
        others: list[tuple[str, list[float]]] = []

        def answer(request: Request) -> Answer:
            for aside in [ManualIO(in_turn(), now=io.time) for _ in range(3)]:
                others.append((_aside(session.token(aside)), aside.slept))
            return issued(2)

        io._answer = answer
        assert text(session, at(io, 80)) == "token-2"
        # None of them waits.
        assert others == [("token-1", [])] * 3

    @pytest.mark.parametrize(
        ("failure", "pause"),
        [
            *((failure, 5) for failure in (NOT_NOW, response(429), unreachable(), unreachable(sent=True))),
            (response(429, headers={"retry-after": "12"}), 12),
        ],
    )
    def test_the_old_token_serves_after_a_passing_failure(
        self, failure: Answer, pause: float, session: Session
    ) -> None:
        io = ManualIO(in_turn(issued(1), failure, issued(2)))
        text(session, io)
        assert text(session, at(io, 80)) == "token-1"
        # Nobody tries again at once, and a moment later somebody does.
        assert text(session, at(io, pause - 1)) == "token-1"
        assert (len(io.requests), io.slept) == (2, [])
        assert text(session, at(io, 2)) == "token-2"

    def test_a_refused_renewal_is_an_error_although_the_old_token_lives(self, session: Session) -> None:
        io = ManualIO(in_turn(issued(1), REFUSED))
        text(session, io)
        with pytest.raises(OACAuthError, match="invalid_client"):
            text(session, at(io, 80))

    def test_a_renewal_that_fails_when_the_old_token_is_dead_meanwhile_is_tried_again(self, session: Session) -> None:
        io = ManualIO(in_turn(issued(1)))
        text(session, io)
        answers = in_turn(unreachable(sent=True), unreachable(sent=True), issued(2))
        io._answer = lambda request: (at(io, 60), answers(request))[1]
        assert text(session, at(io, 80)) == "token-2"

    def test_an_old_token_that_was_refused_meanwhile_does_not_come_back(self, session: Session) -> None:
        io = ManualIO(in_turn(issued(1)))
        old = run(session.token(io))
        io._answer = lambda _request: (session.discard(old), NOT_NOW)[1]  # type: ignore[func-returns-value]
        text(session, at(io, 80))
        io._answer = lambda _request: issued(2)
        assert text(session, io) == "token-2"


class TestExpired:
    def test_passing_failures_are_tried_again_with_a_pause(self, session: Session) -> None:
        io = ManualIO(in_turn(unreachable(), NOT_NOW, response(429, headers={"retry-after": "9"}), issued(1)))
        assert text(session, io) == "token-1"
        assert io.slept == [0.375, 0.75, 9.25]

    @pytest.mark.parametrize(("failure", "kind"), [(NOT_NOW, OACAuthError), (unreachable(), OACTransportError)])
    def test_attempts_end(self, failure: Answer, kind: type[Exception], session: Session) -> None:
        io = ManualIO(lambda _request: failure)
        with pytest.raises(kind):
            text(session, io)
        assert len(io.requests) == 4

    @pytest.mark.parametrize("status", [302, 400, 401])
    def test_a_refusal_is_not_tried_again_and_forgotten_by_the_next_caller(self, status: int, session: Session) -> None:
        io = ManualIO(in_turn(response(status, json.dumps({"error": "invalid_grant"})), issued(1)))
        with pytest.raises(OACAuthError) as caught:
            text(session, io)
        assert not caught.value.retryable
        assert text(session, io) == "token-1"
        assert io.slept == []

    @pytest.mark.parametrize("error", [OACKilledError("told to stop"), asyncio.CancelledError(), KeyboardInterrupt()])
    def test_whoever_is_stopped_while_renewing_holds_nobody_up(self, error: BaseException, session: Session) -> None:
        with pytest.raises(type(error)):
            _aside(session.token(ManualIO(in_turn(error))))
        assert text(session, ManualIO(in_turn(issued(1)))) == "token-1"

    def test_each_attempt_has_assertions_of_its_own(self) -> None:
        io = ManualIO(in_turn(NOT_NOW, unreachable(sent=True), issued(1)))
        run(mint(io, SIGNED))
        bodies = [parse_qs((request.body or b"").decode()) for request in io.requests]
        claims = [
            jwt.decode(body[name][0], options={"verify_signature": False})
            for body in bodies
            for name in ("assertion", "client_assertion")
        ]
        assert len({claim["jti"] for claim in claims}) == 6
        assert [claim["sub"] for claim in claims] == ["user", "client"] * 3
        times = [io.time - sum(io.slept), io.time - io.slept[1], io.time]
        assert [claim["iat"] for claim in claims[::2]] == [int(time) - 30 for time in times]


class TestStore:
    def test_sessions_of_one_credential_share_a_token_in_one_store_until_it_is_cleared(self) -> None:
        shared, io = MemoryStore(), ManualIO(issuing())
        tokens = [text(Session(PASSWORD, store), io) for store in (shared, shared, MemoryStore(), shared)]
        shared.clear()
        assert [*tokens, text(Session(PASSWORD, shared), io)] == ["token-1", "token-1", "token-2", "token-1", "token-3"]

    def test_an_edited_connection_never_gets_another_ones_token(self) -> None:
        store, io = MemoryStore(), ManualIO(issuing())
        text(Session(PASSWORD, store), io)
        assert text(Session(replace(PASSWORD, client_secret="other"), store), io) == "token-2"


REFUSES, LACKS_ROLE = Response(401, {}, b""), Response(401, {}, b'{"user": "jane", "status": "unauthorized"}')


@pytest.mark.parametrize(
    ("answers", "tokens", "status"),
    [
        pytest.param([issued(1), REFUSES, issued(2), response()], ["token-1", "token-2"], 200, id="one replay"),
        pytest.param([issued(1), REFUSES, issued(2), REFUSES], ["token-1", "token-2"], 401, id="refused again"),
        pytest.param([issued(1), LACKS_ROLE], ["token-1"], 401, id="missing role"),
        *(([issued(1), response(status)], ["token-1"], status) for status in (400, 403, 404, 500, 503)),
    ],
)
def test_a_401_of_oac_renews_once(answers: list[Response], tokens: list[str], status: int, session: Session) -> None:
    io = ManualIO(in_turn(*answers))
    call = Call("ask", "GET", "/system", lambda response: response.status)
    try:
        got = run(Api(io, "https://oac.example.com", session, ONCE).run(call))
    except OACApiError as error:
        got = error.status
    sent = [request.headers["Authorization"] for request in io.requests if request.url.startswith("https://oac.")]
    assert (sent, got) == ([f"Bearer {token}" for token in tokens], status)


def test_a_refusal_does_not_discard_what_somebody_renewed_meanwhile(session: Session) -> None:
    io = ManualIO(in_turn(issued(1), issued(2)))
    old = run(session.token(io))
    session.discard(old)
    text(session, io)
    session.discard(old)
    assert text(session, io) == "token-2"


def _aside(flow: Coroutine[Any, Any, Any]) -> Any:
    """Run a flow on a manual io, which never suspends, from within another one."""
    try:
        flow.send(None)
    except StopIteration as end:
        return getattr(end.value, "access_token", end.value)
    finally:
        flow.close()
    raise AssertionError("a manual io suspended")


class AsideIO(ManualIO):
    """A manual io that knows whether it runs something aside of the event loop."""

    aside = False

    async def to_thread(self, function: Callable[[], T]) -> T:
        self.aside = True
        try:
            return function()
        finally:
            self.aside = False


class TestMasking:
    """Each token and assertion is masked before it is sent for the first time, and not on an event loop."""

    @pytest.mark.parametrize("settings", [SIGNED, PASSWORD, CHAIN], ids=lambda settings: settings.grant)
    def test_comes_before_sending(self, settings: AuthSettings) -> None:
        masked: list[str] = []
        sent: list[str] = []

        def mask(secret: str) -> None:
            assert io.aside, "this blocks the event loop"
            masked.append(secret)

        def answer(request: Request) -> Answer:
            form = parse_qs((request.body or b"").decode())
            names = ("assertion", "client_assertion", "refresh_token")
            sent.extend(value for name in names for value in form.get(name, []))
            assert set(sent) <= set(masked)
            return response(200, json.dumps({"access_token": "an-access-token", "refresh_token": "next"}))

        io, settings = AsideIO(answer), replace(settings, mask=mask)
        place = store_entry(Dictionary(), settings=settings) if settings.uses_refresh_token else None
        token = run(Session(settings, MemoryStore(), place).token(io))
        assert len(sent) == {"jwt_assertion": 2, "password": 0, "refresh_token": 1}[settings.grant]
        assert token.access_token in masked

    def test_of_a_token_that_another_process_got_comes_before_sending_too(self) -> None:
        masked: list[str] = []
        settings = replace(CHAIN, mask=masked.append)
        io, place = ManualIO(in_turn()), store_entry(Dictionary(), settings=settings)
        place.put(Record(refresh_token="next").with_token(Token("kept-token", io.time, 100)))
        assert run(Session(settings, MemoryStore(), place).token(io)).access_token == "kept-token"
        assert masked == ["kept-token"]
