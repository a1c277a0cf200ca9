"""What is kept of a sign-in: sealed, under names that say nothing, and only for the settings that brought it."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from airflow_provider_oac.auth.settings import AuthSettings
from airflow_provider_oac.auth.store import Attempt, EncryptedStore, Failure, Record, minted
from airflow_provider_oac.auth.store_file import FileStore
from airflow_provider_oac.exceptions import OACConfigurationError, OACTokenStoreError
from tests.unit.auth.stores import CHAIN, FERNET_KEY, PASSWORD, RECORD, TOKEN, Dictionary, store_entry

OTHER_KEY, THIRD_KEY = (Fernet.generate_key().decode() for _ in range(2))
FULL = dataclasses.replace(
    RECORD,
    refreshed_at=1_700_000_001.5,
    unrenewable="why not: ümlaut",
    attempt=Attempt(1_700_000_002.0, "process 1 on host"),
    failure=Failure(1_700_000_003.0, "it failed", "invalid_grant", 400),
)
KEY_CHANGES: list[dict[str, Any]] = [
    {"user_password": "other"}, {"client_secret": "other"}, {"client_authentication": "body"}, {"audience": ("other",)},
    {"private_key": "a key"}, {"private_key_passphrase": "a phrase"}, {"certificate_alias": "an alias"},
    {"certificate": "a certificate"}, {"resource": "https://other.example.com"},
]  # fmt: skip


ENTRY = {"name": "entry", "token_url": "https://idcs.example.com/oauth2/v1/token"}
OTHER_PLACES: list[dict[str, Any]] = [
    {"resource": "https://other.example.com"}, {"identity_url": "https://other.example.com"}, {"name": "other"},
    {"client_id": "other"}, {"scope": "other"}, {"user": "other"},
]  # fmt: skip


class TestSealing:
    @pytest.mark.parametrize("record", [Record(), RECORD, FULL, minted(PASSWORD, TOKEN)])
    def test_what_is_kept_comes_back(self, record: Record) -> None:
        vault = EncryptedStore(Dictionary(), [FERNET_KEY])
        assert vault.open(vault.seal(record, ENTRY), ENTRY) == record

    def test_nothing_of_it_can_be_read_without_the_key(self) -> None:
        sealed = EncryptedStore(Dictionary(), [FERNET_KEY]).seal(FULL, ENTRY)
        raw = sealed + base64.urlsafe_b64decode(sealed)
        assert not [part for part in (b"an-access-token", b"a-refresh-token", b"svc", b"invalid_grant") if part in raw]

    def test_two_sealings_of_one_record_differ(self) -> None:
        vault = EncryptedStore(Dictionary(), [FERNET_KEY])
        assert vault.seal(RECORD, ENTRY) != vault.seal(RECORD, ENTRY)

    def test_reprs_show_no_token(self) -> None:
        backend = Dictionary()
        place = store_entry(backend)
        place.put(RECORD)
        shown = repr((RECORD, FULL, place.read(), place, minted(PASSWORD, TOKEN)))
        assert "access-token" not in shown
        assert "refresh-token" not in shown
        assert minted(PASSWORD, TOKEN).credential not in shown

    @pytest.mark.parametrize("keys", [[], [""], ["", ""]])
    def test_without_a_key_nothing_is_kept(self, keys: list[str]) -> None:
        with pytest.raises(OACConfigurationError, match=r"not kept in a dictionary unencrypted.*AIRFLOW__CORE__FERNET"):
            EncryptedStore(Dictionary(), keys)

    @pytest.mark.parametrize(
        "key", ["no-key-at-all", "ä" * 44, FERNET_KEY[:-4], " "], ids=["text", "umlauts", "cut short", "blank"]
    )
    def test_a_key_that_is_none_is_named_but_not_shown(self, key: str) -> None:
        with pytest.raises(OACConfigurationError, match="must be 32 bytes") as caught:
            EncryptedStore(Dictionary(), [key])
        assert key.strip() == "" or key not in str(caught.value)
        assert caught.value.__context__ is None


class TestKeyRotation:
    def test_the_former_key_still_opens_and_the_new_one_seals(self) -> None:
        backend = Dictionary()
        store_entry(backend, OTHER_KEY).put(RECORD)
        rotating = store_entry(backend, FERNET_KEY, OTHER_KEY)
        kept = rotating.read()
        assert kept
        assert kept.record == RECORD
        assert rotating.write(RECORD, kept)
        reread = store_entry(backend, FERNET_KEY).read()
        assert reread
        assert reread.record == RECORD

    def test_blanks_around_keys_do_not_matter(self) -> None:
        backend = Dictionary()
        store_entry(backend, OTHER_KEY).put(RECORD)
        assert store_entry(backend, FERNET_KEY, f" {OTHER_KEY}\n", "").read()

    def test_a_key_that_was_dropped_opens_nothing(self) -> None:
        backend = Dictionary()
        store_entry(backend, OTHER_KEY).put(RECORD)
        with pytest.raises(
            OACTokenStoreError, match=r"another Fernet key.*keep the former key behind a comma"
        ) as caught:
            store_entry(backend, FERNET_KEY, THIRD_KEY).read()
        assert caught.value.damaged
        assert not caught.value.passing


class TestDamage:
    @pytest.mark.parametrize(
        "spoil",
        [
            lambda sealed: b"",
            lambda sealed: sealed[:-1],
            lambda sealed: sealed[: len(sealed) // 2],
            lambda sealed: sealed[:40] + bytes([sealed[40] ^ 1]) + sealed[41:],
            lambda sealed: b"\xff\xfe",
            lambda sealed: b'{"form": 1}',
        ],
    )
    def test_damaged_bytes_are_named_with_their_entry(self, spoil: Any) -> None:
        backend = Dictionary()
        place = store_entry(backend)
        place.put(RECORD)
        backend.kept[CHAIN.store_key] = spoil(backend.kept[CHAIN.store_key])
        with pytest.raises(
            OACTokenStoreError, match=f"entry {CHAIN.store_key[:12]}… of a dictionary cannot be used"
        ) as caught:
            place.read()
        assert caught.value.damaged

    @pytest.mark.parametrize(
        "body",
        [
            "[]", "1", "null", "{}", "no json", '{"entry": {}}', '{"entry": {}, "record": 1}',
            json.dumps({"entry": {}, "record": RECORD.to_json() | {"version": 2}}),
            json.dumps({"entry": {}, "record": RECORD.to_json() | {"of_a_later_version": 1}}),
            json.dumps({"entry": {}, "record": RECORD.to_json() | {"attempt": {"odd": 1}}}),
            json.dumps({"entry": {}, "record": RECORD.to_json() | {"failure": "text"}}),
        ],
    )  # fmt: skip
    def test_a_form_that_is_not_known_is_refused(self, body: str) -> None:
        backend = Dictionary()
        backend.kept[CHAIN.store_key] = Fernet(FERNET_KEY).encrypt(body.encode())
        with pytest.raises(
            OACTokenStoreError, match="a form that this version of the provider does not know"
        ) as caught:
            store_entry(backend).read()
        assert caught.value.damaged

    def test_damaged_bytes_can_be_replaced(self) -> None:
        backend = Dictionary()
        backend.kept[CHAIN.store_key] = b"rubbish"
        store_entry(backend).put(RECORD)
        kept = store_entry(backend).read()
        assert kept
        assert kept.record == RECORD


class TestCopies:
    """Whoever can write to the store, but has no key, moves what is sealed."""

    @pytest.mark.parametrize("changes", OTHER_PLACES)
    @pytest.mark.parametrize("kind", [Dictionary, FileStore])
    def test_a_record_that_was_copied_over_another_entry_is_refused(
        self, kind: Any, changes: dict[str, Any], tmp_path: Path
    ) -> None:
        backend = Dictionary() if kind is Dictionary else FileStore(str(tmp_path / "tokens"))
        mine = dataclasses.replace(CHAIN, refresh_token=None)
        other = dataclasses.replace(mine, **changes)
        store_entry(backend, settings=mine).put(RECORD)
        sealed = backend.read(mine.store_key)
        assert sealed
        assert backend.write(other.store_key, sealed, None)
        with pytest.raises(OACTokenStoreError, match="was sealed for another entry") as caught:
            store_entry(backend, settings=other).read()
        assert caught.value.damaged
        assert store_entry(backend, settings=mine).read()

    def test_the_token_url_is_part_of_what_is_sealed(self) -> None:
        vault = EncryptedStore(Dictionary(), [FERNET_KEY])
        with pytest.raises(OACTokenStoreError, match="another entry"):
            vault.open(vault.seal(RECORD, ENTRY), {**ENTRY, "token_url": "https://other.example.com/oauth2/v1/token"})


class TestSlot:
    def test_replaces_only_what_was_read(self) -> None:
        backend = Dictionary()
        mine, rival = store_entry(backend), store_entry(backend)
        first = mine.write(RECORD, None)
        assert first
        assert rival.write(FULL, None) is None
        assert rival.write(FULL, rival.read())
        assert mine.write(Record(), first) is None
        kept = mine.read()
        assert kept
        assert kept.record == FULL

    def test_a_written_record_can_be_replaced_without_reading_it_again(self) -> None:
        place = store_entry(Dictionary())
        before = None
        for number in range(3):
            before = place.write(dataclasses.replace(RECORD, refresh_token=str(number)), before)
            assert before

    def test_forgets(self) -> None:
        place = store_entry(Dictionary())
        place.put(RECORD)
        place.delete()
        assert place.read() is None
        place.delete()


class TestPlace:
    """Names of entries: they are seen by whoever lists a folder or the keys of Redis."""

    def test_is_a_hash(self) -> None:
        assert all(len(settings.store_key) == 64 and int(settings.store_key, 16) for settings in (PASSWORD, CHAIN))

    @pytest.mark.parametrize("changes", KEY_CHANGES[:-1])
    def test_does_not_depend_on_a_secret_that_can_be_guessed(self, changes: dict[str, Any]) -> None:
        assert dataclasses.replace(PASSWORD, **changes).store_key == PASSWORD.store_key

    @pytest.mark.parametrize("field", ["identity_url", "resource", "client_id", "scope", "user"])
    @pytest.mark.parametrize("settings", [PASSWORD, CHAIN])
    def test_tells_sign_ins_apart(self, settings: AuthSettings, field: str) -> None:
        assert dataclasses.replace(settings, **{field: "https://other.example.com"}).store_key != settings.store_key

    def test_tells_the_ways_to_sign_in_apart(self) -> None:
        places = {dataclasses.replace(PASSWORD, grant=grant).store_key for grant in ("password", "jwt_assertion")}
        assert len(places | {dataclasses.replace(PASSWORD, grant="device_code").store_key}) == 3

    def test_does_not_run_its_parts_together(self) -> None:
        parts = (dataclasses.replace(PASSWORD, client_id=one, scope=other) for one, other in (("ab", "c"), ("a", "bc")))
        assert len({settings.store_key for settings in parts}) == 2

    def test_a_chain_is_found_by_its_seed_whatever_the_connection_is_called(self) -> None:
        assert dataclasses.replace(CHAIN, name="other").store_key == CHAIN.store_key
        assert dataclasses.replace(CHAIN, refresh_token="other").store_key != CHAIN.store_key

    def test_a_chain_without_a_seed_is_found_by_the_connections_name(self) -> None:
        unseeded = dataclasses.replace(CHAIN, refresh_token=None)
        assert dataclasses.replace(unseeded, grant="device_code").store_key == unseeded.store_key
        assert dataclasses.replace(unseeded, name="other").store_key != unseeded.store_key
        assert dataclasses.replace(CHAIN, refresh_token=CHAIN.name).store_key != unseeded.store_key

    def test_holds_no_plain_hash_of_a_secret(self) -> None:
        for settings, secret in itertools.product((PASSWORD, CHAIN), ("user-pass-word", "first-refresh-token")):
            assert settings.store_key != hashlib.sha256(secret.encode()).hexdigest()


class TestEditedSettings:
    """An edited Connection gets none of its former self's tokens, although it finds the same place."""

    @pytest.mark.parametrize("changes", KEY_CHANGES)
    def test_get_no_former_token(self, changes: dict[str, Any]) -> None:
        record = minted(PASSWORD, TOKEN)
        assert record.of(PASSWORD)
        assert not record.of(dataclasses.replace(PASSWORD, **changes))

    def test_get_none_of_a_record_without_a_credential(self) -> None:
        assert not Record().with_token(TOKEN).of(PASSWORD)

    def test_each_record_has_a_salt_of_its_own(self) -> None:
        first, second = minted(PASSWORD, TOKEN), minted(PASSWORD, TOKEN)
        assert first.credential != second.credential
        assert "user-pass-word" not in json.dumps(dataclasses.asdict(first))

    def test_a_chain_belongs_to_whoever_finds_it(self) -> None:
        assert RECORD.of(CHAIN)
        assert RECORD.of(dataclasses.replace(CHAIN, client_secret="regenerated"))
