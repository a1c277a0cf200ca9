"""The tokens of OAC's Profile page, and the endpoint that renews them (observed, not documented)."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from oac_simulator.identity.domain import Domain
from oac_simulator.identity.errors import OAuthError
from oac_simulator.oac.api import OACError
from oac_simulator.oac.guard import admit
from oac_simulator.replies import json_reply
from oac_simulator.store import Record
from oac_simulator.world import Instance

PATH = "/api/dv/api/v1/tokens/token/refresh"
_LIFETIME = 3600


def tokens(domain: Domain, instance: Instance, user: Record, family: str | None = None) -> dict[str, Any]:
    """Return the content of a `tokens.json`. Its tokens belong to OAC's own application, not to the caller's.

    :param domain: the identity domain.
    :param instance: the instance.
    :param user: the user.
    :param family: the sign-in from which the tokens descend; None for a new one.
    """
    app = domain.world.own_app(instance.name)
    scope = f"{instance.scope} offline_access"
    access = domain.access.sign(app, "refresh_token", [instance.audience], scope, user, lifetime=_LIFETIME)
    refresh = domain.refresh.issue(app, "refresh_token", scope, user, family, lifetime=_LIFETIME)
    return {"accessToken": access, "refreshToken": refresh, "expiresIn": _LIFETIME}


async def renew(domain: Domain, instance: Instance, request: web.Request) -> web.Response:
    """`POST /api/dv/api/v1/tokens/token/refresh`: takes a valid bearer token, and the refresh token as text body."""
    user = admit(domain.world, domain.access, instance, (), request)
    if request.content_type != "text/plain":
        raise OACError(415, "UnsupportedMediaType", "The body is the refresh token as text/plain.")
    old = (await request.text()).strip()
    domain.world.ledger.see({"refresh_token": old})
    try:
        record = domain.refresh.use(old, domain.world.own_app(instance.name))
    except OAuthError as error:
        raise OACError(401, "invalid_grant", error.description) from error
    domain.refresh.consume(old)
    made = tokens(domain, instance, user, record["family"])
    domain.world.ledger.see({"access_token": made["accessToken"], "refresh_token": made["refreshToken"]})
    return json_reply(made, cached=False)
