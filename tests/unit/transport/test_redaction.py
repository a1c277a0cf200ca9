"""What of a server's text is kept, and what is not."""

from __future__ import annotations

import html
import json
from urllib.parse import quote, quote_plus

import pytest

from airflow_provider_oac.transport.redaction import quoted

SECRET = "a+b/c&d<e\"f ü'"


@pytest.mark.parametrize(
    "form",
    [
        SECRET, quote(SECRET), quote(SECRET, safe=""), quote(SECRET, safe="").lower(), quote_plus(SECRET).lower(),
        json.dumps(SECRET)[1:-1], json.dumps(SECRET, ensure_ascii=False)[1:-1].replace("/", r"\/"),
        html.escape(SECRET), html.escape(SECRET, quote=False), html.escape(SECRET).replace("&#x27;", "&#39;"),
    ],
)  # fmt: skip
def test_a_secret_is_found_in_each_form_in_which_servers_quote_it(form: str) -> None:
    assert quoted(f"What is {form}?", [SECRET]) == "What is ***?"
