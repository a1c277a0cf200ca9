"""Read the claims of an access token, unverified: for display, for the owner of a sign-in, and for token files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# Words that mark a user's name as a service account's (a guess, which only leads to advice).
_MACHINE = re.compile(
    r"(?:^|[^a-z])(?:svc|srv|service|airflow|robot|bot|api|etl|batch|automation|integration|system|technical|tech|"
    r"oac|app|job|scheduler)(?:[^a-z]|\d|$)"
)


def claims(access_token: str) -> dict[str, Any]:
    """The claims of an access token, unverified; empty if they cannot be read (tokens are opaque)."""
    # The import takes time, and a task with a stored token does not need it.
    import jwt

    try:
        # Access is not decided here: the resource server does that, and it verifies the token.
        value = jwt.decode(access_token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def header(access_token: str) -> dict[str, Any]:
    """The header of an access token; empty if it cannot be read."""
    # As above.
    import jwt

    try:
        value = jwt.get_unverified_header(access_token)
    except (jwt.PyJWTError, ValueError, RecursionError):
        return {}
    return dict(value)


def owner(token_claims: Mapping[str, Any]) -> str | None:
    """The user whom a token's claims name (``sub``, documented); ``None`` for an application's own token."""
    subject = token_claims.get("sub")
    # The name is shown on terminals, and the token may come from an untrusted file.
    if not isinstance(subject, str) or not subject.isprintable() or token_claims.get("sub_type") == "client":
        return None
    return subject


def looks_personal(user: str) -> bool:
    """Whether a user's name looks like a person's, who may leave, rather than a service account's."""
    return not _MACHINE.search(user.lower().partition("@")[0])
