"""A person signs in, and what that brings is kept for the tasks: the whole way, as a command and a web page go it."""

from __future__ import annotations

from collections.abc import Callable

from airflow_provider_oac.auth.device import DeviceCode, device_sign_in
from airflow_provider_oac.auth.settings import AuthSettings
from airflow_provider_oac.auth.shared_store import keep_sign_in, under_lock
from airflow_provider_oac.auth.store import Record, StoreEntry
from airflow_provider_oac.transport.io import IO


async def sign_in_and_keep(
    io: IO,
    store_entry: StoreEntry,
    settings: AuthSettings,
    show: Callable[[DeviceCode], None],
    waiting: Callable[[float], None],
) -> Record:
    """Let a person sign in with a code, and keep the tokens in the store. Flow.

    :param store_entry: their place in the store. What is there is replaced once the person has signed in, not before.
    :param show: shows the code and the address to the person.
    :param waiting: told, before each poll, how many seconds are left. What it raises ends the sign-in.
    :returns: what is kept.
    :raises OACAuthError: if the person refuses or does not come, or the domain refuses.
    :raises OACConfigurationError: if somebody else signed in than the settings ask for.
    :raises OACTokenStoreError: if the store cannot be used; mostly before anybody is asked to sign in.
    :raises OACTransportError: if the domain cannot be reached.
    """
    # Before a person is bothered: what cannot be kept need not be fetched. What is there may be damaged, since it is
    # replaced.
    await under_lock(io, store_entry)
    await io.to_thread(store_entry.release)
    issued = await device_sign_in(io, settings, show, waiting)
    return await keep_sign_in(io, store_entry, settings, issued, None)
