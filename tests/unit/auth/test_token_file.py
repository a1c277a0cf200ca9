"""Token files: every form that a page of Oracle's hands out, and everything else that people give."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_oac.auth.settings import AuthSettings
from airflow_provider_oac.auth.token_file import Imported, access_token_of, read_token_file
from airflow_provider_oac.exceptions import OACConfigurationError
from tests.unit.auth.tokens import access_token

NOW = 1_700_000_000.0
SETTINGS = AuthSettings("https://idcs.example.com", "the-client", "scope", grant="refresh_token", client_secret="s")
OURS = access_token(sub="jane@example.com", iat=NOW - 10, exp=NOW + 90, client_id="the-client")
FOREIGN = access_token(sub="jane@example.com", iat=NOW - 10, exp=NOW + 3590, client_id="ANALYTICSINST_oac")
OLD = access_token(sub="jane@example.com", iat=NOW - 5000, exp=NOW - 1, client_id="the-client")
OLD_FOREIGN = access_token(sub="jane@example.com", iat=NOW - 5000, exp=NOW - 1, client_id="ANALYTICSINST_oac")
REFRESH = "AQIDBA+seed/token=="


def read(content: Any) -> Imported:
    text = content if isinstance(content, str) else json.dumps(content)
    return read_token_file(text, SETTINGS, NOW)


def complaint(content: Any) -> str:
    with pytest.raises(OACConfigurationError) as caught:
        read(content)
    assert not [token for token in (OURS, FOREIGN, OLD, OLD_FOREIGN, REFRESH) if token in str(caught.value)]
    assert caught.value.__context__ is None
    return str(caught.value)


CONSOLE = {"app_access_token": OURS, "app_refresh_token": REFRESH}
PROFILE = {"accessToken": OURS, "refreshToken": REFRESH, "expiresIn": 3600}
ANSWER = {"access_token": OURS, "token_type": "Bearer", "expires_in": 100, "refresh_token": REFRESH}


@pytest.mark.parametrize("body", [CONSOLE, PROFILE, ANSWER], ids=["console", "profile", "answer"])
@pytest.mark.parametrize("before", ["", "\ufeff", " \n", "\ufeff \n"])
def test_every_form_is_read(body: dict[str, Any], before: str) -> None:
    imported = read(before + json.dumps(body, indent=2) + "\n")
    assert (imported.issued.token.access_token, imported.issued.refresh_token) == (OURS, REFRESH)
    assert (imported.owner, imported.unrenewable) == ("jane@example.com", None)
    # By its own claims: a file may be old when it is given.
    assert imported.issued.token.expires_at == NOW + 90
    assert OURS not in repr(imported)
    assert REFRESH not in repr(imported)


def test_an_opaque_token_lives_as_long_as_the_file_says() -> None:
    token = read({"access_token": "opaque", "refresh_token": REFRESH, "expires_in": "3600"}).issued.token
    assert (token.obtained_at, token.lifetime) == (NOW, 3600.0)
    assert read({"access_token": "opaque", "refresh_token": REFRESH}).issued.token.lifetime == 100.0


@pytest.mark.parametrize(
    "times",
    [
        {"iat": NOW, "exp": NOW}, {"iat": NOW + 1, "exp": NOW}, {"iat": -1, "exp": NOW}, {"iat": 0, "exp": 1e300},
        {"iat": 0, "exp": 10**400}, {"iat": "0", "exp": "1"}, {"iat": None, "exp": NOW}, {"exp": NOW},
        {"iat": float("-inf"), "exp": float("inf")}, {"iat": float("nan"), "exp": NOW},
    ],
)  # fmt: skip
def test_times_beyond_all_measure_are_not_believed(times: dict[str, Any]) -> None:
    token = read({"access_token": access_token(**times), "expires_in": 50}).issued.token
    assert (token.obtained_at, token.lifetime) == (NOW, 50.0)


@pytest.mark.parametrize("lifetime", [None, "soon", -1, 0, 1e300, 10**400, [], float("inf"), float("nan")])
def test_a_lifetime_beyond_all_measure_is_not_believed(lifetime: Any) -> None:
    assert read({"access_token": "opaque", "expires_in": lifetime}).issued.token.lifetime == 100.0


def test_a_refresh_token_alone_is_enough() -> None:
    imported = read({"refresh_token": REFRESH})
    assert imported.issued.refresh_token == REFRESH
    assert (imported.owner, imported.unrenewable) == (None, None)
    assert imported.issued.token.expires_at <= NOW


def test_an_old_access_token_is_no_harm_where_it_can_be_renewed() -> None:
    imported = read({"access_token": OLD, "refresh_token": REFRESH})
    assert imported.unrenewable is None
    assert imported.issued.token.expires_at < NOW


def test_tokens_of_another_application_cannot_be_renewed() -> None:
    imported = read({"accessToken": FOREIGN, "refreshToken": REFRESH})
    assert "issued to the application 'ANALYTICSINST_oac'" in (imported.unrenewable or "")
    assert imported.issued.token.expires_at == NOW + 3590


def test_a_file_without_a_refresh_token_says_how_to_get_one() -> None:
    assert "tick to include one" in (read({"app_access_token": OURS}).unrenewable or "")


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"access_token": OLD}, "there is no refresh token"),
        ({"accessToken": OLD_FOREIGN, "refreshToken": REFRESH}, "issued to the application"),
    ],
)
def test_what_is_of_no_use_at_all_is_refused(body: dict[str, str], why: str) -> None:
    message = complaint(body)
    assert "cannot be used: the access token has expired" in message
    assert why in message
    assert message.endswith("Get a new file.")


@pytest.mark.parametrize("text", ["", "no json", "[]", "null", '"text"', "7", '{"a":', "[" * 100_000, "<html>", OURS])
def test_no_json_object_is_refused(text: str) -> None:
    assert "is not a JSON object" in complaint(text)


def test_a_damaged_file_is_refused_without_being_quoted() -> None:
    complaint(json.dumps(ANSWER)[:-3])
    complaint(json.dumps(ANSWER).replace(",", ";"))


def test_a_huge_file_is_refused() -> None:
    assert "too many for a token file" in complaint(json.dumps({**ANSWER, "x": "y" * (1 << 20)}))


def test_a_file_without_a_token_names_what_it_has_instead() -> None:
    message = complaint({"id_token": "x", "tokens": ANSWER})
    assert "(id_token, tokens)" in message
    assert "app_access_token" in message
    assert "(none known)" in complaint({})


@pytest.mark.parametrize("value", [None, "", "  ", 7, [OURS], {"token": OURS}, True])
def test_a_member_that_is_no_text_is_no_token(value: Any) -> None:
    assert "holds no token" in complaint({"access_token": value, "refresh_token": value})


def test_a_token_in_the_place_of_a_name_is_not_shown() -> None:
    complaint({OURS: 1, REFRESH: 2})


@pytest.mark.parametrize("kind", ["access", "refresh"])
@pytest.mark.parametrize("garbage", ["two words", "line\nbreak", "\ud800", "ä", "nul\0"])
def test_a_token_that_no_domain_makes_is_refused(kind: str, garbage: str) -> None:
    message = complaint({**ANSWER, f"{kind}_token": garbage})
    assert f"The file's {kind} token holds blanks or other characters" in message
    assert garbage not in message


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
MEMBERS = st.sampled_from([*CONSOLE, *PROFILE, *ANSWER, "app_expires_in"])
SECRET = "eyJ-a-token-that-must-not-be-shown-at-all-anywhere"


def refused(read: Callable[[], object]) -> OACConfigurationError | None:
    try:
        read()
    except OACConfigurationError as error:
        return error
    return None


@given(st.text() | JSON.map(json.dumps) | st.dictionaries(MEMBERS, JSON).map(json.dumps))
def test_nothing_but_our_own_error_comes_of_anything(text: str) -> None:
    refused(lambda: read(text))
    refused(lambda: access_token_of(text))


@given(
    st.dictionaries(MEMBERS | st.just(SECRET), st.just(SECRET) | JSON | st.just([SECRET]) | st.just({SECRET: SECRET})),
    st.integers(0, 3),
)
def test_no_complaint_shows_a_token(body: dict[str, Any], missing: int) -> None:
    text = json.dumps(body)
    error = refused(lambda: read(text[: len(text) - missing]))
    assert SECRET not in str(error)
    assert error is None or error.__context__ is None


@given(
    st.fixed_dictionaries({"iat": JSON, "exp": JSON, "sub": JSON, "client_id": JSON}).map(lambda body: json.dumps(body))
)
def test_no_claim_is_too_much(claims: str) -> None:
    token = access_token(**json.loads(claims))
    imported = read({"access_token": token, "refresh_token": REFRESH})
    assert imported.issued.token.lifetime > 0
    assert imported.owner is None or imported.owner.isprintable()


@pytest.mark.parametrize(
    "text",
    [
        "eyJ.a.b", " eyJ.a.b\n", "Bearer eyJ.a.b", "bearer  eyJ.a.b", "Authorization: Bearer eyJ.a.b",
        "authorization:Bearer eyJ.a.b", '{"accessToken": "eyJ.a.b"}', '\ufeff{"access_token": " eyJ.a.b "}',
    ],
)  # fmt: skip
def test_an_access_token_is_found_however_it_is_given(text: str) -> None:
    assert access_token_of(text) == "eyJ.a.b"


@pytest.mark.parametrize("text", ["", "  ", "{}", '{"access_token": 7}'])
def test_where_there_is_none_there_is_none(text: str) -> None:
    assert access_token_of(text) == ""
