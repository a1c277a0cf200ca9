"""One token for the tasks of many processes: what happens at a store, under its lock.

Where a credential brings tokens (an assertion, a password), the store is a convenience: without it, each process signs
in by itself. A chain of refresh tokens depends on it. Each refresh token works once only (observed), so a renewal is
written down before it is sent and kept before it is used; whatever dies in between is noticed by whoever comes next.
"""

from __future__ import annotations

import logging
import os
import socket
from contextlib import suppress
from dataclasses import replace
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

LOOK_INTERVAL = 0.02
LONGEST_LOOK_INTERVAL = 0.25
# Seconds for which a renewal that the identity domain refused is not tried again by anybody.
COOLDOWN = 60.0
# Seconds for which a new refresh token is offered to a store that does not take it; the lock is kept meanwhile.
_KEEP_TRYING = 30.0
# How many leases to wait for a lock: whoever has it may ask a token service that does not answer four times.
_PATIENCE = 3


class _LockLost(Exception):
    """Others may be renewing by now."""


async def through_store(
    io: IO,
    store_entry: StoreEntry,
    settings: AuthSettings,
    policy: RetryPolicy = RENEWAL,
    *,
    refused: str | None = None,
    past: bool = False,
) -> Token:
    """Return the store's token if it is fresh, else renew it; one renewal at a time, whatever the number of processes.
    Flow.

    :param policy: how often to ask the token service.
    :param refused: an access token that the resource server refused: not to be used, however fresh.
    :param past: renew in any case.
    :raises OACAuthError: if the token service refuses, or nobody has signed in yet.
    :raises OACTransportError: if it cannot be reached.
    :raises OACTokenStoreError: if the store cannot be used and the grant depends on it.
    """
    if settings.uses_refresh_token:
        return await _shared(io, store_entry, settings, policy, refused, past)
    try:
        return await _shared(io, store_entry, settings, policy, refused, past)
    except OACTokenStoreError as problem:
        log.warning("%s This process signs in by itself.", problem)
        return await mint(io, settings, policy)


async def _shared(
    io: IO, store_entry: StoreEntry, settings: AuthSettings, policy: RetryPolicy, refused: str | None, past: bool
) -> Token:
    pause, waited = LOOK_INTERVAL, 0.0

    async def look(locked: bool) -> tuple[Kept | None, Token | None, bool]:
        """What is kept, its token if that works, and whether it need not be renewed."""
        kept = await _read(io, store_entry, settings, locked)
        token = _working(kept, settings, refused, io.now())
        if kept is None or token is None:
            return kept, None, False
        fresh = token.freshness(io.now()) is Freshness.FRESH and not past
        return kept, token, fresh or bool(kept.record.unrenewable)

    while True:
        kept, token, enough = await look(False)
        if token and enough:
            return token
        if await io.to_thread(store_entry.acquire):
            try:
                kept, token, enough = await look(True)
                if token and enough:
                    return token
                if not settings.uses_refresh_token:
                    return await _mint_and_keep(io, store_entry, settings, policy)
                renewed = await _next_of_chain(io, store_entry, settings, policy, kept, past)
            finally:
                await io.to_thread(store_entry.release)
            if renewed:
                return renewed
            continue
        if token and not past:
            return token
        if waited > _PATIENCE * store_entry.lease:
            raise OACTokenStoreError(f"{_locked_for(store_entry, waited)} {_whose(kept)}")
        await io.sleep(pause)
        waited += pause
        pause = min(LONGEST_LOOK_INTERVAL, pause * 1.5)


async def _read(io: IO, store_entry: StoreEntry, settings: AuthSettings, locked: bool) -> Kept | None:
    try:
        return await io.to_thread(store_entry.read)
    except OACTokenStoreError as problem:
        if not problem.damaged:
            raise
        if settings.uses_refresh_token:
            repair = f"If it cannot be brought back: {settings.login_step}"
            raise OACTokenStoreError(f"{problem} {repair}", damaged=True) from None
        # Who has no lock looks again under it.
        if locked:
            log.warning("%s It is replaced.", problem)
        return None


def _working(kept: Kept | None, settings: AuthSettings, refused: str | None, now: float) -> Token | None:
    """The token kept, if it is one of these settings and works."""
    if kept is None or not kept.record.of(settings):
        return None
    if settings.uses_refresh_token:
        check_owner(settings, kept.record.owner)
    token = kept.record.token
    if token is None or token.access_token == refused or token.freshness(now) is Freshness.EXPIRED:
        return None
    return token


async def _mint_and_keep(io: IO, store_entry: StoreEntry, settings: AuthSettings, policy: RetryPolicy) -> Token:
    token = await mint(io, settings, policy)
    try:
        await io.to_thread(lambda: store_entry.put(minted(settings, token)))
    except OACTokenStoreError as problem:
        log.warning("%s The token serves this process only.", problem)
    return token


async def _next_of_chain(
    io: IO, store_entry: StoreEntry, settings: AuthSettings, policy: RetryPolicy, kept: Kept | None, past: bool
) -> Token | None:
    """Renew by the latest refresh token; ``None`` if somebody has put another one there meanwhile. Flow."""
    record = kept.record if kept else Record()
    refresh = record.refresh_token or settings.refresh_token
    _refuse_hopeless(
        record if past is False else replace(record, failure=None), refresh, store_entry, settings, io.now()
    )
    current = replace(settings, refresh_token=refresh)
    interrupted = record.attempt
    begun = replace(record, refresh_token=refresh, attempt=Attempt(io.now(), _this_process()), failure=None)
    before = await io.to_thread(lambda: store_entry.write(begun, kept))
    if before is None:
        return None

    sent = 0

    async def still_ours() -> None:
        nonlocal sent
        if not await io.to_thread(store_entry.extend):
            raise _LockLost
        sent += 1

    try:
        issued = await ask(io, current, policy, still_ours)
    except _LockLost:
        # A pause before another request was longer than the lease.
        return None
    except OACTransportError as error:
        if not error.sent:
            # Nothing was used up: the mark would blame this renewal for what others do.
            await _unmark(io, store_entry, replace(begun, attempt=interrupted), before)
        raise
    except OACAuthError as error:
        if sent > 1 and interrupted is None:
            # The answer to an earlier one of these requests may be what was lost.
            interrupted = begun.attempt
        now_kept = None
        # The refusal says more than a store that fails as well.
        with suppress(OACTokenStoreError):
            now_kept = await io.to_thread(store_entry.read)
        if now_kept and now_kept.record.refresh_token != refresh:
            return None
        raise await _refused(io, store_entry, settings, error, begun, before, interrupted) from None
    after = _after(begun, issued, io.now())
    await _keep(io, store_entry, settings, after, before)
    log.info(
        "Renewed the sign-in of %s at %s (%s); the token lives %.0f s.",
        after.owner or "an unnamed user", settings.identity_url, settings.label, issued.token.lifetime,
    )  # fmt: skip
    check_owner(settings, after.owner)
    return issued.token


def _refuse_hopeless(
    record: Record, refresh: str | None, store_entry: StoreEntry, settings: AuthSettings, now: float
) -> None:
    """Ask nobody for what is known to fail."""
    if record.unrenewable:
        raise OACAuthError(
            f"The imported access token of {settings.label} has expired or is refused, and its refresh token cannot "
            f"be used: {record.unrenewable}. Next step: {settings.login_step}"
        )
    if not refresh:
        raise OACAuthError(
            f"Nobody has signed in for {settings.label} yet, or its settings were edited since: there is no refresh "
            f"token for it in {store_entry.where}. Next step: {settings.login_step}"
        )
    failure = record.failure
    if failure and 0 <= now - failure.at < COOLDOWN:
        raise OACAuthError(
            f"{failure.message} (That was {now - failure.at:.0f} s ago. The identity domain is not asked again for "
            f"{COOLDOWN - (now - failure.at):.0f} s, unless somebody signs in.)",
            error=failure.error,
            status=failure.status,
        )


async def _refused(
    io: IO,
    store_entry: StoreEntry,
    settings: AuthSettings,
    error: OACAuthError,
    begun: Record,
    before: Kept,
    interrupted: Attempt | None,
) -> OACAuthError:
    """The refusal with what is known of the chain; a lasting one is kept, so that not every task asks again. Flow."""
    if error.retryable:
        # It may have come after the domain had renewed: the mark of the attempt stays.
        return error
    if error.error != "invalid_grant":
        # It is not about the refresh token, which is as good as before.
        await _unmark(io, store_entry, replace(begun, attempt=interrupted), before)
        return error
    message = str(error)
    if interrupted and "consumed" in (error.description or "").lower():
        message += (
            f" It was last sent by a renewal that began {_when(interrupted.at)} in {interrupted.by} and came to no "
            "good end: the domain had answered, and that answer, with the new refresh token, was lost with the "
            "process or the connection."
        )
    message += f" To repair it: {settings.login_step}"
    failure = Failure(io.now(), message, error.error, error.status)
    try:
        await io.to_thread(lambda: store_entry.write(replace(begun, attempt=interrupted, failure=failure), before))
    except OACTokenStoreError as problem:
        log.warning("The refusal of the identity domain could not be kept for other tasks. %s", problem)
    return error.saying(message)


async def _unmark(io: IO, store_entry: StoreEntry, record: Record, before: Kept) -> None:
    """Take back the mark of a renewal that used nothing up. Flow."""
    try:
        await io.to_thread(lambda: store_entry.write(record, before))
    except OACTokenStoreError as problem:
        log.warning("%s It still says that a renewal is under way.", problem)


def _after(begun: Record, issued: Issued, now: float) -> Record:
    """The record after a renewal. The old refresh token stays only if no new one came (RFC 6749 section 6)."""
    record = begun.with_token(issued.token)
    who = owner(claims(issued.token.access_token)) or begun.owner
    if issued.refresh_token is None:
        return replace(record, owner=who)
    return replace(record, refresh_token=issued.refresh_token, refreshed_at=now, owner=who)


async def _keep(io: IO, store_entry: StoreEntry, settings: AuthSettings, record: Record, before: Kept) -> None:
    """Keep what a renewal brought, however long the store needs. Flow.

    :raises OACTokenStoreError: if the store does not take it, which ends the chain.
    """
    used, began, pause = before.record.refresh_token, io.now(), LOOK_INTERVAL

    def keep() -> None:
        expected: Kept | None = before
        while not store_entry.write(record, expected):
            expected = store_entry.read()
            if expected and expected.record.refresh_token != used:
                # It is there already, or somebody has signed in anew, which is what counts from now on.
                return

    while True:
        try:
            return await io.to_thread(keep)
        except OACTokenStoreError as problem:
            if io.now() - began >= _KEEP_TRYING:
                raise OACTokenStoreError(
                    f"The identity domain renewed {settings.label}, and the new refresh token could not be kept. "
                    f"{problem} The former one is used up. To repair it, once the store works: {settings.login_step}"
                ) from problem
            log.warning("%s It holds up the new refresh token of %s; trying again.", problem, settings.label)
        try:
            await io.sleep(pause)
        except OACKilledError:
            # Whoever is told to stop has no time for more than this.
            await io.to_thread(keep)
            raise
        pause = min(2.0, pause * 2)
        # If it is lost, the write still compares: what somebody else has kept meanwhile is not replaced.
        with suppress(OACTokenStoreError):
            await io.to_thread(store_entry.extend)


async def keep_sign_in(
    io: IO, store_entry: StoreEntry, settings: AuthSettings, issued: Issued, unrenewable: str | None
) -> Record:
    """Keep the tokens of a person who has just signed in, and revoke the refresh token that they replace. Flow.

    :param unrenewable: why the refresh token is of no use, if it is not.
    :raises OACConfigurationError: if the person is not the one whom the settings ask for, or tokens that cannot be
        renewed would take the place of some that can.
    :raises OACTokenStoreError: if the store does not take them.
    """
    refresh = None if unrenewable else issued.refresh_token
    record = replace(
        _after(Record(refresh_token=refresh), replace(issued, refresh_token=refresh), io.now()), unrenewable=unrenewable
    )
    check_owner(settings, record.owner)
    await under_lock(io, store_entry)
    try:
        former = await _former_refresh_token(io, store_entry)
        if unrenewable and former:
            raise OACConfigurationError(
                f"There is a refresh token for {settings.label} in {store_entry.where}, which tasks renew. The new "
                "tokens cannot be renewed and would end that. Use another Connection to try them, or `logout` first."
            )
        await io.to_thread(lambda: store_entry.put(record))
    finally:
        await io.to_thread(store_entry.release)
    if former and former != refresh:
        try:
            await revoke(io, replace(settings, refresh_token=former), ONCE)
        except (OACAuthError, OACTransportError) as error:
            log.warning("The refresh token that this sign-in replaces could not be revoked: %s", error)
    return record


async def _former_refresh_token(io: IO, store_entry: StoreEntry) -> str | None:
    try:
        kept = await io.to_thread(store_entry.read)
    except OACTokenStoreError as problem:
        if not problem.damaged:
            raise
        return None
    return kept.record.refresh_token if kept else None


async def under_lock(io: IO, store_entry: StoreEntry) -> None:
    """Wait for the lock of a store_entry and take it. Flow.

    :raises OACTokenStoreError: if others hold it for too long.
    """
    waited = 0.0
    while not await io.to_thread(store_entry.acquire):
        if waited > _PATIENCE * store_entry.lease:
            raise OACTokenStoreError(_locked_for(store_entry, waited))
        await io.sleep(LONGEST_LOOK_INTERVAL)
        waited += LONGEST_LOOK_INTERVAL


def _locked_for(store_entry: StoreEntry, waited: float) -> str:
    return (
        f"The {store_entry.entry} has been locked by other processes for {waited:.0f} s. Likely cause: the "
        "identity domain does not answer the process that has the lock (see its log), or that process hangs."
    )


def _whose(kept: Kept | None) -> str:
    attempt = kept.record.attempt if kept else None
    return f"The renewal under way was begun {_when(attempt.at)} by {attempt.by}." if attempt else ""


def check_owner(settings: AuthSettings, who: str | None) -> None:
    """Refuse somebody else's sign-in, where the settings name a user.

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
