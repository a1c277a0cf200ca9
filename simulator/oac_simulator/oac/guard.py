"""Authorization of calls: the token's signature, expiry, audience and user, then the user's roles."""

from __future__ import annotations

from aiohttp import web

from oac_simulator.faults import Fault
from oac_simulator.identity.tokens import AccessTokens, TokenRejected
from oac_simulator.oac.api import OACError
from oac_simulator.store import Record
from oac_simulator.world import Instance, World

#: The page that a paused instance returns for every call (observed, except for the text below the title).
_PAUSED = "<html><head><title>Instance Suspended</title></head><body><h1>Instance Suspended</h1></body></html>"


def _invalid_token(message: str) -> OACError:
    challenge = {"WWW-Authenticate": f'Bearer error="invalid_token", error_description="{message}"'}
    return OACError(401, "invalid_token", message, headers=challenge)


def _unauthorized(user: str) -> OACError:
    """Return the gateway's reply for a user without the role (observed), which looks like a reply to a bad token."""
    return OACError(401, "", "", body={"user": user, "status": "unauthorized"})


def admit(
    world: World, access: AccessTokens, instance: Instance, roles: tuple[str, ...], request: web.Request
) -> Record:
    """Return the calling user.

    :raises OACError: if the call is refused.
    """
    if instance.name in world.settings.paused:
        raise OACError(403, "", "", body=_PAUSED)
    header = request.headers.get("Authorization")
    if header is None or header[:7].lower() != "bearer ":
        challenge = {"WWW-Authenticate": "Bearer"}
        raise OACError(401, "Unauthorized", "An access token is needed.", headers=challenge)
    fault = request.get("fault")
    if isinstance(fault, Fault) and fault.fault == "expired_token":
        raise _invalid_token("The access token has expired")
    try:
        claims = access.check(header[7:].strip())
    except TokenRejected as error:
        raise _invalid_token(str(error)) from error
    if instance.audience not in claims["aud"]:
        raise _invalid_token("Token Audience")
    if claims["sub_type"] != "user":
        # Observed for client_credentials, instead of a 401 or 403.
        body = {"servlet": "PublicAPIJerseyServlet", "message": "Server Error"}
        raise OACError(500, "", "", body=body)
    user = world.user(claims["sub"])
    if user is None or not user["active"]:
        raise _unauthorized(claims["sub"])
    if roles:
        held = user["instance_roles"].get(instance.name, user["roles"])
        if not any(role in held for role in roles):
            raise _unauthorized(claims["sub"])
    return user
