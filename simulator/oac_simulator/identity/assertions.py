"""Checks of signed assertions (RFC 7523) against the certificates of an application."""

from __future__ import annotations

from typing import Any

import jwt

from oac_simulator.identity.errors import OAuthError, system_error
from oac_simulator.keys import certificate_key
from oac_simulator.store import Record
from oac_simulator.world import World, base64url_sha

Claims = dict[str, Any]


def unverified_issuer(assertion: str) -> str:
    """Return the unverified issuer of an assertion, to find its application.

    :raises OAuthError: if the text is not a JWT or has no issuer.
    """
    try:
        claims = jwt.decode(assertion, options={"verify_signature": False})
    except jwt.PyJWTError as error:
        raise OAuthError("invalid_request", "The assertion is not a well-formed JWT.") from error
    issuer = claims.get("iss")
    if not isinstance(issuer, str):
        raise OAuthError("invalid_request", "The assertion has no issuer.")
    return issuer


def check(world: World, app: Record, assertion: str, *, client: bool) -> Claims:
    """Check signature, issuer, audience and times of an assertion.

    :param world: the simulated world.
    :param app: the application whose certificate must have signed it.
    :param assertion: the JWT.
    :param client: whether this is a client assertion, whose subject must be the client itself.
    :returns: the claims.
    :raises OAuthError: if a check fails.
    """
    key = certificate_key(_certificate(world, app, assertion))
    # `exp`, `nbf` and `iat` are checked below, against the simulator's clock.
    times = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False}
    try:
        claims: Claims = jwt.decode(assertion, key, algorithms=["RS256"], options=times)  # type: ignore[arg-type]
    except jwt.PyJWTError as error:
        raise OAuthError("invalid_request", "The signature of the assertion is not valid.") from error
    if claims.get("iss") != app["client_id"]:
        raise OAuthError("invalid_client", "The issuer of the assertion is not the client.", 401)
    if not isinstance(claims.get("sub"), str) or not claims["sub"]:
        raise OAuthError("invalid_request", "The assertion has no subject.")
    if client and claims["sub"] != app["client_id"]:
        raise OAuthError("invalid_client", "The subject of the client assertion is not the client.", 401)
    _check_audience(world, claims)
    _check_times(world, claims)
    _check_replay(world, claims)
    return claims


def _certificate(world: World, app: Record, assertion: str) -> str:
    """Return the registered certificate that the header names by alias (`kid`) or thumbprint (documented)."""
    certificates: dict[str, str] = app["certificates"]
    if not certificates:
        raise OAuthError("invalid_client", "No certificate is registered for the client.", 401)
    try:
        header = jwt.get_unverified_header(assertion)
    except jwt.PyJWTError as error:
        raise OAuthError("invalid_request", "The assertion is not a well-formed JWT.") from error
    if header.get("alg") != "RS256":
        raise OAuthError("invalid_request", "Only RS256 is supported as the algorithm of an assertion.")
    if "kid" in header:
        found = certificates.get(header["kid"])
    else:
        found = next((pem for pem in certificates.values() if _names(header, pem)), None)
    if found is None:
        raise system_error(world.settings.system_error_status)
    return found


def _names(header: dict[str, Any], certificate: str) -> bool:
    """Return whether the header's thumbprints match this certificate; they may be padded (documented)."""
    for name, algorithm in (("x5t", "SHA1"), ("x5t#S256", "SHA256")):
        value = header.get(name)
        if isinstance(value, str) and value.rstrip("=") == base64url_sha(algorithm, certificate):
            return True
    return False


def _check_audience(world: World, claims: Claims) -> None:
    url = world.identity_url
    accepted = set(world.settings.accepted_audiences) or {
        world.settings.issuer, url, f"{url}/", f"{url}/oauth2/v1/token",
    }  # fmt: skip
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if not accepted.intersection(entry for entry in audiences if isinstance(entry, str)):
        raise OAuthError("invalid_grant", "Audience validation failed.")


def _check_times(world: World, claims: Claims) -> None:
    now, skew = world.clock.now(), world.settings.clock_skew
    for name in ("exp", "iat", "nbf"):
        value = claims.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise OAuthError("invalid_request", f"The claim {name} of the assertion is not a number.")
    if "exp" not in claims:
        raise OAuthError("invalid_request", "The assertion has no expiry.")
    if claims["exp"] <= now - skew:
        raise OAuthError("invalid_request", "The assertion has expired.")
    if claims.get("iat", now) > now + skew or claims.get("nbf", now) > now + skew:
        raise OAuthError("invalid_request", "The assertion is not valid yet.")
    longest = world.settings.max_assertion_lifetime
    if longest and claims["exp"] > now + longest + skew:
        raise OAuthError("invalid_request", "The assertion is valid for too long.")


def _check_replay(world: World, claims: Claims) -> None:
    if not world.settings.check_jti:
        return
    jti = claims.get("jti")
    if not isinstance(jti, str) or not jti:
        raise OAuthError("invalid_request", "The assertion has no jti.")
    if world.seen_jti.get(jti) is not None:
        raise OAuthError("invalid_grant", "The assertion has already been used.")
    world.seen_jti.put(jti, {"exp": claims["exp"]})
