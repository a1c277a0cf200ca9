"""Tokens that outlive a process: what is kept of one sign-in, and how it is sealed.

A *backend* keeps sealed bytes by name and lends out try-locks: a folder on this host
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
    """A lock that other processes see. It is only ever tried, never waited for."""

    def acquire(self) -> bool:
        """Take it, if nobody has it."""
        ...

    def extend(self) -> bool:
        """Begin its lease anew; ``False`` if it was lost meanwhile."""
        ...

    def release(self) -> None:
        """Give it back. Without effect if it was lost."""
        ...


class Backend(Protocol):
    """Where sealed records are kept. Each method may raise :class:`OACTokenStoreError`."""

    @property
    def where(self) -> str:
        """What and where it is, for people."""
        ...

    def read(self, name: str) -> bytes | None:
        """What is kept under a name."""
        ...

    def read_all(self, names: Sequence[str]) -> list[bytes | OACTokenStoreError | None]:
        """What is kept under several names, in one request to a server; the error of a name that cannot be read."""
        ...

    def write(self, name: str, sealed: bytes, expected: bytes | None) -> bool:
        """Replace ``expected`` (``None``: nothing is there) as a whole or not at all; ``False`` if something else is
        there by now."""
        ...

    def delete(self, name: str) -> None:
        """Forget a name."""
        ...

    def lock(self, name: str, lease: float) -> Lock:
        """The lock of a name. Where nobody notices the death of its holder, it is free after ``lease`` seconds."""
        ...


@dataclass(frozen=True)
class Failure(records.Record):
    """A renewal that the identity domain refused, so that not every task asks it again.

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
    """A renewal that was begun: kept before the refresh token is sent, gone when what it brought is kept.

    Who finds one after its lock is free knows that its process died in between.

    :param at: when, in seconds since the epoch.
    :param by: host and process.
    """

    at: float
    by: str


@dataclass(frozen=True)
class Record(records.Record):
    """What is kept of one sign-in.

    :param access_token: the last access token, shared until it is stale.
    :param obtained_at: when it was asked for, in seconds since the epoch.
    :param lifetime: seconds it lives.
    :param refresh_token: the only refresh token of the chain that still works.
    :param refreshed_at: when that one came.
    :param owner: whose sign-in it is, by the access token's own words.
    :param unrenewable: why the identity domain will not renew it, if that is known.
    :param salt: of ``credential``.
    :param credential: an HMAC of the credential that brought the token, where no refresh token did.
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
        """The same with another access token, and nothing under way or failed."""
        return replace(
            self,
            access_token=token.access_token,
            obtained_at=token.obtained_at,
            lifetime=token.lifetime,
            attempt=None,
            failure=None,
        )

    def of(self, settings: AuthSettings) -> bool:
        """Whether it came by just these settings: an edited Connection gets none of its former self's tokens."""
        return settings.uses_refresh_token or secrets.compare_digest(
            self.credential, settings.fingerprint(self.salt.encode())
        )


def minted(settings: AuthSettings, token: Token) -> Record:
    """The record of a token that a credential brought."""
    salt = secrets.token_hex(16)
    return Record(salt=salt, credential=settings.fingerprint(salt.encode())).with_token(token)


class EncryptedStore:
    """A store whose records are sealed with Airflow's Fernet keys.

    :param backend: where they are kept.
    :param fernet_keys: the keys, the one in force first; the others still open what they sealed.
    :raises OACConfigurationError: if there is no key, or one that is none.
    """

    def __init__(self, backend: Backend, fernet_keys: Sequence[str]) -> None:
        if not any(fernet_keys):
            raise OACConfigurationError(
                f"Tokens are not kept in {backend.where} unencrypted, and Airflow has no Fernet key. Set [core] "
                "fernet_key (AIRFLOW__CORE__FERNET_KEY) to the same value on every machine, or [oac] store to "
                "memory."
            )
        try:
            self._fernet = MultiFernet([Fernet(key.strip()) for key in fernet_keys if key.strip()])
            usable = True
        except ValueError:
            usable = False
        # Not while that exception is handled: it may hold the key.
        if not usable:
            raise OACConfigurationError(
                "Airflow's Fernet key ([core] fernet_key) is not one: it must be 32 bytes in url-safe base64. Make one "
                "with: python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'."
            )
        self.backend = backend

    def store_entry(self, settings: AuthSettings, lease: float = 120.0) -> StoreEntry:
        """The place of one sign-in.

        :param lease: seconds that one call of the token service takes at most.
        """
        return StoreEntry(self, settings.store_key, settings.token_url, lease)

    def seal(self, record: Record, entry: Mapping[str, str]) -> bytes:
        """Encrypt a record together with the entry that it belongs to.

        :param entry: what the record must be found under.
        """
        return self._fernet.encrypt(json.dumps({"entry": dict(entry), "record": record.to_json()}).encode())

    def open(self, sealed: bytes, entry: Mapping[str, str]) -> Record:
        """Decrypt a record.

        :param entry: what it was found under.
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
            # Whoever can write to the store could give one Connection another one's tokens.
            raise OACTokenStoreError(
                "it was sealed for another entry: somebody copied or renamed it. Find out who writes to the store"
            )
        return record


@dataclass(frozen=True)
class Kept:
    """A record together with the very bytes in the store, so that it is only replaced if nobody did meanwhile."""

    record: Record
    sealed: bytes = field(repr=False)


class StoreEntry:
    """The place of one sign-in in a store."""

    def __init__(self, vault: EncryptedStore, name: str, token_url: str, lease: float) -> None:
        self._vault = vault
        self._name = name
        self._sealed_for = {"name": name, "token_url": token_url}
        self.lease = lease
        self._lock = vault.backend.lock(name, lease)

    @property
    def where(self) -> str:
        """What and where the store is, for people."""
        return self._vault.backend.where

    @property
    def entry(self) -> str:
        """The entry in the store, for people who look for it."""
        return f"entry {self._name[:12]}… of {self.where}"

    def read(self) -> Kept | None:
        """What is kept.

        :raises OACTokenStoreError: if the store cannot be read, or holds something else.
        """
        return self.opened(self._vault.backend.read(self._name))

    def opened(self, sealed: bytes | None) -> Kept | None:
        """The record in what the store holds, as :meth:`read` returns it."""
        if sealed is None:
            return None
        try:
            return Kept(self._vault.open(sealed, self._sealed_for), sealed)
        except OACTokenStoreError as problem:
            raise OACTokenStoreError(f"The {self.entry} cannot be used: {problem}.", damaged=True) from None

    def write(self, record: Record, before: Kept | None) -> Kept | None:
        """Keep a record in place of another one; ``None`` if something else is there by now."""
        sealed = self._vault.seal(record, self._sealed_for)
        written = self._vault.backend.write(self._name, sealed, before.sealed if before else None)
        return Kept(record, sealed) if written else None

    def put(self, record: Record) -> None:
        """Keep a record whatever is there: a new sign-in, or a heap of damaged bytes to be replaced."""
        sealed = self._vault.seal(record, self._sealed_for)
        while not self._vault.backend.write(self._name, sealed, self._vault.backend.read(self._name)):
            pass

    def delete(self) -> None:
        """Forget what is kept."""
        self._vault.backend.delete(self._name)

    def acquire(self) -> bool:
        """Try to take the lock."""
        return self._lock.acquire()

    def extend(self) -> bool:
        """Begin the lock's lease anew; ``False`` if the lock was lost."""
        return self._lock.extend()

    def release(self) -> None:
        """Give the lock back."""
        self._lock.release()

    @staticmethod
    def read_all(slots: Sequence[StoreEntry]) -> list[Kept | OACTokenStoreError | None]:
        """Read several slots of one store, with one request where the store is a server.

        :returns: for each store_entry the record, ``None`` if there is none, or the error of an entry that cannot be
            used.
        :raises OACTokenStoreError: if the store cannot be reached.
        """
        if not slots:
            return []
        outcomes: list[Kept | OACTokenStoreError | None] = []
        found = slots[0]._vault.backend.read_all([store_entry._name for store_entry in slots])
        for store_entry, sealed in zip(slots, found, strict=True):
            try:
                outcomes.append(sealed if isinstance(sealed, OACTokenStoreError) else store_entry.opened(sealed))
            except OACTokenStoreError as problem:
                outcomes.append(problem)
        return outcomes
