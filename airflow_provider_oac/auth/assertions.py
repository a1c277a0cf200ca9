"""Signed assertions (JWT, RS256) for the identity domain.

Header and claims follow Oracle's "Client Assertion" and "Assertion Grant Type" pages and RFC 7523 section 3. The two
kinds differ in ``sub`` only, so each has its own function: a user's assertion must never be sent as the application's
(RFC 8725 section 3.12).
"""

from __future__ import annotations

import uuid

import jwt

from airflow_provider_oac.auth.keys import certificate_thumbprint, check_pair, load_private_key
from airflow_provider_oac.auth.settings import AuthSettings

__all__ = ["ASSERTION_LIFETIME", "client_assertion", "user_assertion"]

ASSERTION_LIFETIME = 300
"""Seconds. No maximum is documented. 300 s is observed to work; reports on an hour contradict each other."""

# Seconds by which a domain's clock may be behind this one: it would refuse an assertion from its future. RFC 7519
# section 4.1.4 lets servers allow some leeway; not all do.
_BACKDATED = 30


def user_assertion(settings: AuthSettings, now: float) -> str:
    """Sign the statement that the application acts for a user (``assertion`` of the grant jwt-bearer).

    :param settings: checked settings. The client id (``iss``), the user (``sub``, as the domain maps it: usually
        the user name, not the e-mail address) and the certificate's alias (``kid``, exact match) are documented. So is
        the certificate's thumbprint (``x5t``) in addition to the alias or instead of it. A list of audiences is sent
        only if there are several (both forms are observed to work).
    :param now: wall-clock time in seconds since the epoch.
    :returns: the assertion, with a new id (``jti``): never send one twice.
    :raises OACConfigurationError: if the key or the certificate cannot be used.
    """
    return _signed(settings, settings.user or "", now)


def client_assertion(settings: AuthSettings, now: float) -> str:
    """Sign the statement by which the application proves who it is (``client_assertion`` of any grant).

    ``sub`` is the application itself (documented; RFC 7523 section 3). Parameters, result and errors are those of
    :func:`user_assertion`.
    """
    return _signed(settings, settings.client_id, now)


def _signed(settings: AuthSettings, subject: str, now: float) -> str:
    folder, audience = settings.file_folder, settings.audience
    key = load_private_key(settings.private_key or "", settings.private_key_passphrase, folder=folder)
    headers = {"kid": settings.certificate_alias} if settings.certificate_alias else {}
    if settings.certificate:
        check_pair(key, settings.certificate, folder=folder)
        headers["x5t"] = certificate_thumbprint(settings.certificate, folder=folder)
    issued = int(now) - _BACKDATED
    claims = {
        "iss": settings.client_id,
        "sub": subject,
        "aud": audience[0] if len(audience) == 1 else list(audience),
        "iat": issued,
        "exp": issued + ASSERTION_LIFETIME,
        "jti": str(uuid.uuid4()),
    }
    return jwt.encode(claims, key.key, algorithm="RS256", headers=headers)
