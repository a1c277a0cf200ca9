"""The store of tokens that the deployment's settings name (``[oac] store``)."""

from __future__ import annotations

import os
from functools import lru_cache

from airflow_provider_oac._compat import setting
from airflow_provider_oac.auth.store import Backend, Slot, Vault
from airflow_provider_oac.exceptions import OACConfigurationError
from airflow_provider_oac.hooks.connection import ConnectionSettings

MEMORY, FILE, REDIS = "memory", "file", "redis"


def slot_of(settings: ConnectionSettings) -> Slot | None:
    """The place of a Connection's tokens in the store; ``None`` if the deployment keeps them nowhere.

    :raises OACConfigurationError: if the settings cannot work.
    """
    kind = (setting("oac", "store") or MEMORY).lower()
    if kind == MEMORY:
        return None
    if kind not in (FILE, REDIS):
        raise OACConfigurationError(f"[oac] store is {kind!r}. Known are: {MEMORY}, {FILE}, {REDIS}.")
    place = setting("oac", "redis_url") if kind == REDIS else setting("oac", "store_folder") or _default_folder()
    # As long as one call of the token service can take, and some time for the store itself.
    lease = settings.transport.connect_timeout + settings.transport.read_timeout + 30.0
    return _vault(kind, place, setting("core", "fernet_key")).slot(settings.auth, lease)


@lru_cache(maxsize=8)
def _vault(kind: str, place: str, fernet_keys: str) -> Vault:
    return Vault(_backend(kind, place), fernet_keys.split(","))


def _backend(kind: str, place: str) -> Backend:
    if kind == REDIS:
        from airflow_provider_oac.auth.store_redis import RedisStore

        return RedisStore(place)
    from airflow_provider_oac.auth.store_file import FileStore

    return FileStore(place)


def _default_folder() -> str:
    return os.path.join(os.path.expanduser(os.environ.get("AIRFLOW_HOME") or "~/airflow"), "oac-tokens")
