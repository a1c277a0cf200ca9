"""The token endpoint: one function per grant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import web

from oac_simulator.faults import Fault
from oac_simulator.identity import assertions
from oac_simulator.identity.client_auth import Client, authenticate
from oac_simulator.identity.domain import Domain
from oac_simulator.identity.errors import CONSUMED, OAuthError
from oac_simulator.identity.forms import Form, read_form
from oac_simulator.identity.tokens import split_scope
from oac_simulator.replies import json_reply
from oac_simulator.store import Record
from oac_simulator.world import GRANTS

_PREFIX = "urn:ietf:params:oauth:grant-type:"
_FULL_NAMES = {name: (_PREFIX + name if name in ("jwt-bearer", "device_code") else name) for name in GRANTS}


async def token(domain: Domain, request: web.Request) -> web.Response:
    """`POST /oauth2/v1/token`."""
    form = await read_form(request)
    domain.world.ledger.see(form)
    full_name = form.get("grant_type")
    if full_name is None:
        raise OAuthError("invalid_request", "The parameter grant_type is missing.")
    grant = next((name for name, full in _FULL_NAMES.items() if full == full_name), None)
    if grant is None:
        raise OAuthError("unsupported_grant_type", "The grant type is not supported.")
    client = authenticate(domain.world, request, form)
    if grant not in client.app["grants"]:
        raise OAuthError("unauthorized_client", "The client is not allowed to use this grant type.")
    fault = request.get("fault")
    if isinstance(fault, Fault) and fault.fault == "consumed_token":
        raise OAuthError("invalid_grant", CONSUMED)
    issued = _GRANTS[grant](domain, client, form)
    domain.world.ledger.see(issued)
    return json_reply(issued, cached=False)


def required(form: Form, name: str) -> str:
    """Return a required parameter."""
    value = form.get(name)
    if value is None:
        raise OAuthError("invalid_request", f"The parameter {name} is missing.")
    return value


def _active(domain: Domain, name: str) -> Record:
    user = domain.world.user(name)
    if user is None:
        raise OAuthError("invalid_grant", "The user does not exist.")
    if not user["active"]:
        raise OAuthError("invalid_grant", "The user is not active.")
    return user


def _reply(
    domain: Domain, client: Client, grant: str, scope: str, user: Record | None, refresh: str | None
) -> dict[str, Any]:
    """Build a successful reply; it normally has no `scope` (documented)."""
    audiences, _ = split_scope(domain.world, client.app, scope)
    body: dict[str, Any] = {
        "access_token": domain.access.sign(client.app, grant, audiences, scope, user),
        "token_type": "Bearer",
        "expires_in": domain.world.settings.access_token_ttl,
    }
    if refresh is not None:
        body["refresh_token"] = refresh
    return body


def _first(domain: Domain, client: Client, grant: str, scope: str | None, user: Record) -> dict[str, Any]:
    """Build the reply to a sign-in, with a refresh token if requested and allowed."""
    _, offline = split_scope(domain.world, client.app, scope)
    text = scope or ""
    refresh = None
    if offline and "refresh_token" in client.app["grants"]:
        refresh = domain.refresh.issue(client.app, grant, text, user)
    return _reply(domain, client, grant, text, user, refresh)


def _jwt_bearer(domain: Domain, client: Client, form: Form) -> dict[str, Any]:
    assertion = required(form, "assertion")
    split_scope(domain.world, client.app, form.get("scope"))
    claims = assertions.check(domain.world, client.app, assertion, client=False)
    user = _active(domain, claims["sub"])
    return _first(domain, client, "jwt-bearer", form.get("scope"), user)


def _password(domain: Domain, client: Client, form: Form) -> dict[str, Any]:
    name, password = required(form, "username"), required(form, "password")
    split_scope(domain.world, client.app, form.get("scope"))
    user = domain.world.user(name)
    if user is None or user["federated"] or user["password"] != password:
        raise OAuthError("invalid_grant", "You entered an incorrect user name or password.")
    return _first(domain, client, "password", form.get("scope"), _active(domain, name))


def _client_credentials(domain: Domain, client: Client, form: Form) -> dict[str, Any]:
    scope = required(form, "scope")
    if client.method == "none":
        raise OAuthError("unauthorized_client", "A public client cannot use this grant type.")
    return _reply(domain, client, "client_credentials", scope, None, None)


def _device_code(domain: Domain, client: Client, form: Form) -> dict[str, Any]:
    record = domain.device.poll(required(form, "device_code"), client)
    return _first(domain, client, "device_code", record["scope"], _active(domain, record["user"]))


def _refresh(domain: Domain, client: Client, form: Form) -> dict[str, Any]:
    old = required(form, "refresh_token")
    record = domain.refresh.use(old, client.app)
    asked = form.get("scope")
    if asked is not None and not set(asked.split()) <= set(record["scope"].split()):
        raise OAuthError("invalid_scope", "The requested scope is wider than what was granted.")
    user = _active(domain, record["user"])
    fresh: str | None = None
    rotation = domain.world.settings.refresh_rotation
    if rotation == "rotate":
        domain.refresh.consume(old)
        fresh = domain.refresh.issue(client.app, record["grant"], record["scope"], user, record["family"])
    elif rotation == "reuse":
        fresh = old
    # A scope without offline_access still returns a new refresh token (inferred).
    narrowed = asked if asked and asked != "offline_access" else record["scope"]
    return _reply(domain, client, "refresh_token", narrowed, user, fresh)


_GRANTS: dict[str, Callable[[Domain, Client, Form], dict[str, Any]]] = {
    "jwt-bearer": _jwt_bearer,
    "password": _password,
    "client_credentials": _client_credentials,
    "device_code": _device_code,
    "refresh_token": _refresh,
}
