"""An access token and its freshness."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from airflow_provider_oac.exceptions import OACResponseError

# Oracle's default lifetime for OAC is 100 s: a margin of minutes, common elsewhere, would renew at every call.
MARGIN_SECONDS = 60.0
MARGIN_SHARE = 0.25
# RFC 6749 section 5.1 only recommends expires_in. Without it, the shortest known lifetime is assumed.
ASSUMED_LIFETIME = 100.0
# A domain can be set to grant a year at most (documented); a value far beyond that is not a lifetime.
_LONGEST_LIFETIME = 1e9


class Freshness(Enum):
    """Whether a token may be used (fresh, stale) and should be renewed (stale, expired)."""

    FRESH = "fresh"
    STALE = "stale"
    EXPIRED = "expired"


@dataclass(frozen=True)
class Token:
    """An access token, which is opaque here.

    :param access_token: the token.
    :param obtained_at: time (seconds since the epoch, this machine's clock) *before* it was requested.
    :param lifetime: its lifetime in seconds.
    """

    access_token: str = field(repr=False)
    obtained_at: float
    lifetime: float

    @property
    def expires_at(self) -> float:
        """When the token expires, in seconds since the epoch."""
        return self.obtained_at + self.lifetime

    def freshness(self, now: float) -> Freshness:
        """Whether to use the token, renew it while it is still valid, or wait for a new one."""
        left = self.expires_at - now
        # A clock that was set back makes a token look younger than it can be.
        if left <= 0 or left > self.lifetime + MARGIN_SECONDS:
            return Freshness.EXPIRED
        margin = min(MARGIN_SECONDS, self.lifetime * MARGIN_SHARE)
        return Freshness.FRESH if left > margin else Freshness.STALE


@dataclass(frozen=True)
class Issued:
    """The tokens that the token service issued.

    :param refresh_token: the refresh token to use next, if the service issued one. Each works once only (observed).
    """

    token: Token
    refresh_token: str | None = field(default=None, repr=False)


def read_token(body: Mapping[str, Any], requested_at: float) -> Token:
    """Read the access token of the token service's response (RFC 6749 section 5.1).

    :param body: the JSON object.
    :param requested_at: time before the request was sent.
    :raises OACResponseError: if there is no usable access token in it.
    """
    token = body.get("access_token")
    if not isinstance(token, str) or not fits_header(token):
        raise OACResponseError("The token service's response has no access_token that can be sent in a header.")
    kind = body.get("token_type")
    # RFC 6749 section 7.1. A missing type counts as Bearer.
    if kind is not None and (not isinstance(kind, str) or kind.lower() != "bearer"):
        raise UnknownTokenType(str(kind)[:40])
    return Token(token, requested_at, read_seconds(body.get("expires_in")))


class UnknownTokenType(OACResponseError):
    """A token whose type is not Bearer, such as DPoP or MAC.

    :param kind: its type.
    """

    def __init__(self, kind: str) -> None:
        super().__init__(f"The token service issued a token of the type {kind!r}; only Bearer can be used.")
        self.kind = kind


def fits_header(text: str) -> bool:
    """Whether a text can be sent as a bearer token."""
    return bool(text) and all(32 < ord(character) < 127 for character in text)


def read_seconds(value: Any, default: float = ASSUMED_LIFETIME, limit: float = _LONGEST_LIFETIME) -> float:
    """A duration of a response (``expires_in``); ``default`` if it is missing, invalid or not below ``limit``."""
    # One of Oracle's endpoints documents expires_in as a string.
    try:
        seconds = default if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return default
    return seconds if 0 < seconds < limit else default
