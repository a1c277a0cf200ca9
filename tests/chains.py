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
from airflow_provider_oac.transport.asynchronous import AsyncIO
from airflow_provider_oac.transport.blocking import BlockingIO, run
from oac_simulator.control import Control
from tests.drivers import IMPATIENT, SignIn, blocking

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


def in_processes(store: Store, settings: AuthSettings, processes: int, each: int, past: bool = False) -> list[str]:
    """Request tokens at once in several processes, each with threads or coroutines; return tokens or errors."""
    begin, queue = _FORKS.Barrier(processes), _FORKS.Queue()
    children = [
        _FORKS.Process(target=_asking, args=(store, settings, each, past, number % 2 == 1, begin, queue))
        for number in range(processes)
    ]
    for child in children:
        child.start()
    said = [text for _ in children for text in queue.get(timeout=120)]
    for child in children:
        child.join(30)
    assert [child.exitcode for child in children] == [0] * processes
    return said


def _asking(
    store: Store, settings: AuthSettings, count: int, past: bool, on_a_loop: bool, begin: Any, queue: Any
) -> None:
    sessions = [store.session(settings) for _ in range(count)]
    begin.wait(60)
    queue.put(on_a_loop_all(sessions, past) if on_a_loop else in_threads(sessions, past))


def in_threads(sessions: list[Session], past: bool = False) -> list[str]:
    """Request tokens for all sessions at the same time, in threads; return tokens or errors."""

    begin = threading.Barrier(len(sessions))

    def one(session: Session) -> str:
        io = BlockingIO(IMPATIENT)
        begin.wait(30)
        try:
            return run(session.renew(io) if past else session.token(io)).access_token
        except OACError as error:
            return f"{type(error).__name__}: {error}"
        finally:
            io.close()

    with ThreadPoolExecutor(len(sessions)) as pool:
        return list(pool.map(one, sessions))


def on_a_loop_all(sessions: list[Session], past: bool) -> list[str]:
    async def whole() -> list[str]:
        io = AsyncIO(IMPATIENT)
        try:
            flows = (session.renew(io) if past else session.token(io) for session in sessions)
            got = await asyncio.gather(*flows, return_exceptions=True)
        finally:
            await io.close()
        return [f"{type(one).__name__}: {one}" if isinstance(one, BaseException) else one.access_token for one in got]

    return asyncio.run(whole())


# ----------------------------------------------------------------------------------------------- processes that die


class Dying(Backend):
    """A backend that kills its process at one point of a renewal.

    :param point: for example ``before write 1``, ``after write 2``, ``before extend 1``.
    """

    def __init__(self, inner: Backend, point: str) -> None:
        self.inner = inner
        self.point = point
        self.counts: dict[str, int] = {}

    def at(self, act: str, do: Callable[[], Any]) -> Any:
        self.counts[act] = self.counts.get(act, 0) + 1
        name = f"{act} {self.counts[act]}"
        if self.point == f"before {name}":
            os.kill(os.getpid(), signal.SIGKILL)
        result = do()
        if self.point == f"after {name}":
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    @property
    def where(self) -> str:
        return self.inner.where

    def read(self, name: str) -> bytes | None:
        return self.inner.read(name)

    def write(self, name: str, sealed: bytes, expected: bytes | None) -> bool:
        return bool(self.at("write", lambda: self.inner.write(name, sealed, expected)))

    def delete(self, name: str) -> None:
        self.inner.delete(name)

    def lock(self, name: str, lease: float) -> Lock:
        return DyingLock(self, self.inner.lock(name, lease))


class DyingLock:
    """The lock of a `Dying` backend."""

    def __init__(self, backend: Dying, inner: Lock) -> None:
        self.backend = backend
        self.inner = inner

    def acquire(self) -> bool:
        return bool(self.backend.at("acquire", self.inner.acquire))

    def extend(self) -> bool:
        return bool(self.backend.at("extend", self.inner.extend))

    def release(self) -> None:
        self.backend.at("release", self.inner.release)


def dying(store: Store, settings: AuthSettings, point: str, on_a_loop: bool) -> None:
    """Renew in this process until it is killed."""
    session = store.session(settings, lambda backend: Dying(backend, point))
    (on_a_loop_all if on_a_loop else in_threads)([session], False)


def started(store: Store, settings: AuthSettings, point: str, on_a_loop: bool) -> Any:
    """Start a process that renews until it is killed."""
    process = _FORKS.Process(target=dying, args=(store, settings, point, on_a_loop))
    process.start()
    return process
