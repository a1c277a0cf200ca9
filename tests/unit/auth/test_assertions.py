from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jwt
import pytest

from airflow_provider_oac.auth.grants import client_assertion, user_assertion
from airflow_provider_oac.auth.settings import AuthSettings
from airflow_provider_oac.exceptions import OACConfigurationError
from tests.unit.auth import keys_forms as forms
from tests.unit.auth.stores import SIGNED

AUDIENCE = "https://identity.oraclecloud.com/"
Sign = Callable[[AuthSettings, float], str]


def read(sign: Sign, reader: str = AUDIENCE, **changes: Any) -> tuple[dict[str, object], dict[str, object]]:
    """Header and claims of an assertion whose signature holds."""
    token = sign(replace(SIGNED, **changes), 1_700_000_000.75)
    options = {"verify_exp": False, "verify_iat": False}
    claims = jwt.decode(token, forms.rsa_key().public_key(), algorithms=["RS256"], audience=reader, options=options)
    return jwt.get_unverified_header(token), claims


@pytest.mark.parametrize(("sign", "subject"), [(user_assertion, "user"), (client_assertion, "client")])
def test_an_assertion_says_who_acts_for_whom(sign: Sign, subject: str) -> None:
    header, claims = read(sign)
    assert header == {"alg": "RS256", "typ": "JWT", "kid": "alias"}
    assert uuid.UUID(str(claims.pop("jti"))).version == 4
    assert claims == {"iss": "client", "sub": subject, "aud": AUDIENCE, "iat": 1_699_999_970, "exp": 1_700_000_270}


@pytest.mark.parametrize("sign", [user_assertion, client_assertion])
@pytest.mark.parametrize(
    ("audience", "sent"),
    [(("https://a/",), "https://a/"), (("https://a/", "https://b"), ["https://a/", "https://b"])],
)
def test_one_audience_is_a_text_and_several_are_a_list(sign: Sign, audience: tuple[str, ...], sent: object) -> None:
    assert read(sign, "https://a/", audience=audience)[1]["aud"] == sent


@pytest.mark.parametrize("alias", ["oac", None])
def test_a_certificate_adds_its_thumbprint(alias: str | None) -> None:
    header, _ = read(client_assertion, certificate_alias=alias, certificate=forms.certificate_pem())
    assert header.get("kid") == alias
    assert header["x5t"] == forms.certificate_thumbprint(forms.certificate_pem())


def test_a_certificate_of_another_key_is_refused() -> None:
    with pytest.raises(OACConfigurationError, match="does not belong to the private key"):
        read(client_assertion, certificate=forms.certificate_pem(1))
