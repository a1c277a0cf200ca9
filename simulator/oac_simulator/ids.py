"""Catalog ids as the REST API writes them."""

from __future__ import annotations

from base64 import urlsafe_b64encode


def encoded(plain: str) -> str:
    """A plain id in base64url, unpadded."""
    return urlsafe_b64encode(plain.encode()).rstrip(b"=").decode()
