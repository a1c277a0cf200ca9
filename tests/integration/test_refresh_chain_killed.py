"""Whatever dies or gets lost while a chain of refresh tokens is renewed: it lives on, or what repairs it is said."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_oac.auth.settings import AuthSettings
from airflow_provider_oac.auth.shared_store import through_store
from airflow_provider_oac.auth.store import Backend, Lock
from airflow_provider_oac.exceptions import OACAuthError, OACKilledError, OACTokenStoreError, OACTransportError
from airflow_provider_oac.transport.asynchronous import AsyncIO
from airflow_provider_oac.transport.blocking import BlockingIO, run
from airflow_provider_oac.transport.retry import ONCE
from oac_simulator.launch import Simulator
from tests.chains import LOGIN, Store, chain, login, signed_in, started, token_of
from tests.drivers import Drive, SignIn, blocking
from tests.integration.servers import unused_port
from tests.integration.token_stores import a_store

# All other points are those of tests/universes.
ALIVE, KEPT = ["after write 1"], ["after write 2"]


@pytest.fixture(params=["file", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    # The lease of a process that died ends within a test.
    with a_store(request.param, tmp_path, lease=1.5) as made:
        yield made


@pytest.fixture
def folder_store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "tokens"))


def goes_on(store: Store, settings: AuthSettings) -> None:
    """The chain can be renewed again and again."""
    assert len({blocking(store.session(settings).renew).access_token for _ in range(3)}) == 3


def says_how_to_repair(drive: Drive, store: Store, settings: AuthSettings, lost_by: str, simulator: Simulator) -> None:
    """Every task is told what happened and which command repairs it; the domain is asked by the first one only."""
    before = simulator.control.calls("identity", "token")
    said = []
    for _ in range(3):
        with pytest.raises(OACAuthError) as caught:
            drive(store.session(settings).token)
        assert not caught.value.retryable
        assert (caught.value.error, caught.value.status) == ("invalid_grant", 400)
        said.append(str(caught.value))
    for text in said:
        assert LOGIN in text
        assert re.search(lost_by, text), text
        assert "lost" in text
    assert "The next request is sent in" in said[1]
    assert simulator.control.calls("identity", "token") - before <= 1


def repaired(store: Store, settings: AuthSettings, sign_in: SignIn) -> None:
    """A person signs in anew, and everything works at once."""
    login(store, settings, signed_in(sign_in))
    goes_on(store, settings)


# --------------------------------------------------------------------------------------------- killed processes


@pytest.mark.parametrize("point", ALIVE)
def test_killed_before_anything_was_sent_the_chain_lives(
    point: str, folder_store: Store, sign_in: SignIn, clean: Simulator
) -> None:
    settings = chain(sign_in)
    process = started(folder_store, settings, point, on_a_loop=False)
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert clean.control.calls("identity", "token") == 0
    goes_on(folder_store, settings)


@pytest.mark.parametrize("point", KEPT)
def test_killed_after_the_new_token_was_kept_the_chain_lives(
    point: str, folder_store: Store, sign_in: SignIn, clean: Simulator
) -> None:
    settings = chain(sign_in)
    process = started(folder_store, settings, point, on_a_loop=point != "after write 2")
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    # Nobody has to ask: the access token is there, too.
    assert token_of(folder_store.session(settings))
    assert clean.control.calls("identity", "token") == 1
    goes_on(folder_store, settings)


@pytest.mark.parametrize("on_a_loop", [False, True])
def test_killed_between_answer_and_store_what_repairs_it_is_said(
    on_a_loop: bool, drive: Drive, store: Store, sign_in: SignIn, clean: Simulator
) -> None:
    settings = chain(sign_in)
    process = started(store, settings, "before write 2", on_a_loop)
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert clean.control.counters()["issued"] == {"refresh_token": 1}
    says_how_to_repair(drive, store, settings, rf"renewal that began at .* UTC in process {process.pid} on ", clean)
    repaired(store, settings, sign_in)


def test_killed_while_the_domain_answers_what_repairs_it_is_said(
    store: Store, sign_in: SignIn, clean: Simulator
) -> None:
    settings = chain(sign_in)
    clean.control.fault("token", "delay_after", seconds=15)
    process = started(store, settings, "never", on_a_loop=True)
    while not clean.control.counters()["issued"].get("refresh_token"):
        threading.Event().wait(0.05)
    process.kill()
    process.join(60)
    says_how_to_repair(blocking, store, settings, f"in process {process.pid} on ", clean)
    repaired(store, settings, sign_in)


def aged(store: Store, settings: AuthSettings, seconds: float) -> None:
    """Let the store's access token be older."""
    record = store.record(settings)
    store.store_entry(settings).put(dataclasses.replace(record, obtained_at=record.obtained_at - seconds))


# ------------------------------------------------------------------------------------------------------ lost replies


@pytest.mark.parametrize("fault", ["drop_after", "truncate"])
def test_a_lost_reply_is_named(
    fault: str, drive: Drive, folder_store: Store, sign_in: SignIn, clean: Simulator
) -> None:
    settings = chain(sign_in)
    clean.control.fault("token", fault)
    with pytest.raises(OACAuthError, match="answer") as caught:
        drive(folder_store.session(settings).token)
    assert LOGIN in str(caught.value)
    assert "lost" in str(caught.value)
    assert clean.control.calls("identity", "token") == 2
    says_how_to_repair(drive, folder_store, settings, "lost", clean)
    repaired(folder_store, settings, sign_in)


def test_a_lost_reply_of_an_early_renewal_is_named_once_it_matters(
    drive: Drive, folder_store: Store, sign_in: SignIn, clean: Simulator
) -> None:
    settings = chain(sign_in)
    first = token_of(folder_store.session(settings))
    aged(folder_store, settings, 80)
    clean.control.fault("token", "drop_after")
    session = folder_store.session(settings)
    session._entry.token = folder_store.record(settings).token
    assert drive(session.token).access_token == first
    aged(folder_store, settings, 80)
    says_how_to_repair(drive, folder_store, settings, "renewal that began at .* in process", clean)
    repaired(folder_store, settings, sign_in)


@pytest.mark.parametrize(("fault", "rotation"), [("drop_before", "reuse"), ("status", "omit")])
def test_passing_failures_cost_nothing_but_time(
    fault: str, rotation: str, drive: Drive, folder_store: Store, sign_in: SignIn, clean: Simulator
) -> None:
    settings = chain(sign_in)
    clean.control.settings(refresh_rotation=rotation)
    clean.control.fault("token", fault, times=2, **({"status": 503} if fault == "status" else {}))
    assert drive(folder_store.session(settings).token).access_token
    assert clean.control.calls("identity", "token") == 3
    goes_on(folder_store, settings)


def test_a_pause_that_outlasts_the_lease_loses_nothing(
    drive: Drive, store: Store, sign_in: SignIn, clean: Simulator
) -> None:
    """In Redis the lock is gone by then: the renewal begins anew, with the latest refresh token."""
    settings = chain(sign_in)
    clean.control.fault("token", "status", status=429, headers={"Retry-After": "2"})
    assert drive(store.session(settings).token).access_token
    assert clean.control.calls("identity", "token") == 2
    goes_on(store, settings)


# ------------------------------------------------------------------------------------------------------ cancellation


@pytest.mark.parametrize("times", [1, 2])
def test_a_cancelled_trigger_loses_nothing(times: int, store: Store, sign_in: SignIn, clean: Simulator) -> None:
    settings = chain(sign_in)
    clean.control.fault("token", "delay_after", seconds=0.6)

    async def whole() -> None:
        io = AsyncIO()
        try:
            renewing = asyncio.ensure_future(store.session(settings).token(io))
            while not clean.control.counters()["issued"].get("refresh_token"):
                await asyncio.sleep(0.01)
            for _ in range(times):
                renewing.cancel()
                await asyncio.sleep(0.05)
            with pytest.raises(asyncio.CancelledError):
                await renewing
        finally:
            await io.close()

    asyncio.run(whole())
    assert token_of(store.session(settings))
    assert clean.control.calls("identity", "token") == 1
    goes_on(store, settings)


class Terminated(Exception):
    """What a handler of a signal raises: Airflow's timeout of a task, or Airflow 2's end of one."""


def test_a_task_that_is_terminated_in_the_middle_finishes_its_renewal(
    folder_store: Store, sign_in: SignIn, clean: Simulator
) -> None:
    settings = chain(sign_in)
    clean.control.fault("token", "delay_after", seconds=1.0)

    def terminate(*_: object) -> None:
        raise Terminated

    before = signal.signal(signal.SIGUSR1, terminate)
    timer = threading.Timer(0.4, os.kill, (os.getpid(), signal.SIGUSR1))
    io = BlockingIO()
    try:
        timer.start()
        with pytest.raises(Terminated):
            run(folder_store.session(settings).token(io))
    finally:
        timer.cancel()
        io.close()
        signal.signal(signal.SIGUSR1, before)
    goes_on(folder_store, settings)


class Reluctant(Backend):
    """A store that does not take the first new refresh token, and whose lock comes late."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._writes = 0

    @property
    def where(self) -> str:
        return self._backend.where

    def read(self, name: str) -> bytes | None:
        return self._backend.read(name)

    def delete(self, name: str) -> None:
        self._backend.delete(name)

    def write(self, name: str, sealed: bytes, expected: bytes | None) -> bool:
        self._writes += 1
        if self._writes == 2:
            raise OACTokenStoreError("Not now.")
        return self._backend.write(name, sealed, expected)

    def lock(self, name: str, lease: float) -> Lock:
        lock = self._backend.lock(name, lease)
        acquire = lock.acquire

        def late() -> bool:
            time.sleep(0.3)
            return acquire()

        lock.acquire = late  # type: ignore[method-assign]
        return lock


def test_a_killed_task_still_keeps_what_its_renewal_brought(
    folder_store: Store, sign_in: SignIn, clean: Simulator
) -> None:
    settings = chain(sign_in)
    killed: Any = BlockingIO(stopped=lambda: True)
    with pytest.raises(OACKilledError):
        run(folder_store.session(settings, Reluctant).token(killed))
    killed.close()
    goes_on(folder_store, settings)


@pytest.mark.parametrize("uses_refresh_token", [False, True])
def test_a_trigger_that_is_cancelled_while_it_takes_the_lock_gives_it_back(
    uses_refresh_token: bool, folder_store: Store, sign_in: SignIn
) -> None:
    settings = chain(sign_in) if uses_refresh_token else sign_in.settings()

    async def whole() -> None:
        io = AsyncIO()
        try:
            renewing = asyncio.ensure_future(folder_store.session(settings, Reluctant).token(io))
            await asyncio.sleep(0.15)
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
        finally:
            await io.close()

    asyncio.run(whole())
    store_entry = folder_store.store_entry(settings)
    assert store_entry.lock.acquire()
    store_entry.lock.release()


def test_a_renewal_that_never_reached_the_domain_is_not_blamed(
    drive: Drive, folder_store: Store, sign_in: SignIn
) -> None:
    settings = chain(sign_in)
    away = dataclasses.replace(settings, identity_url=f"http://127.0.0.1:{unused_port()}")
    with pytest.raises(OACTransportError):
        drive(lambda io: through_store(io, folder_store.store_entry(settings), away, ONCE))
    assert folder_store.record(settings).attempt is None
    goes_on(folder_store, settings)
