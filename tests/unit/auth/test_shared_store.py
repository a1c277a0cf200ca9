"""What happens at a store as time passes, which over HTTP would take minutes."""

from __future__ import annotations

import json
from urllib.parse import parse_qs

import pytest

from airflow_provider_oac.auth.shared_store import keep_sign_in, through_store
from airflow_provider_oac.auth.store import Attempt, Record
from airflow_provider_oac.auth.token import Issued, Token
from airflow_provider_oac.exceptions import OACAuthError, OACKilledError, OACTokenStoreError
from airflow_provider_oac.transport.blocking import run
from airflow_provider_oac.transport.io import Request, Response
from tests.manual import Answer, ManualIO, response, unreachable
from tests.unit.auth.stores import CHAIN, Dictionary, kept_in, store_entry

CONSUMED = response(
    400, json.dumps({"error": "invalid_grant", "error_description": "The token has already been consumed"})
)
RENEWED = response(200, json.dumps({"access_token": "a", "refresh_token": "next", "expires_in": 100}))


@pytest.mark.parametrize(
    ("step", "renewals", "requests"),
    # A minute apart: at 0, 60, 120, 180 and 240 of 300 seconds. A clock that was set back does not lengthen that.
    [(3, 100, 5), (-3600, 2, 2)],
)
def test_a_refused_renewal_is_left_alone_for_a_minute(step: float, renewals: int, requests: int) -> None:
    io, place = ManualIO(lambda _request: CONSUMED), store_entry(Dictionary())
    for _ in range(renewals):
        with pytest.raises(OACAuthError, match="login --oac-conn-id oac_default"):
            run(through_store(io, place, CHAIN))
        io.time += step
    assert len(io.requests) == requests


def test_a_new_sign_in_ends_it_at_once() -> None:
    io, place = ManualIO(lambda _request: CONSUMED), store_entry(Dictionary())
    with pytest.raises(OACAuthError):
        run(through_store(io, place, CHAIN))
    run(keep_sign_in(io, place, CHAIN, Issued(Token("new", io.time, 100), "next"), None))
    assert run(through_store(io, place, CHAIN)).access_token == "new"
    assert [request.url for request in io.requests] == [CHAIN.token_url, CHAIN.revocation_url]


def test_a_process_that_died_before_its_request_left_costs_nothing() -> None:
    io, place = ManualIO(lambda _request: RENEWED), store_entry(Dictionary())
    place.put(Record(refresh_token="unused", attempt=Attempt(io.time - 60, "another process")))
    assert run(through_store(io, place, CHAIN)).access_token == "a"
    assert (kept_in(place).refresh_token, kept_in(place).attempt) == ("next", None)


@pytest.mark.parametrize("answer", [response(200, ""), CONSUMED, unreachable()], ids=["revoked", "refused", "away"])
def test_a_new_sign_in_revokes_the_former_refresh_token(answer: Answer, caplog: pytest.LogCaptureFixture) -> None:
    io, place = ManualIO(lambda _request: answer), store_entry(Dictionary())
    place.put(Record(refresh_token="former-token"))
    for _ in range(2):
        run(keep_sign_in(io, place, CHAIN, Issued(Token("new", io.time, 100), "next"), None))
    assert kept_in(place).refresh_token == "next"
    # The second sign-in brought the same one.
    (request,) = io.requests
    assert request.url == CHAIN.revocation_url
    assert parse_qs((request.body or b"").decode())["token"] == ["former-token"]
    assert ("could not be revoked" in caplog.text) is (answer is CONSUMED or not isinstance(answer, Response))
    assert "former-token" not in caplog.text


def test_a_store_that_never_takes_the_new_refresh_token_is_given_up_with_the_step_that_repairs_it() -> None:
    backend = Dictionary()

    def renew(_request: Request) -> Response:
        backend.kept_is_full = True
        return RENEWED

    io = ManualIO(renew)
    said = r"could not be stored.*used up.*login --oac-conn-id oac_default"
    with pytest.raises(OACTokenStoreError, match=said) as caught:
        run(through_store(io, store_entry(backend), CHAIN))
    assert "next" not in str(caught.value).split()
    assert 20 < sum(io.slept) < 60
    assert len(io.requests) == 1


@pytest.mark.parametrize("works", [True, False])
def test_a_task_that_is_told_to_stop_stores_the_new_refresh_token_or_says_that_it_is_lost(
    caplog: pytest.LogCaptureFixture, works: bool
) -> None:
    backend = Dictionary()

    def renew(_request: Request) -> Response:
        backend.kept_is_full = True
        return RENEWED

    class Stopped(ManualIO):
        async def sleep(self, seconds: float) -> None:
            backend.kept_is_full = not works
            raise OACKilledError("The task was told to stop.")

    place = store_entry(backend)
    with pytest.raises(OACKilledError):
        run(through_store(Stopped(renew), place, CHAIN))
    assert (kept_in(place).refresh_token == "next") is works
    assert ("could not be stored" in caplog.text) is not works


def test_who_asks_for_a_new_token_gets_one_although_another_process_renews_at_the_moment() -> None:
    backend = Dictionary()
    backend.locked = True

    class Waiting(ManualIO):
        async def sleep(self, seconds: float) -> None:
            backend.locked = False

    io, place = Waiting(lambda _request: RENEWED), store_entry(backend)
    place.put(Record(refresh_token="first").with_token(Token("former", io.time, 100)))
    assert run(through_store(io, place, CHAIN, past=True)).access_token == "a"


def test_whoever_holds_the_lock_for_ever_is_named() -> None:
    backend, io = Dictionary(), ManualIO()
    backend.locked = True
    with pytest.raises(OACTokenStoreError, match="or that process hangs"):
        run(through_store(io, store_entry(backend), CHAIN))
    assert io.requests == []
    assert sum(io.slept) < 400
