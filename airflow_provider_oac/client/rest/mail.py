"""The mail server.

Source: "Mail REST Endpoints" (documented since January 2025), unless noted otherwise. The calls need BI Service
Administrator (documented).

Apart from their types, the available documentation does not describe the members of sender, authentication and
security, so they are passed on unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_oac.client.calls import Call, nothing
from airflow_provider_oac.client.models import Model, member, model
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


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


@model
class MailServer(Model):
    """Settings of the mail server.

    :param sender: the sender of mail; the members ``displayName`` and ``emailAddress`` are inferred.
    :param auth: with ``authType``; OAC returns no secrets (inferred).
    :param security: with ``connectionSecurityType``.
    """

    host: str = member("host")
    port: int = member("port", read=lambda value: value if isinstance(value, int) else 0)
    sender: Mapping[str, Any] = member("sender", read=_object)
    auth: Mapping[str, Any] = member("auth", read=_object, repr=False)
    security: Mapping[str, Any] = member("connectionSecurity", read=_object)

    def body(self) -> dict[str, Any]:
        """Build the JSON that the REST API expects."""
        values = (self.host, self.port, dict(self.sender), dict(self.auth), dict(self.security))
        return dict(zip(MEMBERS, values, strict=True))

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> MailServer:
        """Build the settings from members of the REST API.

        ``connectionSecurity`` may be just its type, and ``port`` may be a text.

        :raises OACConfigurationError: naming a member that is missing or breaks a documented rule.
        """
        if missing := [name for name in MEMBERS if body.get(name) in (None, "", {})]:
            raise OACConfigurationError(f"The mail server needs {', '.join(missing)} as well (documented).")
        security = body["connectionSecurity"]
        if isinstance(security, str):
            security = {"connectionSecurityType": security}
        port = str(body["port"])
        if not (port.isascii() and port.isdigit() and len(port) < 6 and 1 <= int(port) <= 65535):
            raise OACConfigurationError(f"The mail server's port must be 1 to 65535 (documented), not {port!r}.")
        server = cls(str(body["host"]), int(port), body["sender"], body["auth"], security)
        _check(server)
        return server


def get() -> Call[MailServer | None]:
    """Read the mail server's settings, without secrets (inferred).

    Operation ``GET /system/mail/server`` (documented). Without a mail server OAC answers 404 (inferred) or an empty
    body, and the result is ``None``.
    """
    return Call("read the mail server", "GET", _PATH, _read_server, repeatable=True, reads=_is_missing)


def configure(server: MailServer) -> Call[None]:
    """Set the mail server.

    Operation ``PUT /system/mail/server`` (documented).
    """
    doing, secrets = f"set the mail server {server.host}", secrets_of(server.auth)
    return Call(doing, "PUT", _PATH, nothing, body=server.body(), secrets=secrets, repeatable=True)


def delete() -> Call[None]:
    """Remove the mail server's settings.

    Operation ``DELETE /system/mail/server`` (documented).
    """
    return Call("remove the mail server", "DELETE", _PATH, nothing, repeatable=True)


def _check(server: MailServer) -> None:
    for what, value in (("sender", server.sender), ("auth", server.auth), ("connectionSecurity", server.security)):
        if not isinstance(value, Mapping):
            raise OACConfigurationError(f"The mail server's {what} must be an object, not {type(value).__name__}.")
    for where, what, known in (
        (server.auth, "authType", AUTH_TYPES),
        (server.security, "connectionSecurityType", SECURITY_TYPES),
    ):
        if where.get(what) not in known:
            raise OACConfigurationError(
                f"{what} must be one of {', '.join(known)} (documented), not {where.get(what)!r}."
            )
    password = server.auth.get("password")
    length = len(password) if isinstance(password, str) else 0
    if server.auth["authType"] == PASSWORD_AUTH and not 8 <= length <= 255:
        raise OACConfigurationError(
            f"The mail server's password must have 8 to 255 characters (documented), but it has {length}."
        )


def _is_missing(response: Response) -> bool:
    return response.status == 404


def _read_server(response: Response) -> MailServer | None:
    body = None if _is_missing(response) or not response.body.strip() else response.json()
    return None if body in (None, {}) else MailServer.parse(body, "The mail server")
