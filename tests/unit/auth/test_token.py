"""Reading a token, and what may be done with it when."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_oac.auth.token import ASSUMED_LIFETIME, Freshness, Issued, Token, read_token
from airflow_provider_oac.exceptions import OACResponseError

FRESH, STALE, EXPIRED = Freshness.FRESH, Freshness.STALE, Freshness.EXPIRED


@pytest.mark.parametrize(
    ("lifetime", "age", "freshness"),
    [
        (100, 0, FRESH), (100, 74.9, FRESH), (100, 75, STALE), (100, 99.9, STALE), (100, 100, EXPIRED),
        (20, 14.9, FRESH), (20, 15, STALE), (20, 19.9, STALE), (20, 20, EXPIRED),
        (3600, 3539, FRESH), (3600, 3540, STALE), (3600, 3599, STALE), (3600, 3601, EXPIRED),
        (240, 179, FRESH), (240, 180, STALE),
        # A clock that was set back makes no token live longer by more than a minute.
        (100, -0.5, FRESH), (100, -60, FRESH), (100, -61, EXPIRED), (100, -86400, EXPIRED),
    ],
)  # fmt: skip
def test_the_margin_is_a_quarter_and_a_minute_at_most(lifetime: float, age: float, freshness: Freshness) -> None:
    assert Token("t", 1000.0, lifetime).freshness(1000.0 + age) is freshness


@pytest.mark.parametrize(
    ("expires_in", "lifetime"),
    [
        (100, 100.0), ("3600", 3600.0), (59.5, 59.5), (0.5, 0.5), (1e9 - 1, 1e9 - 1),
        *((odd, ASSUMED_LIFETIME) for odd in (None, "soon", 0, -5, True, 1e9, "nan", "inf", [], {})),
    ],
)  # fmt: skip
def test_a_lifetime_that_is_no_number_counts_as_short(expires_in: Any, lifetime: float) -> None:
    assert read_token({"access_token": "!a~", "expires_in": expires_in}, 7.0) == Token("!a~", 7.0, lifetime)


def test_unknown_members_are_ignored() -> None:
    assert read_token({"access_token": "abc", "token_type": None, "id_token": "x", "new": [1]}, 0.0).lifetime == 100


@pytest.mark.parametrize("token", [None, "", 5, ["a"], "a b", "a\r\nX: y", "\u00e4", "a\x7f"])
def test_what_cannot_be_sent_in_a_header_is_no_token(token: Any) -> None:
    with pytest.raises(OACResponseError, match="no access_token"):
        read_token({"access_token": token, "expires_in": 100}, 0.0)


@pytest.mark.parametrize("kind", ["MAC", "DPoP", "", 5])
def test_only_bearer_tokens_are_used(kind: Any) -> None:
    with pytest.raises(OACResponseError, match=f"a token of the type '{kind}'; only Bearer"):
        read_token({"access_token": "the-secret-token", "token_type": kind}, 0.0)


def test_their_reprs_do_not_show_them() -> None:
    assert "the-secret" not in repr(Issued(Token("the-secret-token", 0.0, 100.0), "the-secret-refresh-token"))
