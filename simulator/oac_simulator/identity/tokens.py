"""Access tokens (signed JWTs) and refresh tokens (opaque, rotating)."""

from __future__ import annotations

import base64
import os
import time
import uuid
from hashlib import sha256
from typing import Any

import jwt

from oac_simulator.identity.errors import CONSUMED, OAuthError
from oac_simulator.store import Record
from oac_simulator.world import RESOURCE, World

_OWN_SCOPE = "urn:opc:idm:__myscopes__"
_CACHE_LIMIT = 20_000


class TokenRejected(Exception):
    """An access token is not valid."""


def split_scope(world: World, app: Record, text: str | None) -> tuple[list[str], bool]:
    """Split a scope into its parts.

    :returns: the audiences, and whether the scope requests a refresh token.
    :raises OAuthError: for a missing or unknown scope, or a forbidden combination (documented: the bare resource scope
        may only be combined with `offline_access`).
    """
    wanted = (text or "").split()
    offline = "offline_access" in wanted
    resources = [scope for scope in wanted if scope != "offline_access"]
    allowed = app["allowed_scopes"]
    known = {
        instance.scope: instance.audience
        for instance in world.instances.values()
        if allowed is None or instance.scope in allowed
    }
    if resources == [RESOURCE] and world.settings.bare_scope:
        return list(known.values()), offline
    if resources == [_OWN_SCOPE]:
        return [f"{world.identity_url}/"], offline
    if len(resources) != 1 or resources[0] not in known:
        raise OAuthError("invalid_scope", "The requested scope is invalid, unknown or malformed.")
    return [known[resources[0]]], offline


class AccessTokens:
    """Signs and checks access tokens."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._checked: dict[str, dict[str, Any]] = {}

    def sign(
        self,
        app: Record,
        grant: str,
        audiences: list[str],
        scope: str,
        user: Record | None,
        *,
        lifetime: int | None = None,
    ) -> str:
        """Return a signed access token. Its claims follow the documented list; `gtp` is observed.

        :param lifetime: in seconds; None for the setting.
        """
        world = self._world
        now = int(world.clock.now())
        urls = [item.url for item in world.instances.values() if item.audience in audiences]
        claims: dict[str, Any] = {
            "tok_type": "AT", "iss": world.settings.issuer, "aud": [*audiences, *urls], "iat": now,
            "exp": now + (lifetime or world.settings.access_token_ttl), "jti": f"{self._next():016x}{uuid.uuid4().hex}",
            "sub": user["name"] if user else app["client_id"], "sub_type": "user" if user else "client",
            "scope": scope, "client_id": app["client_id"], "client_name": app["name"], "gtp": grant,
            "tenant": "sim-domain", "client_tenantname": "sim-domain",
        }  # fmt: skip
        if user:
            claims |= {
                "sub_mappingattr": "userName", "user_displayname": user["name"],
                "user_tenantname": "sim-domain", "user.tenant.name": "sim-domain",
                "user_id": sha256(user["name"].encode()).hexdigest()[:32],
            }  # fmt: skip
        world.counters.issued(grant)
        return jwt.encode(claims, world.signing_key, algorithm="RS256", headers={"kid": "SIGNING_KEY"})

    def _next(self) -> int:
        """Return a number that grows with every token, so `end_all` can invalidate all earlier tokens."""
        return time.time_ns() // 1000

    def end_all(self) -> None:
        """Invalidate all access tokens issued so far."""
        self._world.meta.put("ended", {"number": self._next()})

    def check(self, token: str) -> dict[str, Any]:
        """Verify a token and return its claims.

        :raises TokenRejected: if it is malformed, not signed by this domain, expired, or revoked.
        """
        claims = self._checked.get(token)
        if claims is None:
            claims = self._verify(token)
            if len(self._checked) >= _CACHE_LIMIT:
                self._checked.clear()
            self._checked[token] = claims
        if claims["exp"] <= self._world.clock.now():
            raise TokenRejected("The access token has expired")
        ended = self._world.meta.get("ended")
        if ended is not None and int(claims["jti"][:16], 16) <= ended["number"]:
            raise TokenRejected("The access token has expired")
        if self._world.revoked.get(claims["jti"]) is not None:
            raise TokenRejected("The access token has been revoked")
        return claims

    def _verify(self, token: str) -> dict[str, Any]:
        options: Any = {"verify_exp": False, "verify_iat": False, "verify_aud": False}
        try:
            return jwt.decode(token, self._world.signing_key.public_key(), algorithms=["RS256"], options=options)
        except jwt.PyJWTError as error:
            raise TokenRejected("The access token is not valid") from error


class RefreshTokens:
    """Issues single-use refresh tokens; a second use revokes the whole family."""

    def __init__(self, world: World) -> None:
        self._world = world

    def issue(
        self,
        app: Record,
        grant: str,
        scope: str,
        user: Record | None,
        family: str | None = None,
        *,
        lifetime: int | None = None,
    ) -> str:
        """Issue a refresh token; the domain stores only its hash.

        :param lifetime: in seconds; None for the setting.
        """
        token = _opaque()
        record = {
            "family": family or uuid.uuid4().hex, "client_id": app["client_id"], "scope": scope,
            "grant": grant, "user": user["name"] if user else None, "used": False, "revoked": False,
            "expires": self._world.clock.now() + (lifetime or self._world.settings.refresh_token_ttl),
        }  # fmt: skip
        self._world.refresh_tokens.put(_key(token), record)
        return token

    def find(self, token: str) -> Record | None:
        """Return the record of a refresh token."""
        return self._world.refresh_tokens.get(_key(token))

    def use(self, token: str, app: Record) -> Record:
        """Return the record of a refresh token that may be used for a renewal.

        :raises OAuthError: if the token is unknown, expired, revoked, from another client, or used (which revokes its
            family).
        """
        record = self.find(token)
        if record is None or record["client_id"] != app["client_id"]:
            raise OAuthError("invalid_grant", "The refresh token is not valid.")
        if record["used"]:
            self.end_family(record["family"])
            raise OAuthError("invalid_grant", CONSUMED)
        if record["revoked"]:
            raise OAuthError("invalid_grant", "The refresh token has been revoked.")
        if record["expires"] <= self._world.clock.now():
            raise OAuthError("invalid_grant", "The refresh token has expired.")
        return record

    def consume(self, token: str) -> None:
        """Mark a token as used."""
        record = self._world.refresh_tokens.get(_key(token))
        if record is not None:
            self._world.refresh_tokens.put(_key(token), {**record, "used": True})

    def end_family(self, family: str) -> None:
        """Revoke every token that descends from one sign-in."""
        for key, record in self._world.refresh_tokens.items():
            if record["family"] == family and not record["revoked"]:
                self._world.refresh_tokens.put(key, {**record, "revoked": True})


def _key(token: str) -> str:
    return sha256(token.encode()).hexdigest()


def _opaque() -> str:
    """Return a token with `+`, `/` and `=`, like the real ones, so a client that does not encode it fails."""
    return "AgAg+/" + base64.b64encode(os.urandom(64)).decode()
