"""Chains of refresh tokens at the simulator, shared stores, and processes that renew tokens or die."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from cryptography.fernet import Fernet

from airflow_provider_oac.auth.session import MemoryStore, Session
from airflow_provider_oac.auth.settings import AuthSettings
from airflow_provider_oac.auth.shared_store import keep_sign_in
from airflow_provider_oac.auth.store import Backend, EncryptedStore, Lock, Record, StoreEntry
from airflow_provider_oac.auth.store_file import FileStore
from airflow_provider_oac.auth.store_redis import RedisStore
from airflow_provider_oac.auth.token import Issued
from airflow_provider_oac.auth.token_endpoint import ask
from airflow_provider_oac.exceptions import OACError
from airflow_provider_oac.transport.io import IO
from oac_simulator.control import Control
from tests.drivers import SignIn, asynchronous, blocking

FERNET_KEY = Fernet.generate_key().decode()
LOGIN = "python -m airflow_provider_oac login --oac-conn-id a_chain"
#: Its server has loaded this module where the tests of the command line run, too.
_FORKS = multiprocessing.get_context("forkserver")


@dataclass(frozen=True)
class Store:
    """A store that can be passed to another process.

    :param place: a folder, or the URL of a Redis server.
    """

    place: str
    fernet_key: str = FERNET_KEY
    lease: float = 20.0

    def backend(self) -> Backend:
        """Return the store without encryption."""
        return RedisStore(self.place) if self.place.startswith("redis:") else FileStore(self.place)

    def store_entry(
        self, settings: AuthSettings, wrap: Callable[[Backend], Backend] = lambda backend: backend
    ) -> StoreEntry:
        """Return the store entry of a sign-in."""
        return EncryptedStore(wrap(self.backend()), [self.fernet_key]).store_entry(settings, self.lease)

    def session(self, settings: AuthSettings, wrap: Callable[[Backend], Backend] = lambda backend: backend) -> Session:
        """Return a session like one of another process, which shares only the store."""
        return Session(settings, MemoryStore(), self.store_entry(settings, wrap))

    def record(self, settings: AuthSettings) -> Record:
        """Return the stored record of a sign-in."""
        kept = self.store_entry(settings).read()
        assert kept
        return kept.record


def signed_in(sign_in: SignIn, **changes: Any) -> Issued:
    """Sign in as a person would, and return an access token and a refresh token."""
    settings = sign_in.settings(**changes)
    scope = f"{settings.scope} offline_access"
    issued = blocking(lambda io: ask(io, sign_in.settings(**{**changes, "scope": scope})))
    assert issued.refresh_token
    # Tests count only renewals.
    Control(sign_in.ready).reset_counters()
    return issued


def chain(sign_in: SignIn, *, seeded: bool = True, **changes: Any) -> AuthSettings:
    """Return settings of a chain; if `seeded`, they contain a new refresh token."""
    fields: dict[str, Any] = {"grant": "refresh_token", "name": "a_chain", "user": None, **changes}
    if seeded:
        fields["refresh_token"] = signed_in(sign_in).refresh_token
    return sign_in.settings(**fields)


def login(store: Store, settings: AuthSettings, issued: Issued) -> None:
    """Store a sign-in, as the command `login` does."""
    blocking(lambda io: keep_sign_in(io, store.store_entry(settings), settings, issued, None))


def token_of(session: Session) -> str:
    """Return the token of a session, using the blocking driver."""
    return blocking(session.token).access_token


# --------------------------------------------------------------------------------------------- processes that renew


def in_processes(store: Store, settings: AuthSettings, processes: int, each: int) -> list[str]:
    """Request tokens at once in several processes, each with threads or coroutines; return tokens or errors."""
    begin, queue = _FORKS.Barrier(processes), _FORKS.Queue()
    children = [
        _FORKS.Process(target=_asking, args=(store, settings, each, number % 2 == 1, begin, queue))
        for number in range(processes)
    ]
    for child in children:
        child.start()
    said = [text for _ in children for text in queue.get(timeout=120)]
    for child in children:
        child.join(30)
    assert [child.exitcode for child in children] == [0] * processes
    return said


def _asking(store: Store, settings: AuthSettings, count: int, on_a_loop: bool, begin: Any, queue: Any) -> None:
    sessions = [store.session(settings) for _ in range(count)]
    begin.wait(60)
    queue.put(on_a_loop_all(sessions) if on_a_loop else in_threads(sessions))


def in_threads(sessions: list[Session]) -> list[str]:
    """Request tokens for all sessions at the same time, in threads; return tokens or errors."""

    begin = threading.Barrier(len(sessions))

    def one(session: Session) -> str:
        begin.wait(30)
        try:
            return token_of(session)
        except OACError as error:
            return f"{type(error).__name__}: {error}"

    with ThreadPoolExecutor(len(sessions)) as pool:
        return list(pool.map(one, sessions))


def on_a_loop_all(sessions: list[Session]) -> list[str]:
    """Request tokens for all sessions at the same time, in coroutines; return tokens or errors."""

    async def whole(io: IO) -> list[Any]:
        return await asyncio.gather(*(session.token(io) for session in sessions), return_exceptions=True)

    got = asynchronous(whole)
    return [f"{type(one).__name__}: {one}" if isinstance(one, BaseException) else one.access_token for one in got]


# ----------------------------------------------------------------------------------------------- processes that die


class Watched(Backend):
    """A backend that counts its writes, and does something before each."""

    def __init__(self, inner: Backend) -> None:
        self.inner, self.writes = inner, 0

    @property
    def where(self) -> str:
        return self.inner.where

    def read(self, name: str) -> bytes | None:
        return self.inner.read(name)

    def write(self, name: str, sealed: bytes, expected: bytes | None) -> bool:
        self.writes += 1
        self.before_write()
        return self.inner.write(name, sealed, expected)

    def before_write(self) -> None:
        raise NotImplementedError

    def delete(self, name: str) -> None:
        self.inner.delete(name)

    def lock(self, name: str, lease: float) -> Lock:
        return self.inner.lock(name, lease)


class Dying(Watched):
    """A backend that kills its process when it is to store what a renewal brought."""

    def before_write(self) -> None:
        if self.writes == 2:
            os.kill(os.getpid(), signal.SIGKILL)


def _dying(store: Store, settings: AuthSettings, on_a_loop: bool) -> None:
    (on_a_loop_all if on_a_loop else in_threads)([store.session(settings, Dying)])


def killed(store: Store, settings: AuthSettings, on_a_loop: bool) -> int:
    """Have a process renew that is killed between the response and the store; return its id."""
    process = _FORKS.Process(target=_dying, args=(store, settings, on_a_loop))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    return int(process.pid or 0)
