"""A store in Redis, for tasks on several hosts. Needs the extra ``redis``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import parse_qs, urlsplit

import redis
import redis.lock
from redis.exceptions import LockError

from airflow_provider_oac.exceptions import OACConfigurationError, OACTokenStoreError

_PREFIX = "airflow-provider-oac"
# Seconds after the last write at which Redis drops an entry. Refresh tokens live for a week by default.
_KEPT = 180 * 24 * 3600
_TIMEOUT = 5.0
# Parameters that redis-py accepts and that do no harm. Others raise a TypeError, decode_responses at each read.
_PARAMETERS = (
    "client_name", "db", "health_check_interval", "max_connections", "protocol", "retry_on_timeout",
    "socket_connect_timeout", "socket_keepalive", "socket_timeout",
)  # fmt: skip
_TLS_PARAMETERS = (
    "ssl_ca_certs", "ssl_ca_data", "ssl_ca_path", "ssl_cert_reqs", "ssl_certfile", "ssl_check_hostname", "ssl_keyfile",
    "ssl_min_version", "ssl_password",
)  # fmt: skip


class RedisStore:
    """Keeps entries by name, replaces one only if it is unchanged since it was read, and provides locks with a lease.

    The server must not evict entries (``maxmemory-policy noeviction``), and it needs persistence if the sign-ins are to
    survive a restart.

    :param url: ``redis://``, ``rediss://`` or ``unix://`` address, with login and database if need be.
    :raises OACConfigurationError: if there is no address.
    """

    def __init__(self, url: str) -> None:
        if not url:
            raise OACConfigurationError(
                "[oac] store is redis, but [oac] redis_url is empty: set it, for example to "
                "rediss://:password@redis.example.com:6379/0."
            )
        try:
            parts = urlsplit(url)
            port = f":{parts.port}" if parts.port else ""
            self._shown = f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"
            self._client: redis.Redis = redis.Redis.from_url(
                url, socket_timeout=_TIMEOUT, socket_connect_timeout=_TIMEOUT, health_check_interval=30
            )
            # A longer path, a fragment or an @ in the query may be the rest of a password with a / # or ? in it, which
            # must not be shown.
            usable = parts.scheme == "unix" or bool(
                # A single word may be a password without its @.
                (parts.port or parts.path or "@" in parts.netloc or parts.hostname == "localhost")
                and re.fullmatch(r"(/\d*)?", parts.path)
                and not parts.fragment
                and "@" not in parts.query
            )
            known = _PARAMETERS + (_TLS_PARAMETERS if parts.scheme == "rediss" else ())
            unknown = [name for name in parse_qs(parts.query) if name not in known]
        except ValueError:
            usable, unknown, known = False, [], ()
        # Raised outside the handler: that exception may hold the password.
        if not usable:
            raise OACConfigurationError(
                "[oac] redis_url is not the address of a Redis server, such as "
                "rediss://:password@redis.example.com:6379/0 (password percent-encoded)."
            )
        if unknown:
            raise OACConfigurationError(
                f"[oac] redis_url has the parameter {unknown[0]!r}, which cannot be used here. Known are "
                f"{', '.join(known)}."
            )
        self.errors: tuple[type[Exception], ...] = (redis.RedisError, OSError)

    @property
    def where(self) -> str:
        """Kind and location of the store, for messages."""
        return f"the token store in Redis ({self._shown})"

    def read(self, name: str) -> bytes | None:
        """Return the bytes stored under a name; ``None`` if there are none."""
        with self.explained("read"):
            value: Any = self._client.get(_key("token", name))
            return bytes(value) if value is not None else None

    def read_all(self, names: Sequence[str]) -> list[bytes | OACTokenStoreError | None]:
        """Return what is stored under several names, with one request."""
        with self.explained("read"):
            values: Any = self._client.mget([_key("token", name) for name in names])
            return [None if sealed is None else bytes(sealed) for sealed in values]

    def write(self, name: str, sealed: bytes, expected: bytes | None) -> bool:
        """Compare and set in one transaction."""
        key = _key("token", name)
        with self.explained("written"), self._client.pipeline() as pipe:
            pipe.watch(key)  # type: ignore[no-untyped-call]
            if pipe.get(key) != expected:
                return False
            pipe.multi()
            pipe.set(key, sealed, ex=_KEPT)
            with suppress(redis.WatchError):
                pipe.execute()
                return True
            return False

    def delete(self, name: str) -> None:
        """Delete the entry of a name."""
        with self.explained("changed"):
            self._client.delete(_key("token", name))

    def lock(self, name: str, lease: float) -> RedisLock:
        """Return the lock of a name, which expires ``lease`` seconds after it was taken or extended."""
        return RedisLock(self, self._client.lock(_key("lock", name), timeout=lease, thread_local=False))

    @contextmanager
    def explained(self, done: str) -> Iterator[None]:
        """Turn the library's exceptions into one error, without their text: servers quote what was sent."""
        try:
            yield
        except self.errors as error:
            step = "Check that the server runs and is reachable, and login and password in [oac] redis_url"
            if re.search("MISCONF|ReadOnly|OutOfMemory|READONLY|OOM", f"{type(error).__name__} {error}"):
                step = "The server refuses writes: check its disk, memory and role"
            raise OACTokenStoreError(
                f"The token store in Redis ({self._shown}) could not be {done} ({type(error).__name__}). {step}."
            ) from None


class RedisLock:
    """The lock of one name in Redis."""

    def __init__(self, store: RedisStore, lock: redis.lock.Lock) -> None:
        self._store = store
        self._lock = lock
        self._held = False

    def acquire(self) -> bool:
        """Try to take the lock; ``False`` if it is held."""
        with self._store.explained("locked"):
            taken = bool(self._lock.acquire(blocking=False))
        # Another thread may hold it through this same object.
        self._held = self._held or taken
        return taken

    def extend(self) -> bool:
        """Restart the lease; ``False`` if it has expired or Redis has lost the lock."""
        with self._store.explained("locked"):
            try:
                return bool(self._lock.reacquire())
            except LockError:
                return False

    def release(self) -> None:
        """Release the lock; if Redis cannot be reached, the lock expires with its lease."""
        if self._held:
            self._held = False
            with suppress(*self._store.errors):
                self._lock.release()


def _key(kind: str, name: str) -> str:
    return f"{_PREFIX}:{kind}:{name}"
