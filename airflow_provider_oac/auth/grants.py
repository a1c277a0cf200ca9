"""Build the requests to the token service, by grant.

Sources: Oracle's "Assertion Grant Type", "Client Assertion", "Resource Owner Password Credentials", "Refresh Token" and
"Device Code Grant Type" pages (documented); RFC 6749, 7009, 7521, 7523, 8628.
"""

from __future__ import annotations

import base64
from urllib.parse import quote, urlencode

from airflow_provider_oac.auth.assertions import client_assertion, user_assertion
from airflow_provider_oac.auth.settings import ASSERTION, BASIC, BODY, JWT_ASSERTION, PASSWORD, AuthSettings
from airflow_provider_oac.transport.io import Request

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
OFFLINE_ACCESS = "offline_access"
# Form fields whose values are new each time. The Connection's own secrets are masked when it is read.
_MASKED = ("assertion", "client_assertion", "refresh_token", "device_code", "token")
CLIENT_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


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
    if authenticated:
        return _form_request(settings, settings.device_url, form, now)
    return _post(settings.device_url, {}, form)


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


def _form_request(settings: AuthSettings, url: str, form: dict[str, str], now: float) -> Request:
    """A form post in which the application authenticates by one method only (RFC 6749 section 2.3)."""
    headers: dict[str, str] = {}
    how = settings.client_authentication_used
    if how == ASSERTION:
        form = form | {
            "client_id": settings.client_id,
            "client_assertion_type": CLIENT_ASSERTION_TYPE,
            "client_assertion": client_assertion(settings, now),
        }
    elif how == BASIC:
        # RFC 6749 section 2.3.1: each part is form-urlencoded before the two are joined. A blank becomes %20, which
        # every server decodes; some leave a + as it is.
        pair = f"{quote(settings.client_id, safe='')}:{quote(settings.client_secret or '', safe='')}"
        headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    elif how == BODY:
        form = form | {"client_id": settings.client_id, "client_secret": settings.client_secret or ""}
    else:
        # A public client sends only its id (RFC 6749 section 3.2.1).
        form = form | {"client_id": settings.client_id}
    if settings.mask:
        for name in _MASKED:
            if form.get(name):
                settings.mask(form[name])
    return _post(url, headers, form)


def _post(url: str, headers: dict[str, str], form: dict[str, str]) -> Request:
    """A form in the body, never in the address (RFC 6749 sections 2.3.1 and 3.2)."""
    kinds = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
    return Request("POST", url, kinds | headers, urlencode(form).encode())
