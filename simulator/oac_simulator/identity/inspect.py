"""Revocation, introspection, discovery and signing keys."""

from __future__ import annotations

from typing import Any

import jwt.algorithms
from aiohttp import web

from oac_simulator.identity.client_auth import authenticate
from oac_simulator.identity.domain import Domain
from oac_simulator.identity.errors import OAuthError
from oac_simulator.identity.forms import read_form
from oac_simulator.identity.grants import required
from oac_simulator.identity.tokens import TokenRejected
from oac_simulator.replies import json_reply


async def revoke(domain: Domain, request: web.Request) -> web.Response:
    """`POST /oauth2/v1/revoke`: follows RFC 7009, because the public pages name no parameters (inferred)."""
    form = await read_form(request)
    client = authenticate(domain.world, request, form)
    token = required(form, "token")
    record = domain.refresh.find(token)
    if record is not None:
        if record["client_id"] == client.client_id:
            domain.refresh.end_family(record["family"])
        return web.Response()
    try:
        claims = domain.access.check(token)
    except TokenRejected:
        # RFC 7009 section 2.2: an invalid token counts as revoked.
        return web.Response()
    if claims["client_id"] == client.client_id:
        domain.world.revoked.put(claims["jti"], {"exp": claims["exp"]})
    return web.Response()


async def introspect(domain: Domain, request: web.Request) -> web.Response:
    """`POST /oauth2/v1/introspect`: follows RFC 7662 (inferred)."""
    form = await read_form(request)
    client = authenticate(domain.world, request, form)
    if not client.app["introspect"]:
        raise OAuthError("unauthorized_client", "The client is not allowed to introspect tokens.", 403)
    token = required(form, "token")
    record = domain.refresh.find(token)
    if record is not None:
        good = not record["used"] and not record["revoked"] and record["expires"] > domain.world.clock.now()
        known = {"client_id": record["client_id"], "scope": record["scope"], "sub": record["user"]}
        return json_reply({"active": True, **known} if good else {"active": False}, cached=False)
    try:
        claims = domain.access.check(token)
    except TokenRejected:
        return json_reply({"active": False}, cached=False)
    return json_reply({"active": True, "token_type": "Bearer", **claims}, cached=False)


def _configuration(domain: Domain) -> dict[str, Any]:
    url = domain.world.identity_url
    return {
        # The issuer differs from the requested URL (observed).
        "issuer": domain.world.settings.issuer,
        "token_endpoint": f"{url}/oauth2/v1/token",
        "device_authorization_endpoint": f"{url}/oauth2/v1/device",
        "revocation_endpoint": f"{url}/oauth2/v1/revoke",
        "introspection_endpoint": f"{url}/oauth2/v1/introspect",
        "jwks_uri": f"{url}/admin/v1/SigningCert/jwk",
        "response_types_supported": ["code", "token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_signing_alg_values_supported": ["RS256"],
        "grant_types_supported": [
            "client_credentials", "password", "refresh_token", "urn:ietf:params:oauth:grant-type:jwt-bearer",
            "urn:ietf:params:oauth:grant-type:device_code",
        ],
        "token_endpoint_auth_methods_supported": [
            "client_secret_basic", "client_secret_post", "private_key_jwt",
        ],
    }  # fmt: skip


async def openid_configuration(domain: Domain, request: web.Request) -> web.Response:
    """`GET /.well-known/openid-configuration` (documented)."""
    return json_reply(_configuration(domain))


async def idcs_configuration(domain: Domain, request: web.Request) -> web.Response:
    """`GET /.well-known/idcs-configuration`: the same, wrapped in an object (observed)."""
    return json_reply({"openid-configuration": _configuration(domain)})


async def signing_keys(domain: Domain, request: web.Request) -> web.Response:
    """`GET /admin/v1/SigningCert/jwk`: needs an access token unless the keys are public (documented)."""
    if not domain.world.settings.signing_cert_public:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise OAuthError("invalid_token", "An access token is needed.", 401)
        try:
            domain.access.check(token.strip())
        except TokenRejected as error:
            raise OAuthError("invalid_token", str(error), 401) from error
    public = domain.world.signing_key.public_key()
    key = jwt.algorithms.RSAAlgorithm.to_jwk(public, as_dict=True)
    return json_reply({"keys": [{**key, "kid": "SIGNING_KEY", "alg": "RS256", "use": "sig"}]})
