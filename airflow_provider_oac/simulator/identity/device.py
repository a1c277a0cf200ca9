"""The device flow (RFC 8628): codes, the page where a person approves, and the poll."""

from __future__ import annotations

import hmac
import html
import secrets
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from aiohttp import web

from airflow_provider_oac.simulator.identity.client_auth import Client
from airflow_provider_oac.simulator.identity.errors import OAuthError
from airflow_provider_oac.simulator.identity.forms import read_form
from airflow_provider_oac.simulator.identity.tokens import split_scope
from airflow_provider_oac.simulator.replies import json_reply
from airflow_provider_oac.simulator.store import Record
from airflow_provider_oac.simulator.world import World

if TYPE_CHECKING:
    from airflow_provider_oac.simulator.identity.app import Domain

_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
_COOKIE = "oac-sim-device"


class DecisionError(ValueError):
    """A decision that cannot be taken, with the reason for the person who tries."""


class DeviceCodes:
    """The codes that were handed out."""

    def __init__(self, world: World) -> None:
        self._world = world

    def start(self, app: Record, scope: str) -> tuple[str, str]:
        """Hand out a device code and a user code of eight letters."""
        device_code = secrets.token_hex(17)[:33]
        user_code = "".join(secrets.choice(_LETTERS) for _ in range(8))
        record = {
            "user_code": user_code, "client_id": app["client_id"], "scope": scope, "status": "pending",
            "user": None, "polled": None, "interval": self._world.settings.device_interval,
            "expires": self._world.clock.now() + self._world.settings.device_expires,
        }  # fmt: skip
        self._world.device_codes.put(device_code, record)
        return device_code, user_code

    def decide(self, user_code: str, name: str, password: str | None, *, approve: bool) -> None:
        """Approve or deny, as a person does on the page.

        Args:
            user_code: The code as typed; case, spaces and dashes do not matter.
            name: Who signs in. Federated users can (observed).
            password: Their password; None skips the check, for the control address.
            approve: False denies.

        Raises:
            DecisionError: Wrong code or wrong user.
        """
        typed = "".join(letter for letter in user_code.upper() if letter.isalpha())
        user = self._world.user(name)
        if user is None or not user["active"] or (password is not None and user["password"] != password):
            raise DecisionError("The user name or password is incorrect.")
        for key, record in self._world.device_codes.items():
            if record["user_code"] == typed and record["status"] == "pending":
                if record["expires"] <= self._world.clock.now():
                    raise DecisionError("The code has expired.")
                status = "approved" if approve else "denied"
                self._world.device_codes.put(key, {**record, "status": status, "user": user["name"]})
                return
        raise DecisionError("The code is not valid.")

    def poll(self, device_code: str, client: Client) -> Record:
        """The decided record; each code gives one sign-in.

        The error names are those of RFC 8628 section 3.5; a real domain's are documented nowhere (inferred).

        Raises:
            OAuthError: Not decided yet, polled too fast, denied, expired, or used.
        """
        record = self._world.device_codes.get(device_code)
        if record is None or record["client_id"] != client.client_id or record["status"] == "used":
            raise OAuthError("invalid_grant", "The device code is not valid.")
        now = self._world.clock.now()
        if record["expires"] <= now:
            raise OAuthError("expired_token", "The device code has expired.")
        if record["status"] == "denied":
            raise OAuthError("access_denied", "The user denied the request.")
        if record["status"] == "pending":
            # A tenth of a second is the network's, not the client's.
            early = record["polled"] is not None and now - record["polled"] < record["interval"] - 0.1
            interval = record["interval"] + 5 if early else record["interval"]
            self._world.device_codes.put(device_code, {**record, "polled": now, "interval": interval})
            if early:
                raise OAuthError("slow_down", "The client polls too fast.")
            raise OAuthError("authorization_pending", "The user has not decided yet.")
        self._world.device_codes.put(device_code, {**record, "status": "used"})
        return record


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
    """`GET /ui/v1/device`: the form. A user code may come in the query."""
    return _form(request.query.get("user_code", ""), "")


async def decide(domain: Domain, request: web.Request) -> web.Response:
    """`POST /ui/v1/device`: what the person decided."""
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
