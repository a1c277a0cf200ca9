"""The search for secrets finds what it is to find: a search that finds nothing proves nothing."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote, quote_plus

import pytest

from tests.leaks import Search

PASSWORD = 'Pw-1234"\\+&=% ä'
TOKEN = "eyJhbGciOiJSUzI1NiJ9." + "eyJzdWIiOiJqYW5lIn0" * 9 + ".Zm9v-YmFy_cXV4-bm9ib2R5LWtub3dz-dGhpcw"
KEY = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQ\nk1Xz+/0hQ0m5Fh0fQ==\n-----END PRIVATE KEY-----\n"
SEARCH = Search({"password": PASSWORD, "token": TOKEN, "key": KEY})
WAYS = {
    "plain": lambda text: text,
    "url": lambda text: quote(text, safe=""),
    "form": quote_plus,
    "json": lambda text: json.dumps({"x": text}),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64url": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "basic": lambda text: base64.b64encode(f"an-id:{text}".encode()).decode(),
    "basic_amid": lambda text: base64.b64encode(f"an-idx:{text};and more".encode()).decode(),
    "amid_2": lambda text: base64.b64encode(f"an-idxy:{text}; and more".encode()).decode(),
}


@pytest.mark.parametrize("way", sorted(WAYS))
@pytest.mark.parametrize(("name", "secret"), [("password", PASSWORD), ("token", TOKEN), ("key", KEY)])
def test_every_form_of_every_kind_of_secret(name: str, secret: str, way: str) -> None:
    written = f"2026-01-01 a line with {WAYS[way](secret)} in it".encode()
    assert SEARCH.found([("here", b"nothing"), ("there", written)]) == {name: {"there"}}


@pytest.mark.parametrize(("name", "part"), [("token", TOKEN[-60:]), ("key", "k1Xz+/0hQ0m5Fh0fQ==")])
def test_the_end_of_a_token_and_one_line_of_a_key_are_enough(name: str, part: str) -> None:
    assert SEARCH.found([("x", part.encode())]) == {name: {"x"}}


def test_what_looks_alike_is_no_secret() -> None:
    other = TOKEN[:-40] + "x" * 40
    assert SEARCH.found([("x", other.encode()), ("y", b"-----BEGIN PRIVATE KEY-----"), ("z", b"Pw-1234")]) == {}


def test_a_secret_that_would_be_found_anywhere_is_refused() -> None:
    with pytest.raises(ValueError, match="too short"):
        Search({"pin": "1234"})
