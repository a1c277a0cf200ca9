"""Settings, and a store, that the tests of signing in share."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from cryptography.fernet import Fernet

from airflow_provider_oac.auth.settings import AuthSettings
from airflow_provider_oac.auth.store import Backend, EncryptedStore, Kept, Record, StoreEntry
from airflow_provider_oac.auth.token import Token
from airflow_provider_oac.exceptions import OACTokenStoreError
from tests.unit.auth import keys_forms as forms

FERNET_KEY = Fernet.generate_key().decode()
#: One for each kind of credential.
PASSWORD = AuthSettings(
    identity_url="https://idcs.example.com", client_id="client", scope="scope", grant="password", user="user",
    user_password="user-pass-word", client_secret="client-secret",
)  # fmt: skip
SIGNED = AuthSettings(
    identity_url="https://idcs.example.com", client_id="client", scope="scope", user="user",
    private_key=forms.pem("PKCS#8"), certificate_alias="alias",
)  # fmt: skip
CHAIN = AuthSettings(
    identity_url="https://idcs.example.com", client_id="client", scope="scope", grant="refresh_token",
    client_secret="client-secret", refresh_token="first-refresh-token", name="oac_default",
)  # fmt: skip
TOKEN = Token("an-access-token", 1_700_000_000.0, 100.0)
RECORD = Record(refresh_token="a-refresh-token", owner="svc").with_token(TOKEN)
NAME = "a" * 64


class Dictionary:
    """A backend without a disk and without a server."""

    where = "a dictionary"

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.kept_is_full = False
        self.locked = False

    def read(self, name: str) -> bytes | None:
        return self.kept.get(name)

    def write(self, name: str, sealed: bytes, expected: bytes | None) -> bool:
        if self.kept_is_full:
            raise OACTokenStoreError("The dictionary is full.")
        if self.kept.get(name) != expected:
            return False
        self.kept[name] = sealed
        return True

    def delete(self, name: str) -> None:
        self.kept.pop(name, None)

    def lock(self, name: str, lease: float) -> Any:
        return SimpleNamespace(acquire=lambda: not self.locked, extend=lambda: True, release=lambda: None)


def store_entry(backend: Backend, *keys: str, settings: AuthSettings = CHAIN) -> StoreEntry:
    """The place of settings in a backend, sealed with these keys or with the usual one."""
    return EncryptedStore(backend, keys or (FERNET_KEY,)).store_entry(settings)


def kept_in(place: StoreEntry) -> Record:
    """The record that a place holds."""
    kept = place.read()
    assert isinstance(kept, Kept)
    return kept.record
