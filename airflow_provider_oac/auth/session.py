"""Get, keep and renew a token, with one renewal at a time for all callers.

A flow only *tries* the lock of an entry, and waits with its own ``io``. So one implementation serves threads and
coroutines, and it never blocks an event loop.
"""

from __future__ import annotations

import copy
import logging
import secrets
from collections.abc import Awaitable, Callable

from airflow_provider_oac.auth.settings import AuthSettings
from airflow_provider_oac.auth.shared_store import LONGEST_POLL_INTERVAL, POLL_INTERVAL, through_store
from airflow_provider_oac.auth.store import StoreEntry
from airflow_provider_oac.auth.token import Freshness, Token
from airflow_provider_oac.auth.token_endpoint import RENEWAL, mint
from airflow_provider_oac.exceptions import (
    OACAuthError,
    OACError,
    OACSetupError,
    OACTokenStoreError,
    OACTransportError,
)
from airflow_provider_oac.transport.forking import ProcessLock
from airflow_provider_oac.transport.io import IO
from airflow_provider_oac.transport.retry import ONCE, RetryPolicy

log = logging.getLogger(__name__)

# Seconds until the next attempt after a renewal failed for a passing reason while the old token is still valid.
_RENEWAL_PAUSE = 5.0


class Entry:
    """The state of one credential in this process: its token, and the lock for its renewal."""

    def __init__(self) -> None:
        self.lock = ProcessLock()
        self.token: Token | None = None
        self.pause_until = 0.0
        # Whether the token service ever returned a token. If so, its address is right.
        self.served = False
        # The last token that the resource server refused. A store may still hold it as fresh.
        self.refused: str | None = None
        # The last failure, shared with the callers that waited for it: a refused key costs one call, not a thousand.
        self.failure: OACError | None = None
        self.generation = 0

    def raise_failure_since(self, generation: int) -> None:
        """Raise the failure of the last renewal, if it failed and ended after the entry was in this generation."""
        if self.generation != generation and self.failure is not None:
            raise copy.copy(self.failure)


class MemoryStore:
    """The tokens of this process."""

    def __init__(self) -> None:
        self._salt = secrets.token_bytes(16)
        self._entries: dict[str, Entry] = {}
        self._lock = ProcessLock()

    def entry(self, settings: AuthSettings) -> Entry:
        """The entry of exactly this credential."""
        key = settings.fingerprint(self._salt)
        with self._lock:
            return self._entries.setdefault(key, Entry())

    def clear(self) -> None:
        """Forget all tokens; existing sessions keep theirs."""
        with self._lock:
            self._entries.clear()


PROCESS_STORE = MemoryStore()


class Session:
    """The sign-in of one application as one user.

    :param settings: how to sign in.
    :param store: the tokens of this process; by default all its sessions share one store.
    :param store_entry: the entry in a store that other processes share. The grants ``refresh_token`` and
        ``device_code`` need one.
    :raises OACConfigurationError: if the settings cannot work.
    """

    def __init__(
        self, settings: AuthSettings, store: MemoryStore = PROCESS_STORE, store_entry: StoreEntry | None = None
    ) -> None:
        settings.check()
        if settings.uses_refresh_token and store_entry is None:
            raise OACSetupError(
                f"The grant {settings.grant} needs a store that tasks share, because each refresh token works once. "
                "Next step: set [oac] store to file (all tasks on one host) or redis (several hosts), for workers and "
                "triggerer alike, or use the grant jwt_assertion, which needs none."
            )
        self.settings = settings
        self._entry = store.entry(settings)
        self._store_entry = store_entry

    async def token(self, io: IO) -> Token:
        """Return a valid token. Flow.

        A fresh token is returned at once. If the token is stale, one caller renews it while the others use it, and it
        stays in use if the renewal fails for a passing reason. If it is expired or missing, all callers wait for one
        renewal and share its failure.

        :raises OACAuthError: if the token service refuses.
        :raises OACTransportError: if the token service cannot be reached.
        :raises OACTokenStoreError: if the grant needs a store that cannot be used.
        """
        entry, generation = self._entry, self._entry.generation
        pause = POLL_INTERVAL
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
            # A thousand waiting triggers that check fifty times a second would keep a core busy.
            pause = min(LONGEST_POLL_INTERVAL, pause * 1.5)
        return await self._locked(io, lambda: self._renewed(io, generation))

    async def renew(self, io: IO) -> Token:
        """Return a new token, bypassing every cache. Flow.

        The errors are those of :meth:`token`.
        """
        while not self._entry.lock.acquire(blocking=False):
            await io.sleep(LONGEST_POLL_INTERVAL)

        async def renewed() -> Token:
            self._entry.token = await self._obtain(io, RENEWAL, past=True)
            return self._entry.token

        return await self._locked(io, renewed)

    async def _locked(self, io: IO, flow: Callable[[], Awaitable[Token]]) -> Token:
        """Run a renewal whose lock is held, and release the lock. Flow."""

        begun = False

        async def whole() -> Token:
            nonlocal begun
            begun = True
            try:
                return await flow()
            finally:
                self._entry.lock.release()

        if self._store_entry is None:
            return await whole()
        try:
            # Sending a refresh token uses it up, so a canceled caller must not lose the new one. Nor may a thread that
            # no caller awaits any more take a lock that other processes see.
            return await io.shield(whole())
        finally:
            if not begun:
                self._entry.lock.release()

    async def _obtain(self, io: IO, policy: RetryPolicy, past: bool = False) -> Token:
        """Get a token: through the shared store if there is one, else from the token service. Flow."""
        entry = self._entry
        try:
            if self._store_entry is None:
                token = await mint(io, self.settings, policy)
            else:
                token = await through_store(
                    io, self._store_entry, self.settings, policy, refused=entry.refused, past=past
                )
        except OACAuthError as error:
            # A page instead of a token, such as a proxy's, is a passing failure if tokens came from here before.
            error.retryable = error.retryable or (entry.served and error.status == 200)
            raise
        # At INFO once for each process: a token is renewed every minute or so.
        log.log(
            logging.DEBUG if entry.served else logging.INFO,
            "Signed in at %s (grant %s, user %s); the token lives %.0f s.",
            self.settings.identity_url, self.settings.grant, self.settings.user, token.lifetime,
        )  # fmt: skip
        entry.served = True
        if mask := self.settings.mask:
            await io.to_thread(lambda: mask(token.access_token))
        return token

    def discard(self, token: Token) -> None:
        """Forget a token that the resource server refused, unless another one has replaced it."""
        if self._entry.token is token:
            self._entry.token = None
            self._entry.refused = token.access_token

    async def _renewed(self, io: IO, generation: int) -> Token:
        """Renew under the lock, unless another caller just did."""
        entry = self._entry
        # Check again under the lock: its previous holder may just have failed.
        entry.raise_failure_since(generation)
        old = entry.token
        state = old.freshness(io.now()) if old else Freshness.EXPIRED
        if old and state is Freshness.FRESH:
            return old
        try:
            if old and state is Freshness.STALE:
                token = await self._renewed_early(io, old)
            else:
                token = await self._obtain(io, RENEWAL)
        except (OACAuthError, OACTransportError, OACTokenStoreError) as error:
            # A copy, because the raised error keeps its frames alive.
            entry.failure = copy.copy(error)
            entry.generation += 1
            raise
        # An old token that stays in use may have been discarded meanwhile.
        if token is not old:
            entry.token, entry.failure = token, None
            entry.generation += 1
        return token

    async def _renewed_early(self, io: IO, old: Token) -> Token:
        """Renew a token that is still valid, or return it if the renewal fails for a passing reason."""
        try:
            return await self._obtain(io, ONCE)
        except (OACAuthError, OACTransportError, OACTokenStoreError) as error:
            if not _passing(error):
                raise
            if old.freshness(io.now()) is not Freshness.EXPIRED:
                log.warning("The token could not be renewed yet and stays in use: %s", error)
                retry_after = error.retry_after if isinstance(error, OACAuthError) else None
                self._entry.pause_until = io.now() + max(_RENEWAL_PAUSE, retry_after or 0.0)
                return old
        # The old token expired before the token service failed.
        return await self._obtain(io, RENEWAL)


def _passing(error: OACError) -> bool:
    """Whether the same renewal may succeed later."""
    if isinstance(error, OACAuthError):
        return error.retryable
    return isinstance(error, OACTransportError | OACTokenStoreError) and error.passing
