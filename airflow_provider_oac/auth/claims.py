"""What an access token says of itself, for people: nothing that is decided depends on it but whose sign-in it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# Words in the names of users that no person has (a guess; it leads to a piece of advice and to nothing else).
_MACHINE = re.compile(
    r"(?:^|[^a-z])(?:svc|srv|service|airflow|robot|bot|api|etl|batch|automation|integration|system|technical|tech|"
    r"oac|app|job|scheduler)(?:[^a-z]|\d|$)"
)


def claims(access_token: str) -> dict[str, Any]:
    """The claims of an access token, unverified; empty if it is none that can be read (tokens are opaque)."""
    # A task whose token is kept needs none of it, and the import takes time.
    import jwt

    try:
        # Only shown: whoever decides by a token's content must verify it, and that is the resource server.
        found = jwt.decode(access_token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def header(access_token: str) -> dict[str, Any]:
    """The header of an access token; empty if it cannot be read."""
    # As above.
    import jwt

    try:
        found = jwt.get_unverified_header(access_token)
    except (jwt.PyJWTError, ValueError, RecursionError):
        return {}
    return dict(found)


def owner(found: Mapping[str, Any]) -> str | None:
    """The user whom a token's claims name (``sub``, documented); ``None`` for an application's own token."""
    subject = found.get("sub")
    # It is shown on terminals, and a token may come from a file of anybody's.
    if not isinstance(subject, str) or not subject.isprintable() or found.get("sub_type") == "client":
        return None
    return subject


def looks_personal(user: str) -> bool:
    """Whether a user's name looks like that of a person, who may leave, rather than of a service account."""
    return not _MACHINE.search(user.lower().partition("@")[0])
