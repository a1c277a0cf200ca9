"""The web application of the identity domain."""

from __future__ import annotations

from aiohttp import web

from oac_simulator.endpoint import endpoint
from oac_simulator.identity import device, grants, inspect
from oac_simulator.identity.domain import Domain, DomainHandler

_ROUTES: list[tuple[str, str, str, DomainHandler]] = [
    ("POST", "/oauth2/v1/token", "token", grants.token),
    ("POST", "/oauth2/v1/device", "device", device.start),
    ("GET", "/ui/v1/device", "device_page", device.page),
    ("POST", "/ui/v1/device", "device_decision", device.decide),
    ("POST", "/oauth2/v1/revoke", "revoke", inspect.revoke),
    ("POST", "/oauth2/v1/introspect", "introspect", inspect.introspect),
    ("GET", "/.well-known/openid-configuration", "openid_configuration", inspect.openid_configuration),
    ("GET", "/.well-known/idcs-configuration", "idcs_configuration", inspect.idcs_configuration),
    ("GET", "/admin/v1/SigningCert/jwk", "signing_keys", inspect.signing_keys),
]


def build(domain: Domain) -> web.Application:
    """Build the web application of the identity domain."""
    app = web.Application()
    for method, path, name, function in _ROUTES:
        handler, is_token = domain.handler(function), name == "token"
        able = ("consumed_token",) if is_token else ()
        wrapped = endpoint(domain.world, "identity", name, handler, has_grant=is_token, faults=able)
        app.router.add_route(method, path, wrapped)
    return app
