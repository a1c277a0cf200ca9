"""Make a server's text fit for a message: short, on one line, and without the secrets that it quotes."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, quote_plus

from airflow_provider_oac.exceptions import OACResponseError
from airflow_provider_oac.plain_text import plain
from airflow_provider_oac.transport.io import Response

# Assertions and tokens: servers and gateways often quote the one that they refuse.
_JWT = re.compile(r"eyJ[\w-]{8,}(?:\.[\w-]*)+")


def quoted(value: Any, secrets: Iterable[str] = (), limit: int = 1000) -> str | None:
    """A server's text for people; ``None`` if there is none.

    :param value: a text, or another JSON value in its place.
    :param secrets: secrets of the request, to be masked, plain or as forms, URLs, JSON and HTML write them.
    :param limit: most characters.
    """
    if not value:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    # Mask before the text is shortened or its blanks are joined, which could leave part of a secret. The longest secret
    # comes first, because one may contain another.
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        for form in _forms(secret):
            text = text.replace(form, "***")
    return plain(" ".join(_JWT.sub("***", text).split()))[:limit] or None


def error_object(response: Response) -> dict[str, Any]:
    """The JSON object in an error response; empty if the body is anything else."""
    try:
        body = response.json()
    except OACResponseError:
        return {}
    return body if isinstance(body, dict) else {}


def _forms(secret: str) -> set[str]:
    """A secret as it is, and as forms, URLs, JSON and HTML write it."""
    encoded = {quote_plus(secret), quote(secret, safe=""), quote(secret)}
    # Some frameworks write the hexadecimal digits in lower case.
    encoded |= {re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), form) for form in encoded}
    as_json = {_json(secret, True), _json(secret, False)}
    as_json |= {form.replace("/", r"\/") for form in as_json}
    # Encoders differ in how they write quotes.
    as_html = {html.escape(secret, quote=False), html.escape(secret), html.escape(secret).replace("&#x27;", "&#39;")}
    as_html |= {html.escape(secret, quote=False).replace('"', "&quot;")}
    return {secret} | encoded | as_json | as_html


def _json(secret: str, ascii_only: bool) -> str:
    return json.dumps(secret, ensure_ascii=ascii_only)[1:-1]
