"""MUSTs of the RFCs that concern a client and that only the wire shows: the test's id names it.

What the pure code shows is in tests/unit/auth: assertions, keys, requests, the device flow. Not tested, because the
provider does not do it: the authorization code and its redirects, and with them RFC 6749 10.12 and RFC 9700 2.1
(cross-site request forgery) and RFC 9700 2.1.1 (PKCE).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import unquote_plus

import pytest

from airflow_provider_oac.auth.session import MemoryStore, Session
from airflow_provider_oac.auth.settings import AuthSettings
from airflow_provider_oac.auth.store import StoreEntry
from airflow_provider_oac.client.api import Api
from airflow_provider_oac.client.rest import system
from airflow_provider_oac.exceptions import OACAuthError
from airflow_provider_oac.transport.io import IO
from tests.drivers import Drive
from tests.integration.raw_domain import (
    FIRST,
    GRANTS,
    NAMED,
    OPAQUE,
    SECOND,
    SECRET,
    WAYS,
    Domain,
    form,
    must,
    renewed,
    signed_in,
    used,
)
from tests.integration.servers import Reply, answering
from tests.unit.auth import keys_forms as forms

pytestmark = NAMED

# --------------------------------------------------------------------------------------------- RFC 6749, OAuth 2.0


@must("RFC 6749 2.3.1: the secret is never in the address")
@pytest.mark.parametrize("grant", GRANTS)
def test_no_secret_in_the_address(
    grant: str, domain: Domain, drive: Drive, place: Callable[[AuthSettings], StoreEntry]
) -> None:
    settings = domain.settings(**GRANTS[grant])
    used(drive, domain, settings, place(settings))
    for seen in domain.server.seen:
        assert "?" not in seen.target
        assert not [secret for secret in (*settings.secrets, OPAQUE, SECOND) if secret in unquote_plus(seen.target)]


@must("RFC 6749 3.2: POST, and no parameter twice or empty")
@pytest.mark.parametrize("grant", GRANTS)
def test_token_endpoint(grant: str, domain: Domain, drive: Drive, place: Callable[[AuthSettings], StoreEntry]) -> None:
    settings = domain.settings(**GRANTS[grant])
    used(drive, domain, settings, place(settings))
    assert domain.token_calls
    for seen in domain.token_calls:
        assert seen.method == "POST"
        assert seen.headers["content-type"] == "application/x-www-form-urlencoded"
        assert all(form(seen).values())


@must("RFC 6749 4.3.1: the password goes to the token endpoint, once, and is not kept beside the token")
def test_password(
    domain: Domain, drive: Drive, place: Callable[[AuthSettings], StoreEntry], caplog: pytest.LogCaptureFixture
) -> None:
    # The Connection keeps it, as nobody is there to type it: the reason why this grant is warned about.
    settings = domain.settings(**GRANTS["password"])
    store_entry = place(settings)

    async def flow(io: IO) -> None:
        session = Session(settings, MemoryStore(), store_entry)
        for _ in range(2):
            await Api(io, domain.server.url, session).perform(system.get())

    drive(flow)
    assert [form(seen)["password"] for seen in domain.token_calls] == ["p+w&"]
    found = store_entry.read()
    assert found
    assert "p+w&" not in repr(found) + str(vars(found.record)) + caplog.text


@must("RFC 6749 6: a renewal asks for no wider scope")
@pytest.mark.parametrize("grant", ["refresh_token", "device_code"])
def test_scope_of_a_renewal(
    grant: str, domain: Domain, drive: Drive, place: Callable[[AuthSettings], StoreEntry]
) -> None:
    settings = domain.settings(**{**GRANTS[grant], "grant": grant, "refresh_token": FIRST})
    renewed(drive, settings, place(settings))
    assert form(domain.token_calls[0]) == {"grant_type": "refresh_token", "refresh_token": FIRST}


@must("RFC 6749 6: a new refresh token takes the place of the old one; without one the old one stays")
@pytest.mark.parametrize("comes", [True, False])
def test_rotation(comes: bool, domain: Domain, drive: Drive, place: Callable[[AuthSettings], StoreEntry]) -> None:
    domain.tokens = {} if comes else {"refresh_token": None}
    settings = domain.settings(**GRANTS["refresh_token"])
    store_entry = place(settings)
    for _ in range(2):
        renewed(drive, settings, store_entry)
    found = store_entry.read()
    assert found
    assert found.record.refresh_token == (SECOND if comes else FIRST)
    assert [form(seen)["refresh_token"] for seen in domain.token_calls] == [FIRST, SECOND if comes else FIRST]


@must("RFC 6749 10.3, 10.4: tokens are confidential in transit: none goes where a redirect leads")
@pytest.mark.parametrize("grant", ["jwt_assertion", "refresh_token"])
def test_transit(grant: str, domain: Domain, drive: Drive, place: Callable[[AuthSettings], StoreEntry]) -> None:
    with answering() as elsewhere:
        domain.answers = [Reply(307, headers=[("Location", f"{elsewhere.url}/oauth2/v1/token")])]
        settings = domain.settings(**GRANTS[grant])
        with pytest.raises(OACAuthError, match="redirects are never followed"):
            renewed(drive, settings, place(settings))
        assert not elsewhere.seen


# ------------------------------------------------------------------------------------------- RFC 6750, bearer tokens


@must("RFC 6750 2, 5.3: the token goes in the header Authorization and nowhere else, in no cookie and no address")
@pytest.mark.parametrize("grant", GRANTS)
def test_bearer(grant: str, domain: Domain, drive: Drive, place: Callable[[AuthSettings], StoreEntry]) -> None:
    settings = domain.settings(**GRANTS[grant])
    used(drive, domain, settings, place(settings))
    (call,) = [seen for seen in domain.server.seen if seen.target.endswith("/system")]
    assert call.headers["authorization"] == f"Bearer {OPAQUE}"
    others = {name: value for name, value in call.headers.items() if name != "authorization"}
    assert OPAQUE not in unquote_plus(call.target) + call.body.decode() + json.dumps(others)
    assert "cookie" not in call.headers


# ---------------------------------------------------------------------------- RFC 9700, security; OAuth 2.1, its draft


@must("RFC 9700 2.2.2: the refresh tokens of a public application rotate, and each is used once")
def test_public(domain: Domain, drive: Drive, place: Callable[[AuthSettings], StoreEntry]) -> None:
    settings = domain.settings(grant="refresh_token", private_key=None, refresh_token=FIRST)
    assert settings.client_authentication_used == "none"
    for _ in range(2):
        renewed(drive, settings, place(settings))
    assert [form(seen)["refresh_token"] for seen in domain.token_calls] == [FIRST, SECOND]


@must("RFC 9700 4.14: a refusal of a used refresh token ends the chain: it is not sent again, nor its predecessor")
def test_reuse(domain: Domain, drive: Drive, place: Callable[[AuthSettings], StoreEntry]) -> None:
    settings = domain.settings(**GRANTS["refresh_token"])
    store_entry = place(settings)
    renewed(drive, settings, store_entry)
    body = {"error": "invalid_grant", "error_description": "The token has already been consumed"}
    domain.answers = [Reply(400, json.dumps(body).encode())]
    for _ in range(3):
        session = Session(settings, MemoryStore(), store_entry)
        store_entry.put(_aged(store_entry))
        with pytest.raises(OACAuthError, match="login --oac-conn-id oac"):
            drive(session.token)
    assert [form(seen)["refresh_token"] for seen in domain.token_calls] == [FIRST, SECOND]


def _aged(store_entry: StoreEntry) -> Any:
    found = store_entry.read()
    assert found
    return replace(found.record, obtained_at=0.0)


@must("RFC 9700 2.5: where there is a key, the application proves itself by it")
@pytest.mark.parametrize("grant", GRANTS)
def test_asymmetric(grant: str, domain: Domain) -> None:
    key = {"private_key": forms.pem("PKCS#8"), "client_secret": SECRET, "client_authentication": None}
    assert domain.settings(**{**GRANTS[grant], **key}).client_authentication_used == "assertion"


@must("OAuth 2.1: an access token is opaque: one that is no JWT works everywhere")
@pytest.mark.parametrize("grant", GRANTS)
def test_opaque(grant: str, domain: Domain, drive: Drive, place: Callable[[AuthSettings], StoreEntry]) -> None:
    settings = domain.settings(**GRANTS[grant])
    store_entry = place(settings)
    assert used(drive, domain, settings, store_entry).access_token == OPAQUE
    if settings.uses_refresh_token:
        found = store_entry.read()
        assert found
        assert found.record.owner is None


# ----------------------------------------------------------------------------------------- RFC 8628, device grant


def pending(error: str = "authorization_pending") -> Reply:
    return Reply(400, json.dumps({"error": error}).encode(), [("Content-Type", "application/json")])


@must("RFC 8628 3.4: an application that has a secret or a key authenticates itself at each poll")
@pytest.mark.parametrize("way", [*WAYS, "none"])
def test_polls_authenticate(way: str, domain: Domain, drive: Drive) -> None:
    domain.answers = [pending()]
    secret = SECRET if way in ("basic", "body") else None
    key = {} if way == "assertion" else {"private_key": None}
    signed_in(drive, domain.settings(grant="device_code", client_authentication=way, client_secret=secret, **key))
    assert len(domain.token_calls) == 2
    for seen in domain.token_calls:
        sent = form(seen)
        proofs = {"basic": seen.headers.get("authorization"), "body": sent.get("client_secret")}
        proofs["assertion"] = sent.get("client_assertion")
        assert [name for name, proof in proofs.items() if proof] == ([] if way == "none" else [way])
        assert sent["client_id"] == "id with ü:+"
        assert sent["grant_type"] == "urn:ietf:params:oauth:grant-type:device_code"
