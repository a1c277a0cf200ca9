"""Client authentication: Basic, secret in the body, client assertion, or a public client."""

from __future__ import annotations

import base64
import hmac
from dataclasses import dataclass
from urllib.parse import unquote_plus

from aiohttp import web

from oac_simulator.identity import assertions
from oac_simulator.identity.errors import OAuthError, system_error
from oac_simulator.identity.forms import Form
from oac_simulator.store import Record
from oac_simulator.world import World

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@dataclass(frozen=True)
class Client:
    """An authenticated client."""

    app: Record
    method: str

    @property
    def client_id(self) -> str:
        """The application's client ID."""
        return str(self.app["client_id"])


def authenticate(world: World, request: web.Request, form: Form) -> Client:
    """Find and check the client.

    :raises OAuthError: for a missing client, a wrong secret, several methods at once, or an inactive application.
    """
    header = request.headers.get("Authorization", "")
    basic = header[:6].lower() == "basic "
    ways = [
        way
        for way, used in (
            ("basic", basic),
            ("body", "client_secret" in form),
            ("assertion", "client_assertion" in form or "client_assertion_type" in form),
        )
        if used
    ]
    if header and not basic:
        raise OAuthError("invalid_client", "The token endpoint takes Basic authentication only.", 401)
    if len(ways) > 1:
        # RFC 6749 section 2.3 forbids this; the behavior of a real domain is unknown.
        raise OAuthError("invalid_request", "The client authenticates in more than one way.")
    way = ways[0] if ways else "none"
    if way == "basic":
        client = _by_basic(world, header[6:].strip(), form)
    elif way == "assertion":
        client = _by_assertion(world, form)
    else:
        client = _by_body(world, form, way)
    if not client.app["active"]:
        raise OAuthError("invalid_client", "OAuth Client app is inactive", 401)
    return client


def _wrong() -> OAuthError:
    return OAuthError("invalid_client", "Client authentication failed.", 401)


def _by_basic(world: World, encoded: str, form: Form) -> Client:
    try:
        text = base64.b64decode(encoded, validate=True).decode("utf-8")
    except ValueError as error:
        raise _wrong() from error
    client_id, _, secret = text.partition(":")
    app = world.apps.get(unquote_plus(client_id))
    if app is None or app["public"] or form.get("client_id", app["client_id"]) != app["client_id"]:
        raise _wrong()
    decoded = unquote_plus(secret)
    # Published samples encode the pair unchanged; RFC 6749 section 2.3.1 form-encodes both parts first. Real secrets
    # contain no characters for which this matters, so both forms are accepted by default.
    raw_taken = world.settings.basic_encoding == "either" and _same(secret, app["secret"])
    if not (_same(decoded, app["secret"]) or raw_taken):
        raise _wrong()
    return Client(app, "basic")


def _by_body(world: World, form: Form, way: str) -> Client:
    app = world.apps.get(form.get("client_id", ""))
    if app is None:
        raise _wrong()
    if way == "none":
        if not app["public"]:
            raise _wrong()
        return Client(app, "none")
    if app["public"] or not _same(form["client_secret"], app["secret"]):
        raise _wrong()
    return Client(app, "body")


def _by_assertion(world: World, form: Form) -> Client:
    assertion = form.get("client_assertion")
    if assertion is None or form.get("client_assertion_type") != ASSERTION_TYPE:
        raise OAuthError("invalid_request", f"A client assertion comes with the type {ASSERTION_TYPE}.")
    app = world.apps.get(assertions.unverified_issuer(assertion))
    if app is None or form.get("client_id", app["client_id"]) != app["client_id"]:
        raise _wrong()
    if "client_credentials" not in app["grants"]:
        # Observed: without the Client Credentials grant, a client assertion fails with this unspecific error.
        raise system_error(world.settings.system_error_status)
    assertions.check(world, app, assertion, client=True)
    return Client(app, "assertion")


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())
