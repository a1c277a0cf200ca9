"""MUSTs of RFC 7521, 7523, 7517, 7518 and 8725: assertions and keys, on the wire. See `test_oauth_musts.py`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from airflow_provider_oac.auth.token_endpoint import mint
from airflow_provider_oac.exceptions import OACConfigurationError
from tests.drivers import Drive
from tests.integration.raw_domain import NAMED, Domain, form, must, renewed
from tests.unit.auth import keys_forms as forms

pytestmark = NAMED

# ------------------------------------------------------------------------------ RFC 7521, 7523: assertions; 7515-7518


def assertions(domain: Domain, drive: Drive, **changes: Any) -> tuple[str, str]:
    """The user's and the application's assertion of one request."""
    drive(lambda io: mint(io, domain.settings(**changes)))
    sent = form(domain.token_calls[-1])
    return sent["assertion"], sent["client_assertion"]


def content(assertion: str) -> dict[str, Any]:
    """The claims, with the signature verified by the public half of the key."""
    public = forms.rsa_key().public_key()
    audience = jwt.decode(assertion, options={"verify_signature": False})["aud"]
    found: dict[str, Any] = jwt.decode(assertion, public, algorithms=["RS256"], audience=audience)
    return found


@must("RFC 7521 4.2: client_id, where it is sent, names the application of the assertion")
def test_client_id(domain: Domain, drive: Drive) -> None:
    _, client = assertions(domain, drive)
    assert form(domain.token_calls[0])["client_id"] == content(client)["sub"] == "id with ü:+"


@must("RFC 7521 5.1, 5.2, RFC 7523 3: issuer, subject, audience and expiry are there, and all of it is signed")
def test_claims(domain: Domain, drive: Drive) -> None:
    user, client = map(content, assertions(domain, drive))
    for claims, subject in ((user, "jane"), (client, "id with ü:+")):
        assert (claims["iss"], claims["sub"]) == ("id with ü:+", subject)
        assert claims["aud"] == "https://identity.oraclecloud.com/"
        assert time.time() < claims["exp"] <= time.time() + 300


@must("RFC 7523 2.1, 2.2: assertion and client_assertion hold one JWT each, under their registered names")
def test_parameters(domain: Domain, drive: Drive) -> None:
    for assertion in assertions(domain, drive):
        assert assertion.count(".") == 2
    sent = form(domain.token_calls[0])
    assert sent["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    assert sent["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@must("RFC 7523 5: the audience is exactly the text agreed on, to the last slash")
@pytest.mark.parametrize(
    "audience", [("https://idcs.example.com:443",), ("HTTPS://Idcs.example.com/",), ("https://a/", "https://b")]
)
def test_audience(audience: tuple[str, ...], domain: Domain, drive: Drive) -> None:
    for assertion in assertions(domain, drive, audience=audience):
        assert content(assertion)["aud"] == (audience[0] if len(audience) == 1 else list(audience))


@must("RFC 7517 4.5: a key's id is a text with small and capital letters, sent as it was given")
def test_kid(domain: Domain, drive: Drive) -> None:
    for assertion in assertions(domain, drive):
        assert jwt.get_unverified_header(assertion)["kid"] == "Alias"


@must("RFC 7517 9: the private key is protected: never sent, never logged, and others who can read its file named")
def test_private_key(domain: Domain, drive: Drive, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "open.key"
    file.write_text(forms.pem("PKCS#8"))
    file.chmod(0o644)
    settings = domain.settings(private_key=str(file))
    drive(lambda io: mint(io, settings))
    body = forms.pem("PKCS#8").splitlines()[1]
    assert body not in "".join(unquote_plus(seen.body.decode()) for seen in domain.server.seen) + caplog.text
    assert body not in repr(domain.settings())
    assert str(file) in caplog.text


@must("RFC 7518 3.3: an RSA key of less than 2048 bits is not used")
def test_small_key(domain: Domain, drive: Drive) -> None:
    small = forms.pem_of(rsa.generate_private_key(public_exponent=65537, key_size=1024))  # noqa: S505
    with pytest.raises(OACConfigurationError, match="2048"):
        renewed(drive, domain.settings(private_key=small), None)
    assert not domain.server.seen


@must("RFC 8725 3.1: the algorithm is RS256, whatever the key")
def test_algorithm(domain: Domain, drive: Drive) -> None:
    for assertion in assertions(domain, drive):
        assert jwt.get_unverified_header(assertion)["alg"] == "RS256"
    with pytest.raises(OACConfigurationError, match="RSA"):
        renewed(drive, domain.settings(private_key=forms.pem_of(forms.ec_key())), None)


@must("RFC 8725 3.8, 3.9: both kinds of assertion name their issuer and their audience")
def test_issuer_and_audience(domain: Domain, drive: Drive) -> None:
    for assertion in assertions(domain, drive):
        assert {"iss", "aud"} <= set(content(assertion))


@must("RFC 8725 3.12: the user's assertion can never stand for the application's")
def test_kinds(domain: Domain, drive: Drive) -> None:
    for changes in ({}, {"grant": "password", "user_password": "x"}):
        drive(lambda io, changes=changes: mint(io, domain.settings(**changes)))  # type: ignore[misc]
        sent = form(domain.token_calls[-1])
        assert content(sent["client_assertion"])["sub"] == "id with ü:+"
    user, client = map(content, assertions(domain, drive))
    assert user["sub"] != client["sub"]
    assert user["jti"] != client["jti"]
