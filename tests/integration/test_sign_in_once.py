"""One renewal at a time, whoever asks: threads, coroutines, and what they share when it fails."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_provider_oac.auth.session import MemoryStore, Session
from airflow_provider_oac.auth.token import Freshness
from airflow_provider_oac.client.api import Api
from airflow_provider_oac.client.rest import system
from airflow_provider_oac.exceptions import OACAuthError, OACKilledError
from airflow_provider_oac.transport.asynchronous import AsyncIO
from airflow_provider_oac.transport.blocking import BlockingIO, run
from oac_simulator.launch import Simulator
from tests.drivers import SignIn
from tests.unit.auth import keys_forms as forms

Ask = Callable[..., list[str | BaseException]]
THREADS, COROUTINES, WAITERS = 20, 200, 50


def in_threads(sign_in: SignIn, store: MemoryStore, count: int, **changes: str) -> list[str | BaseException]:
    """Ask for a token in threads that begin at one instant, each with a session and a driver of its own."""
    begin = threading.Barrier(count)
    settings = sign_in.settings(**changes)

    def ask(_number: int) -> str | BaseException:
        io = BlockingIO()
        session = Session(settings, store)
        begin.wait(30)
        try:
            return run(session.token(io)).access_token
        except OACAuthError as error:
            return error
        finally:
            io.close()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(ask, range(count)))


def in_coroutines(sign_in: SignIn, store: MemoryStore, count: int, **changes: str) -> list[str | BaseException]:
    """Ask for a token in coroutines on one loop, each with a session of its own."""
    settings = sign_in.settings(**changes)

    async def whole() -> list[str | BaseException]:
        io = AsyncIO()
        try:
            flows = (Session(settings, store).token(io) for _ in range(count))
            tokens = await asyncio.gather(*flows, return_exceptions=True)
        finally:
            await io.close()
        return [token if isinstance(token, BaseException) else token.access_token for token in tokens]

    return asyncio.run(whole())


@pytest.mark.parametrize(("ask", "count"), [(in_threads, THREADS), (in_coroutines, COROUTINES)])
class TestSingleFlight:
    def test_many_that_need_a_token_lead_to_one_call(
        self, ask: Ask, count: int, sign_in: SignIn, clean: Simulator
    ) -> None:
        # Long enough for all of them to come while the one call is under way.
        clean.control.fault("token", "delay", seconds=0.3)
        tokens = ask(sign_in, MemoryStore(), count)
        assert len(tokens) == count
        assert len(set(tokens)) == 1
        assert isinstance(tokens[0], str)
        assert clean.control.calls("identity", "token") == 1

    def test_a_refusal_is_shared_by_all_who_waited_for_it(
        self, ask: Ask, count: int, sign_in: SignIn, clean: Simulator
    ) -> None:
        # Whoever came after it had failed would ask anew, and rightly so.
        clean.control.fault("token", "delay", seconds=1.0)
        errors = ask(sign_in, MemoryStore(), min(count, WAITERS), private_key=forms.pem("PKCS#8"))
        assert {type(error) for error in errors} == {OACAuthError}
        assert len({str(error) for error in errors}) == 1
        # Each has an exception of its own: tracebacks of threads do not mix.
        assert len({id(error) for error in errors}) == len(errors)
        assert clean.control.calls("identity", "token") == 1

    def test_different_users_get_different_tokens(
        self, ask: Ask, count: int, sign_in: SignIn, clean: Simulator
    ) -> None:
        store = MemoryStore()
        first, other = (
            ask(sign_in, store, 4, user=user) for user in ("oac.admin@example.com", "oac.author@example.com")
        )
        assert len({*first, *other}) == 2
        assert clean.control.calls("identity", "token") == 2


def test_threads_and_coroutines_share_one_call(sign_in: SignIn, clean: Simulator) -> None:
    store = MemoryStore()
    clean.control.fault("token", "delay", seconds=0.5)
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(ask, sign_in, store, 5) for ask in (in_threads, in_coroutines)]
        tokens = [token for future in both for token in future.result(60)]
    assert len(tokens) == 10
    assert len(set(tokens)) == 1
    assert clean.control.calls("identity", "token") == 1


def test_a_cancelled_trigger_that_renews_lets_another_renew(sign_in: SignIn, clean: Simulator) -> None:
    clean.control.fault("token", "delay", seconds=30)

    async def whole() -> str:
        io, session = AsyncIO(), sign_in.session()
        try:
            renewing = asyncio.ensure_future(session.token(io))
            while clean.control.calls("identity", "token") == 0:
                await asyncio.sleep(0.01)
            waiting = asyncio.ensure_future(session.token(io))
            await asyncio.sleep(0)
            renewing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await renewing
            return (await waiting).access_token
        finally:
            await io.close()

    assert asyncio.run(whole())
    assert clean.control.calls("identity", "token") == 2


def test_a_killed_task_that_waits_for_anothers_renewal_stops(sign_in: SignIn, clean: Simulator) -> None:
    clean.control.fault("token", "delay", seconds=1.0)
    session, io = sign_in.session(), BlockingIO()
    with ThreadPoolExecutor(1) as pool:
        renewing = pool.submit(lambda: run(session.token(io)))
        while clean.control.calls("identity", "token") == 0:
            threading.Event().wait(0.01)
        with pytest.raises(OACKilledError):
            run(session.token(BlockingIO(stopped=lambda: True)))
        assert renewing.result(30).access_token
    io.close()
    assert clean.control.calls("identity", "token") == 1


def test_short_tokens_are_renewed_without_a_failed_call(sign_in: SignIn, clean: Simulator) -> None:
    """Real calls all the time, until the first token is dead: the resource server never sees a dead one.

    Its life ends up to a second early, since `exp` counts whole seconds; the margin of a 5 s token bears that.
    """
    clean.control.settings(access_token_ttl=5)
    session, io = sign_in.session(), BlockingIO()

    async def calls() -> int:
        api, made = Api(io, sign_in.url(), session), 0
        first = await session.token(io)
        while first.freshness(io.now()) is not Freshness.EXPIRED:
            await api.perform(system.get())
            await io.sleep(0.02)
            made += 1
        await api.perform(system.get())
        return made + 1

    made = run(calls())
    io.close()
    counters = clean.control.counters()
    assert counters["replies"]["dev"] == {"200": made}
    assert counters["issued"]["jwt-bearer"] == counters["calls"]["identity"]["token"] == 2
