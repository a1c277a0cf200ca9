"""An identity domain that shows raw requests, for the tests of OAuth's rules (`test_oauth_musts*.py`)."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from airflow_provider_oac.auth.device import device_sign_in
from airflow_provider_oac.auth.session import MemoryStore, Session
from airflow_provider_oac.auth.settings import AuthSettings
from airflow_provider_oac.auth.shared_store import keep_sign_in
from airflow_provider_oac.auth.store import StoreEntry
from airflow_provider_oac.auth.token import Issued, Token
from airflow_provider_oac.client.api import Api
from airflow_provider_oac.client.rest import system
from airflow_provider_oac.transport.io import IO
from tests.drivers import Drive
from tests.integration.servers import Reply, Seen, Server
from tests.unit.auth import keys_forms as forms

SECRET = "s+e/c=r%e&t"
OPAQUE = "opaque~token+/=="
FIRST, SECOND = "AQIDBA+first/==", "AQIDBA+second/=="
GRANTS: dict[str, dict[str, Any]] = {
    "jwt_assertion": {},
    "password": {"grant": "password", "private_key": None, "client_secret": SECRET, "user_password": "p+w&"},
    "refresh_token": {"grant": "refresh_token", "private_key": None, "client_secret": SECRET, "refresh_token": FIRST},
    "device_code": {"grant": "device_code", "client_secret": SECRET, "client_authentication": "basic"},
}
WAYS = ("assertion", "basic", "body")


class Domain:
    """An identity domain and an OAC that hand out what the test says, and remember what they were asked.

    :param tokens: changes to the answer of the token endpoint.
    """

    def __init__(self) -> None:
        self.tokens: dict[str, Any] = {}
        self.answers: list[Reply] = []
        self.server: Server

    def reply(self, seen: Seen) -> Reply:
        path = urlsplit(seen.target).path
        if self.answers and path == "/oauth2/v1/token":
            return self.answers.pop(0)
        if path == "/oauth2/v1/device":
            body: dict[str, Any] = {
                "device_code": "d",
                "user_code": "U",
                "verification_uri": "https://x",
                "interval": 0.05,
            }
        elif path == "/oauth2/v1/token":
            body = {"access_token": OPAQUE, "token_type": "Bearer", "expires_in": 100, "refresh_token": SECOND}
            body |= self.tokens
        elif path.endswith("/system"):
            body = {"serviceInstanceKey": "dev", "description": "An instance"}
        else:
            body = {}
        return Reply(body=json.dumps(body).encode(), headers=[("Content-Type", "application/json")])

    @property
    def token_calls(self) -> list[Seen]:
        return [seen for seen in self.server.seen if seen.target.endswith("/oauth2/v1/token")]

    def settings(self, **changes: Any) -> AuthSettings:
        fields: dict[str, Any] = {
            "identity_url": self.server.url, "client_id": "id with ü:+", "scope": "https://x.exampleurn:opc:all",
            "user": "jane", "private_key": forms.pem("PKCS#8"), "certificate_alias": "Alias", "name": "oac",
        }  # fmt: skip
        return AuthSettings(**{**fields, **changes})


def renewed(drive: Drive, settings: AuthSettings, store_entry: StoreEntry | None) -> Token:
    """One renewal by a session of its own, as in a task of its own."""
    return drive(Session(settings, MemoryStore(), store_entry if settings.uses_refresh_token else None).renew)


def signed_in(drive: Drive, settings: AuthSettings) -> Issued:
    return drive(lambda io: device_sign_in(io, settings, lambda _code: None, lambda _left: None))


def used(drive: Drive, domain: Domain, settings: AuthSettings, store_entry: StoreEntry) -> Token:
    """Sign in by any grant and make a call."""

    async def flow(io: IO) -> Token:
        if settings.grant == "device_code":
            issued = await device_sign_in(io, settings, lambda _code: None, lambda _left: None)
            await keep_sign_in(io, store_entry, settings, issued, None)
        session = Session(settings, MemoryStore(), store_entry if settings.uses_refresh_token else None)
        await Api(io, domain.server.url, session).perform(system.get())
        return await session.token(io)

    return drive(flow)


def form(seen: Seen) -> dict[str, str]:
    """The form of a request; a parameter that comes twice fails the test."""
    pairs = parse_qsl(seen.body.decode(), keep_blank_values=True, strict_parsing=True)
    assert len({name for name, _ in pairs}) == len(pairs)
    return dict(pairs)


def must(rule: str) -> pytest.MarkDecorator:
    """The id of a test: `RFC 6749 2.3: what it says`. The module says `pytestmark = NAMED`."""
    return pytest.mark.parametrize("rule", [rule], ids=[rule], indirect=True)


NAMED = pytest.mark.usefixtures("rule")
