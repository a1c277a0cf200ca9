"""Getting, keeping and renewing a token: one renewal at a time, whoever asks.

The lock of an entry is only ever *tried*, and the waiting is done by the flow's own ``io``: so one
implementation serves threads and coroutines alike, and neither blocks an event loop.
"""

from __future__ import annotations

import copy
import logging
import secrets
import threading
from collections.abc import Awaitable, Callable
from typing import TypeVar

from airflow_provider_oac.auth.errors import auth_error, unusable_token
from airflow_provider_oac.auth.grants import token_request
from airflow_provider_oac.auth.settings import AuthSettings
from airflow_provider_oac.auth.token import Freshness, Token, read_token
from airflow_provider_oac.exceptions import (
    OACAuthError,
    OACError,
    OACResponseError,
    OACTransportError,
)
from airflow_provider_oac.transport.io import IO, Request
from airflow_provider_oac.transport.retry import ONCE, RetryPolicy, send

R = TypeVar("R")

log = logging.getLogger(__name__)

_LOOK_INTERVAL = 0.02
_LONGEST_LOOK_INTERVAL = 0.25
_RENEWAL = RetryPolicy(attempts=4, base=0.5, cap=10.0)
# After a renewal failed for a passing reason while the old token still served: seconds until the next attempt.
_RENEWAL_PAUSE = 5.0


class Entry:
    """What is known of one credential: its token, and the lock of whoever renews it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.token: Token | None = None
        self.pause_until = 0.0
        # The last failure, for those who waited while it happened: one refused key is one call, not a thousand.
        self.failure: OACError | None = None
        self.generation = 0

    def raise_failure_since(self, generation: int) -> None:
        """Raise the failure of a renewal that ended after the entry was in this generation, if the last one failed."""
        if self.generation != generation and self.failure is not None:
            raise copy.copy(self.failure)


class MemoryStore:
    """The tokens of this process."""

    def __init__(self) -> None:
        self._salt = secrets.token_bytes(16)
        self._entries: dict[str, Entry] = {}
        self._lock = threading.Lock()

    def entry(self, settings: AuthSettings) -> Entry:
        """The entry of exactly this credential."""
        key = settings.fingerprint(self._salt)
        with self._lock:
            return self._entries.setdefault(key, Entry())

    def clear(self) -> None:
        """Forget all tokens. Sessions made before keep theirs."""
        with self._lock:
            self._entries.clear()


PROCESS_STORE = MemoryStore()


class Session:
    """Signed in as one user by one application.

    :param settings: how to sign in.
    :param store: where tokens are kept; by default all sessions of the process share them.
    :raises OACConfigurationError: if the settings cannot work.
    """

    def __init__(self, settings: AuthSettings, store: MemoryStore = PROCESS_STORE) -> None:
        settings.check()
        self.settings = settings
        self._entry = store.entry(settings)

    async def token(self, io: IO) -> Token:
        """Return a token that works now. Flow.

        Fresh: it is used. Stale: one caller renews while the others use it, and it still serves if the renewal
        fails for a passing reason. Expired or none: all wait for the one renewal, and share its failure.

        :raises OACAuthError: if the token service refuses.
        :raises OACTransportError: if the token service cannot be reached.
        """
        entry, generation = self._entry, self._entry.generation
        pause = _LOOK_INTERVAL
        while True:
            token = entry.token
            state = token.freshness(io.now()) if token else Freshness.EXPIRED
            if token and (state is Freshness.FRESH or (state is Freshness.STALE and io.now() < entry.pause_until)):
                return token
            if entry.lock.acquire(blocking=False):
                break
            if token and state is Freshness.STALE:
                return token
            await io.sleep(pause)
            entry.raise_failure_since(generation)
            # A thousand waiting triggers that look fifty times a second would keep a core busy.
            pause = min(_LONGEST_LOOK_INTERVAL, pause * 1.5)
        try:
            # Look again under the lock: whoever held it may have failed just now.
            entry.raise_failure_since(generation)
            return await self._renewed(io)
        finally:
            entry.lock.release()

    async def authorised(
        self,
        io: IO,
        exchange: Callable[[Callable[[], Awaitable[Token]]], Awaitable[R]],
        status: Callable[[R], int],
    ) -> R:
        """Talk to the resource server; if it answers 401, renew once and replay once. Flow.

        A server does not act on a request that it answers with 401, so that any request may be replayed.

        :param exchange: sends the request. It is given a function that returns a token that works now, to be
            asked at each attempt.
        :param status: reads the HTTP status of an answer.
        :returns: the answer, which is a 401 if the second one was, too.
        """
        used: Token | None = None

        async def token() -> Token:
            nonlocal used
            used = await self.token(io)
            return used

        answer = await exchange(token)
        if status(answer) == 401 and used is not None:
            self.discard(used)
            answer = await exchange(token)
        return answer

    def discard(self, token: Token) -> None:
        """Forget a token that the resource server refused, unless another has taken its place."""
        if self._entry.token is token:
            self._entry.token = None

    async def _renewed(self, io: IO) -> Token:
        """Renew under the lock, unless somebody just did."""
        entry = self._entry
        old = entry.token
        state = old.freshness(io.now()) if old else Freshness.EXPIRED
        if old and state is Freshness.FRESH:
            return old
        try:
            if old and state is Freshness.STALE:
                token = await self._renewed_early(io, old)
            else:
                token = await mint(io, self.settings)
        except (OACAuthError, OACTransportError) as error:
            # A copy, without the frames that the raised one holds on to.
            entry.failure = copy.copy(error)
            entry.generation += 1
            raise
        # An old one that serves on may have been discarded meanwhile.
        if token is not old:
            entry.token, entry.failure = token, None
            entry.generation += 1
        return token

    async def _renewed_early(self, io: IO, old: Token) -> Token:
        """Renew a token that still serves, or return it if that fails for a passing reason."""
        try:
            return await mint(io, self.settings, ONCE)
        except (OACAuthError, OACTransportError) as error:
            passing = error.retryable if isinstance(error, OACAuthError) else error.passing
            if not passing:
                raise
            if old.freshness(io.now()) is not Freshness.EXPIRED:
                log.warning("The token could not be renewed and is used on: %s", error)
                asked = error.retry_after if isinstance(error, OACAuthError) else None
                self._entry.pause_until = io.now() + max(_RENEWAL_PAUSE, asked or 0.0)
                return old
        # The token service took longer to fail than the old token had to live.
        return await mint(io, self.settings)


async def mint(io: IO, settings: AuthSettings, policy: RetryPolicy = _RENEWAL) -> Token:
    """Ask the token service for a token, past every cache. Flow.

    Asking twice does no harm with these grants, so that every passing failure is tried again, each time
    with new assertions.

    :raises OACAuthError: if the token service refuses.
    :raises OACTransportError: if it cannot be reached.
    """
    asked_at = io.now()

    async def make() -> Request:
        nonlocal asked_at
        asked_at = io.now()
        return await io.offload(lambda: token_request(settings, io.now()))

    response = await send(io, make, repeatable=True, policy=policy)
    if response.status != 200:
        raise auth_error(settings, response, io.now())
    try:
        answer = response.json()
        if not isinstance(answer, dict):
            raise OACResponseError("The token service's answer is JSON, but not an object.")
        token = read_token(answer, asked_at)
    except OACResponseError as problem:
        raise unusable_token(settings, response, problem) from None
    log.info(
        "Signed in at %s (grant %s, user %s); the token lives %.0f s.",
        settings.identity_url, settings.grant, settings.user, token.lifetime,
    )  # fmt: skip
    return token
