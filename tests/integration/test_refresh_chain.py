"""A chain of refresh tokens when something fails, dies or gets lost: it lives on, or what repairs it is said.

Deaths at all other points are those of tests/universes.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis

from airflow_provider_oac.auth import shared_store
from airflow_provider_oac.auth.settings import AuthSettings
from airflow_provider_oac.auth.shared_store import through_store
from airflow_provider_oac.auth.store import Backend
from airflow_provider_oac.exceptions import (
    OACAuthError,
    OACConfigurationError,
    OACKilledError,
    OACTokenStoreError,
    OACTransportError,
)
from airflow_provider_oac.transport.asynchronous import AsyncIO
from airflow_provider_oac.transport.blocking import BlockingIO, run
from airflow_provider_oac.transport.retry import ONCE
from oac_simulator.launch import Simulator
from tests.chains import LOGIN, Dying, Store, chain, in_threads, login, signed_in, started, token_of
from tests.drivers import SignIn, blocking
from tests.integration.servers import unused_port
from tests.redis_server import RedisServer, redis_server


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "tokens"))


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


def goes_on(store: Store, settings: AuthSettings) -> None:
    """The chain can be renewed again and again."""
    assert len({blocking(store.session(settings).renew).access_token for _ in range(3)}) == 3


async def at_the_domain(simulator: Simulator) -> None:
    """Wait until the domain was asked; the test's own limit ends this."""
    while not simulator.control.calls("identity", "token"):
        await asyncio.sleep(0.02)


class Hindered(Dying):
    """A backend that refuses some writes, and whose lock comes late."""

    def __init__(self, inner: Backend, refused: range = range(2, 3), late: float = 0.3) -> None:
        super().__init__(inner, "never")
        self.refused, self.late = refused, late

    def at(self, act: str, do: Callable[[], Any]) -> Any:
        if act == "acquire":
            time.sleep(self.late)
        result = do if act != "write" or self.counts.get(act, 0) + 1 not in self.refused else self.refuse
        return super().at(act, result)

    def refuse(self) -> None:
        raise OACTokenStoreError("The disk is full.")


# ------------------------------------------------------------------------------------------------ a store in trouble


def corrupted(store: Store, settings: AuthSettings) -> Store:
    Path(store.place, f"{settings.store_key}.token").write_bytes(b"rubbish")
    return store


def opened_to_others(store: Store, settings: AuthSettings) -> Store:
    Path(store.place, f"{settings.store_key}.token").chmod(0o644)
    return store


def gone(store: Store, settings: AuthSettings) -> Store:
    return Store(f"redis://127.0.0.1:{unused_port()}/0")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (corrupted, f"cannot be decrypted.*{LOGIN}"),
        (opened_to_others, "has mode 0644.*chmod 600"),
        (gone, "Check that the server runs"),
    ],
)
def test_a_store_in_trouble_is_named_and_costs_only_a_warning_where_a_credential_brings_tokens(
    spoil: Callable[[Store, AuthSettings], Store], says: str, store: Store, sign_in: SignIn, clean: Simulator,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    settings = chain(sign_in)
    token_of(store.session(settings))
    for _ in range(3):
        with pytest.raises(OACTokenStoreError, match=says):
            blocking(spoil(store, settings).session(settings).token)
    assert clean.control.calls("identity", "token") == 1
    settings = sign_in.settings()
    token_of(store.session(settings))
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        assert token_of(spoil(store, settings).session(settings))
    assert [record.name for record in caplog.records if record.levelname == "WARNING"] == [shared_store.__name__]
    assert clean.control.calls("identity", "token") == 3


@pytest.mark.parametrize("seeded", [True, False])
def test_a_store_that_was_emptied_is_named(
    seeded: bool, server: RedisServer, sign_in: SignIn, clean: Simulator
) -> None:
    settings, store = chain(sign_in, seeded=seeded), Store(server.url)
    login(store, settings, signed_in(sign_in)) if not seeded else token_of(store.session(settings))
    server.restart()
    clean.control.reset_counters()
    for _ in range(4):
        with pytest.raises(OACAuthError, match=LOGIN):
            token_of(store.session(settings))
    # The seed, which was used before, is tried once; without one there is nothing to try.
    assert clean.control.calls("identity", "token") == int(seeded)
    login(store, settings, signed_in(sign_in))
    goes_on(store, settings)


def test_a_full_store_that_recovers_costs_nothing(
    store: Store, sign_in: SignIn, clean: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    settings = chain(sign_in)
    token = token_of(store.session(settings, lambda backend: Hindered(backend, range(2, 5), 0.0)))
    assert caplog.text.count("Could not store the new refresh token") == 3
    assert token_of(store.session(settings)) == token
    assert clean.control.calls("identity", "token") == 1
    goes_on(store, settings)


def test_six_at_once_share_one_refusal(store: Store, sign_in: SignIn, clean: Simulator) -> None:
    settings = chain(sign_in)
    clean.control.fault("token", "consumed_token", times=None)
    said = in_threads([store.session(settings) for _ in range(6)])
    assert all(LOGIN in text for text in said)
    assert clean.control.calls("identity", "token") == 1
    # A person who tests the Connection asks anew.
    with pytest.raises(OACAuthError):
        blocking(store.session(settings).renew)
    assert clean.control.calls("identity", "token") == 2


def test_a_refusal_is_not_hidden_by_a_store_that_fails_as_well(
    server: RedisServer, sign_in: SignIn, clean: Simulator
) -> None:
    session = Store(server.url).session(chain(sign_in))
    clean.control.fault("token", "consumed_token", seconds=1.0)
    with ThreadPoolExecutor(1) as pool:
        renewing = pool.submit(token_of, session)
        asyncio.run(at_the_domain(clean))
        server.kill()
        with pytest.raises(OACAuthError, match=f"already been consumed.*{LOGIN}"):
            renewing.result(60)


# ------------------------------------------------------------------------------------------------- whose chain it is


def test_somebody_elses_sign_in_is_refused(store: Store, sign_in: SignIn, clean: Simulator) -> None:
    settings = chain(sign_in, user="oac.author@example.com")
    for _ in range(3):
        with pytest.raises(
            OACConfigurationError, match=r"belongs to oac\.admin@example\.com, .*user is oac\.author@example\.com"
        ):
            token_of(store.session(settings))
    assert clean.control.calls("identity", "token") == 1
    with pytest.raises(OACConfigurationError, match="belongs to"):
        login(store, settings, signed_in(sign_in))


@pytest.mark.parametrize("forgotten", [False, True])
def test_a_new_login_while_others_renew_wins(
    forgotten: bool, server: RedisServer, sign_in: SignIn, clean: Simulator
) -> None:
    """It waits for the lock; where Redis forgot that, the renewal leaves in place what it finds."""
    settings, store = chain(sign_in), Store(server.url)
    issued = signed_in(sign_in)
    clean.control.fault("token", "delay", seconds=1.0)
    with ThreadPoolExecutor(2) as pool:
        renewing = pool.submit(token_of, store.session(settings))
        asyncio.run(at_the_domain(clean))
        if forgotten:
            redis.Redis.from_url(server.url).delete(f"airflow-provider-oac:lock:{settings.store_key}")
        login(store, settings, issued)
        assert renewing.result(60)
    assert store.record(settings).refresh_token == issued.refresh_token
    assert token_of(store.session(settings)) == issued.token.access_token
    goes_on(store, settings)


# ---------------------------------------------------------------------------------------------------- lost responses


def says_how_to_repair(store: Store, settings: AuthSettings, lost_by: str, sign_in: SignIn, clean: Simulator) -> None:
    """Every task hears what happened and which command repairs it; the first one alone asks the domain. A person who
    signs in anew repairs it."""
    before = clean.control.calls("identity", "token")
    said = []
    for _ in range(3):
        with pytest.raises(OACAuthError, match=f"(?s){lost_by}.*lost.*{LOGIN}") as caught:
            token_of(store.session(settings))
        assert (caught.value.error, caught.value.status, caught.value.retryable) == ("invalid_grant", 400, False)
        said.append(str(caught.value))
    assert "The next request is sent in" in said[1]
    assert clean.control.calls("identity", "token") - before <= 1
    login(store, settings, signed_in(sign_in))
    goes_on(store, settings)


@pytest.mark.parametrize("kind", ["file", "redis"])
def test_killed_between_answer_and_store_what_repairs_it_is_said(
    kind: str, store: Store, request: pytest.FixtureRequest, sign_in: SignIn, clean: Simulator
) -> None:
    if kind == "redis":
        # The lease of a process that died ends within a test.
        store = Store(request.getfixturevalue("server").url, lease=1.5)
    settings = chain(sign_in)
    process = started(store, settings, "before write 2", on_a_loop=kind == "redis")
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert clean.control.counters()["issued"] == {"refresh_token": 1}
    lost_by = rf"renewal that began at .* UTC in process {process.pid} on "
    says_how_to_repair(store, settings, lost_by, sign_in, clean)


def test_a_lost_reply_is_named(store: Store, sign_in: SignIn, clean: Simulator) -> None:
    settings = chain(sign_in)
    clean.control.fault("token", "drop_after")
    with pytest.raises(OACAuthError, match=f"answer.*lost.*{LOGIN}|lost.*answer.*{LOGIN}"):
        token_of(store.session(settings))
    assert clean.control.calls("identity", "token") == 2
    says_how_to_repair(store, settings, "", sign_in, clean)


def aged(store: Store, settings: AuthSettings, seconds: float) -> None:
    """Let the store's access token be older."""
    record = store.record(settings)
    store.store_entry(settings).put(dataclasses.replace(record, obtained_at=record.obtained_at - seconds))


def test_a_lost_reply_of_an_early_renewal_is_named_once_it_matters(
    store: Store, sign_in: SignIn, clean: Simulator
) -> None:
    settings = chain(sign_in)
    first = token_of(store.session(settings))
    aged(store, settings, 80)
    clean.control.fault("token", "drop_after")
    session = store.session(settings)
    session._entry.token = store.record(settings).token
    assert token_of(session) == first
    aged(store, settings, 80)
    says_how_to_repair(store, settings, "renewal that began at .* in process", sign_in, clean)


@pytest.mark.parametrize(("fault", "rotation"), [("drop_before", "reuse"), ("status", "omit")])
def test_passing_failures_cost_nothing_but_time(
    fault: str, rotation: str, store: Store, sign_in: SignIn, clean: Simulator
) -> None:
    settings = chain(sign_in)
    clean.control.settings(refresh_rotation=rotation)
    clean.control.fault("token", fault, times=2, **({"status": 503} if fault == "status" else {}))
    assert token_of(store.session(settings))
    assert clean.control.calls("identity", "token") == 3
    goes_on(store, settings)


def test_a_pause_that_outlasts_the_lease_loses_nothing(server: RedisServer, sign_in: SignIn, clean: Simulator) -> None:
    """The lock is gone by then: the renewal begins anew, with the latest refresh token."""
    settings, store = chain(sign_in), Store(server.url, lease=1.5)
    clean.control.fault("token", "status", status=429, headers={"Retry-After": "2"})
    assert token_of(store.session(settings))
    assert clean.control.calls("identity", "token") == 2
    goes_on(store, settings)


def test_a_renewal_that_never_reached_the_domain_is_not_blamed(store: Store, sign_in: SignIn) -> None:
    settings = chain(sign_in)
    away = dataclasses.replace(settings, identity_url=f"http://127.0.0.1:{unused_port()}")
    with pytest.raises(OACTransportError):
        blocking(lambda io: through_store(io, store.store_entry(settings), away, ONCE))
    assert store.record(settings).attempt is None
    goes_on(store, settings)


# ------------------------------------------------------------------------------------------------------ cancellation


async def cancelled(flow: Callable[[AsyncIO], Awaitable[Any]], when: Awaitable[Any], times: int = 1) -> None:
    """Begin a renewal and cancel it, some times, at a moment."""
    io = AsyncIO()
    try:
        renewing = asyncio.ensure_future(flow(io))
        await when
        for _ in range(times):
            renewing.cancel()
            await asyncio.sleep(0.05)
        with pytest.raises(asyncio.CancelledError):
            await renewing
    finally:
        await io.close()


@pytest.mark.parametrize("times", [1, 2])
def test_a_cancelled_trigger_loses_nothing(times: int, store: Store, sign_in: SignIn, clean: Simulator) -> None:
    settings = chain(sign_in)
    clean.control.fault("token", "delay_after", seconds=0.6)
    asyncio.run(cancelled(store.session(settings).token, at_the_domain(clean), times))
    assert token_of(store.session(settings))
    assert clean.control.calls("identity", "token") == 1
    goes_on(store, settings)


@pytest.mark.parametrize("uses_refresh_token", [False, True])
def test_a_trigger_that_is_cancelled_while_it_takes_the_lock_gives_it_back(
    uses_refresh_token: bool, store: Store, sign_in: SignIn
) -> None:
    settings = chain(sign_in) if uses_refresh_token else sign_in.settings()
    asyncio.run(cancelled(store.session(settings, Hindered).token, asyncio.sleep(0.15)))
    lock = store.store_entry(settings).lock
    assert lock.acquire()
    lock.release()


class Terminated(Exception):
    """What a handler of a signal raises: Airflow's timeout of a task, or Airflow 2's end of one."""


def test_a_task_that_is_terminated_in_the_middle_finishes_its_renewal(
    store: Store, sign_in: SignIn, clean: Simulator
) -> None:
    settings = chain(sign_in)
    clean.control.fault("token", "delay_after", seconds=1.0)

    def terminate(*_: object) -> None:
        raise Terminated

    before = signal.signal(signal.SIGUSR1, terminate)
    timer = threading.Timer(0.4, os.kill, (os.getpid(), signal.SIGUSR1))
    timer.start()
    try:
        with pytest.raises(Terminated):
            token_of(store.session(settings))
    finally:
        timer.cancel()
        signal.signal(signal.SIGUSR1, before)
    goes_on(store, settings)


def test_a_killed_task_still_keeps_what_its_renewal_brought(store: Store, sign_in: SignIn) -> None:
    settings = chain(sign_in)
    killed = BlockingIO(stopped=lambda: True)
    with pytest.raises(OACKilledError):
        run(store.session(settings, Hindered).token(killed))
    killed.close()
    goes_on(store, settings)
