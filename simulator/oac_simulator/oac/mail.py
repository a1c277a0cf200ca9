"""Area: Mail server."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from aiohttp import web

from oac_simulator.oac.api import Call, Route, bad_request, member, not_found
from oac_simulator.replies import json_reply
from oac_simulator.world import ADMINISTRATOR

_AUTH = ("NO_AUTH", "USERNAME_PASSWORD_AUTH", "OAUTH2_AUTH")
_SECURITY = ("NO_CONNECTION_SECURITY", "SSL_TLS_CONNECTION_SECURITY", "START_TLS_CONNECTION_SECURITY")
_SECRETS = ("password", "clientSecret", "refreshToken", "privateKey")


async def get(call: Call) -> web.StreamResponse:
    """`GET /system/mail/server`: without secrets (inferred); 404 if none is configured (inferred)."""
    mail = (call.world.content.get(call.instance.name) or {}).get("mail")
    if mail is None:
        raise not_found("The mail server")
    auth = {name: value for name, value in mail["auth"].items() if not name.endswith("Sha256")}
    return json_reply({**mail, "auth": auth})


async def put(call: Call) -> web.StreamResponse:
    """`PUT /system/mail/server`: replaces everything (inferred); 200 with an empty body (inferred)."""
    _keep(call, _checked(await call.json()))
    return web.Response()


async def delete(call: Call) -> web.StreamResponse:
    """`DELETE /system/mail/server`."""
    if (call.world.content.get(call.instance.name) or {}).get("mail") is None:
        raise not_found("The mail server")
    _keep(call, None)
    return web.Response()


def _keep(call: Call, mail: dict[str, Any] | None) -> None:
    content = call.world.content.get(call.instance.name) or {}
    call.world.content.put(call.instance.name, {**content, "mail": mail})


def _checked(body: dict[str, Any]) -> dict[str, Any]:
    """Check a mail server and return it as stored: only digests of secrets, for tests to compare.

    :raises OACError: if a member is missing or outside its limits (400; the limits are documented).
    """
    host = member(body, "host", str, "")
    port = body.get("port")
    if not isinstance(port, int) or isinstance(port, bool) or not 1 <= port <= 65535:
        raise bad_request("port must be a whole number from 1 to 65535.")
    sender, auth = member(body, "sender", dict, ""), dict(member(body, "auth", dict, ""))
    security = member(body, "connectionSecurity", dict, "")
    for name in ("displayName", "emailAddress"):
        if not isinstance(sender.get(name, ""), str):
            raise bad_request(f"sender.{name} is not a text.")
    if auth.get("authType") not in _AUTH:
        raise bad_request(f"auth.authType must be one of {', '.join(_AUTH)}.")
    if security.get("connectionSecurityType") not in _SECURITY:
        raise bad_request(f"connectionSecurity.connectionSecurityType must be one of {', '.join(_SECURITY)}.")
    if auth["authType"] == "USERNAME_PASSWORD_AUTH":
        member(auth, "username", str, "auth.")
        password = member(auth, "password", str, "auth.")
        if not 8 <= len(password) <= 255:
            raise bad_request("auth.password must have 8 to 255 characters.")
    for name in _SECRETS:
        if isinstance(auth.get(name), str):
            auth[f"{name}Sha256"] = sha256(auth.pop(name).encode()).hexdigest()
    return {"host": host, "port": port, "sender": sender, "auth": auth, "connectionSecurity": security}


JOBS: dict[str, Any] = {}
_ROLES = (ADMINISTRATOR,)
ROUTES = [
    Route("GET", "/system/mail/server", get, _ROLES),
    Route("PUT", "/system/mail/server", put, _ROLES),
    Route("DELETE", "/system/mail/server", delete, _ROLES),
]
