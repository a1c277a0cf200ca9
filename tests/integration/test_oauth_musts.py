"""MUSTs of the RFCs that concern a client and that only the wire shows.

What the pure code shows is in tests/unit/auth: assertions, keys, requests, refusals, the device flow. Not tested,
because the provider does not do it: the authorization code and its redirects, and with them RFC 6749 10.12 and RFC 9700
2.1 (cross-site request forgery) and RFC 9700 2.1.1 (PKCE).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import unquote_plus

import pytest

from airflow_provider_oac.auth.device import device_sign_in
from airflow_provider_oac.auth.session import MemoryStore, Session
from airflow_provider_oac.auth.settings import AuthSettings
from airflow_provider_oac.auth.shared_store import keep_sign_in
from airflow_provider_oac.auth.store import StoreEntry
from airflow_provider_oac.client.api import Api
from airflow_provider_oac.client.rest import system
from airflow_provider_oac.exceptions import OACAuthError
from airflow_provider_oac.transport.io import IO
from tests.drivers import Drive
from tests.integration.raw_domain import FIRST, OPAQUE, SECOND, SECRET, Domain, form
from tests.integration.servers import Reply, answering

Place = Callable[[AuthSettings], StoreEntry]
BY_SECRET = {"private_key": None, "client_secret": SECRET}
CHAIN = {"grant": "refresh_token", "refresh_token": FIRST, **BY_SECRET}
GRANTS: dict[str, dict[str, Any]] = {
    "jwt_assertion": {},
    "password": {"grant": "password", "user_password": "p+w&", **BY_SECRET},
    "refresh_token": CHAIN,
    "device_code": {"grant": "device_code", "client_secret": SECRET, "client_authentication": "basic"},
}


@pytest.mark.parametrize("grant", GRANTS)
def test_each_grant_on_the_wire(
    grant: str, domain: Domain, drive: Drive, place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    settings = domain.settings(**GRANTS[grant])
    entry = place(settings)
    caplog.set_level("DEBUG")

    async def flow(io: IO) -> str:
        if grant == "device_code":
            issued = await device_sign_in(io, settings, lambda _code: None, lambda _left: None)
            await keep_sign_in(io, entry, settings, issued, None)
        session = Session(settings, MemoryStore(), entry)
        for _ in range(2):
            await Api(io, domain.server.url, session).perform(system.get())
        return (await session.token(io)).access_token

    # OAuth 2.1: an access token is opaque: one that is no JWT works everywhere.
    assert drive(flow) == OPAQUE
    # RFC 6749 2.3.1: the secret is never in the address.
    for seen in domain.server.seen:
        assert "?" not in seen.target
        assert not [secret for secret in (*settings.secrets, OPAQUE, SECOND) if secret in unquote_plus(seen.target)]
    # RFC 6749 3.2: POST, and no parameter twice or empty.
    (token_call,) = domain.token_calls
    assert token_call.method == "POST"
    assert token_call.headers["content-type"] == "application/x-www-form-urlencoded"
    assert all(form(token_call).values())
    # RFC 6750 2, 5.3: the token goes in the header Authorization and nowhere else, in no cookie and no address.
    for call in [seen for seen in domain.server.seen if seen.target.endswith("/system")]:
        assert call.headers.pop("authorization") == f"Bearer {OPAQUE}"
        assert OPAQUE not in unquote_plus(call.target) + call.body.decode() + json.dumps(call.headers)
        assert "cookie" not in call.headers
    # RFC 6749 4.3.1: the password is not kept beside the token.
    found = entry.read()
    assert found
    assert found.record.owner is None
    kept = repr(found) + str(vars(found.record)) + caplog.text
    assert not [secret for secret in settings.secrets if secret in kept]


@pytest.mark.parametrize(
    ("changes", "answer", "second"),
    [({}, {}, SECOND), ({}, {"refresh_token": None}, FIRST), ({"client_secret": None}, {}, SECOND)],
    ids=["a new one comes", "none comes", "public application"],
)
def test_a_new_refresh_token_takes_the_place_of_the_old_one(
    changes: dict[str, Any], answer: dict[str, Any], second: str, domain: Domain, drive: Drive, place: Place
) -> None:
    """RFC 6749 6, RFC 9700 2.2.2: each is used once, without one the old one stays, and no scope is asked for."""
    domain.tokens = answer
    settings = domain.settings(**{**CHAIN, **changes})
    entry = place(settings)
    for _ in range(2):
        drive(Session(settings, MemoryStore(), entry).renew)
    public = {"client_id": settings.client_id} if changes else {}
    sent = [{"grant_type": "refresh_token", "refresh_token": token, **public} for token in (FIRST, second)]
    assert [form(seen) for seen in domain.token_calls] == sent
    found = entry.read()
    assert found
    assert found.record.refresh_token == second
    # RFC 9700 4.14: a refusal of a used one ends the chain: it is not sent again, nor its predecessor.
    entry.put(replace(found.record, obtained_at=0.0))
    body = {"error": "invalid_grant", "error_description": "The token has already been consumed"}
    domain.answers = [Reply(400, json.dumps(body).encode())]
    for _ in range(3):
        with pytest.raises(OACAuthError, match="login --oac-conn-id oac"):
            drive(Session(settings, MemoryStore(), entry).token)
    assert [form(seen) for seen in domain.token_calls] == [*sent, {**sent[0], "refresh_token": second}]


def test_no_token_goes_where_a_redirect_leads_and_the_refresh_token_still_works(
    domain: Domain, drive: Drive, place: Place
) -> None:
    """RFC 6749 10.3, 10.4: tokens are confidential in transit."""
    settings = domain.settings(**CHAIN)
    entry = place(settings)
    with answering() as elsewhere:
        domain.answers = [Reply(307, headers=[("Location", f"{elsewhere.url}/oauth2/v1/token")])]
        with pytest.raises(OACAuthError, match="redirects are never followed"):
            drive(Session(settings, MemoryStore(), entry).token)
        assert not elsewhere.seen
    assert drive(Session(settings, MemoryStore(), entry).token).access_token == OPAQUE
