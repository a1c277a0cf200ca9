"""Build the requests to the token service by grant, and sign their assertions (JWT, RS256).

Sources: Oracle's "Assertion Grant Type", "Client Assertion", "Resource Owner Password Credentials", "Refresh Token" and
"Device Code Grant Type" pages (documented); RFC 6749, 7009, 7521, 7523, 8628. The two kinds of assertions differ in
``sub`` only, so each has its own function: a user's assertion must never be sent as the application's (RFC 8725 section
3.12).
"""

from __future__ import annotations

import base64
import uuid
from urllib.parse import quote, urlencode

import jwt

from airflow_provider_oac.auth.keys import certificate_thumbprint, check_pair, load_private_key
from airflow_provider_oac.auth.settings import ASSERTION, BASIC, BODY, JWT_ASSERTION, NONE, PASSWORD, AuthSettings
from airflow_provider_oac.transport.io import Request

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
OFFLINE_ACCESS = "offline_access"
# Form fields whose values are new each time. The Connection's own secrets are masked when it is read.
_MASKED = ("assertion", "client_assertion", "refresh_token", "device_code", "token")
CLIENT_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_LIFETIME = 300
"""Seconds. No maximum is documented. 300 s is observed to work; reports on an hour contradict each other."""

# Seconds by which a domain's clock may be behind this one: it would refuse an assertion from its future. RFC 7519
# section 4.1.4 lets servers allow some leeway; not all do.
_BACKDATED = 30


def token_request(settings: AuthSettings, now: float) -> Request:
    """Build the request for a token. Each call signs new assertions, with a new id and time.

    :param settings: checked settings; with the refresh token to use now, for a grant that uses one.
    :param now: wall-clock time in seconds since the epoch.
    :raises OACConfigurationError: if the key cannot be read.
    """
    if settings.grant == JWT_ASSERTION:
        form = {"scope": settings.scope, "grant_type": JWT_BEARER, "assertion": user_assertion(settings, now)}
    elif settings.grant == PASSWORD:
        form = {
            "scope": settings.scope,
            "grant_type": "password",
            "username": settings.user or "",
            "password": settings.user_password or "",
        }
    else:
        # Without the optional scope, the new token has the scope of the old one (documented). A scope without
        # offline_access might return no new refresh token (unknown); the domain refuses a wider one.
        form = {"grant_type": "refresh_token", "refresh_token": settings.refresh_token or ""}
    return _form_request(settings, settings.token_url, form, now)


def device_request(settings: AuthSettings, now: float, *, authenticated: bool = False) -> Request:
    """Build the request for a device code, which asks for a refresh token as well.

    :param authenticated: whether the application authenticates. Oracle documents the request without authentication;
        RFC 8628 section 3.1 requires it of confidential clients.
    """
    scope = settings.scope.split()
    if OFFLINE_ACCESS not in scope:
        scope.append(OFFLINE_ACCESS)
    form = {"response_type": "device_code", "scope": " ".join(scope), "client_id": settings.client_id}
    method = settings.client_authentication_used if authenticated else NONE
    return _form_request(settings, settings.device_url, form, now, method)


def device_token_request(settings: AuthSettings, device_code: str, now: float) -> Request:
    """Build the poll request, which returns the tokens once the person has approved."""
    form = {"grant_type": DEVICE_CODE, "device_code": device_code, "client_id": settings.client_id}
    return _form_request(settings, settings.token_url, form, now)


def revocation_request(settings: AuthSettings, now: float) -> Request:
    """Build the request that revokes the refresh token of these settings (RFC 7009).

    That the domain accepts these parameters is inferred.
    """
    form = {"token": settings.refresh_token or "", "token_type_hint": "refresh_token"}
    return _form_request(settings, settings.revocation_url, form, now)


def _form_request(
    settings: AuthSettings, url: str, form: dict[str, str], now: float, method: str | None = None
) -> Request:
    """A form in the body, never in the address (RFC 6749 sections 2.3.1 and 3.2).

    :param method: the one method by which the application authenticates (RFC 6749 section 2.3); by default that of the
        settings.
    """
    headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
    method = method or settings.client_authentication_used
    if method == BASIC:
        # RFC 6749 section 2.3.1: each part is form-urlencoded before the two are joined. A blank becomes %20, which
        # every server decodes; some leave a + as it is.
        pair = f"{quote(settings.client_id, safe='')}:{quote(settings.client_secret or '', safe='')}"
        headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    else:
        # All that a public client sends (RFC 6749 section 3.2.1).
        form = form | {"client_id": settings.client_id}
    if method == ASSERTION:
        form |= {"client_assertion_type": CLIENT_ASSERTION_TYPE, "client_assertion": client_assertion(settings, now)}
    elif method == BODY:
        form |= {"client_secret": settings.client_secret or ""}
    if settings.mask:
        for name in _MASKED:
            if form.get(name):
                settings.mask(form[name])
    return Request("POST", url, headers, urlencode(form).encode())


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
