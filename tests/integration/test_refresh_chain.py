"""Tokens that processes and hosts share through a store: one call for all of them. When something fails, dies or gets
lost, a chain of refresh tokens lives on, or what repairs it is said.

Deaths at all other points are those of tests/universes.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis
from cryptography.fernet import Fernet

from airflow_provider_oac.auth import shared_store
from airflow_provider_oac.auth.session import Session
from airflow_provider_oac.auth.settings import AuthSettings
from airflow_provider_oac.auth.shared_store import through_store
from airflow_provider_oac.auth.store import Backend, Lock
from airflow_provider_oac.auth.store_redis import RedisStore
from airflow_provider_oac.auth.token import Issued
from airflow_provider_oac.client.api import Api
from airflow_provider_oac.client.rest import system
from airflow_provider_oac.exceptions import (
    OACAuthError,
    OACConfigurationError,
    OACKilledError,
    OACTokenStoreError,
    OACTransportError,
)
from airflow_provider_oac.transport.asynchronous import AsyncIO
from airflow_provider_oac.transport.blocking import BlockingIO, run
from airflow_provider_oac.transport.io import IO
from airflow_provider_oac.transport.retry import ONCE
from oac_simulator.control import Control
from oac_simulator.launch import Simulator
from tests.chains import (
    FERNET_KEY,
    LOGIN,
    Store,
    Watched,
    chain,
    in_processes,
    in_threads,
    killed,
    login,
    signed_in,
    token_of,
)  # fmt: skip
from tests.drivers import SignIn, blocking
from tests.integration.servers import unused_port
from tests.redis_server import RedisServer, redis_server
from tests.tasks import oac_connection


@dataclasses.dataclass
class Kept:
    """A sign-in at the simulator that processes share through a store; by default a chain of refresh tokens."""

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
def kept(tmp_path: Path, sign_in: SignIn) -> Kept:
    """A chain in a folder."""
    return Kept(Store(str(tmp_path / "tokens")), sign_in, chain(sign_in))


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@pytest.fixture
def in_redis(server: RedisServer, sign_in: SignIn) -> Kept:
    """A chain in Redis."""
    return Kept(Store(server.url), sign_in, chain(sign_in))


def aged(kept: Kept, seconds: float, lifetime: float | None = None) -> None:
    """Let the store's access token be older."""
    record = kept.store.record(kept.settings)
    older = dataclasses.replace(record, obtained_at=record.obtained_at - seconds, lifetime=lifetime or record.lifetime)
    kept.store.store_entry(kept.settings).put(older)


class Hindered(Watched):
    """A backend that refuses some writes, and whose lock comes late."""

    def __init__(self, inner: Backend, refused: range = range(2, 3), late: float = 0.3) -> None:
        super().__init__(inner)
        self.refused, self.late = refused, late

    def before_write(self) -> None:
        if self.writes in self.refused:
            raise OACTokenStoreError("The disk is full.")

    def lock(self, name: str, lease: float) -> Lock:
        lock = super().lock(name, lease)
        acquire = lock.acquire

        def late() -> bool:
            time.sleep(self.late)
            return acquire()

        lock.acquire = late  # type: ignore[method-assign]
        return lock


# ------------------------------------------------------------------------------------------------ what is shared


@pytest.fixture(params=["kept", "in_redis"], ids=["file", "redis"])
def chain_in_a_store(request: pytest.FixtureRequest) -> Kept:
    kept: Kept = request.getfixturevalue(request.param)
    return kept


@pytest.fixture(params=["jwt_assertion", "refresh_token"])
def shared(request: pytest.FixtureRequest, chain_in_a_store: Kept) -> Kept:
    """Each kind of sign-in in each kind of store."""
    if request.param == "jwt_assertion":
        chain_in_a_store.settings = chain_in_a_store.sign_in.settings()
    return chain_in_a_store


def test_four_processes_of_four_at_once_make_one_call_and_lose_nothing(shared: Kept) -> None:
    shared.control.fault("token", "delay", seconds=0.5)
    tokens = in_processes(shared.store, shared.settings, processes=4, each=4)
    assert (len(tokens), len(set(tokens)), shared.asked()) == (16, 1, 1), set(tokens)
    shared.goes_on()
    assert shared.control.counters()["replies"]["identity"] == {"200": 4}


def test_a_refusal_by_oac_leads_to_a_new_token_although_the_stores_is_fresh(shared: Kept) -> None:
    sessions = [shared.session() for _ in range(3)]

    def called(session: Session) -> str:
        async def flow(io: IO) -> str:
            await Api(io, shared.sign_in.url(), session).perform(system.get())
            return (await session.token(io)).access_token

        return blocking(flow)

    (first,) = {called(session) for session in sessions[:2]}
    shared.control.end_tokens()
    # The first makes a new one; the second, whose memory has the old one, and a third take that.
    (second,) = {called(session) for session in sessions}
    assert first != second
    assert shared.asked() == 2


def test_a_stale_token_is_renewed_by_one_and_used_by_the_others(shared: Kept) -> None:
    shared.control.settings(access_token_ttl=3)
    first = shared.token()
    shared.control.fault("token", "delay", seconds=1.0)
    sessions = [shared.session() for _ in range(6)]
    aged(shared, 80, lifetime=100.0)
    tokens = in_threads(sessions)
    assert (tokens.count(first), len(set(tokens)), shared.asked()) == (5, 2, 2)


# What reads keys and signs.
SIGNING = {f"airflow_provider_oac.auth.{name}" for name in ("grants", "keys")}
PROCESS = """
import sys
from airflow_provider_oac.client.rest import system
from airflow_provider_oac.exceptions import OACError
from airflow_provider_oac.hooks.oac import OACHook
try:
    print("SAID", OACHook().run(system.get()).service_instance_key)
except OACError as error:
    print("SAID", type(error).__name__, error)
print("LOADED", *(name for name in sys.modules if name.startswith("airflow_provider_oac.auth.")))
"""


def process(folder: Path, connection: dict[str, Any], **environment: str) -> tuple[str, set[str]]:
    """What a worker with a disk of its own says when it calls OAC, and which of our modules for signing in it loads."""
    folder.mkdir(exist_ok=True)
    home = dict.fromkeys(("AIRFLOW_HOME", "HOME", "TMPDIR"), str(folder))
    home["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = f"sqlite:///{folder}/airflow.db"
    known = {"AIRFLOW__CORE__FERNET_KEY": FERNET_KEY, "AIRFLOW_CONN_OAC_DEFAULT": json.dumps(connection)}
    environment = {**os.environ, **home, **known, **environment}
    command = [sys.executable, "-c", PROCESS]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180)
    lines = dict(line.split(" ", 1) for line in done.stdout.splitlines() if line.startswith(("SAID ", "LOADED ")))
    assert set(lines) == {"SAID", "LOADED"}, done.stdout + done.stderr
    return lines["SAID"], set(lines["LOADED"].split())


def test_a_task_whose_token_is_kept_loads_nothing_that_signs(clean: Simulator, tmp_path: Path) -> None:
    for expected in (SIGNING, set()):
        said, loaded = process(tmp_path, oac_connection(clean.ready), AIRFLOW__OAC__STORE="file")
        assert (said, SIGNING & loaded) == ("dev", expected)
    assert clean.control.calls("identity", "token") == 1


def test_two_hosts_share_a_chain_through_redis(server: RedisServer, sign_in: SignIn, tmp_path: Path) -> None:
    refresh_token = signed_in(sign_in).refresh_token
    connection = oac_connection(dict(sign_in.ready), grant="refresh_token", refresh_token=refresh_token)
    in_redis = {"AIRFLOW__OAC__STORE": "redis", "AIRFLOW__OAC__REDIS_URL": server.url}
    for host in ("one", "other"):
        assert process(tmp_path / host, connection, **in_redis)[0] == "dev"
    # A host whose Fernet key differs is told so, and asks nobody.
    other_key = {"AIRFLOW__CORE__FERNET_KEY": Fernet.generate_key().decode()}
    said, _ = process(tmp_path / "one", connection, **in_redis, **other_key)
    assert re.match(f"OACTokenStoreError.*{re.escape(RedisStore(server.url).where)}", said)
    assert "must be the same on every machine" in said
    assert Control(sign_in.ready).grants("refresh_token") == 1


# ------------------------------------------------------------------------------------------------ a store in trouble


def corrupted(kept: Kept) -> None:
    Path(kept.store.place, f"{kept.settings.store_key}.token").write_bytes(b"rubbish")


def opened_to_others(kept: Kept) -> None:
    Path(kept.store.place, f"{kept.settings.store_key}.token").chmod(0o644)


def gone(kept: Kept) -> None:
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
    spoil: Callable[[Kept], None], says: str, kept: Kept, caplog: pytest.LogCaptureFixture
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
def test_a_store_that_was_emptied_is_named(seeded: bool, server: RedisServer, in_redis: Kept) -> None:
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


def test_a_full_store_that_recovers_costs_nothing(kept: Kept, caplog: pytest.LogCaptureFixture) -> None:
    token = token_of(kept.session(wrap=lambda backend: Hindered(backend, range(2, 5), 0.0)))
    assert caplog.text.count("Could not store the new refresh token") == 3
    assert (kept.token(), kept.asked()) == (token, 1)
    kept.goes_on()


def test_six_at_once_share_one_refusal(kept: Kept) -> None:
    kept.control.fault("token", "consumed_token", times=None)
    said = in_threads([kept.session() for _ in range(6)])
    assert all(LOGIN in text for text in said)
    assert kept.asked() == 1
    # A person who tests the Connection asks anew.
    with pytest.raises(OACAuthError):
        blocking(kept.session().renew)
    assert kept.asked() == 2


def test_a_refusal_is_not_hidden_by_a_store_that_fails_as_well(server: RedisServer, in_redis: Kept) -> None:
    in_redis.control.fault("token", "consumed_token", seconds=1.0)
    with ThreadPoolExecutor(1) as pool:
        renewing = pool.submit(in_redis.token)
        asyncio.run(in_redis.is_asked())
        server.kill()
        with pytest.raises(OACAuthError, match=f"already been consumed.*{LOGIN}"):
            renewing.result(60)


# ------------------------------------------------------------------------------------------------- whose chain it is


def test_somebody_elses_sign_in_is_refused(kept: Kept) -> None:
    kept.settings = chain(kept.sign_in, user="oac.author@example.com")
    whose = r"belongs to oac\.admin@example\.com, .*user is oac\.author@example\.com"
    for _ in range(3):
        with pytest.raises(OACConfigurationError, match=whose):
            kept.token()
    assert kept.asked() == 1
    with pytest.raises(OACConfigurationError, match=whose):
        kept.login()


@pytest.mark.parametrize("forgotten", [False, True])
def test_a_new_login_while_others_renew_wins(forgotten: bool, in_redis: Kept) -> None:
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


def says_how_to_repair(kept: Kept, lost_by: str) -> None:
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


def test_killed_between_answer_and_store_what_repairs_it_is_said(chain_in_a_store: Kept) -> None:
    kept = chain_in_a_store
    # The lease of a process that died ends within a test.
    kept.store = dataclasses.replace(kept.store, lease=3.0)
    process = killed(kept.store, kept.settings, on_a_loop=kept.store.place.startswith("redis:"))
    assert kept.control.counters()["issued"] == {"refresh_token": 1}
    says_how_to_repair(kept, rf"renewal that began at .* UTC in process {process} on ")


def test_a_lost_reply_is_named(kept: Kept) -> None:
    kept.control.fault("token", "drop_after")
    with pytest.raises(OACAuthError, match=f"response.*lost.*{LOGIN}"):
        kept.token()
    assert kept.asked() == 2
    says_how_to_repair(kept, "")


def test_a_lost_reply_of_an_early_renewal_is_named_once_it_matters(kept: Kept) -> None:
    first = kept.token()
    aged(kept, 80)
    kept.control.fault("token", "drop_after")
    session = kept.session()
    session._entry.token = kept.store.record(kept.settings).token
    assert token_of(session) == first
    aged(kept, 80)
    says_how_to_repair(kept, "renewal that began at .* in process")


@pytest.mark.parametrize("rotation", ["reuse", "omit"])
def test_a_domain_that_issues_no_new_refresh_tokens_goes_on_with_the_old_one(rotation: str, kept: Kept) -> None:
    kept.control.settings(refresh_rotation=rotation)
    kept.goes_on()


def test_a_pause_that_outlasts_the_lease_loses_nothing(in_redis: Kept) -> None:
    """The lock is gone by then: the renewal begins anew, with the latest refresh token."""
    in_redis.store = dataclasses.replace(in_redis.store, lease=1.5)
    in_redis.control.fault("token", "status", status=429, headers={"Retry-After": "2"})
    assert in_redis.token()
    assert in_redis.asked() == 2
    in_redis.goes_on()


def test_a_renewal_that_never_reached_the_domain_is_not_blamed(kept: Kept) -> None:
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
def test_a_cancelled_trigger_loses_nothing(times: int, kept: Kept) -> None:
    kept.control.fault("token", "delay_after", seconds=0.6)
    asyncio.run(cancelled(kept.session(), kept.is_asked(), times))
    assert kept.token()
    assert kept.asked() == 1
    kept.goes_on()


@pytest.mark.parametrize("uses_refresh_token", [False, True])
def test_a_trigger_that_is_cancelled_while_it_takes_the_lock_gives_it_back(
    uses_refresh_token: bool, kept: Kept
) -> None:
    if not uses_refresh_token:
        kept.settings = kept.sign_in.settings()
    asyncio.run(cancelled(kept.session(wrap=Hindered), asyncio.sleep(0.15)))
    lock = kept.store.store_entry(kept.settings).lock
    assert lock.acquire()
    lock.release()


class Terminated(Exception):
    """What a handler of a signal raises: Airflow's timeout of a task, or Airflow 2's end of one."""


def test_a_task_that_is_terminated_in_the_middle_finishes_its_renewal(kept: Kept) -> None:
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


def test_a_killed_task_still_keeps_what_its_renewal_brought(kept: Kept) -> None:
    io = BlockingIO(stopped=lambda: True)
    with pytest.raises(OACKilledError):
        run(kept.session(wrap=Hindered).token(io))
    io.close()
    kept.goes_on()
