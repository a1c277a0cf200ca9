"""The device flow (RFC 8628): the endpoint and the approval page."""

from __future__ import annotations

import hmac
import html
import secrets
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from oac_simulator.identity.device_codes import DecisionError
from oac_simulator.identity.domain import Domain
from oac_simulator.identity.errors import OAuthError
from oac_simulator.identity.forms import read_form
from oac_simulator.identity.tokens import split_scope
from oac_simulator.replies import json_reply

_COOKIE = "oac-sim-device"


async def start(domain: Domain, request: web.Request) -> web.Response:
    """`POST /oauth2/v1/device`; unauthenticated for confidential applications too (documented)."""
    form = await read_form(request)
    if form.get("response_type") != "device_code":
        raise OAuthError("invalid_request", "The parameter response_type must be device_code.")
    app = domain.world.apps.get(form.get("client_id", ""))
    if app is None:
        raise OAuthError("invalid_client", "The client is unknown.", 401)
    if not app["active"]:
        raise OAuthError("invalid_client", "OAuth Client app is inactive", 401)
    if "device_code" not in app["grants"]:
        raise OAuthError("unauthorized_client", "The client is not allowed to use this grant type.")
    split_scope(domain.world, app, form.get("scope"))
    device_code, user_code = domain.device.start(app, form["scope"])
    settings = domain.world.settings
    body: dict[str, Any] = {
        "device_code": device_code,
        "user_code": user_code,
        "verification_uri": f"{domain.world.identity_url}/ui/v1/device",
        "expires_in": settings.device_expires,
    }
    if settings.device_send_interval:
        body["interval"] = settings.device_interval
    domain.world.ledger.see(body)
    return json_reply(body, cached=False)


async def page(domain: Domain, request: web.Request) -> web.Response:
    """`GET /ui/v1/device`: the form. The query may contain a user code."""
    return _form(request.query.get("user_code", ""), "")


async def decide(domain: Domain, request: web.Request) -> web.Response:
    """`POST /ui/v1/device`: the user's decision."""
    form = dict(parse_qsl((await request.read()).decode("utf-8", "replace")))
    cookie, field = request.cookies.get(_COOKIE, ""), form.get("csrf", "")
    user_code = form.get("user_code", "")
    if not cookie or not hmac.compare_digest(cookie.encode(), field.encode()):
        return _form(user_code, "This page was open for too long or came from elsewhere. Try again.", 403)
    action = form.get("action")
    if action not in ("approve", "deny"):
        return _form(user_code, "Choose Approve or Deny.", 400)
    try:
        domain.device.decide(user_code, form.get("username", ""), form.get("password", ""), approve=action == "approve")
    except DecisionError as error:
        return _form(user_code, str(error), 400)
    done = "approved" if action == "approve" else "denied"
    return _html(f"<p>The request was {done}. You can close this page.</p>")


def _form(user_code: str, message: str, status: int = 200) -> web.Response:
    csrf = secrets.token_urlsafe(24)
    notice = f"<p role=alert>{html.escape(message)}</p>" if message else ""
    reply = _html(
        f"""{notice}<form method=post action=/ui/v1/device>
<input type=hidden name=csrf value="{csrf}">
<p><label>Code shown on your device <input name=user_code autocomplete=off required
 value="{html.escape(user_code, quote=True)}"></label>
<p><label>User name <input name=username autocomplete=username required></label>
<p><label>Password <input name=password type=password autocomplete=current-password required></label>
<p><button name=action value=approve>Approve</button> <button name=action value=deny>Deny</button>
</form>""",
        status,
    )
    reply.set_cookie(_COOKIE, csrf, httponly=True, samesite="Strict", path="/ui/v1/device")
    return reply


def _html(body: str, status: int = 200) -> web.Response:
    text = f"<!doctype html><html lang=en><title>Sign in a device</title><h1>Sign in a device</h1>{body}</html>"
    reply = web.Response(text=text, status=status, content_type="text/html")
    reply.headers["Cache-Control"] = "no-store"
    reply.headers["Content-Security-Policy"] = "default-src 'none'; form-action 'self'; frame-ancestors 'none'"
    return reply
