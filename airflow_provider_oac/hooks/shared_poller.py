"""Waiting in the triggerer: per event loop, Connection and instance there is one scheduler, one session, one token.

A Connection is read again by everybody who begins to wait, since it may have been edited; those who begin within a
quarter of a second share one reading. Those who wait already go on with what was edited, at the instance where their
work is.
"""

from __future__ import annotations

import asyncio
import contextvars
import copy
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, TypeVar

import asgiref.sync  # noqa: F401

# Some are of use to others: a trigger imports this module in a thread, and on the event loop no import is to happen.
from airflow_provider_oac._compat import BaseHook, Connection, aget_connection, amask, mask_secret  # noqa: F401
from airflow_provider_oac.auth.session import Session
from airflow_provider_oac.auth.store import StoreEntry
from airflow_provider_oac.client.api import Api
from airflow_provider_oac.client.flows.polling import PollTarget
from airflow_provider_oac.client.flows.throttle import MANY
from airflow_provider_oac.exceptions import OACError, OACSetupError
from airflow_provider_oac.hooks.connection import ConnectionSettings, read_connection
from airflow_provider_oac.hooks.oac import name_connection
from airflow_provider_oac.hooks.poll_scheduler import Scheduler, refuses_us
from airflow_provider_oac.hooks.stores import store_entry_of
from airflow_provider_oac.transport.asynchronous import MAX_CONNECTIONS, AsyncIO
from airflow_provider_oac.transport.settings import TransportSettings

log = logging.getLogger(__name__)

R = TypeVar("R")

_READING_PAUSE = 0.25
# So many of those who shared a reading go on in one turn of the event loop.
_SLICE = 20
# Seconds between attempts to read a Connection: Airflow says that it is not there also where it could not be asked.
_READING_AGAIN = (1.0, 5.0, 15.0)
# Seconds for which credentials that were refused are not looked for anew in the Connection.
_REREADING_PAUSE = 30.0


class _Key(NamedTuple):
    loop: asyncio.AbstractEventLoop
    conn_id: str
    address: str


class _Place:
    """An instance at which somebody waits."""

    def __init__(self, key: _Key, settings: ConnectionSettings, store_entry: StoreEntry | None) -> None:
        self.key = key
        self.settings = settings
        # The last one is used; those before it are of settings that were edited since.
        self._transports: list[TransportSettings] = []
        self._rereading: asyncio.Task[bool] | None = None
        self._reread_at = 0.0
        # Why what the Connection says now does not help who was refused.
        self.hindrance = ""
        self.scheduler: Scheduler = Scheduler(self._api(settings, store_entry), self._renewed)

    def _api(self, settings: ConnectionSettings, store_entry: StoreEntry | None) -> Api:
        session = Session(settings.auth, store_entry=store_entry)
        if settings.transport not in self._transports[-1:]:
            self._io = _take(settings.transport, MANY)
            self._transports.append(settings.transport)
        return Api(self._io, settings.address, session)

    def follow(self, settings: ConnectionSettings, store_entry: StoreEntry | None) -> None:
        """Go on with what the Connection says now."""
        if settings != self.settings:
            self.scheduler.api = self._api(settings, store_entry)
            self.settings = settings

    async def _renewed(self) -> bool:
        """Whether the Connection says anything else by now; if so, it is gone by. All who ask share a reading."""
        now = asyncio.get_running_loop().time()
        if self._rereading is None or (self._rereading.done() and now - self._reread_at >= _REREADING_PAUSE):
            self._reread_at = now
            self._rereading = asyncio.create_task(self._reread(), context=contextvars.Context())
        elif self._rereading.done():
            return False
        return await asyncio.shield(self._rereading)

    async def _reread(self) -> bool:
        before = self.settings
        try:
            settings, store_entry = await _read_now(before.conn_id)
        except Exception as problem:
            # Who waits may tolerate the refusal itself. Whatever Airflow raises may hold anything.
            kind = problem if isinstance(problem, OACError) else type(problem).__name__
            self.hindrance = f"Connection {before.conn_id!r} can no longer be used: {kind}"
        else:
            if settings.address == before.address:
                self.hindrance = ""
                self.follow(settings, store_entry)
                return self.settings != before
            self.hindrance = (
                f"Connection {before.conn_id!r} now points to {settings.address}, but this work is at "
                f"{before.address}. The changed Connection is not used for it."
            )
        log.warning("The credentials of Connection %r were refused. %s", before.conn_id, self.hindrance)
        return False

    async def close(self) -> None:
        """Close the connections."""
        await self.scheduler.close()
        if self._rereading is not None:
            self._rereading.cancel()
            await asyncio.gather(self._rereading, return_exceptions=True)
        for transport in self._transports:
            await _give_back(transport, MANY)


class _DriverKey(NamedTuple):
    loop: asyncio.AbstractEventLoop
    transport: TransportSettings
    connections: int


# The drivers that are open, and how many use each. A loop has one of a kind, for all triggers or all that hooks run.
_drivers: dict[_DriverKey, tuple[AsyncIO, int]] = {}


def _take(transport: TransportSettings, connections: int) -> AsyncIO:
    key = _DriverKey(asyncio.get_running_loop(), transport, connections)
    if key not in _drivers:
        _forget_ended_loops()
    io, users = _drivers.get(key) or (AsyncIO(transport, connections=connections), 0)
    _drivers[key] = (io, users + 1)
    return io


async def _give_back(transport: TransportSettings, connections: int) -> None:
    """The last user closes it."""
    key = _DriverKey(asyncio.get_running_loop(), transport, connections)
    io, users = _drivers.pop(key)
    if users > 1:
        _drivers[key] = (io, users - 1)
    else:
        await io.close()


@asynccontextmanager
async def shared_io(transport: TransportSettings) -> AsyncIterator[AsyncIO]:
    """The driver of this loop for all that hooks run there with these settings."""
    io = _take(transport, MAX_CONNECTIONS)
    try:
        yield io
    finally:
        await _give_back(transport, MAX_CONNECTIONS)


_places: dict[_Key, _Place] = {}
# Those that are being closed: somebody has to hold the tasks.
_closings: set[asyncio.Task[None]] = set()
# The readings of Connections that have not begun yet.
_readings: dict[tuple[asyncio.AbstractEventLoop, str], _Reading] = {}


async def wait(conn_id: str, target: PollTarget[R]) -> R:
    """Wait until a poll target is done, together with all others who wait on this event loop.

    :param conn_id: the Airflow Connection.
    :returns: what the last poll showed.
    :raises OACError: as the target says, naming the Connection where it is the cause.
    """
    place: _Place | None = None
    try:
        place = _place(conn_id, *await _read(conn_id))
        return await place.scheduler.wait(target)
    except OACError as error:
        name_connection(error, conn_id)
        if place is not None and place.hindrance and refuses_us(error):
            error.args = (f"{error} {place.hindrance}", *error.args[1:])
        raise
    finally:
        if place is not None and place.scheduler.idle and _places.get(place.key) is place:
            del _places[place.key]
            closing = asyncio.create_task(place.close(), context=contextvars.Context())
            _closings.add(closing)
            closing.add_done_callback(_closings.discard)
            # Who is canceled once more does not leave the connections open.
            await asyncio.shield(closing)


def _place(conn_id: str, settings: ConnectionSettings, store_entry: StoreEntry | None) -> _Place:
    """Where those wait who have this Connection, which says this now."""
    key = _Key(asyncio.get_running_loop(), conn_id, settings.address)
    place = _places.get(key)
    if place is None:
        _forget_ended_loops()
        place = _places[key] = _Place(key, settings, store_entry)
    else:
        place.follow(settings, store_entry)
    return place


def _forget_ended_loops() -> None:
    """Drop what was left by loops that were ended without ending what ran on them."""
    registries: tuple[dict[Any, Any], ...] = (_places, _drivers, _readings)
    for registry in registries:
        # Copies: there may be another loop in another thread, with places of its own.
        for key in list(registry):
            if key[0].is_closed():
                registry.pop(key, None)


class _Reading:
    """One reading of a Connection, for all who ask for it before it begins."""

    def __init__(self, key: tuple[asyncio.AbstractEventLoop, str]) -> None:
        self._key = key
        self._waiting: list[asyncio.Future[tuple[ConnectionSettings, StoreEntry | None]]] = []
        self._task = asyncio.create_task(self._run(), context=contextvars.Context())

    async def result(self) -> tuple[ConnectionSettings, StoreEntry | None]:
        """What was read. Who is canceled does not cancel the others."""
        future: asyncio.Future[tuple[ConnectionSettings, StoreEntry | None]] = self._key[0].create_future()
        self._waiting.append(future)
        return await future

    async def _run(self) -> None:
        found, failure = None, None
        try:
            try:
                found = await self._read()
            except Exception as error:
                failure = error
            for number, future in enumerate(self._waiting):
                if number % _SLICE == _SLICE - 1:
                    # A thousand who begin to wait in one turn of the loop would hold up all others.
                    await asyncio.sleep(0)
                if future.done():
                    continue
                if found is not None:
                    future.set_result(found)
                elif failure is not None:
                    # One of many, who all raise it.
                    future.set_exception(copy.copy(failure) if isinstance(failure, OACError) else failure)
        finally:
            # If this was canceled: nobody else tells them.
            for future in self._waiting:
                future.cancel()

    async def _read(self) -> tuple[ConnectionSettings, StoreEntry | None]:
        try:
            await asyncio.sleep(_READING_PAUSE)
        finally:
            # Whoever comes from here on wants a reading of its own.
            _readings.pop(self._key, None)
        return await _read_now(self._key[1], _READING_AGAIN)


async def _read(conn_id: str) -> tuple[ConnectionSettings, StoreEntry | None]:
    """What the Connection says, read after this was asked for."""
    key = (asyncio.get_running_loop(), conn_id)
    reading = _readings.get(key)
    if reading is None:
        reading = _readings[key] = _Reading(key)
    return await reading.result()


async def _connection(conn_id: str, again: Iterable[float]) -> Connection:
    """A Connection as Airflow has it.

    :param again: seconds before each further attempt.
    :raises OACSetupError: if it cannot be read.
    """
    for pause in (*again, None):
        try:
            return await aget_connection(conn_id)
        except Exception as problem:
            # Whatever Airflow raises, whose text may hold anything.
            kind = type(problem).__name__
        if pause is not None:
            log.warning("Connection %r cannot be read (%s); trying again in %.0f s.", conn_id, kind, pause)
            await asyncio.sleep(pause)
    raise OACSetupError(
        f"Connection {conn_id!r} cannot be read in the triggerer ({kind}). Likely cause: it was deleted or renamed "
        "after the task deferred, the triggerer has no access to it, or Airflow's API server, database or secrets "
        "backend does not answer. Next step: restore the Connection or the access, then run the task again."
    )


async def _read_now(conn_id: str, again: Iterable[float] = ()) -> tuple[ConnectionSettings, StoreEntry | None]:
    settings = read_connection(await _connection(conn_id, again))
    if all(place.settings.auth.secrets != settings.auth.secrets for place in list(_places.values())):
        await amask(settings.auth.secrets)
    # Reading Airflow's settings may run a command or ask a secrets backend, the first time.
    return settings, await asyncio.to_thread(store_entry_of, settings)
