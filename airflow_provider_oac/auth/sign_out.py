"""Ending a sign-in: at the identity domain and in the store."""

from __future__ import annotations

from dataclasses import replace

from airflow_provider_oac.auth.settings import AuthSettings
from airflow_provider_oac.auth.shared_store import under_lock
from airflow_provider_oac.auth.store import StoreEntry
from airflow_provider_oac.auth.token_endpoint import revoke
from airflow_provider_oac.exceptions import OACAuthError, OACTokenStoreError, OACTransportError
from airflow_provider_oac.transport.io import IO

_LEFT = (
    "The refresh token is forgotten here, but was not revoked: the identity domain may accept it until it expires. End "
    "the user's sessions, or regenerate the application's secret, in the identity domain's console."
)


async def forget(io: IO, store_entry: StoreEntry, settings: AuthSettings) -> bool:
    """Revoke the refresh token and forget everything that the store has of a sign-in. Flow.

    :returns: whether there was a refresh token.
    :raises OACAuthError: if the domain refuses to revoke it. It is forgotten all the same.
    :raises OACTransportError: if the domain cannot be reached. It is forgotten all the same.
    :raises OACTokenStoreError: if the store cannot be changed, or what it held could not be read, and so not revoked.
    """
    unread: OACTokenStoreError | None = None
    await under_lock(io, store_entry)
    try:
        try:
            kept = await io.to_thread(store_entry.read)
        except OACTokenStoreError as problem:
            if not problem.damaged:
                raise
            kept, unread = None, problem
        await io.to_thread(store_entry.delete)
    finally:
        await io.to_thread(store_entry.release)
    refresh = (kept.record.refresh_token if kept else None) or settings.refresh_token
    if unread and settings.uses_refresh_token and refresh is None:
        raise OACTokenStoreError(f"{unread} {_LEFT}", damaged=True)
    if refresh is None or not settings.uses_refresh_token:
        return False
    try:
        await revoke(io, replace(settings, refresh_token=refresh))
    except OACTransportError as error:
        raise OACTransportError(f"{error} {_LEFT}", sent=error.sent, passing=error.passing) from error
    except OACAuthError as error:
        raise error.saying(f"{error} {_LEFT}") from None
    return True
