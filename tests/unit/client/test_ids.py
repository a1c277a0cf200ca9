"""Ids of catalog items: encoded once, by somebody who says so."""

from __future__ import annotations

import unicodedata

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
    ("text", "says"),
    [
        *((text, "no plain id") for text in ("", "/", "None", "Sales", "'owner'", "'a'.b", "''.''")),
        ("L0BDYXRhbG9nL3NoYXJlZC9TYWxlcw", "no plain id .*looks encoded"),
        ("/\ud83d", r"ud83d' is no plain id .* Unicode text"),
    ],
)
def test_what_is_no_plain_id_is_refused(text: str, says: str) -> None:
    with pytest.raises(OACConfigurationError, match=says):
        ids.catalog_id(text)


# One of each kind of character that there is, and those that look like nothing, turn or end a line.
BY_CATEGORY = {unicodedata.category(chr(code)): chr(code) for code in range(0x20000) if not 0xD800 <= code < 0xE000}
ODD = [*BY_CATEGORY.values(), *"\0\n\r\x1b\x7f\x85\xa0\xad\u034f\u061c\u115f\u200b\u200c\u200d\u202e\u2028\u2066"]
ODD += [*"\u3000\u3099\u3164\ufe0f\ufeff\uffff\U0001f600"]


@pytest.mark.parametrize("plain", ["/@Catalog/shared/売上{}レポート", "/{}", "'ja{}ne'.'売上{}'"])
@pytest.mark.parametrize("character", ODD, ids=lambda character: f"U+{ord(character):04X}")
def test_the_characters_of_a_path_are_no_matter(character: str, plain: str) -> None:
    plain = plain.format(character, character)
    encoded = ids.catalog_id(plain)
    assert ids.plain_id(encoded) == ids.plain_id(encoded + "=" * (-len(encoded) % 4)) == plain
    assert not ids.same(encoded, ids.catalog_id(plain.replace(character, f"{character}x")))
    if plain.startswith("/@Catalog/shared/"):
        folder, _, name = plain.rpartition("/")
        assert ids.split_path(encoded) == (ids.catalog_id(folder), name)
        assert ids.same(encoded, ids.catalog_id(plain.removeprefix("/@Catalog")))


@given(st.text(min_size=1))
def test_what_is_shown_is_one_line_that_no_terminal_obeys(text: str) -> None:
    shown = ids.visible(text)
    assert len((shown + "|").splitlines()) == 1
    assert not set(shown) & set("\x1b\r\u202e\u2066")
    if text.isprintable():
        assert shown == text


def test_people_read_a_path_as_it_is() -> None:
    assert ids.shown(ids.catalog_id("/@Catalog/shared/売上　レポート")) == "/@Catalog/shared/売上　レポート"
    assert ids.shown(ids.catalog_id("/a\x1b[31m\u202eb")) == r"/a\x1b[31m\u202eb"
    assert ids.quoted(ids.catalog_id("'jane'.'x'")) == "\"'jane'.'x'\""


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda text: text.strip("/")))
def test_what_is_encoded_is_no_plain_id(text: str) -> None:
    encoded = ids.catalog_id("/" + text)
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
