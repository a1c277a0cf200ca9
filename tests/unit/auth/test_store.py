"""What is kept of a sign-in: sealed, under names that say nothing, and only for the settings that brought it."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import asdict, replace
from typing import Any

import pytest
from cryptography.fernet import Fernet

from airflow_provider_oac.auth.settings import AuthSettings
from airflow_provider_oac.auth.store import Attempt, EncryptedStore, Failure, Record, minted
from airflow_provider_oac.exceptions import OACConfigurationError, OACTokenStoreError
from tests.unit.auth.stores import CHAIN, FERNET_KEY, PASSWORD, RECORD, TOKEN, Dictionary, kept_in, store_entry

OTHER_KEY, THIRD_KEY = (Fernet.generate_key().decode() for _ in range(2))
FULL = replace(
    RECORD, refreshed_at=1_700_000_001.5, unrenewable="why not: ümlaut", attempt=Attempt(1_700_000_002.0, "process 1"),
    failure=Failure(1_700_000_003.0, "it failed", "invalid_grant", 400),
)  # fmt: skip
UNSEEDED = replace(CHAIN, refresh_token=None)
ENTRY = {"name": "entry", "token_url": "https://idcs.example.com/oauth2/v1/token"}
KEY_CHANGES: list[dict[str, Any]] = [
    {"user_password": "other"}, {"client_secret": "other"}, {"client_authentication": "body"}, {"audience": ("other",)},
    {"private_key": "a key"}, {"private_key_passphrase": "a phrase"}, {"certificate_alias": "an alias"},
    {"certificate": "a certificate"},
]  # fmt: skip


OTHER_PLACES = [
    {field: "https://other.example.com"} for field in ("identity_url", "resource", "client_id", "scope", "user")
]


@pytest.fixture
def vault() -> EncryptedStore:
    return EncryptedStore(Dictionary(), [FERNET_KEY])


class TestSealing:
    @pytest.mark.parametrize("record", [Record(), RECORD, FULL, minted(PASSWORD, TOKEN)])
    def test_what_is_kept_comes_back(self, record: Record, vault: EncryptedStore) -> None:
        assert vault.open(vault.seal(record, ENTRY), ENTRY) == record

    def test_nothing_of_it_can_be_read_without_the_key(self, vault: EncryptedStore) -> None:
        sealed = vault.seal(FULL, ENTRY)
        raw = sealed + base64.urlsafe_b64decode(sealed)
        assert not [part for part in (b"an-access-token", b"a-refresh-token", b"svc", b"invalid_grant") if part in raw]

    def test_reprs_show_no_token(self) -> None:
        place, record = store_entry(Dictionary()), minted(PASSWORD, TOKEN)
        place.put(RECORD)
        shown = repr((RECORD, FULL, place.read(), place, record))
        assert not [secret for secret in ("access-token", "refresh-token", record.credential) if secret in shown]

    @pytest.mark.parametrize("keys", [[], [""], ["", ""]])
    def test_without_a_key_nothing_is_kept(self, keys: list[str]) -> None:
        with pytest.raises(OACConfigurationError, match=r"not kept in a dictionary unencrypted.*AIRFLOW__CORE__FERNET"):
            EncryptedStore(Dictionary(), keys)

    @pytest.mark.parametrize("key", ["no-key-at-all", "ä" * 44, FERNET_KEY[:-4], " "], ids=range(4))
    def test_a_key_that_is_none_is_named_but_not_shown(self, key: str) -> None:
        with pytest.raises(OACConfigurationError, match="must be 32 bytes") as caught:
            EncryptedStore(Dictionary(), [key])
        assert key.strip() == "" or key not in str(caught.value)
        assert caught.value.__context__ is None


class TestKeyRotation:
    @pytest.fixture
    def backend(self) -> Dictionary:
        """It holds a record that is sealed with another key."""
        backend = Dictionary()
        store_entry(backend, OTHER_KEY).put(RECORD)
        return backend

    def test_the_former_key_still_opens_and_the_new_one_seals(self, backend: Dictionary) -> None:
        rotating = store_entry(backend, FERNET_KEY, f" {OTHER_KEY}\n", "")
        assert kept_in(rotating) == RECORD
        assert rotating.write(RECORD, rotating.read())
        assert kept_in(store_entry(backend)) == RECORD

    def test_a_key_that_was_dropped_opens_nothing(self, backend: Dictionary) -> None:
        said = r"another Fernet key.*keep the former key behind a comma"
        with pytest.raises(OACTokenStoreError, match=said) as caught:
            store_entry(backend, FERNET_KEY, THIRD_KEY).read()
        assert (caught.value.damaged, caught.value.passing) == (True, False)


SEALED = Fernet(FERNET_KEY).encrypt(b"{}")
UNKNOWN_FORMS = [
    "[]", "1", "null", "{}", "no json", '{"entry": {}}', '{"entry": {}, "record": 1}',
    *(
        json.dumps({"entry": {}, "record": RECORD.to_json() | changes})
        for changes in ({"version": 2}, {"of_a_later_version": 1}, {"attempt": {"odd": 1}}, {"failure": "text"})
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("damaged", "said"),
    [
        *((spoiled, "cannot be decrypted") for spoiled in (b"", SEALED[:-1], SEALED[:60], b"\xff\xfe", b"rubbish")),
        (SEALED[:40] + bytes([SEALED[40] ^ 1]) + SEALED[41:], "cannot be decrypted"),
        *((Fernet(FERNET_KEY).encrypt(body.encode()), "a form that this version") for body in UNKNOWN_FORMS),
    ],
    ids=range(6 + len(UNKNOWN_FORMS)),
)
def test_damaged_bytes_are_named_with_their_entry_and_can_be_replaced(damaged: bytes, said: str) -> None:
    backend = Dictionary()
    place = store_entry(backend)
    backend.kept[CHAIN.store_key] = damaged
    said = rf"entry {CHAIN.store_key[:12]}… of a dictionary cannot be used: .*{said}"
    with pytest.raises(OACTokenStoreError, match=said) as caught:
        place.read()
    assert caught.value.damaged
    place.put(RECORD)
    assert kept_in(place) == RECORD


class TestCopies:
    """Whoever can write to the store, but has no key, moves what is sealed."""

    def test_a_record_that_was_copied_over_another_entry_is_refused(self) -> None:
        backend = Dictionary()
        mine, other = (store_entry(backend, settings=settings) for settings in (CHAIN, UNSEEDED))
        mine.put(RECORD)
        backend.kept[UNSEEDED.store_key] = backend.kept[CHAIN.store_key]
        with pytest.raises(OACTokenStoreError, match="was sealed for another entry") as caught:
            other.read()
        assert caught.value.damaged
        assert mine.read()

    @pytest.mark.parametrize("changes", [{"name": "other"}, {"token_url": "https://other.example.com"}])
    def test_name_and_token_url_are_sealed_in(self, changes: dict[str, str], vault: EncryptedStore) -> None:
        with pytest.raises(OACTokenStoreError, match="another entry"):
            vault.open(vault.seal(RECORD, ENTRY), {**ENTRY, **changes})


class TestSlot:
    def test_replaces_only_what_was_read(self) -> None:
        backend = Dictionary()
        mine, rival = store_entry(backend), store_entry(backend)
        first = mine.write(RECORD, None)
        assert rival.write(FULL, None) is None
        assert rival.write(FULL, rival.read())
        assert mine.write(Record(), first) is None
        assert kept_in(mine) == FULL

    def test_a_written_record_can_be_replaced_without_reading_it_again(self) -> None:
        place = store_entry(Dictionary())
        assert place.write(FULL, place.write(RECORD, None))

    def test_forgets(self) -> None:
        place = store_entry(Dictionary())
        place.put(RECORD)
        for _ in range(2):
            place.delete()
            assert place.read() is None


class TestPlace:
    """Names of entries: they are seen by whoever lists a folder or the keys of Redis."""

    def test_is_a_hash_and_not_that_of_a_secret(self) -> None:
        for settings, secret in ((PASSWORD, "user-pass-word"), (CHAIN, "first-refresh-token")):
            assert len(settings.store_key) == 64
            assert int(settings.store_key, 16) != int(hashlib.sha256(secret.encode()).hexdigest(), 16)

    @pytest.mark.parametrize(
        ("settings", "changes"),
        [
            # It does not depend on a secret that can be guessed.
            *((PASSWORD, changes) for changes in KEY_CHANGES),
            # A chain is found by its seed, and without one by the Connection's name.
            (CHAIN, {"name": "other"}),
            (UNSEEDED, {"grant": "device_code"}),
        ],
    )
    def test_stays_the_same(self, settings: AuthSettings, changes: dict[str, Any]) -> None:
        assert replace(settings, **changes).store_key == settings.store_key

    @pytest.mark.parametrize(
        ("settings", "changes"),
        [
            *((settings, changes) for settings in (PASSWORD, CHAIN) for changes in OTHER_PLACES),
            *((PASSWORD, {"grant": grant}) for grant in ("jwt_assertion", "device_code")),
            (replace(PASSWORD, grant="jwt_assertion"), {"grant": "device_code"}),
            (replace(PASSWORD, client_id="ab", scope="c"), {"client_id": "a", "scope": "bc"}),
            (CHAIN, {"refresh_token": "other"}),
            (UNSEEDED, {"name": "other"}),
            (UNSEEDED, {"refresh_token": UNSEEDED.name}),
        ],
    )
    def test_tells_sign_ins_apart(self, settings: AuthSettings, changes: dict[str, Any]) -> None:
        assert replace(settings, **changes).store_key != settings.store_key


class TestEditedSettings:
    """An edited Connection gets none of its former self's tokens, although it finds the same place."""

    @pytest.mark.parametrize("changes", [*KEY_CHANGES, *OTHER_PLACES])
    def test_get_no_former_token(self, changes: dict[str, Any]) -> None:
        record = minted(PASSWORD, TOKEN)
        assert record.of(PASSWORD)
        assert not record.of(replace(PASSWORD, **changes))

    def test_get_none_of_a_record_without_a_credential(self) -> None:
        assert not Record().with_token(TOKEN).of(PASSWORD)

    def test_each_record_has_a_salt_of_its_own(self) -> None:
        first, second = minted(PASSWORD, TOKEN), minted(PASSWORD, TOKEN)
        assert first.credential != second.credential
        assert "user-pass-word" not in json.dumps(asdict(first))

    def test_a_chain_belongs_to_whoever_finds_it(self) -> None:
        assert RECORD.of(CHAIN)
        assert RECORD.of(replace(CHAIN, client_secret="regenerated"))
