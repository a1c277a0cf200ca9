"""Token files: every form that a page of Oracle's hands out, and everything else that people give."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_oac.auth.token import Token
from airflow_provider_oac.auth.token_file import Imported, access_token_of, read_token_file
from airflow_provider_oac.exceptions import OACConfigurationError
from tests.unit.auth.stores import CHAIN
from tests.unit.auth.tokens import access_token
from tests.unit.fuzz.anything import few, values

NOW = 1_700_000_000.0


def issued(ago: float, left: float, client: str) -> str:
    return access_token(sub="jane@example.com", iat=NOW - ago, exp=NOW + left, client_id=client)


OURS, FOREIGN = issued(10, 90, "the-client"), issued(10, 3590, "ANALYTICSINST_oac")
OLD, OLD_FOREIGN = issued(5000, -1, "the-client"), issued(5000, -1, "ANALYTICSINST_oac")
REFRESH = "AQIDBA+seed/token=="
CONSOLE = {"app_access_token": OURS, "app_refresh_token": REFRESH}
PROFILE = {"accessToken": OURS, "refreshToken": REFRESH, "expiresIn": 3600}
ANSWER = {"access_token": OURS, "token_type": "Bearer", "expires_in": 100, "refresh_token": REFRESH}


def read(content: Any) -> Imported:
    text = content if isinstance(content, str) else json.dumps(content)
    return read_token_file(text, replace(CHAIN, client_id="the-client"), NOW)


@pytest.mark.parametrize("body", [CONSOLE, PROFILE, ANSWER], ids=["console", "profile", "answer"])
@pytest.mark.parametrize("before", ["", "\ufeff", " \n", "\ufeff \n"])
def test_every_form_is_read(body: dict[str, Any], before: str) -> None:
    imported = read(before + json.dumps(body, indent=2) + "\n")
    # It lives as its own claims say: a file may be old when it is given.
    assert imported.issued.token == Token(OURS, NOW - 10, 100.0)
    assert imported.issued.refresh_token == REFRESH
    assert (imported.owner, imported.unrenewable) == ("jane@example.com", None)
    assert not [token for token in (OURS, REFRESH) if token in repr(imported)]


BEYOND_ALL_MEASURE: list[dict[str, Any]] = [
    {"iat": NOW, "exp": NOW}, {"iat": NOW + 1, "exp": NOW}, {"iat": -1, "exp": NOW}, {"iat": 0, "exp": 1e300},
    {"iat": 0, "exp": 10**400}, {"iat": "0", "exp": "1"}, {"iat": None, "exp": NOW}, {"exp": NOW},
    {"iat": float("-inf"), "exp": float("inf")}, {"iat": float("nan"), "exp": NOW},
]  # fmt: skip


@pytest.mark.parametrize(
    ("token", "expires_in", "lifetime"),
    [
        *((access_token(**times), 50, 50.0) for times in BEYOND_ALL_MEASURE),
        ("opaque", "3600", 3600.0),
        *(("opaque", odd, 100.0) for odd in (None, "soon", -1, 0, 1e300, 10**400, [], float("inf"), float("nan"))),
    ],
)
def test_a_token_without_times_lives_as_long_as_the_file_says(token: str, expires_in: Any, lifetime: float) -> None:
    assert read({"access_token": token, "expires_in": expires_in}).issued.token == Token(token, NOW, lifetime)


@pytest.mark.parametrize(
    ("body", "expires_at", "refresh", "unrenewable"),
    [
        ({"refresh_token": REFRESH}, 0.0, REFRESH, ""),
        ({"access_token": OLD, "refresh_token": REFRESH}, NOW - 1, REFRESH, ""),
        ({"accessToken": FOREIGN, "refreshToken": REFRESH}, NOW + 3590, REFRESH, "issued to the application 'ANALYT"),
        ({"app_access_token": OURS}, NOW + 90, None, "tick to include one"),
    ],
    ids=["a refresh token alone", "old and renewable", "of another application", "an access token alone"],
)
def test_one_token_is_enough(body: dict[str, str], expires_at: float, refresh: str | None, unrenewable: str) -> None:
    imported = read(body)
    assert (imported.issued.token.expires_at, imported.issued.refresh_token) == (expires_at, refresh)
    assert unrenewable in (imported.unrenewable or "")
    assert (imported.unrenewable is None) is (unrenewable == "")
    assert imported.owner == ("jane@example.com" if expires_at else None)


EXPIRED = "The tokens of the file cannot be used: the access token has expired, and"
NOT_JSON = ["", "no json", "[]", "null", '"text"', "7", '{"a":', "[" * 100_000, "<html>", OURS]
NO_TEXT: list[Any] = [None, "", "  ", 7, [OURS], {"token": OURS}, True]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"access_token": OLD}, f"{EXPIRED} there is no refresh token"),
        ({"accessToken": OLD_FOREIGN, "refreshToken": REFRESH}, f"{EXPIRED} its refresh token was issued to the app"),
        *((text, "is not a JSON object") for text in NOT_JSON),
        *((text, "is not a JSON object") for text in (json.dumps(ANSWER)[:-3], json.dumps(ANSWER).replace(",", ";"))),
        ({**ANSWER, "x": "y" * (1 << 20)}, "too many for a token file"),
        ({"id_token": "x", "tokens": ANSWER}, "refreshToken, app_refresh_token. Its members are: id_token, tokens."),
        *((names, "Its members are: none known.") for names in ({}, {OURS: 1, REFRESH: 2})),
        *(({"access_token": odd, "refresh_token": odd}, "holds no token") for odd in NO_TEXT),
        *(
            ({**ANSWER, f"{kind}_token": garbage}, f"The file's {kind} token holds blanks or other characters")
            for kind in ("access", "refresh")
            for garbage in ("two words", "line\nbreak", "\ud800", "ä", "nul\0")
        ),
    ],
)
def test_what_is_of_no_use_is_refused_without_being_quoted(content: Any, said: str) -> None:
    with pytest.raises(OACConfigurationError) as caught:
        read(content)
    assert said in str(caught.value)
    quoted = (OURS, OLD, OLD_FOREIGN, REFRESH, "two words", "line\nbreak", "\ud800", "ä", "nul\0")
    assert not [text for text in quoted if text in str(caught.value)]
    assert caught.value.__context__ is None


@few
@given(st.fixed_dictionaries(dict.fromkeys(("iat", "exp", "sub", "client_id"), values)).map(json.dumps))
def test_no_claim_is_too_much(claims: str) -> None:
    token = access_token(**json.loads(claims))
    imported = read({"access_token": token, "refresh_token": REFRESH})
    assert imported.issued.token.lifetime > 0
    assert imported.owner is None or imported.owner.isprintable()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        *(
            (text, "eyJ.a.b")
            for text in (
                "eyJ.a.b", " eyJ.a.b\n", "Bearer eyJ.a.b", "bearer  eyJ.a.b", "Authorization: Bearer eyJ.a.b",
                "authorization:Bearer eyJ.a.b", '{"accessToken": "eyJ.a.b"}', '\ufeff{"access_token": " eyJ.a.b "}',
            )
        ),
        *((text, "") for text in ("", "  ", "{}", '{"access_token": 7}')),
    ],
)  # fmt: skip
def test_an_access_token_is_found_however_it_is_given(text: str, found: str) -> None:
    assert access_token_of(text) == found
