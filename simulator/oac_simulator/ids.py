"""Catalog IDs as the REST API writes them."""

from __future__ import annotations

from base64 import urlsafe_b64encode


def encoded(plain: str) -> str:
    """Encode a plain ID in base64url without padding."""
    return urlsafe_b64encode(plain.encode()).rstrip(b"=").decode()
