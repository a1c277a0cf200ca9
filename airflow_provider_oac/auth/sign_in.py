"""Sign a person in or out, by a command or a web page: at the identity domain and in the store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from airflow_provider_oac.auth.device import DeviceCode, device_sign_in
from airflow_provider_oac.auth.settings import AuthSettings
from airflow_provider_oac.auth.shared_store import keep_sign_in, locked
from airflow_provider_oac.auth.store import Record, StoreEntry
from airflow_provider_oac.auth.token_endpoint import revoke
from airflow_provider_oac.exceptions import OACAuthError, OACTokenStoreError, OACTransportError
from airflow_provider_oac.transport.io import IO

_LEFT = (
    "The refresh token is forgotten here, but was not revoked: the identity domain may accept it until it expires. End "
    "the user's sessions, or regenerate the application's secret, in the identity domain's console."
)


async def sign_in_and_keep(
    io: IO,
    store_entry: StoreEntry,
    settings: AuthSettings,
    show: Callable[[DeviceCode], None],
    waiting: Callable[[float], None],
) -> Record:
    """Let a person sign in with a code, and store the tokens. Flow.

    :param store_entry: the entry in the store. Its content is replaced once the person has signed in.
    :param show: shows the code and the address to the person.
    :param waiting: called before each poll with the seconds left. An exception from it ends the sign-in.
    :returns: the stored record.
    :raises OACAuthError: if the person denies the request or does not approve it in time, or the domain refuses.
    :raises OACConfigurationError: if the user who signed in is not the one in the settings.
    :raises OACTokenStoreError: if the store cannot be used; in most cases before the person is asked to sign in.
    :raises OACTransportError: if the domain cannot be reached.
    """
    # Fail before the person acts if the store cannot be used. Damaged content is replaced.
    async with locked(io, store_entry):
        pass
    issued = await device_sign_in(io, settings, show, waiting)
    return await keep_sign_in(io, store_entry, settings, issued, None)


async def forget(io: IO, store_entry: StoreEntry, settings: AuthSettings) -> bool:
    """Revoke the refresh token and delete the sign-in from the store. Flow.

    :returns: whether there was a refresh token.
    :raises OACAuthError: if the domain refuses to revoke it. The store has already deleted it.
    :raises OACTransportError: if the domain cannot be reached. The store has already deleted it.
    :raises OACTokenStoreError: if the store cannot be changed, or if it deleted damaged content whose refresh token
        could not be read and so not revoked.
    """
    kept, unread = None, None
    async with locked(io, store_entry):
        try:
            kept = await io.to_thread(store_entry.read)
        except OACTokenStoreError as problem:
            if not problem.damaged:
                raise
            unread = problem
        await io.to_thread(store_entry.delete)
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
