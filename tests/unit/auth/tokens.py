"""Access tokens of an identity domain that exists nowhere."""

from __future__ import annotations

from typing import Any

import jwt

_KEY = "a-key-of-nobody-that-is-long-enough-for-hs256"


def access_token(**claims: Any) -> str:
    """A signed JWT with these claims."""
    return jwt.encode(claims, _KEY, algorithm="HS256", headers={"kid": "SIGNING_KEY"})
