"""The mail server. Source: "Mail REST Endpoints" (documented since January 2025), unless said otherwise at the fact.
Needs BI Service Administrator (documented).

The members of sender, authentication and security beside their types are not documented in what could be read, so that
they are passed on as they are given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_oac.client.calls import Call, as_object, nothing
from airflow_provider_oac.client.models import Model
from airflow_provider_oac.client.secret_names import secrets_of
from airflow_provider_oac.exceptions import OACConfigurationError
from airflow_provider_oac.transport.io import Response

# Documented.
NO_AUTH = "NO_AUTH"
PASSWORD_AUTH = "USERNAME_PASSWORD_AUTH"  # noqa: S105 - the name of a way to sign in
OAUTH2_AUTH = "OAUTH2_AUTH"
AUTH_TYPES = (NO_AUTH, PASSWORD_AUTH, OAUTH2_AUTH)
SECURITY_TYPES = ("NO_CONNECTION_SECURITY", "SSL_TLS_CONNECTION_SECURITY", "START_TLS_CONNECTION_SECURITY")
_PATH = "/system/mail/server"
MEMBERS = ("host", "port", "sender", "auth", "connectionSecurity")


@dataclass(frozen=True)
class MailServer(Model):
    """Settings of the mail server.

    :param sender: who mail comes from; ``displayName`` and ``emailAddress`` are inferred.
    :param auth: with ``authType``; OAC gives no secrets back (inferred).
    :param security: with ``connectionSecurityType``.
    """

    host: str
    port: int
    sender: Mapping[str, Any]
    auth: Mapping[str, Any] = field(repr=False)
    security: Mapping[str, Any]

    def body(self) -> dict[str, Any]:
        """As the REST API wants it."""
        return {
            "host": self.host,
            "port": self.port,
            "sender": dict(self.sender),
            "auth": dict(self.auth),
            "connectionSecurity": dict(self.security),
        }

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> MailServer:
        """From the words of the REST API; a security given by its type alone will do, and a port that is a text.

        :raises OACConfigurationError: naming what is missing, or breaks a documented rule.
        """
        if missing := [name for name in MEMBERS if body.get(name) in (None, "", {})]:
            raise OACConfigurationError(f"The mail server lacks {', '.join(missing)}, which OAC needs (documented).")
        security = body["connectionSecurity"]
        if isinstance(security, str):
            security = {"connectionSecurityType": security}
        server = cls(str(body["host"]), _port(body["port"]), body["sender"], body["auth"], security)
        _check(server)
        return server


def get() -> Call[MailServer | None]:
    """Read the mail server's settings, without secrets (inferred). Operation ``GET /system/mail/server`` (documented).
    Without a mail server OAC answers with 404 (inferred), or with nothing.
    """
    return Call("read the mail server", "GET", _PATH, _read_server, repeatable=True)


def configure(server: MailServer) -> Call[None]:
    """Set the mail server. Operation ``PUT /system/mail/server`` (documented)."""
    doing, secrets = f"set the mail server {server.host}", secrets_of(server.auth)
    return Call(doing, "PUT", _PATH, nothing, body=server.body(), secrets=secrets, repeatable=True)


def delete() -> Call[None]:
    """Remove the mail server's settings. Operation ``DELETE /system/mail/server`` (documented)."""
    return Call("remove the mail server", "DELETE", _PATH, nothing, repeatable=True)


def _port(value: Any) -> int:
    try:
        port = int(str(value))
    except ValueError:
        port = 0
    if isinstance(value, bool) or not 1 <= port <= 65535:
        raise OACConfigurationError(f"The port of the mail server is 1 to 65535 (documented), not {value!r}.")
    return port


def _check(server: MailServer) -> None:
    for what, value in (("sender", server.sender), ("auth", server.auth), ("connectionSecurity", server.security)):
        if not isinstance(value, Mapping):
            raise OACConfigurationError(f"{what} of the mail server is an object, not {type(value).__name__}.")
    kind, security = server.auth.get("authType"), server.security.get("connectionSecurityType")
    if kind not in AUTH_TYPES:
        raise OACConfigurationError(f"authType is {', '.join(AUTH_TYPES)} (documented), not {kind!r}.")
    if security not in SECURITY_TYPES:
        raise OACConfigurationError(
            f"connectionSecurityType is {', '.join(SECURITY_TYPES)} (documented), not {security!r}."
        )
    password = server.auth.get("password")
    if kind == PASSWORD_AUTH and not (isinstance(password, str) and 8 <= len(password) <= 255):
        length = len(password) if isinstance(password, str) else 0
        raise OACConfigurationError(
            f"The password of the mail server has 8 to 255 characters (documented), but the one given has {length}."
        )


def _read_server(response: Response) -> MailServer | None:
    body = response.json() if response.body.strip() else None
    if body in (None, {}):
        return None
    body = as_object(body, "The mail server")
    sender, auth, security = (
        part if isinstance(part := body.get(name), dict) else {} for name in ("sender", "auth", "connectionSecurity")
    )
    port = body.get("port")
    return MailServer(str(body.get("host") or ""), port if isinstance(port, int) else 0, sender, auth, security)
