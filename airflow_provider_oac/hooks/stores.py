"""The token store that the deployment's settings choose (``[oac] store``)."""

from __future__ import annotations

import os
from functools import lru_cache

from airflow_provider_oac._compat import setting
from airflow_provider_oac.auth.store import EncryptedStore, StoreEntry
from airflow_provider_oac.auth.store_file import FileStore
from airflow_provider_oac.exceptions import OACConfigurationError
from airflow_provider_oac.hooks.connection import ConnectionSettings


def store_entry_of(settings: ConnectionSettings) -> StoreEntry | None:
    """Return the entry for a Connection's tokens in the store; ``None`` if the deployment keeps tokens in memory only.

    :raises OACConfigurationError: if the deployment's settings cannot work.
    """
    kind = (setting("oac", "store") or "memory").lower()
    if kind == "memory":
        return None
    if kind == "redis":
        location = setting("oac", "redis_url")
    elif kind == "file":
        home = os.environ.get("AIRFLOW_HOME") or "~/airflow"
        location = setting("oac", "store_folder") or os.path.join(os.path.expanduser(home), "oac-tokens")
    else:
        raise OACConfigurationError(f"[oac] store is {kind!r}, but must be memory, file or redis.")
    # The longest time that one token request can take, plus some time for the store itself.
    lease = settings.transport.connect_timeout + settings.transport.read_timeout + 30.0
    return _encrypted_store(kind, location, setting("core", "fernet_key")).store_entry(settings.auth, lease)


def store_entry_for_a_person(settings: ConnectionSettings, store_entry: StoreEntry | None) -> StoreEntry:
    """Return the store entry for the tokens of a person who is about to sign in.

    :param store_entry: the Connection's entry, from :func:`store_entry_of`.
    :raises OACConfigurationError: if the Connection's grant needs no person, or the deployment has no shared store.
    """
    if not settings.auth.uses_refresh_token:
        raise OACConfigurationError(
            f"Connection {settings.conn_id!r} uses the grant {settings.auth.grant}, which needs no person. To sign in "
            "as a person, set its grant to device_code or refresh_token."
        )
    if store_entry is None:
        raise OACConfigurationError(
            "No token store for the refresh token: [oac] store is memory. Set it to file (all tasks run on this host) "
            "or redis (several hosts), for this process and all of Airflow: AIRFLOW__OAC__STORE=file."
        )
    return store_entry


@lru_cache(maxsize=8)
def _encrypted_store(kind: str, location: str, fernet_keys: str) -> EncryptedStore:
    if kind == "file":
        return EncryptedStore(FileStore(location), fernet_keys.split(","))
    try:
        # It needs an optional package.
        from airflow_provider_oac.auth.store_redis import RedisStore
    except ImportError:
        raise OACConfigurationError(
            "[oac] store is redis, but the package is not installed: pip install 'airflow-provider-oac[redis]'."
        ) from None
    return EncryptedStore(RedisStore(location), fernet_keys.split(","))
