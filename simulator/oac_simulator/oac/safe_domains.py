"""Area: Safe Domains."""

from __future__ import annotations

import re
from typing import Any

from aiohttp import web

from oac_simulator.oac.api import Call, Route, bad_request
from oac_simulator.oac.items import decoded
from oac_simulator.replies import json_reply
from oac_simulator.world import ADMINISTRATOR

_POLICIES = (
    "connect-src", "font-src", "form-action", "frame-ancestors", "frame-src", "img-src", "media-src", "script-src",
    "style-src",
)  # fmt: skip
#: A host with an optional scheme, port and leading wildcard (inferred).
_DOMAIN = re.compile(r"([a-z][a-z0-9+.-]*://)?(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*(:(\d{1,5}|\*))?", re.IGNORECASE)


async def list_all(call: Call) -> web.StreamResponse:
    """`GET /system/safeDomains`: returns an array of objects with one key, the domain (documented)."""
    return json_reply([{domain: policy} for domain, policy in _domains(call).items()])


async def put(call: Call) -> web.StreamResponse:
    """`PUT /system/safeDomains/{urlBase64DomainId}`: returns 201 for a new domain, 200 for a known one (documented)."""
    domain = _domain(call)
    body, domains = await call.json(), _domains(call)
    if not all(isinstance(body.get(name), bool) for name in _POLICIES):
        raise bad_request(f"All of {', '.join(_POLICIES)} must be true or false.")
    _keep(call, {**domains, domain: {name: body[name] for name in _POLICIES}})
    return web.Response(status=200 if domain in domains else 201)


async def delete(call: Call) -> web.StreamResponse:
    """`DELETE /system/safeDomains/{urlBase64DomainId}`: returns 400 for an unknown domain; 404 is not documented."""
    domain, domains = _domain(call), _domains(call)
    if domain not in domains:
        raise bad_request(f"There is no safe domain {domain}.")
    _keep(call, {name: policy for name, policy in domains.items() if name != domain})
    return web.Response()


def _domain(call: Call) -> str:
    domain = decoded(call.request.match_info["urlBase64DomainId"])
    if len(domain) > 255 or not _DOMAIN.fullmatch(domain):
        raise bad_request("The id is not the base64url of a domain name.")
    return domain


def _domains(call: Call) -> dict[str, Any]:
    domains: dict[str, Any] = (call.world.content.get(call.instance.name) or {}).get("safeDomains", {})
    return domains


def _keep(call: Call, domains: dict[str, Any]) -> None:
    content = call.world.content.get(call.instance.name) or {}
    call.world.content.put(call.instance.name, {**content, "safeDomains": domains})


JOBS: dict[str, Any] = {}
_ROLES = (ADMINISTRATOR,)
ROUTES = [
    Route("GET", "/system/safeDomains", list_all, _ROLES),
    Route("PUT", "/system/safeDomains/{urlBase64DomainId}", put, _ROLES),
    Route("DELETE", "/system/safeDomains/{urlBase64DomainId}", delete, _ROLES),
]
