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
from airflow_provider_oac.auth.session import Session
from airflow_provider_oac.auth.settings import AuthSettings
from airflow_provider_oac.auth.shared_store import through_store
from airflow_provider_oac.auth.store import Backend
from airflow_provider_oac.auth.token import Issued
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
from oac_simulator.control import Control
from tests.chains import LOGIN, Dying, Store, chain, in_threads, login, signed_in, started, token_of
from tests.drivers import SignIn, blocking
from tests.integration.servers import unused_port
from tests.redis_server import RedisServer, redis_server


@dataclasses.dataclass
class Chain:
    """A chain of refresh tokens of the simulator, in a store."""

    store: Store
    sign_in: SignIn
    settings: AuthSettings

    @property
    def control(self) -> Control:
        return Control(self.sign_in.ready)

    def asked(self) -> int:
        """How often the domain was asked for a token."""
        return self.control.calls("identity", "token")

    async def is_asked(self) -> None:
        """Wait until the domain was asked; the test's own limit ends this."""
        while not self.asked():
            await asyncio.sleep(0.02)

    def session(self, **wrap: Any) -> Session:
        """A session like one of another process."""
        return self.store.session(self.settings, **wrap)

    def token(self) -> str:
        return token_of(self.session())

    def login(self) -> Issued:
        """Sign in anew, as a person does."""
        issued = signed_in(self.sign_in)
        login(self.store, self.settings, issued)
        return issued

    def goes_on(self) -> None:
        """It can be renewed again and again."""
        assert len({blocking(self.session().renew).access_token for _ in range(3)}) == 3


@pytest.fixture
def kept(tmp_path: Path, sign_in: SignIn) -> Chain:
    """A chain in a folder."""
    return Chain(Store(str(tmp_path / "tokens")), sign_in, chain(sign_in))


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@pytest.fixture
def in_redis(server: RedisServer, sign_in: SignIn) -> Chain:
    """A chain in Redis, where the lease of a process that died ends within a test."""
    return Chain(Store(server.url, lease=1.5), sign_in, chain(sign_in))


class Hindered(Dying):
    """A backend that refuses some writes, and whose lock comes late."""

    def __init__(self, inner: Backend, refused: range = range(2, 3), late: float = 0.3) -> None:
        super().__init__(inner, "never")
        self.refused, self.late = refused, late

    def at(self, act: str, do: Callable[[], Any]) -> Any:
        if act == "acquire":
            time.sleep(self.late)
        return super().at(act, self.refuse if act == "write" and self.counts.get(act, 0) + 1 in self.refused else do)

    def refuse(self) -> None:
        raise OACTokenStoreError("The disk is full.")


# ------------------------------------------------------------------------------------------------ a store in trouble


def corrupted(kept: Chain) -> None:
    Path(kept.store.place, f"{kept.settings.store_key}.token").write_bytes(b"rubbish")


def opened_to_others(kept: Chain) -> None:
    Path(kept.store.place, f"{kept.settings.store_key}.token").chmod(0o644)


def gone(kept: Chain) -> None:
    kept.store = Store(f"redis://127.0.0.1:{unused_port()}/0")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (corrupted, f"cannot be decrypted.*{LOGIN}"),
        (opened_to_others, "has mode 0644.*chmod 600"),
        (gone, "Check that the server runs"),
    ],
)
def test_a_store_in_trouble_is_named_and_costs_a_warning_where_a_credential_brings_tokens(
    spoil: Callable[[Chain], None], says: str, kept: Chain, caplog: pytest.LogCaptureFixture
) -> None:
    credential = dataclasses.replace(kept, settings=kept.sign_in.settings())
    for one in (kept, credential):
        one.token()
        spoil(one)
    for _ in range(3):
        with pytest.raises(OACTokenStoreError, match=says):
            kept.token()
    assert kept.asked() == 2
    with caplog.at_level(logging.WARNING):
        assert credential.token()
    assert [record.name for record in caplog.records if record.levelname == "WARNING"] == [shared_store.__name__]
    assert kept.asked() == 3


@pytest.mark.parametrize("seeded", [True, False])
def test_a_store_that_was_emptied_is_named(seeded: bool, server: RedisServer, in_redis: Chain) -> None:
    in_redis.settings = chain(in_redis.sign_in, seeded=seeded)
    in_redis.token() if seeded else in_redis.login()
    server.restart()
    in_redis.control.reset_counters()
    for _ in range(4):
        with pytest.raises(OACAuthError, match=LOGIN):
            in_redis.token()
    # The seed, which was used before, is tried once; without one there is nothing to try.
    assert in_redis.asked() == int(seeded)
    in_redis.login()
    in_redis.goes_on()


def test_a_full_store_that_recovers_costs_nothing(kept: Chain, caplog: pytest.LogCaptureFixture) -> None:
    token = token_of(kept.session(wrap=lambda backend: Hindered(backend, range(2, 5), 0.0)))
    assert caplog.text.count("Could not store the new refresh token") == 3
    assert (kept.token(), kept.asked()) == (token, 1)
    kept.goes_on()


def test_six_at_once_share_one_refusal(kept: Chain) -> None:
    kept.control.fault("token", "consumed_token", times=None)
    said = in_threads([kept.session() for _ in range(6)])
    assert all(LOGIN in text for text in said)
    assert kept.asked() == 1
    # A person who tests the Connection asks anew.
    with pytest.raises(OACAuthError):
        blocking(kept.session().renew)
    assert kept.asked() == 2


def test_a_refusal_is_not_hidden_by_a_store_that_fails_as_well(server: RedisServer, in_redis: Chain) -> None:
    in_redis.control.fault("token", "consumed_token", seconds=1.0)
    with ThreadPoolExecutor(1) as pool:
        renewing = pool.submit(in_redis.token)
        asyncio.run(in_redis.is_asked())
        server.kill()
        with pytest.raises(OACAuthError, match=f"already been consumed.*{LOGIN}"):
            renewing.result(60)


# ------------------------------------------------------------------------------------------------- whose chain it is


def test_somebody_elses_sign_in_is_refused(kept: Chain) -> None:
    kept.settings = chain(kept.sign_in, user="oac.author@example.com")
    whose = r"belongs to oac\.admin@example\.com, .*user is oac\.author@example\.com"
    for _ in range(3):
        with pytest.raises(OACConfigurationError, match=whose):
            kept.token()
    assert kept.asked() == 1
    with pytest.raises(OACConfigurationError, match=whose):
        kept.login()


@pytest.mark.parametrize("forgotten", [False, True])
def test_a_new_login_while_others_renew_wins(forgotten: bool, in_redis: Chain) -> None:
    """It waits for the lock; where Redis forgot that, the renewal leaves in place what it finds."""
    issued = signed_in(in_redis.sign_in)
    in_redis.control.fault("token", "delay", seconds=1.0)
    with ThreadPoolExecutor(2) as pool:
        renewing = pool.submit(in_redis.token)
        asyncio.run(in_redis.is_asked())
        if forgotten:
            lock = f"airflow-provider-oac:lock:{in_redis.settings.store_key}"
            redis.Redis.from_url(in_redis.store.place).delete(lock)
        login(in_redis.store, in_redis.settings, issued)
        assert renewing.result(60)
    assert in_redis.store.record(in_redis.settings).refresh_token == issued.refresh_token
    assert in_redis.token() == issued.token.access_token
    in_redis.goes_on()


# ---------------------------------------------------------------------------------------------------- lost responses


def says_how_to_repair(kept: Chain, lost_by: str) -> None:
    """Every task hears what happened and which command repairs it; the first one alone asks the domain. A person who
    signs in anew repairs it."""
    before, said = kept.asked(), []
    for _ in range(3):
        with pytest.raises(OACAuthError, match=f"(?s){lost_by}.*lost.*{LOGIN}") as caught:
            kept.token()
        assert (caught.value.error, caught.value.status, caught.value.retryable) == ("invalid_grant", 400, False)
        said.append(str(caught.value))
    assert "The next request is sent in" in said[1]
    assert kept.asked() - before <= 1
    kept.login()
    kept.goes_on()


@pytest.mark.parametrize("kind", ["kept", "in_redis"])
def test_killed_between_answer_and_store_what_repairs_it_is_said(kind: str, request: pytest.FixtureRequest) -> None:
    kept: Chain = request.getfixturevalue(kind)
    process = started(kept.store, kept.settings, "before write 2", on_a_loop=kind == "in_redis")
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert kept.control.counters()["issued"] == {"refresh_token": 1}
    says_how_to_repair(kept, rf"renewal that began at .* UTC in process {process.pid} on ")


def test_a_lost_reply_is_named(kept: Chain) -> None:
    kept.control.fault("token", "drop_after")
    with pytest.raises(OACAuthError, match=f"response.*lost.*{LOGIN}"):
        kept.token()
    assert kept.asked() == 2
    says_how_to_repair(kept, "")


def aged(kept: Chain, seconds: float) -> None:
    """Let the store's access token be older."""
    record = kept.store.record(kept.settings)
    older = dataclasses.replace(record, obtained_at=record.obtained_at - seconds)
    kept.store.store_entry(kept.settings).put(older)


def test_a_lost_reply_of_an_early_renewal_is_named_once_it_matters(kept: Chain) -> None:
    first = kept.token()
    aged(kept, 80)
    kept.control.fault("token", "drop_after")
    session = kept.session()
    session._entry.token = kept.store.record(kept.settings).token
    assert token_of(session) == first
    aged(kept, 80)
    says_how_to_repair(kept, "renewal that began at .* in process")


@pytest.mark.parametrize(
    ("fault", "rotation"), [({"fault": "drop_before"}, "reuse"), ({"fault": "status", "status": 503}, "omit")]
)
def test_passing_failures_cost_nothing_but_time(fault: dict[str, Any], rotation: str, kept: Chain) -> None:
    kept.control.settings(refresh_rotation=rotation)
    kept.control.fault("token", **fault, times=2)
    assert kept.token()
    assert kept.asked() == 3
    kept.goes_on()


def test_a_pause_that_outlasts_the_lease_loses_nothing(in_redis: Chain) -> None:
    """The lock is gone by then: the renewal begins anew, with the latest refresh token."""
    in_redis.control.fault("token", "status", status=429, headers={"Retry-After": "2"})
    assert in_redis.token()
    assert in_redis.asked() == 2
    in_redis.goes_on()


def test_a_renewal_that_never_reached_the_domain_is_not_blamed(kept: Chain) -> None:
    away = dataclasses.replace(kept.settings, identity_url=f"http://127.0.0.1:{unused_port()}")
    with pytest.raises(OACTransportError):
        blocking(lambda io: through_store(io, kept.store.store_entry(kept.settings), away, ONCE))
    assert kept.store.record(kept.settings).attempt is None
    kept.goes_on()


# ------------------------------------------------------------------------------------------------------ cancellation


async def cancelled(session: Session, when: Awaitable[Any], times: int = 1) -> None:
    """Begin a renewal and cancel it, some times, at a moment."""
    io = AsyncIO()
    renewing = asyncio.ensure_future(session.token(io))
    await when
    for _ in range(times):
        renewing.cancel()
        await asyncio.sleep(0.05)
    with pytest.raises(asyncio.CancelledError):
        await renewing
    await io.close()


@pytest.mark.parametrize("times", [1, 2])
def test_a_cancelled_trigger_loses_nothing(times: int, kept: Chain) -> None:
    kept.control.fault("token", "delay_after", seconds=0.6)
    asyncio.run(cancelled(kept.session(), kept.is_asked(), times))
    assert kept.token()
    assert kept.asked() == 1
    kept.goes_on()


@pytest.mark.parametrize("uses_refresh_token", [False, True])
def test_a_trigger_that_is_cancelled_while_it_takes_the_lock_gives_it_back(
    uses_refresh_token: bool, kept: Chain
) -> None:
    if not uses_refresh_token:
        kept.settings = kept.sign_in.settings()
    asyncio.run(cancelled(kept.session(wrap=Hindered), asyncio.sleep(0.15)))
    lock = kept.store.store_entry(kept.settings).lock
    assert lock.acquire()
    lock.release()


class Terminated(Exception):
    """What a handler of a signal raises: Airflow's timeout of a task, or Airflow 2's end of one."""


def test_a_task_that_is_terminated_in_the_middle_finishes_its_renewal(kept: Chain) -> None:
    kept.control.fault("token", "delay_after", seconds=1.0)

    def terminate(*_: object) -> None:
        raise Terminated

    before = signal.signal(signal.SIGUSR1, terminate)
    timer = threading.Timer(0.4, os.kill, (os.getpid(), signal.SIGUSR1))
    timer.start()
    try:
        with pytest.raises(Terminated):
            kept.token()
    finally:
        timer.cancel()
        signal.signal(signal.SIGUSR1, before)
    kept.goes_on()


def test_a_killed_task_still_keeps_what_its_renewal_brought(kept: Chain) -> None:
    killed = BlockingIO(stopped=lambda: True)
    with pytest.raises(OACKilledError):
        run(kept.session(wrap=Hindered).token(killed))
    killed.close()
    kept.goes_on()
