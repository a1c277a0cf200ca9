"""One renewal at a time, whoever asks: threads, coroutines, and what they share when it fails."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_provider_oac.auth.session import MemoryStore, Session
from airflow_provider_oac.auth.settings import AuthSettings
from airflow_provider_oac.exceptions import OACAuthError, OACKilledError
from airflow_provider_oac.transport.asynchronous import AsyncIO
from airflow_provider_oac.transport.blocking import BlockingIO, run
from oac_simulator.launch import Simulator
from tests.drivers import SignIn, blocking
from tests.unit.auth import keys_forms as forms

THREADS, COROUTINES = 20, 100


def tokens(settings: AuthSettings) -> list[str | BaseException]:
    """Ask for a token at one instant, in threads and in coroutines on one loop, each with a session of its own."""
    store, begin = MemoryStore(), threading.Barrier(THREADS + 1)

    def ask(_number: int) -> str | BaseException:
        session = Session(settings, store)
        begin.wait(30)
        try:
            return blocking(session.token).access_token
        except OACAuthError as error:
            return error

    async def ask_on_a_loop() -> list[str | BaseException]:
        io, sessions = AsyncIO(), [Session(settings, store) for _ in range(COROUTINES)]
        begin.wait(30)
        try:
            found = await asyncio.gather(*(session.token(io) for session in sessions), return_exceptions=True)
        finally:
            await io.close()
        return [token if isinstance(token, BaseException) else token.access_token for token in found]

    with ThreadPoolExecutor(THREADS) as pool:
        in_threads = pool.map(ask, range(THREADS))
        return [*asyncio.run(ask_on_a_loop()), *in_threads]


def test_many_that_need_a_token_lead_to_one_call(sign_in: SignIn, clean: Simulator) -> None:
    # Long enough for all of them to come while the one call is under way.
    clean.control.fault("token", "delay", seconds=0.5)
    found = tokens(sign_in.settings())
    assert len(found) == THREADS + COROUTINES
    assert len(set(found)) == 1
    assert isinstance(found[0], str)
    assert clean.control.calls("identity", "token") == 1


def test_a_refusal_is_shared_by_all_who_waited_for_it(sign_in: SignIn, clean: Simulator) -> None:
    # Whoever came after it had failed would ask anew, and rightly so.
    clean.control.fault("token", "delay", seconds=1.5)
    errors = tokens(sign_in.settings(private_key=forms.pem("PKCS#8")))
    assert {type(error) for error in errors} == {OACAuthError}
    assert len({str(error) for error in errors}) == 1
    # Each has an exception of its own: tracebacks of threads do not mix.
    assert len({id(error) for error in errors}) == len(errors)
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
    session = sign_in.session()
    with ThreadPoolExecutor(1) as pool:
        renewing = pool.submit(blocking, session.token)
        while clean.control.calls("identity", "token") == 0:
            threading.Event().wait(0.01)
        with pytest.raises(OACKilledError):
            run(session.token(BlockingIO(stopped=lambda: True)))
        assert renewing.result(30).access_token
    assert clean.control.calls("identity", "token") == 1
