"""Ids of catalog items: encoded once, by somebody who says so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_oac.client import ids
from airflow_provider_oac.exceptions import OACConfigurationError


@pytest.mark.parametrize(
    ("plain", "encoded"),
    [
        # All from the reference's examples, the last one printed with padding there.
        ("/@Catalog/shared/Sales", "L0BDYXRhbG9nL3NoYXJlZC9TYWxlcw"),
        ("/shared/Sales/MySalesWorkbook", "L3NoYXJlZC9TYWxlcy9NeVNhbGVzV29ya2Jvb2s"),
        ("'admin'.'oracle_adw_walletless'", "J2FkbWluJy4nb3JhY2xlX2Fkd193YWxsZXRsZXNzJw"),
        ("/shared/Größe ✓?>", "L3NoYXJlZC9HcsO2w59lIOKckz8-"),
        ("'jane.doe@example.com'.'It''s'", "J2phbmUuZG9lQGV4YW1wbGUuY29tJy4nSXQnJ3MnIA"[:-2]),
    ],
)
def test_a_path_or_a_pair_is_encoded_without_padding(plain: str, encoded: str) -> None:
    assert ids.catalog_id(plain) == encoded
    assert ids.plain_id(encoded) == plain
    assert ids.plain_id(encoded + "=" * (-len(encoded) % 4)) == plain


@pytest.mark.parametrize(
    "text", ["", "/", "None", "Sales", "'owner'", "'a'.b", "L0BDYXRhbG9nL3NoYXJlZC9TYWxlcw", "''.''"]
)
def test_what_is_no_plain_id_is_refused(text: str) -> None:
    with pytest.raises(OACConfigurationError, match="no plain id"):
        ids.catalog_id(text)


def test_an_encoded_id_is_never_encoded_again_and_the_message_says_so() -> None:
    with pytest.raises(OACConfigurationError, match="encoded already"):
        ids.catalog_id(ids.catalog_id("/shared/Sales"))


@given(st.text(min_size=1))
def test_what_is_encoded_is_no_plain_id(text: str) -> None:
    try:
        encoded = ids.catalog_id("/" + text)
    except UnicodeEncodeError:
        return
    except OACConfigurationError:
        assert not text.strip("/")
        return
    assert not ids.is_plain(encoded)
    assert not set(encoded) & set("/='+")


@pytest.mark.parametrize("text", ["", "/shared", "a", "_w", "not base64!", "AAEC"])
def test_what_is_no_encoded_text_has_no_plain_id(text: str) -> None:
    assert ids.plain_id(text) is None


def test_one_of_id_and_path_is_taken() -> None:
    assert ids.item_id(item_id="L3NoYXJlZA==") == "L3NoYXJlZA=="
    assert ids.item_id(path="/shared") == "L3NoYXJlZA"
    assert ids.object_id("jane", "Sales Data") == ids.catalog_id("'jane'.'Sales Data'")
    for both in ({}, {"item_id": "x", "path": "/x"}, {"item_id": "", "path": ""}):
        with pytest.raises(OACConfigurationError, match="either the id of the folder"):
            ids.item_id(**both, what="the folder")
