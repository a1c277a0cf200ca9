"""Waiting in the triggerer: one scheduler, session and token for each event loop, Connection and instance.

Each new wait reads the Connection again, since it may have been edited; waits that begin within a quarter of a second
share one reading. Existing waits then use the edited Connection too, if it still names the instance of their work.
"""

from __future__ import annotations

import asyncio
import contextvars
import copy
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias, TypeVar

import asgiref.sync  # noqa: F401

# Other modules use some of these names. A trigger imports this module in a thread, so no import happens later on the
# event loop.
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
from airflow_provider_oac.hooks.token_mask import mask_tokens_of
from airflow_provider_oac.transport.asynchronous import MAX_CONNECTIONS, AsyncIO
from airflow_provider_oac.transport.settings import TransportSettings

log = logging.getLogger(__name__)

R = TypeVar("R")

_READING_PAUSE = 0.25
# How many waiters with a shared reading resume in one turn of the event loop.
_SLICE = 20
# Seconds between attempts to read a Connection: Airflow also reports it as missing if the read itself failed.
_READING_AGAIN = (1.0, 5.0, 15.0)
# Seconds after a refusal in which the Connection is not read for new credentials again.
_REREADING_PAUSE = 30.0


_Loop: TypeAlias = asyncio.AbstractEventLoop
_Settings: TypeAlias = tuple[ConnectionSettings, StoreEntry | None]


class _Place:
    """An instance with waiters, through one Connection on one event loop."""

    def __init__(
        self, key: tuple[_Loop, str, str], settings: ConnectionSettings, store_entry: StoreEntry | None
    ) -> None:
        self.key = key
        self.settings = settings
        # The last one is in use; the earlier ones belong to settings that have been edited since.
        self._transports: list[TransportSettings] = []
        self._rereading: asyncio.Task[bool] | None = None
        self._reread_at = 0.0
        # Why the Connection's current settings do not help after a refusal.
        self.reason = ""
        self.scheduler: Scheduler = Scheduler(self._api(settings, store_entry), self._renewed)

    def _api(self, settings: ConnectionSettings, store_entry: StoreEntry | None) -> Api:
        session = Session(settings.auth, store_entry=store_entry)
        if settings.transport not in self._transports[-1:]:
            self._io = _take(settings.transport, MANY)
            self._transports.append(settings.transport)
        return Api(self._io, settings.address, session)

    def follow(self, settings: ConnectionSettings, store_entry: StoreEntry | None) -> None:
        """Use the Connection's current settings from now on."""
        if settings != self.settings:
            self.scheduler.api = self._api(settings, store_entry)
            self.settings = settings

    async def _renewed(self) -> bool:
        """Read the Connection again, use its new settings, and return whether they changed. Callers share a reading."""
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
            # Not raised: a waiter may tolerate the refusal. The text of an Airflow exception may contain secrets.
            kind = problem if isinstance(problem, OACError) else type(problem).__name__
            self.reason = f"Connection {before.conn_id!r} can no longer be used: {kind}"
        else:
            if settings.address == before.address:
                self.reason = ""
                self.follow(settings, store_entry)
                return self.settings != before
            self.reason = (
                f"Connection {before.conn_id!r} now points to {settings.address}, but this work is at "
                f"{before.address}. The changed Connection is not used for it."
            )
        log.warning("The credentials of Connection %r were refused. %s", before.conn_id, self.reason)
        return False

    async def close(self) -> None:
        """Close the scheduler and the connections."""
        await self.scheduler.close()
        if self._rereading is not None:
            self._rereading.cancel()
            await asyncio.gather(self._rereading, return_exceptions=True)
        for transport in self._transports:
            await _give_back(transport, MANY)


# The open drivers and their numbers of users, by event loop, settings and number of connections. On a loop, all
# triggers with equal settings share one, all hooks another.
_drivers: dict[tuple[_Loop, TransportSettings, int], tuple[AsyncIO, int]] = {}


def _take(transport: TransportSettings, connections: int) -> AsyncIO:
    key = (asyncio.get_running_loop(), transport, connections)
    if key not in _drivers:
        _forget_ended_loops()
    io, users = _drivers.get(key) or (AsyncIO(transport, connections=connections), 0)
    _drivers[key] = (io, users + 1)
    return io


async def _give_back(transport: TransportSettings, connections: int) -> None:
    """Release a driver; the last user closes it."""
    key = (asyncio.get_running_loop(), transport, connections)
    io, users = _drivers.pop(key)
    if users > 1:
        _drivers[key] = (io, users - 1)
    else:
        await io.close()


@asynccontextmanager
async def shared_io(transport: TransportSettings) -> AsyncIterator[AsyncIO]:
    """Yield the driver that all hooks on this loop share for these settings."""
    io = _take(transport, MAX_CONNECTIONS)
    try:
        yield io
    finally:
        await _give_back(transport, MAX_CONNECTIONS)


# By event loop, Connection and address.
_places: dict[tuple[_Loop, str, str], _Place] = {}
# The tasks that close places: the event loop holds only weak references to them.
_closings: set[asyncio.Task[None]] = set()
# Readings of Connections that have not begun yet.
_readings: dict[tuple[_Loop, str], _Reading] = {}


async def wait(conn_id: str, target: PollTarget[R]) -> R:
    """Wait until a poll target is done, together with all other waiters on this event loop.

    :param conn_id: the Airflow Connection.
    :returns: the result of the last poll.
    :raises OACError: as the target decides, naming the Connection if it is the cause.
    """
    place: _Place | None = None
    try:
        place = _place(conn_id, *await _read(conn_id))
        return await place.scheduler.wait(target)
    except OACError as error:
        name_connection(error, conn_id)
        if place is not None and place.reason and refuses_us(error):
            error.args = (f"{error} {place.reason}", *error.args[1:])
        raise
    finally:
        if place is not None and place.scheduler.idle and _places.get(place.key) is place:
            del _places[place.key]
            closing = asyncio.create_task(place.close(), context=contextvars.Context())
            _closings.add(closing)
            closing.add_done_callback(_closings.discard)
            # A second cancellation must not leave the connections open.
            await asyncio.shield(closing)


def _place(conn_id: str, settings: ConnectionSettings, store_entry: StoreEntry | None) -> _Place:
    """Return the place of a Connection's waiters, with its current settings.

    This is not part of :func:`wait`: the frame of each of a thousand waiters would hold the variables.
    """
    key = (asyncio.get_running_loop(), conn_id, settings.address)
    if key in _places:
        _places[key].follow(settings, store_entry)
    else:
        _forget_ended_loops()
        _places[key] = _Place(key, settings, store_entry)
    return _places[key]


def _forget_ended_loops() -> None:
    """Drop the entries of event loops that were closed before their tasks ended."""
    registries: tuple[dict[Any, Any], ...] = (_places, _drivers, _readings)
    for registry in registries:
        # A copy, because an event loop in another thread may change the registry.
        for key in list(registry):
            if key[0].is_closed():
                registry.pop(key, None)


class _Reading:
    """One reading of a Connection, for all callers that request it before it begins."""

    def __init__(self, key: tuple[_Loop, str]) -> None:
        self._key = key
        self._waiting: list[asyncio.Future[_Settings]] = []
        self._task = asyncio.create_task(self._run(), context=contextvars.Context())

    async def result(self) -> _Settings:
        """Wait for the result. Canceling one caller does not cancel the others."""
        future: asyncio.Future[_Settings] = self._key[0].create_future()
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
                    # A thousand waiters that resume in one turn of the loop would block everything else on it.
                    await asyncio.sleep(0)
                if future.done():
                    continue
                if found is not None:
                    future.set_result(found)
                elif failure is not None:
                    # Many callers raise it, so each gets a copy.
                    future.set_exception(copy.copy(failure) if isinstance(failure, OACError) else failure)
        finally:
            # If this task was canceled, its callers must not wait forever.
            for future in self._waiting:
                future.cancel()

    async def _read(self) -> _Settings:
        try:
            await asyncio.sleep(_READING_PAUSE)
        finally:
            # Later callers need a new reading.
            _readings.pop(self._key, None)
        return await _read_now(self._key[1], _READING_AGAIN)


async def _read(conn_id: str) -> _Settings:
    """Return the Connection's settings, from a reading that begins after this call."""
    key = (asyncio.get_running_loop(), conn_id)
    reading = _readings.get(key)
    if reading is None:
        reading = _readings[key] = _Reading(key)
    return await reading.result()


async def _connection(conn_id: str, again: Iterable[float]) -> Connection:
    """Get a Connection from Airflow.

    :param again: seconds before each further attempt.
    :raises OACSetupError: if it cannot be read.
    """
    for pause in (*again, None):
        try:
            return await aget_connection(conn_id)
        except Exception as problem:
            # Airflow may raise any exception, and its text may contain secrets.
            kind = type(problem).__name__
        if pause is not None:
            log.warning("Connection %r cannot be read (%s); trying again in %.0f s.", conn_id, kind, pause)
            await asyncio.sleep(pause)
    raise OACSetupError(
        f"Connection {conn_id!r} cannot be read in the triggerer ({kind}). Likely cause: it was deleted or renamed "
        "after the task deferred, the triggerer has no access to it, or Airflow's API server, database or secrets "
        "backend does not answer. Next step: restore the Connection or the access, then run the task again."
    )


async def _read_now(conn_id: str, again: Iterable[float] = ()) -> _Settings:
    settings = read_connection(await _connection(conn_id, again), mask_tokens_of(conn_id))
    if all(place.settings.auth.secrets != settings.auth.secrets for place in list(_places.values())):
        await amask(settings.auth.secrets)
    # The first read of Airflow's settings may run a command or ask a secrets backend.
    return settings, await asyncio.to_thread(store_entry_of, settings)
