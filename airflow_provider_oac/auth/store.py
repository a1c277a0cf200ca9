"""Tokens that outlive a process: the stored record of a sign-in, and its encryption.

A *backend* keeps encrypted bytes by name and provides try-locks: a folder on this host
(:mod:`airflow_provider_oac.auth.store_file`) or Redis (:mod:`airflow_provider_oac.auth.store_redis`). Everything here
blocks; flows call it through their ``io``'s ``to_thread``.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from airflow_provider_oac import records
from airflow_provider_oac.auth.settings import AuthSettings
from airflow_provider_oac.auth.token import Token
from airflow_provider_oac.exceptions import OACConfigurationError, OACTokenStoreError


class Lock(Protocol):
    """A lock that all processes see; a caller tries it and never blocks on it."""

    def acquire(self) -> bool:
        """Try to take the lock; ``False`` if it is held."""
        ...

    def extend(self) -> bool:
        """Restart the lease; ``False`` if the lock was lost."""
        ...

    def release(self) -> None:
        """Release the lock; no effect if it was lost."""
        ...


class Backend(Protocol):
    """Keeps encrypted records; each method may raise :class:`OACTokenStoreError`."""

    @property
    def where(self) -> str:
        """Kind and location of the store, for messages."""
        ...

    def read(self, name: str) -> bytes | None:
        """Return the bytes stored under a name; ``None`` if there are none."""
        ...

    def read_all(self, names: Sequence[str]) -> list[bytes | OACTokenStoreError | None]:
        """Return what is stored under several names, with one request to a server; for an unreadable one, its error."""
        ...

    def write(self, name: str, sealed: bytes, expected: bytes | None) -> bool:
        """Replace ``expected`` atomically; ``False`` if something else is stored under the name.

        :param expected: the bytes to replace; ``None`` if there are none yet.
        """
        ...

    def delete(self, name: str) -> None:
        """Delete the entry of a name."""
        ...

    def lock(self, name: str, lease: float) -> Lock:
        """Return the lock of a name; if the backend cannot notice its holder's death, it expires after ``lease`` s."""
        ...


@dataclass(frozen=True)
class Failure(records.Record):
    """A renewal that the identity domain refused; storing it keeps other tasks from asking again.

    :param at: when, in seconds since the epoch.
    :param message: the complete text for people.
    :param error: OAuth's error code.
    :param status: HTTP status.
    """

    at: float
    message: str
    error: str | None = None
    status: int | None = None


@dataclass(frozen=True)
class Attempt(records.Record):
    """A renewal that has begun: stored before the refresh token is sent, removed when the result is stored.

    If an attempt is still there when the lock is free, its process died or its response was lost.

    :param at: when, in seconds since the epoch.
    :param by: host and process.
    """

    at: float
    by: str


@dataclass(frozen=True)
class Record(records.Record):
    """The stored state of one sign-in.

    :param access_token: the last access token, shared until it is stale.
    :param obtained_at: when it was requested, in seconds since the epoch.
    :param lifetime: its lifetime in seconds.
    :param refresh_token: the only refresh token of the chain that still works.
    :param refreshed_at: when it was stored, in seconds since the epoch.
    :param owner: the user of the sign-in, from the access token's claims.
    :param unrenewable: why the identity domain will not renew it, if that is known.
    :param attempt: the renewal in progress or cut off, if any.
    :param failure: the last renewal, if the identity domain refused it for good.
    :param salt: salt of ``credential``.
    :param credential: an HMAC of the credential that the token was issued for; empty if that was a refresh token.
    """

    access_token: str | None = field(default=None, repr=False)
    obtained_at: float = 0.0
    lifetime: float = 0.0
    refresh_token: str | None = field(default=None, repr=False)
    refreshed_at: float = 0.0
    owner: str | None = None
    unrenewable: str | None = None
    attempt: Attempt | None = None
    failure: Failure | None = None
    salt: str = field(default="", repr=False)
    credential: str = field(default="", repr=False)

    @property
    def token(self) -> Token | None:
        """The access token."""
        return Token(self.access_token, self.obtained_at, self.lifetime) if self.access_token else None

    def with_token(self, token: Token) -> Record:
        """A copy with another access token, and without an attempt or a failure."""
        return replace(
            self,
            access_token=token.access_token,
            obtained_at=token.obtained_at,
            lifetime=token.lifetime,
            attempt=None,
            failure=None,
        )

    def of(self, settings: AuthSettings) -> bool:
        """Whether the record belongs to exactly these settings: an edited Connection must not get its former tokens."""
        return settings.uses_refresh_token or secrets.compare_digest(
            self.credential, settings.fingerprint(self.salt.encode())
        )


def minted(settings: AuthSettings, token: Token) -> Record:
    """The record of a token that was issued for a credential."""
    salt = secrets.token_hex(16)
    return Record(salt=salt, credential=settings.fingerprint(salt.encode())).with_token(token)


class EncryptedStore:
    """A store whose records are encrypted with Airflow's Fernet keys.

    :param backend: where the records are kept.
    :param fernet_keys: the current key first, then former keys, which only decrypt.
    :raises OACConfigurationError: if there is no key, or an invalid one.
    """

    def __init__(self, backend: Backend, fernet_keys: Sequence[str]) -> None:
        if not any(fernet_keys):
            raise OACConfigurationError(
                f"Tokens are not kept in {backend.where} unencrypted, and Airflow has no Fernet key. Set [core] "
                "fernet_key (AIRFLOW__CORE__FERNET_KEY) to the same value on every machine, or [oac] store to memory."
            )
        try:
            self._fernet = MultiFernet([Fernet(key.strip()) for key in fernet_keys if key.strip()])
            self.backend = backend
            return
        except ValueError:
            pass
        # Raised outside the handler: that exception may hold the key.
        raise OACConfigurationError(
            "Airflow's Fernet key ([core] fernet_key) must be 32 bytes in url-safe base64. Make one with: python -c "
            "'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'."
        )

    def store_entry(self, settings: AuthSettings, lease: float = 120.0) -> StoreEntry:
        """The entry of one sign-in.

        :param lease: lease of its lock in seconds: the most that one call of the token service takes.
        """
        return StoreEntry(self, settings.store_key, settings.token_url, lease)

    def seal(self, record: Record, entry: Mapping[str, str]) -> bytes:
        """Encrypt a record together with the entry that it belongs to.

        :param entry: the entry that :meth:`open` must then be given.
        """
        return self._fernet.encrypt(json.dumps({"entry": dict(entry), "record": record.to_json()}).encode())

    def open(self, sealed: bytes, entry: Mapping[str, str]) -> Record:
        """Decrypt a record.

        :param entry: the entry in which it was found.
        :raises OACTokenStoreError: if it was sealed with another key or for another entry, or is damaged.
        """
        try:
            text: bytes | None = self._fernet.decrypt(sealed)
        except InvalidToken:
            text = None
        if text is None:
            raise OACTokenStoreError(
                "it cannot be decrypted: it was sealed with another Fernet key ([core] fernet_key must be the same on "
                "every machine, and keep the former key behind a comma after a change), or it is damaged"
            )
        try:
            body = json.loads(text)
        except ValueError:
            body = None
        record = Record.from_json(body.get("record")) if isinstance(body, dict) else None
        if record is None:
            raise OACTokenStoreError("it has a form that this version of the provider does not know")
        if body.get("entry") != dict(entry):
            # Otherwise anyone with write access to the store could give one Connection the tokens of another.
            raise OACTokenStoreError(
                "it was sealed for another entry, so it was copied or renamed. Find out who writes to the store"
            )
        return record


@dataclass(frozen=True)
class Kept:
    """A record and its exact bytes in the store: a write replaces it only if the store still holds these bytes."""

    record: Record
    sealed: bytes = field(repr=False)


class StoreEntry:
    """The entry of one sign-in in a store."""

    def __init__(self, store: EncryptedStore, name: str, token_url: str, lease: float) -> None:
        self._store = store
        self._name = name
        self._sealed_for = {"name": name, "token_url": token_url}
        self.lease = lease
        self.lock = store.backend.lock(name, lease)

    @property
    def where(self) -> str:
        """Kind and location of the store, for messages."""
        return self._store.backend.where

    @property
    def entry(self) -> str:
        """Name of the entry in messages, for people who look for it in the store."""
        return f"entry {self._name[:12]}… of {self.where}"

    def read(self) -> Kept | None:
        """Return the record; ``None`` if there is none.

        :raises OACTokenStoreError: if the store cannot be read, or holds something else.
        """
        return self.opened(self._store.backend.read(self._name))

    def opened(self, sealed: bytes | None) -> Kept | None:
        """Decrypt bytes from the store into the result of :meth:`read`."""
        if sealed is None:
            return None
        try:
            return Kept(self._store.open(sealed, self._sealed_for), sealed)
        except OACTokenStoreError as problem:
            raise OACTokenStoreError(f"The {self.entry} cannot be used: {problem}.", damaged=True) from None

    def write(self, record: Record, before: Kept | None) -> Kept | None:
        """Replace a record with another one; ``None`` if the entry has changed meanwhile."""
        sealed = self._store.seal(record, self._sealed_for)
        written = self._store.backend.write(self._name, sealed, before.sealed if before else None)
        return Kept(record, sealed) if written else None

    def put(self, record: Record) -> None:
        """Store a record whatever the entry holds, for a new sign-in or in place of damaged bytes."""
        sealed = self._store.seal(record, self._sealed_for)
        while not self._store.backend.write(self._name, sealed, self._store.backend.read(self._name)):
            pass

    def delete(self) -> None:
        """Delete the record."""
        self._store.backend.delete(self._name)

    @staticmethod
    def read_all(entries: Sequence[StoreEntry]) -> list[Kept | OACTokenStoreError | None]:
        """Read several entries of one store, with one request if the store is a server.

        :returns: for each entry the record, ``None`` if there is none, or the error if the entry cannot be used.
        :raises OACTokenStoreError: if the store cannot be reached.
        """
        if not entries:
            return []
        outcomes: list[Kept | OACTokenStoreError | None] = []
        found = entries[0]._store.backend.read_all([store_entry._name for store_entry in entries])
        for store_entry, sealed in zip(entries, found, strict=True):
            try:
                outcomes.append(sealed if isinstance(sealed, OACTokenStoreError) else store_entry.opened(sealed))
            except OACTokenStoreError as problem:
                outcomes.append(problem)
        return outcomes
