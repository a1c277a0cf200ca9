from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace

import jwt
import pytest

from airflow_provider_oac.auth.grants import client_assertion, user_assertion
from airflow_provider_oac.auth.settings import AuthSettings
from airflow_provider_oac.exceptions import OACConfigurationError
from tests.unit.auth import keys_forms as forms

NOW = 1_700_000_000.75
AUDIENCE = "https://identity.oraclecloud.com/"


SETTINGS = AuthSettings(
    identity_url="https://idcs.example.com",
    client_id="client",
    scope="scope",
    user="nightly",
    private_key=forms.pem("PKCS#8"),
    certificate_alias="oac",
)


def read(token: str, audience: str = AUDIENCE) -> tuple[dict[str, object], dict[str, object]]:
    """Header and claims of an assertion whose signature holds."""
    public = forms.rsa_key().public_key()
    options = {"verify_exp": False, "verify_iat": False}
    claims = jwt.decode(token, public, algorithms=["RS256"], audience=audience, options=options)
    return jwt.get_unverified_header(token), claims


@pytest.mark.parametrize(("sign", "subject"), [(user_assertion, "nightly"), (client_assertion, "client")])
def test_an_assertion_says_who_acts_for_whom(sign: Callable[[AuthSettings, float], str], subject: str) -> None:
    header, claims = read(sign(SETTINGS, NOW))
    assert header == {"alg": "RS256", "typ": "JWT", "kid": "oac"}
    assert uuid.UUID(str(claims.pop("jti"))).version == 4
    assert claims == {
        "iss": "client",
        "sub": subject,
        "aud": AUDIENCE,
        "iat": 1_699_999_970,
        "exp": 1_700_000_270,
    }


def test_every_assertion_has_a_new_id() -> None:
    tokens = [sign(SETTINGS, NOW) for _ in range(3) for sign in (user_assertion, client_assertion)]
    assert len({read(token)[1]["jti"] for token in tokens}) == 6


@pytest.mark.parametrize(
    ("audience", "sent"),
    [(("https://a/",), "https://a/"), (("https://a/", "https://b"), ["https://a/", "https://b"])],
)
def test_one_audience_is_a_text_and_several_are_a_list(audience: tuple[str, ...], sent: object) -> None:
    settings = replace(SETTINGS, audience=audience)
    tokens = [sign(settings, NOW) for sign in (user_assertion, client_assertion)]
    assert [read(token, "https://a/")[1]["aud"] for token in tokens] == [sent, sent]


@pytest.mark.parametrize("alias", ["oac", None])
def test_a_certificate_adds_its_thumbprint(alias: str | None) -> None:
    settings = replace(SETTINGS, certificate_alias=alias, certificate=forms.certificate_pem())
    header, _ = read(client_assertion(settings, NOW))
    assert header.get("kid") == alias
    assert header["x5t"] == forms.certificate_thumbprint(forms.certificate_pem())


def test_a_certificate_of_another_key_is_refused() -> None:
    with pytest.raises(OACConfigurationError, match="does not belong to the private key"):
        client_assertion(replace(SETTINGS, certificate=forms.certificate_pem(1)), NOW)
