"""An access token and its freshness."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from airflow_provider_oac.exceptions import OACResponseError

# Oracle's default is 100 s for OAC, so that a margin of minutes, common elsewhere, would renew at every call.
MARGIN_SECONDS = 60.0
MARGIN_SHARE = 0.25
# RFC 6749 section 5.1 only recommends expires_in. Without it, the shortest life that is known is assumed.
ASSUMED_LIFETIME = 100.0
# A year is the most that a domain can be told to grant (documented); what is far beyond is no lifetime.
_LONGEST_LIFETIME = 1e9


class Freshness(Enum):
    """What may be done with a token."""

    FRESH = "fresh"
    STALE = "stale"
    EXPIRED = "expired"


@dataclass(frozen=True)
class Token:
    """An access token. Its text is opaque: nothing depends on what is inside.

    :param access_token: the token.
    :param obtained_at: time (seconds since the epoch, this machine's clock) *before* it was asked for.
    :param lifetime: seconds it lives.
    """

    access_token: str = field(repr=False)
    obtained_at: float
    lifetime: float

    @property
    def expires_at(self) -> float:
        """When it is dead, in seconds since the epoch."""
        return self.obtained_at + self.lifetime

    def freshness(self, now: float) -> Freshness:
        """Whether to use it, to renew it while it still serves, or to wait for a new one."""
        left = self.expires_at - now
        # A clock that was set back makes a token look younger than it can be.
        if left <= 0 or left > self.lifetime + MARGIN_SECONDS:
            return Freshness.EXPIRED
        margin = min(MARGIN_SECONDS, self.lifetime * MARGIN_SHARE)
        return Freshness.FRESH if left > margin else Freshness.STALE


@dataclass(frozen=True)
class Issued:
    """What the token service handed out.

    :param refresh_token: the refresh token to use next, if one came. Each works once only (observed).
    """

    token: Token
    refresh_token: str | None = field(default=None, repr=False)


def read_token(answer: Mapping[str, Any], asked_at: float) -> Token:
    """Read the access token of the token service's response (RFC 6749 section 5.1).

    :param answer: the JSON object.
    :param asked_at: time before the request was sent.
    :raises OACResponseError: if there is no usable access token in it.
    """
    token = answer.get("access_token")
    if not isinstance(token, str) or not fits_header(token):
        raise OACResponseError("The token service's answer holds no access_token that can be sent in a header.")
    kind = answer.get("token_type")
    # RFC 6749 section 7.1. A missing one is the usual one.
    if kind is not None and (not isinstance(kind, str) or kind.lower() != "bearer"):
        raise UnknownTokenType(str(kind)[:40])
    return Token(token, asked_at, read_lifetime(answer.get("expires_in")))


class UnknownTokenType(OACResponseError):
    """A token that is not sent as a bearer token, such as DPoP's or mac's.

    :param kind: its type.
    """

    def __init__(self, kind: str) -> None:
        super().__init__(f"The token service issued a token of the type {kind!r}; only Bearer can be used.")
        self.kind = kind


def fits_header(text: str) -> bool:
    """Whether a text can be sent as a bearer token."""
    return bool(text) and all(32 < ord(character) < 127 for character in text)


def read_lifetime(value: Any) -> float:
    """Seconds that a token lives by its answer's ``expires_in``; the shortest life known where that says nothing."""
    # One of Oracle's endpoints documents expires_in as a string.
    try:
        seconds = ASSUMED_LIFETIME if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return ASSUMED_LIFETIME
    return seconds if 0 < seconds < _LONGEST_LIFETIME else ASSUMED_LIFETIME
