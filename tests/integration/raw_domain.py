"""An identity domain that shows raw requests, for the tests of OAuth's rules (`test_oauth_musts.py`)."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from airflow_provider_oac.auth.settings import AuthSettings
from tests.integration.servers import Reply, Seen, Server
from tests.unit.auth import keys_forms as forms

SECRET = "s+e/c=r%e&t"
OPAQUE = "opaque~token+/=="
FIRST, SECOND = "AQIDBA+first/==", "AQIDBA+second/=="
TOKENS = {"access_token": OPAQUE, "token_type": "Bearer", "expires_in": 100, "refresh_token": SECOND}
CODE = {"device_code": "d", "user_code": "U", "verification_uri": "https://x", "interval": 0.05}


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
        bodies: dict[str, dict[str, Any]] = {
            "/oauth2/v1/device": CODE,
            "/oauth2/v1/token": {**TOKENS, **self.tokens},
            "/api/20210901/system": {"serviceInstanceKey": "dev", "description": "An instance"},
        }
        return Reply(body=json.dumps(bodies.get(path, {})).encode(), headers=[("Content-Type", "application/json")])

    @property
    def token_calls(self) -> list[Seen]:
        return [seen for seen in self.server.seen if seen.target.endswith("/oauth2/v1/token")]

    def settings(self, **changes: Any) -> AuthSettings:
        fields: dict[str, Any] = {
            "identity_url": self.server.url, "client_id": "id with ü:+", "scope": "https://x.exampleurn:opc:all",
            "user": "jane", "private_key": forms.pem("PKCS#8"), "certificate_alias": "Alias", "name": "oac",
        }  # fmt: skip
        return AuthSettings(**{**fields, **changes})


def form(seen: Seen) -> dict[str, str]:
    """The form of a request; a parameter that comes twice fails the test."""
    pairs = parse_qsl(seen.body.decode(), keep_blank_values=True, strict_parsing=True)
    assert len({name for name, _ in pairs}) == len(pairs)
    return dict(pairs)
