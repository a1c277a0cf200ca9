from __future__ import annotations

import uuid

import jwt
import pytest

from airflow_provider_oac.auth.assertions import client_assertion, user_assertion
from airflow_provider_oac.auth.keys import PrivateKey
from airflow_provider_oac.exceptions import OACConfigurationError
from tests.unit.auth import keys_forms as forms

NOW = 1_700_000_000.75
AUDIENCE = "https://identity.oraclecloud.com/"


@pytest.fixture(scope="module")
def key() -> PrivateKey:
    return PrivateKey(key=forms.rsa_key(), form="made here")


def read(token: str, audience: str = AUDIENCE) -> tuple[dict[str, object], dict[str, object]]:
    """Header and claims of an assertion whose signature holds."""
    public = forms.rsa_key().public_key()
    options = {"verify_exp": False, "verify_iat": False}
    claims = jwt.decode(token, public, algorithms=["RS256"], audience=audience, options=options)
    return jwt.get_unverified_header(token), claims


def test_a_user_assertion_says_who_acts_for_whom(key: PrivateKey) -> None:
    token = user_assertion(
        key, client_id="client", user="nightly", audience=AUDIENCE, alias="oac", x5t="thumb", now=NOW
    )
    header, claims = read(token)
    assert header == {"alg": "RS256", "typ": "JWT", "kid": "oac", "x5t": "thumb"}
    assert uuid.UUID(str(claims.pop("jti"))).version == 4
    assert claims == {
        "iss": "client",
        "sub": "nightly",
        "aud": AUDIENCE,
        "iat": 1_699_999_970,
        "exp": 1_700_000_270,
    }


def test_a_client_assertion_is_about_the_client_alone(key: PrivateKey) -> None:
    header, claims = read(client_assertion(key, client_id="client", audience=AUDIENCE, alias="oac", now=NOW))
    assert header == {"alg": "RS256", "typ": "JWT", "kid": "oac"}
    assert uuid.UUID(str(claims.pop("jti"))).version == 4
    assert claims == {
        "iss": "client",
        "sub": "client",
        "aud": AUDIENCE,
        "iat": 1_699_999_970,
        "exp": 1_700_000_270,
    }


def test_every_assertion_has_an_id_of_its_own(key: PrivateKey) -> None:
    tokens = [
        make
        for _ in range(3)
        for make in (
            user_assertion(key, client_id="c", user="u", audience=AUDIENCE, alias="a", now=NOW),
            client_assertion(key, client_id="c", audience=AUDIENCE, alias="a", now=NOW),
        )
    ]
    assert len({read(token)[1]["jti"] for token in tokens}) == 6


@pytest.mark.parametrize(
    ("audience", "sent"),
    [
        ("https://a/", "https://a/"),
        (["https://a/"], "https://a/"),
        (("https://a/",), "https://a/"),
        (("https://a/", "https://b"), ["https://a/", "https://b"]),
    ],
)
def test_one_audience_is_a_text_and_several_are_a_list(
    key: PrivateKey, audience: str | list[str], sent: object
) -> None:
    user = user_assertion(key, client_id="c", user="u", audience=audience, alias="a", now=NOW)
    client = client_assertion(key, client_id="c", audience=audience, alias="a", now=NOW)
    assert [read(token, "https://a/")[1]["aud"] for token in (user, client)] == [sent, sent]


def test_a_thumbprint_can_stand_for_the_alias(key: PrivateKey) -> None:
    token = client_assertion(key, client_id="c", audience=AUDIENCE, alias=None, x5t="thumb", now=NOW)
    assert read(token)[0] == {"alg": "RS256", "typ": "JWT", "x5t": "thumb"}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"user": ""}, "no user"),
        ({"client_id": ""}, "no client id"),
        ({"audience": ""}, "no audience"),
        ({"audience": []}, "no audience"),
        ({"audience": ["https://a/", ""]}, "no audience"),
        ({"alias": None}, "no certificate alias"),
        ({"alias": ""}, "no certificate alias"),
    ],
)
def test_what_is_missing_is_named(key: PrivateKey, change: dict[str, object], named: str) -> None:
    given: dict[str, object] = {"client_id": "c", "audience": AUDIENCE, "alias": "a", "now": NOW}
    with pytest.raises(OACConfigurationError, match=f"user assertion cannot be made: {named}"):
        user_assertion(key, **({"user": "u"} | given | change))
    if "user" not in change:
        with pytest.raises(OACConfigurationError, match=f"client assertion cannot be made: {named}"):
            client_assertion(key, **(given | change))
