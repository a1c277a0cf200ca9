"""A client of the simulator that shares no code with the provider."""

from __future__ import annotations

import time
import uuid
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import jwt
import requests

from oac_simulator.launch import Simulator
from oac_simulator.pytest_plugin import SimulatedOAC

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ADMIN, AUTHOR, COLLEAGUE = (f"oac.{name}@example.com" for name in ("admin", "author", "colleague"))
FEDERATED, INACTIVE = "oac.federated@example.com", "oac.inactive@example.com"
SEAL = "snapshotPassword123!"
SHARED = "/@Catalog/shared"
SALES = f"{SHARED}/Sales"
PIPELINE = f"{SALES}/Pipeline"

#: Bodies of requests that succeed.
CONNECTION: dict[str, Any] = {
    "version": "2.0.0", "type": "connection", "name": "warehouse", "description": "ADW",
    "content": {
        "connectionParams": {
            "connectionType": "oracle-autonomous-data-warehouse", "connectionString": "(description=...)",
            "username": "ADMIN", "password": "Rotated-2026!", "sslType": "ServerAuthentication",
        }
    },
}  # fmt: skip
MAIL: dict[str, Any] = {
    "host": "smtp.example.com", "port": 587, "sender": {"displayName": "OAC", "emailAddress": "oac@example.com"},
    "auth": {"authType": "USERNAME_PASSWORD_AUTH", "username": "oac", "password": "secret-12345"},
    "connectionSecurity": {"connectionSecurityType": "START_TLS_CONNECTION_SECURITY"},
}  # fmt: skip
DIRECTIVES = "connect-src font-src form-action frame-ancestors frame-src img-src media-src script-src style-src"
POLICY = dict.fromkeys(DIRECTIVES.split(), False)
EXPORT: dict[str, Any] = {
    "name": "report", "type": "file", "format": "pdf", "canvasIds": ["snapshot!canvas!1"],
    "screenwidth": 800, "screenheight": 600,
}  # fmt: skip


def encoded(plain: str) -> str:
    """A catalog id in base64url, unpadded."""
    return urlsafe_b64encode(plain.encode()).rstrip(b"=").decode()


def pair(name: str) -> str:
    """The plain id of an object of the user `admin`."""
    return f"'admin'.'{name}'"


class Caller:
    """Calls a simulator as a client would, without sharing any code with the provider."""

    def __init__(self, simulator: Simulator | SimulatedOAC) -> None:
        self.simulator = simulator
        self.control = simulator.control
        self.session = requests.Session()
        self.session.trust_env = False
        self._tokens: dict[tuple[str, str], str] = {}

    @property
    def ready(self) -> dict[str, Any]:
        return self.simulator.ready

    @property
    def client_id(self) -> str:
        return str(self.ready["client_id"])

    @property
    def basic(self) -> tuple[str, str]:
        return quote_plus(self.client_id), quote_plus(self.ready["client_secret"])

    def scope(self, instance: str = "dev") -> str:
        return str(self.ready["instances"][instance]["scope"])

    def assertion(self, subject: str, *, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """A signed assertion; a claim or header that is None is left out."""
        now = int(time.time())
        payload = {
            "iss": self.client_id, "sub": subject, "aud": "https://identity.oraclecloud.com/",
            "iat": now, "exp": now + 300, "jti": uuid.uuid4().hex, **claims,
        }  # fmt: skip
        headers = {"kid": self.ready["certificate_alias"], **(header or {})}
        return jwt.encode(
            {name: value for name, value in payload.items() if value is not None},
            Path(self.ready["private_key_file"]).read_text(),
            algorithm="RS256",
            headers={name: value for name, value in headers.items() if value is not None},
        )

    def identity(self, path: str, data: Any, **kwargs: Any) -> requests.Response:
        return self.session.post(self.ready["identity_url"] + path, data=data, timeout=20, **kwargs)

    def token(self, data: Any, **kwargs: Any) -> requests.Response:
        return self.identity("/oauth2/v1/token", data, **kwargs)

    def jwt_form(self, user: str = ADMIN, **changes: str) -> dict[str, str]:
        """The form of the jwt-bearer grant with both assertions."""
        return {
            "grant_type": JWT_BEARER, "scope": self.scope(), "client_id": self.client_id,
            "assertion": self.assertion(user), "client_assertion": self.assertion(self.client_id),
            "client_assertion_type": ASSERTION_TYPE, **changes,
        }  # fmt: skip

    def password_form(self, user: str = ADMIN, **changes: str) -> dict[str, str]:
        """The form of the password grant."""
        form = {"grant_type": "password", "username": user, "password": self.ready["users"][user]}
        return {**form, "scope": self.scope(), **changes}

    def access_token(self, user: str = ADMIN, instance: str = "dev") -> str:
        """An access token, asked for once."""
        key = (user, instance)
        if key not in self._tokens:
            reply = self.token(self.jwt_form(user, scope=self.scope(instance)))
            assert reply.status_code == 200, reply.text
            self._tokens[key] = reply.json()["access_token"]
        return self._tokens[key]

    def url(self, path: str, instance: str = "dev") -> str:
        return f"{self.ready['instances'][instance]['url']}/api/20210901{path}"

    def oac(
        self, method: str, path: str, *, instance: str = "dev", user: str = ADMIN, token: str = "", **kwargs: Any
    ) -> requests.Response:
        """Call an instance."""
        bearer = token or self.access_token(user, instance)
        headers = {"Authorization": f"Bearer {bearer}", **kwargs.pop("headers", {})}
        options = {"timeout": 20, "allow_redirects": False, **kwargs}
        return self.session.request(method, self.url(path, instance), headers=headers, **options)

    def status(self, request: str, body: Any = None, **kwargs: Any) -> int:
        """Send a request, written like `GET /system`, with a body as JSON; returns the status of the reply."""
        method, _, path = request.partition(" ")
        return self.oac(method, path, json=body, **kwargs).status_code

    def snapshot_body(self, path: str = "a/one.bar", **changes: Any) -> dict[str, Any]:
        storage = {"type": "OCI_NATIVE", "bucket": "oac-backups", "auth": {"type": "OCI_RESOURCE_PRINCIPAL"}}
        bar = {"uri": f"file:///{path}", "password": SEAL}
        return {"type": "CREATE", "name": "one", "storage": storage, "bar": bar, **changes}

    def start(self, body: dict[str, Any] | None = None, instance: str = "dev") -> str:
        """Start a snapshot; returns the work request id."""
        reply = self.oac("POST", "/snapshots", json=body or self.snapshot_body(), instance=instance)
        assert reply.status_code == 202, reply.text
        return str(reply.json()["workRequestId"])

    def finished(self, work_id: str, instance: str = "dev") -> dict[str, Any]:
        """Poll until the work ends."""
        for _ in range(600):
            work = self.oac("GET", f"/workRequests/{work_id.replace(':', '%3A')}", instance=instance).json()
            if work["status"] in ("SUCCEEDED", "FAILED"):
                return dict(work)
            time.sleep(0.05)
        raise AssertionError(f"work request {work_id} does not end: {work}")

    def ended(self, reply: requests.Response, instance: str = "dev") -> dict[str, Any]:
        """The work request that a call has started, once it ends."""
        assert reply.status_code == 202, reply.text
        return self.finished(reply.headers["oa-work-request-id"], instance)

    def snapshot(self, body: dict[str, Any] | None = None, instance: str = "dev") -> str:
        """Take a snapshot and wait; returns its id."""
        work = self.finished(self.start(body, instance), instance)
        assert work["status"] == "SUCCEEDED", work
        return str(work["resources"][0]["id"])

    def restore(self, snapshot_id: str, instance: str = "dev", password: str = SEAL) -> dict[str, Any]:
        """Restore a snapshot and wait; returns the work request."""
        body = {"snapshot": {"id": snapshot_id, "password": password}}
        return self.ended(self.oac("POST", "/system/actions/restoreSnapshot", json=body, instance=instance), instance)

    def register(self, instance: str = "prod") -> str:
        """Register the file of `snapshot_body` and wait; returns the id of the snapshot."""
        return self.snapshot(self.snapshot_body(type="REGISTER", bar={"uri": "file:///a/one.bar"}), instance)
