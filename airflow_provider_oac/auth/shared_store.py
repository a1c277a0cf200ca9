"""Share one token between processes: read it from a store and renew it under the store's lock.

For a credential (an assertion, a password) the store is a convenience: without it, each process signs in by itself. A
chain of refresh tokens depends on it, because each refresh token works once only (observed). So a renewal is recorded
before it is sent, and its result is stored before it is used. The next process notices a renewal that was cut off in
between.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from airflow_provider_oac.auth.claims import claims, owner
from airflow_provider_oac.auth.settings import AuthSettings
from airflow_provider_oac.auth.store import Attempt, Failure, Kept, Record, StoreEntry, minted
from airflow_provider_oac.auth.token import Freshness, Issued, Token
from airflow_provider_oac.auth.token_endpoint import RENEWAL, ask, mint, revoke
from airflow_provider_oac.exceptions import (
    OACAuthError,
    OACConfigurationError,
    OACKilledError,
    OACTokenStoreError,
    OACTransportError,
)
from airflow_provider_oac.plain_text import name_or_length
from airflow_provider_oac.transport.io import IO
from airflow_provider_oac.transport.retry import ONCE, RetryPolicy

log = logging.getLogger(__name__)

POLL_INTERVAL = 0.02
LONGEST_POLL_INTERVAL = 0.25
# Seconds for which no task repeats a renewal that the identity domain refused.
COOLDOWN = 60.0
# Seconds for which a failed write of a new refresh token is retried. The lock is held meanwhile.
_STORE_PATIENCE = 30.0
# How many leases to wait for a lock: its holder may call a token service four times without an answer.
_PATIENCE = 3


_STALE_ATTEMPT = "Its record still names a renewal in progress."


class _LockLost(Exception):
    """The lock was lost, and another process may be renewing."""


async def through_store(
    io: IO,
    store_entry: StoreEntry,
    settings: AuthSettings,
    policy: RetryPolicy = RENEWAL,
    *,
    refused: str | None = None,
    past: bool = False,
) -> Token:
    """Return the store's token if it is fresh, else renew it. One renewal runs at a time, in all processes. Flow.

    :param policy: how often to ask the token service.
    :param refused: an access token that the resource server refused. It is not used, even if it is fresh.
    :param past: renew even if the stored token is fresh.
    :raises OACAuthError: if the token service refuses, or no person has signed in yet.
    :raises OACTransportError: if it cannot be reached.
    :raises OACTokenStoreError: if the store cannot be used and the grant depends on it.
    """
    shared = _Shared(io, store_entry, settings, policy, refused, past)
    try:
        return await shared.token()
    except OACTokenStoreError as problem:
        if settings.uses_refresh_token:
            raise
        log.warning("%s This process signs in by itself.", problem)
        return await mint(io, settings, policy)


@dataclass(frozen=True)
class _Shared:
    """The token of one sign-in, for one caller. All its coroutines are flows."""

    io: IO
    store_entry: StoreEntry
    settings: AuthSettings
    policy: RetryPolicy
    refused: str | None
    past: bool

    async def token(self) -> Token:
        """See :func:`through_store`."""
        pause, waited = POLL_INTERVAL, 0.0
        while True:
            stored, token, enough = await self._stored_token(locked=False)
            if token and enough:
                return token
            if await self.io.to_thread(self.store_entry.lock.acquire):
                try:
                    renewed = await self._renewed()
                finally:
                    await self.io.to_thread(self.store_entry.lock.release)
                if renewed:
                    return renewed
                continue
            if token and not self.past:
                return token
            if waited > _PATIENCE * self.store_entry.lease:
                raise OACTokenStoreError(f"{_locked_for(self.store_entry, waited)} {_renewing(stored)}")
            await self.io.sleep(pause)
            waited += pause
            pause = min(LONGEST_POLL_INTERVAL, pause * 1.5)

    async def _stored_token(self, locked: bool) -> tuple[Kept | None, Token | None, bool]:
        """The stored record, its token if that is valid, and whether the token needs no renewal."""
        settings, now = self.settings, self.io.now()
        stored = await self._read(locked)
        if stored is None or not stored.record.of(settings):
            return stored, None, False
        if settings.uses_refresh_token:
            check_owner(settings, stored.record.owner)
        token = stored.record.token
        freshness = token.freshness(now) if token and token.access_token != self.refused else Freshness.EXPIRED
        if freshness is Freshness.EXPIRED:
            return stored, None, False
        return stored, token, (freshness is Freshness.FRESH and not self.past) or bool(stored.record.unrenewable)

    async def _read(self, locked: bool) -> Kept | None:
        try:
            return await self.io.to_thread(self.store_entry.read)
        except OACTokenStoreError as problem:
            if not problem.damaged:
                raise
            if self.settings.uses_refresh_token:
                repair = f"If it cannot be restored: {self.settings.login_step}"
                raise OACTokenStoreError(f"{problem} {repair}", damaged=True) from None
            # A caller without the lock reads again under it.
            if locked:
                log.warning("%s This process replaces it.", problem)
            return None

    async def _renewed(self) -> Token | None:
        """Renew under the lock, unless another process just did; ``None`` to start over."""
        stored, token, enough = await self._stored_token(locked=True)
        if token and enough:
            return token
        if self.settings.uses_refresh_token:
            return await self._next_of_chain(stored)
        token = await mint(self.io, self.settings, self.policy)
        await self._try_to_store(minted(self.settings, token), None, "Only this process uses the new token.")
        return token

    async def _next_of_chain(self, stored: Kept | None) -> Token | None:
        """Renew with the latest refresh token; ``None`` to start over, because another process may have renewed."""
        io, store_entry, settings = self.io, self.store_entry, self.settings
        record = stored.record if stored else Record()
        refresh = record.refresh_token or settings.refresh_token
        self._check_renewable(record, refresh)
        interrupted = record.attempt
        begun = replace(record, refresh_token=refresh, attempt=Attempt(io.now(), _this_process()), failure=None)
        before = await io.to_thread(lambda: store_entry.write(begun, stored))
        if before is None:
            return None
        sent = 0

        async def still_ours() -> None:
            nonlocal sent
            if not await io.to_thread(store_entry.lock.extend):
                raise _LockLost
            sent += 1

        try:
            issued = await ask(io, replace(settings, refresh_token=refresh), self.policy, still_ours)
        except _LockLost:
            # A pause between two requests was longer than the lease.
            return None
        except OACTransportError as error:
            if not error.sent:
                # The refresh token is unused, so this attempt must not be blamed if a later renewal is refused.
                await self._try_to_store(replace(begun, attempt=interrupted), before, _STALE_ATTEMPT)
            raise
        except OACAuthError as error:
            if sent > 1 and interrupted is None:
                # The response to an earlier request of this renewal may be lost.
                interrupted = begun.attempt
            now_stored = None
            # If the store fails as well, the refusal is the more useful error.
            with suppress(OACTokenStoreError):
                now_stored = await io.to_thread(store_entry.read)
            if now_stored and now_stored.record.refresh_token != refresh:
                return None
            raise await self._explained(error, begun, before, interrupted) from None
        after = _after(begun, issued, io.now())
        await self._store(after, before)
        log.info(
            "Renewed the sign-in of %s at %s (%s); the token lives %.0f s.",
            after.owner or "an unnamed user", settings.identity_url, settings.label, issued.token.lifetime,
        )  # fmt: skip
        check_owner(settings, after.owner)
        return issued.token

    def _check_renewable(self, record: Record, refresh: str | None) -> None:
        """Raise if the renewal is known to fail, before anything is sent."""
        settings = self.settings
        if record.unrenewable:
            raise OACAuthError(
                f"The imported access token of {settings.label} has expired or is refused, and its refresh token "
                f"cannot be used: {record.unrenewable}. Next step: {settings.login_step}"
            )
        if not refresh:
            raise OACAuthError(
                f"No user has signed in for {settings.label} yet, or its settings were edited since: there is no "
                f"refresh token for it in {self.store_entry.where}. Next step: {settings.login_step}"
            )
        failure = record.failure
        age = self.io.now() - failure.at if failure else COOLDOWN
        if failure and not self.past and 0 <= age < COOLDOWN:
            raise OACAuthError(
                f"{failure.message} (That was {age:.0f} s ago. The next request is sent in {COOLDOWN - age:.0f} s, or "
                "after a user has signed in.)",
                error=failure.error,
                status=failure.status,
            )

    async def _explained(
        self, error: OACAuthError, begun: Record, before: Kept, interrupted: Attempt | None
    ) -> OACAuthError:
        """Add what is known of the chain to a refusal, and store a lasting one, so no other task asks again."""
        if error.retryable:
            # The domain may have renewed before it failed, so the attempt stays in the record.
            return error
        if error.error != "invalid_grant":
            # The refusal is not about the refresh token, which still works.
            await self._try_to_store(replace(begun, attempt=interrupted), before, _STALE_ATTEMPT)
            return error
        message = str(error)
        if interrupted and "consumed" in (error.description or "").lower():
            message += (
                f" A renewal that began {_when(interrupted.at)} in {interrupted.by} used it last. Its response, with "
                "the new refresh token, was lost with the process or the connection."
            )
        message += f" To repair it: {self.settings.login_step}"
        failure = Failure(self.io.now(), message, error.error, error.status)
        await self._try_to_store(
            replace(begun, attempt=interrupted, failure=failure),
            before,
            "Other tasks will repeat the request.",
        )
        return error.saying(message)

    async def _try_to_store(self, record: Record, before: Kept | None, effect: str) -> None:
        """Store a record, and only log a failure: other processes can do without it.

        :param before: the record that it replaces; ``None`` to replace whatever is there.
        :param effect: the consequence of a failure, for the log.
        """
        store_entry = self.store_entry
        try:
            await self.io.to_thread(lambda: store_entry.write(record, before) if before else store_entry.put(record))
        except OACTokenStoreError as problem:
            log.warning("%s %s", problem, effect)

    async def _store(self, record: Record, before: Kept) -> None:
        """Store the result of a renewal, and retry for ``_STORE_PATIENCE`` seconds.

        :raises OACTokenStoreError: if the store still fails, which ends the chain.
        :raises OACKilledError: if the task was told to stop.
        """
        io, store_entry, label = self.io, self.store_entry, self.settings.label
        used, began, pause = before.record.refresh_token, io.now(), POLL_INTERVAL

        def store() -> None:
            expected: Kept | None = before
            while not store_entry.write(record, expected):
                expected = store_entry.read()
                if expected and expected.record.refresh_token != used:
                    # The record is stored already, or a person has signed in again, which takes precedence.
                    return

        def lost(problem: OACTokenStoreError) -> str:
            return (
                f"The identity domain renewed {label}, but the new refresh token could not be stored. {problem} "
                f"The former one is used up. Once the store works: {self.settings.login_step}"
            )

        while True:
            try:
                return await io.to_thread(store)
            except OACTokenStoreError as problem:
                if io.now() - began >= _STORE_PATIENCE:
                    raise OACTokenStoreError(lost(problem)) from problem
                log.warning("Could not store the new refresh token of %s yet; trying again. %s", label, problem)
            try:
                await io.sleep(pause)
            except OACKilledError:
                # A task that was told to stop has time for one more write only.
                try:
                    await io.to_thread(store)
                except OACTokenStoreError as problem:
                    log.error("%s", lost(problem))
                raise
            pause = min(2.0, pause * 2)
            # Even if the lock is lost, the write compares, so it does not replace what another process has stored.
            with suppress(OACTokenStoreError):
                await io.to_thread(store_entry.lock.extend)


def _after(begun: Record, issued: Issued, now: float) -> Record:
    """The record after a renewal. The old refresh token stays only if no new one came (RFC 6749 section 6)."""
    record = begun.with_token(issued.token)
    who = owner(claims(issued.token.access_token)) or begun.owner
    if issued.refresh_token is None:
        return replace(record, owner=who)
    return replace(record, refresh_token=issued.refresh_token, refreshed_at=now, owner=who)


async def keep_sign_in(
    io: IO, store_entry: StoreEntry, settings: AuthSettings, issued: Issued, unrenewable: str | None
) -> Record:
    """Store the tokens of a person who has just signed in, and revoke the refresh token that they replace. Flow.

    :param unrenewable: why the refresh token cannot be used; ``None`` if it can.
    :raises OACConfigurationError: if the person is not the user in the settings, or if tokens that cannot be renewed
        would replace tokens that can.
    :raises OACTokenStoreError: if the store cannot be used.
    """
    refresh = None if unrenewable else issued.refresh_token
    record = replace(
        _after(Record(refresh_token=refresh), replace(issued, refresh_token=refresh), io.now()), unrenewable=unrenewable
    )
    check_owner(settings, record.owner)
    async with locked(io, store_entry):
        former = None
        try:
            stored = await io.to_thread(store_entry.read)
            former = stored.record.refresh_token if stored else None
        except OACTokenStoreError as problem:
            if not problem.damaged:
                raise
        if unrenewable and former:
            raise OACConfigurationError(
                f"The new tokens cannot be renewed, and they would replace the refresh token of {settings.label} in "
                f"{store_entry.where}, which tasks use. Use another Connection to try them, or `logout` first."
            )
        await io.to_thread(lambda: store_entry.put(record))
    if former and former != refresh:
        try:
            await revoke(io, replace(settings, refresh_token=former), ONCE)
        except (OACAuthError, OACTransportError) as error:
            log.warning("The refresh token that this sign-in replaces could not be revoked: %s", error)
    return record


@asynccontextmanager
async def locked(io: IO, store_entry: StoreEntry) -> AsyncIterator[None]:
    """Wait for the lock of an entry, and hold it. Flow.

    :raises OACTokenStoreError: if other processes hold it for too long.
    """
    waited = 0.0
    while not await io.to_thread(store_entry.lock.acquire):
        if waited > _PATIENCE * store_entry.lease:
            raise OACTokenStoreError(_locked_for(store_entry, waited))
        await io.sleep(LONGEST_POLL_INTERVAL)
        waited += LONGEST_POLL_INTERVAL
    try:
        yield
    finally:
        await io.to_thread(store_entry.lock.release)


def _locked_for(store_entry: StoreEntry, waited: float) -> str:
    return (
        f"The {store_entry.entry} has been locked by other processes for {waited:.0f} s. Likely cause: the "
        "identity domain does not answer the process that has the lock (see its log), or that process hangs."
    )


def _renewing(stored: Kept | None) -> str:
    attempt = stored.record.attempt if stored else None
    return f"The renewal in progress began {_when(attempt.at)} in {attempt.by}." if attempt else ""


def check_owner(settings: AuthSettings, who: str | None) -> None:
    """Refuse another user's sign-in, if the settings name a user.

    :raises OACConfigurationError: naming both.
    """
    if settings.user and who and settings.user.lower() != who.lower():
        user = name_or_length(settings.user, settings.secrets)
        raise OACConfigurationError(
            f"The sign-in of {settings.label} belongs to {who}, but the Connection's user is {user}. Sign in as that "
            "user, or correct or empty the Connection's user."
        )


def _this_process() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"


def _when(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("at %Y-%m-%d %H:%M:%S UTC")
