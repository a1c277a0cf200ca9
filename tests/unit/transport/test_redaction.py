"""What of a server's text is kept, and what is not."""

from __future__ import annotations

import html
import json
from urllib.parse import quote, quote_plus

import pytest

from airflow_provider_oac.transport.io import Response
from airflow_provider_oac.transport.redaction import error_object, quoted

SECRET = "a+b/c&d<e\"f ü'"


@pytest.mark.parametrize(
    "form",
    [
        SECRET, quote(SECRET), quote(SECRET, safe=""), quote(SECRET, safe="").lower(), quote_plus(SECRET).lower(),
        json.dumps(SECRET)[1:-1], json.dumps(SECRET, ensure_ascii=False)[1:-1].replace("/", r"\/"),
        html.escape(SECRET), html.escape(SECRET, quote=False), html.escape(SECRET).replace("&#x27;", "&#39;"),
        html.escape(SECRET, quote=False).replace('"', "&quot;"),
    ],
)  # fmt: skip
def test_a_secret_is_found_in_each_form_in_which_servers_quote_it(form: str) -> None:
    assert quoted(f"What is {form}?", [SECRET]) == "What is ***?"


def test_of_two_secrets_the_longer_one_goes_first() -> None:
    assert quoted("my-secret-and-more", ["secret", "secret-and-more"]) == "my-***"


def test_a_text_is_cut_and_other_json_is_shown_as_it_is() -> None:
    assert quoted("x" * 2000) == "x" * 1000
    assert quoted({"said": "ü"}) == '{"said": "ü"}'


@pytest.mark.parametrize(("body", "found"), [(b'{"a": 1}', {"a": 1}), (b"[1]", {}), (b"<html>", {})])
def test_an_error_is_an_object_or_an_empty_one(body: bytes, found: object) -> None:
    assert error_object(Response(500, {}, body)) == found
