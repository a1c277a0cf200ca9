"""Signed assertions (JWT, RS256) for the identity domain.

Header and claims follow Oracle's "Client Assertion" and "Assertion Grant Type" pages and RFC 7523 section 3.
On the wire the two kinds differ by ``sub`` alone, so each has a function of its own: a user's assertion must
never be sent as the application's (RFC 8725 section 3.12).
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import jwt

from airflow_provider_oac.auth.keys import PrivateKey
from airflow_provider_oac.exceptions import OACConfigurationError

__all__ = ["ASSERTION_LIFETIME", "client_assertion", "user_assertion"]

ASSERTION_LIFETIME = 300
"""Seconds. No maximum is documented. 300 s is observed to work; reports on an hour contradict each other."""

# Seconds by which a domain's clock may be behind this one: it would refuse what is issued in its future. RFC 7519
# section 4.1.4 has servers allow some leeway; not all do.
_BACKDATED = 30


def user_assertion(
    key: PrivateKey,
    *,
    client_id: str,
    user: str,
    audience: str | Sequence[str],
    alias: str | None,
    x5t: str | None = None,
    now: float,
) -> str:
    """Sign the statement that the application acts for a user (``assertion`` of the grant jwt-bearer).

    :param key: private key of the certificate that is registered in the application.
    :param client_id: id of the application (``iss``, documented).
    :param user: the user's name in the domain (``sub``, documented), as the domain maps it: mostly the user
        name, not the e-mail address.
    :param audience: what the domain expects as ``aud``; a list is sent only if there are several (both forms
        are observed to work).
    :param alias: alias of the certificate in the application (``kid``, documented, exact match).
    :param x5t: thumbprint of the certificate, besides the alias or instead of it (documented).
    :param now: wall-clock time in seconds since the epoch.
    :returns: the assertion, with an id (``jti``) of its own: never send one twice.
    :raises OACConfigurationError: if a part is empty.
    """
    if not user:
        raise OACConfigurationError(
            "The user assertion cannot be made: no user is given. OAC accepts only tokens that carry a user: "
            "name the one to act as, by the user name in the identity domain."
        )
    return _signed(key, "user", client_id, user, audience, alias, x5t, now)


def client_assertion(
    key: PrivateKey,
    *,
    client_id: str,
    audience: str | Sequence[str],
    alias: str | None,
    x5t: str | None = None,
    now: float,
) -> str:
    """Sign the statement by which the application proves who it is (``client_assertion`` of any grant).

    ``sub`` is the application itself (documented; RFC 7523 section 3). The other parameters, the result and
    the errors are those of :func:`user_assertion`.
    """
    return _signed(key, "client", client_id, client_id, audience, alias, x5t, now)


def _signed(
    key: PrivateKey,
    kind: str,
    client_id: str,
    subject: str,
    audience: str | Sequence[str],
    alias: str | None,
    x5t: str | None,
    now: float,
) -> str:
    audiences = [audience] if isinstance(audience, str) else list(audience)
    headers = {name: value for name, value in (("kid", alias), ("x5t", x5t)) if value}
    for missing, name, step in (
        (not client_id, "client id", "Give the client id of the confidential application"),
        (
            not audiences or not all(audiences),
            "audience",
            "Leave the default or give the audience that the identity domain expects",
        ),
        (
            not headers,
            "certificate alias",
            "Give the alias under which the certificate is registered in the confidential application, or "
            "the certificate itself: without one of them the identity domain cannot find it",
        ),
    ):
        if missing:
            raise OACConfigurationError(f"The {kind} assertion cannot be made: no {name} is given. {step}.")
    issued = int(now) - _BACKDATED
    claims = {
        "iss": client_id,
        "sub": subject,
        "aud": audiences[0] if len(audiences) == 1 else audiences,
        "iat": issued,
        "exp": issued + ASSERTION_LIFETIME,
        "jti": str(uuid.uuid4()),
    }
    return jwt.encode(claims, key.key, algorithm="RS256", headers=headers)
