"""Keeping and renewing a token, with a clock that moves only when told."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import json
import logging
from collections.abc import Callable, Coroutine
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
from tests.unit.auth import keys_forms as forms
from tests.unit.auth.stores import CHAIN, Dictionary, store_entry

T = TypeVar("T")
SETTINGS = AuthSettings(
    identity_url="https://idcs.example.com",
    client_id="client",
    scope="https://oac.example.comurn:opc:resource:consumer::all",
    grant="password",
    user="user",
    user_password="user-pass-word",
    client_secret="client-secret",
)
REFUSED = response(401, json.dumps({"error": "invalid_client", "error_description": "no"}))
NOT_NOW = response(503, "{}")


def issued(number: int, lifetime: float = 100) -> Response:
    return response(200, json.dumps({"access_token": f"token-{number}", "expires_in": lifetime}))


def issuing(lifetime: float = 100) -> Callable[[Request], Answer]:
    numbers = itertools.count(1)
    return lambda _request: issued(next(numbers), lifetime)


def run(flow: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(flow)


def text(session: Session, io: ManualIO) -> str:
    return run(session.token(io)).access_token


def at(io: ManualIO, seconds: float) -> ManualIO:
    io.time += seconds
    return io


@pytest.fixture
def session() -> Session:
    return Session(SETTINGS, MemoryStore())


class TestFresh:
    def test_one_token_serves_until_it_is_stale(self, session: Session) -> None:
        io = ManualIO(issuing())
        assert [text(session, io), text(session, at(io, 74)), text(session, at(io, 2))] == [
            "token-1",
            "token-1",
            "token-2",
        ]

    def test_a_sign_in_is_logged_once_and_renewals_are_not(
        self, session: Session, caplog: pytest.LogCaptureFixture
    ) -> None:
        io = ManualIO(issuing())
        with caplog.at_level(logging.INFO):
            assert [text(session, at(io, 78)) for _ in range(5)][-1] == "token-5"
        assert [record.message.partition(";")[0] for record in caplog.records] == [
            "Signed in at https://idcs.example.com (grant password, user user)"
        ]

    def test_the_time_that_the_answer_took_counts_as_age(self, session: Session) -> None:
        io = ManualIO(issuing())
        slow = io._answer
        io._answer = lambda request: (at(io, 30), slow(request))[1]
        text(session, io)
        at(io, 46)
        assert text(session, io) == "token-2"

    @pytest.mark.parametrize("lifetime", [20, 100, 3600])
    def test_a_long_wait_renews_in_time_and_never_uses_a_dead_token(self, lifetime: float, session: Session) -> None:
        """Two hours, a poll every ten seconds, as seen by a server that knows when its tokens die."""
        io = ManualIO()
        numbers, dies_at = itertools.count(1), {}

        def answer(_request: Request) -> Answer:
            number = next(numbers)
            dies_at[f"token-{number}"] = io.time + lifetime
            return issued(number, lifetime)

        io._answer = answer
        for _ in range(720):
            assert dies_at[text(session, io)] > io.time
            at(io, 10)
        renewals = len(io.requests)
        # With 100 s tokens, stale after 75 s: at each eighth poll, which is 90 times.
        assert renewals == {20: 360, 100: 90, 3600: 3}[int(lifetime)]

    def test_a_clock_that_was_set_back_leads_to_a_new_token(self, session: Session) -> None:
        io = ManualIO(issuing())
        assert text(session, io) == "token-1"
        assert text(session, at(io, -3600)) == "token-2"


class TestStale:
    def test_while_one_renews_the_others_use_the_old_token(self, session: Session) -> None:
        io = ManualIO(issuing())
        text(session, io)
        at(io, 80)
        others: list[str] = []
        renew = io._answer

        def answer(request: Request) -> Answer:
            others.extend(_aside(session.token(ManualIO(in_turn(), now=io.time))) for _ in range(3))
            return renew(request)

        io._answer = answer
        assert text(session, io) == "token-2"
        assert others == ["token-1"] * 3

    @pytest.mark.parametrize("failure", [NOT_NOW, response(429), unreachable(), unreachable(sent=True)])
    def test_the_old_token_serves_if_the_renewal_fails_for_a_passing_reason(
        self, failure: Answer, session: Session
    ) -> None:
        io = ManualIO(in_turn(issued(1), failure, issued(2)))
        text(session, io)
        assert text(session, at(io, 80)) == "token-1"
        # Nobody tries again at once, and a moment later somebody does.
        assert text(session, at(io, 4)) == "token-1"
        assert len(io.requests) == 2
        assert text(session, at(io, 2)) == "token-2"
        assert io.slept == []

    def test_a_retry_after_lengthens_the_pause_until_the_next_renewal(self, session: Session) -> None:
        io = ManualIO(in_turn(issued(1), response(429, headers={"retry-after": "12"}), issued(2)))
        text(session, io)
        assert text(session, at(io, 76)) == "token-1"
        assert text(session, at(io, 11)) == "token-1"
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

        def answer(_request: Request) -> Answer:
            session.discard(old)
            return NOT_NOW

        io._answer = answer
        text(session, at(io, 80))
        io._answer = lambda _request: issued(2)
        assert text(session, io) == "token-2"


class TestExpired:
    def test_passing_failures_are_tried_again_with_a_pause(self, session: Session) -> None:
        io = ManualIO(in_turn(unreachable(), NOT_NOW, response(429, headers={"retry-after": "9"}), issued(1)))
        assert text(session, io) == "token-1"
        assert len(io.slept) == 3
        assert 9 <= io.slept[2] < 9.5

    def test_attempts_end(self, session: Session) -> None:
        io = ManualIO(lambda _request: NOT_NOW)
        with pytest.raises(OACAuthError) as caught:
            text(session, io)
        assert (caught.value.status, caught.value.retryable) == (503, True)
        assert len(io.requests) == 4

    def test_no_answer_at_all_is_a_transport_error(self, session: Session) -> None:
        with pytest.raises(OACTransportError):
            text(session, ManualIO(lambda _request: unreachable()))

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 302])
    def test_refusals_are_not_tried_again(self, status: int, session: Session) -> None:
        io = ManualIO(in_turn(response(status, json.dumps({"error": "invalid_grant"}))))
        with pytest.raises(OACAuthError) as caught:
            text(session, io)
        assert not caught.value.retryable
        assert io.slept == []

    def test_a_failure_is_forgotten_by_the_next_caller(self, session: Session) -> None:
        io = ManualIO(in_turn(REFUSED, issued(1)))
        with pytest.raises(OACAuthError):
            text(session, io)
        assert text(session, io) == "token-1"

    @pytest.mark.parametrize("error", [OACKilledError("told to stop"), asyncio.CancelledError(), KeyboardInterrupt()])
    def test_whoever_is_stopped_while_renewing_holds_nobody_up(self, error: BaseException, session: Session) -> None:
        with pytest.raises(type(error)):
            _aside(session.token(ManualIO(in_turn(error))))
        assert text(session, ManualIO(in_turn(issued(1)))) == "token-1"


class TestAssertions:
    def test_each_attempt_has_assertions_of_its_own(self) -> None:
        settings = AuthSettings(
            identity_url="https://idcs.example.com", client_id="client", scope="scope", user="user",
            private_key=forms.pem("PKCS#8"), certificate_alias="alias",
        )  # fmt: skip
        io = ManualIO(in_turn(NOT_NOW, unreachable(sent=True), issued(1)))
        run(mint(io, settings))
        bodies = [parse_qs((request.body or b"").decode()) for request in io.requests]
        claims = [_claims(body[name][0]) for body in bodies for name in ("assertion", "client_assertion")]
        assert len({claim["jti"] for claim in claims}) == 6
        assert [claim["sub"] for claim in claims] == ["user", "client"] * 3
        times = [io.time - sum(io.slept), io.time - io.slept[1], io.time]
        assert [claim["iat"] for claim in claims[::2]] == [int(time) - 30 for time in times]
        assert {claim["exp"] - claim["iat"] for claim in claims} == {300}


class TestStore:
    def test_sessions_of_one_credential_share_a_token(self) -> None:
        store, io = MemoryStore(), ManualIO(in_turn(issued(1)))
        assert [text(Session(SETTINGS, store), io) for _ in range(2)] == ["token-1", "token-1"]

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("identity_url", "https://other.example.com"), ("client_id", "other"), ("scope", "other"),
            ("user", "other"), ("client_secret", "other"), ("user_password", "other"),
            ("client_authentication", "body"), ("audience", ("other",)),
        ],
    )  # fmt: skip
    def test_an_edited_connection_never_gets_another_ones_token(self, field: str, value: Any) -> None:
        store, io = MemoryStore(), ManualIO(in_turn(issued(1), issued(2)))
        text(Session(SETTINGS, store), io)
        edited = dataclasses.replace(SETTINGS, **{field: value})
        assert text(Session(edited, store), io) == "token-2"

    def test_one_of_its_own_passes_the_shared_one_by(self) -> None:
        shared, io = MemoryStore(), ManualIO(in_turn(issued(1), issued(2)))
        text(Session(SETTINGS, shared), io)
        assert text(Session(SETTINGS, MemoryStore()), io) == "token-2"
        assert text(Session(SETTINGS, shared), io) == "token-1"

    def test_forgets_everything_when_cleared(self) -> None:
        store, io = MemoryStore(), ManualIO(in_turn(issued(1), issued(2)))
        text(Session(SETTINGS, store), io)
        store.clear()
        assert text(Session(SETTINGS, store), io) == "token-2"

    def test_names_an_entry_by_an_hmac_that_no_other_store_shares(self) -> None:
        names = {SETTINGS.fingerprint(salt) for salt in (b"one", b"other")}
        assert len(names) == 2
        assert not any(secret in name for name in names for secret in SETTINGS.secrets)


class TestUnauthorized:
    """A 401 of the resource server, seen by `Api.perform`."""

    def exchanged(self, session: Session, *responses: Response) -> list[str | None]:
        io = ManualIO(in_turn(*responses))
        call = Call("ask", "GET", "/system", lambda response: response.status)
        try:
            run(Api(io, "https://oac.example.com", session, ONCE).run(call))
        except OACApiError as error:
            return [*self.tokens(io), str(error.status)]
        return self.tokens(io)

    def tokens(self, io: ManualIO) -> list[str | None]:
        sent = [request for request in io.requests if request.url.startswith("https://oac.")]
        return [request.headers["Authorization"].removeprefix("Bearer ") for request in sent]

    def test_renews_once_and_replays_once(self, session: Session) -> None:
        answers = (issued(1), Response(401, {}, b""), issued(2), Response(200, {}, b""))
        assert self.exchanged(session, *answers) == ["token-1", "token-2"]

    def test_is_the_answer_if_it_comes_again(self, session: Session) -> None:
        answers = (issued(1), Response(401, {}, b""), issued(2), Response(401, {}, b""))
        assert self.exchanged(session, *answers) == ["token-1", "token-2", "401"]

    @pytest.mark.parametrize("status", [400, 403, 404, 500, 503])
    def test_no_other_answer_renews(self, status: int, session: Session) -> None:
        assert self.exchanged(session, issued(1), Response(status, {}, b"")) == ["token-1", str(status)]

    def test_of_a_missing_role_renews_nothing(self, session: Session) -> None:
        lacks = Response(401, {}, b'{"user": "jane", "status": "unauthorized"}')
        assert self.exchanged(session, issued(1), lacks) == ["token-1", "401"]

    def test_does_not_discard_what_somebody_renewed_meanwhile(self, session: Session) -> None:
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


def _claims(assertion: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(assertion, options={"verify_signature": False})
    return claims


class TestMasking:
    """Each token and assertion is masked before it is sent for the first time, and not on an event loop."""

    @pytest.mark.parametrize("grant", ["jwt_assertion", "password", "refresh_token"])
    def test_comes_before_sending(self, grant: str) -> None:
        masked: list[str] = []
        sent: list[str] = []
        aside = False

        def mask(secret: str) -> None:
            assert aside, "this blocks the event loop"
            masked.append(secret)

        def answer(request: Request) -> Answer:
            form = parse_qs((request.body or b"").decode())
            names = ("assertion", "client_assertion", "refresh_token")
            sent.extend(value for name in names for value in form.get(name, []))
            assert set(sent) <= set(masked)
            return response(200, json.dumps({"access_token": "an-access-token", "refresh_token": "next"}))

        class AsideIO(ManualIO):
            async def to_thread(self, function: Callable[[], T]) -> T:
                nonlocal aside
                aside = True
                try:
                    return function()
                finally:
                    aside = False

        settings = dataclasses.replace(
            SETTINGS, grant=grant, mask=mask, private_key=forms.pem("PKCS#8"), certificate_alias="alias",
            refresh_token="the-first",
        )  # fmt: skip
        place = store_entry(Dictionary(), settings=settings) if settings.uses_refresh_token else None
        io = AsideIO(answer)
        token = run(Session(settings, MemoryStore(), place).token(io))
        assert sent
        assert token.access_token in masked

    def test_of_a_token_that_another_process_got_comes_before_sending_too(self) -> None:
        masked: list[str] = []
        settings = dataclasses.replace(CHAIN, mask=masked.append)
        io, place = ManualIO(in_turn()), store_entry(Dictionary(), settings=settings)
        place.put(Record(refresh_token="next").with_token(Token("kept-token", io.time, 100)))
        assert run(Session(settings, MemoryStore(), place).token(io)).access_token == "kept-token"
        assert masked == ["kept-token"]
