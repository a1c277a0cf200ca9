"""The request for a token, by grant. Sources: Oracle's "Assertion Grant Type", "Client Assertion" and
"Resource Owner Password Credentials Grant Type" pages (documented); RFC 6749, 7521, 7523.
"""

from __future__ import annotations

import base64
from urllib.parse import quote_plus, urlencode

from airflow_provider_oac.auth.assertions import client_assertion, user_assertion
from airflow_provider_oac.auth.keys import PrivateKey, certificate_thumbprint, check_pair, load_private_key
from airflow_provider_oac.auth.settings import ASSERTION, BASIC, JWT_ASSERTION, AuthSettings
from airflow_provider_oac.transport.io import Request

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
CLIENT_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def token_request(settings: AuthSettings, now: float) -> Request:
    """Build the request for a token. Each call signs new assertions, with an id and a time of their own.

    :param settings: checked settings.
    :param now: wall-clock time in seconds since the epoch.
    :raises OACConfigurationError: if the key cannot be read.
    """
    form = {"scope": settings.scope}
    if settings.grant == JWT_ASSERTION:
        form |= {"grant_type": JWT_BEARER, "assertion": _sign_user(settings, now)}
    else:
        form |= {
            "grant_type": "password",
            "username": settings.user or "",
            "password": settings.user_password or "",
        }
    return _form_request(settings, settings.token_url, form, now)


def _form_request(settings: AuthSettings, url: str, form: dict[str, str], now: float) -> Request:
    """A form post in which the application authenticates itself, by one method only (RFC 6749 section 2.3)."""
    headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
    how = settings.client_authentication_used
    if how == ASSERTION:
        form = form | {
            "client_id": settings.client_id,
            "client_assertion_type": CLIENT_ASSERTION_TYPE,
            "client_assertion": _sign_client(settings, now),
        }
    elif how == BASIC:
        # RFC 6749 section 2.3.1: each part is form-urlencoded before the two are joined.
        pair = f"{quote_plus(settings.client_id)}:{quote_plus(settings.client_secret or '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    else:
        form = form | {"client_id": settings.client_id, "client_secret": settings.client_secret or ""}
    return Request("POST", url, headers, urlencode(form).encode())


def _key(settings: AuthSettings) -> tuple[PrivateKey, str | None]:
    """The private key and, where the certificate is known, its thumbprint."""
    key = load_private_key(settings.private_key or "", settings.private_key_passphrase)
    if not settings.certificate:
        return key, None
    check_pair(key, settings.certificate)
    return key, certificate_thumbprint(settings.certificate)


def _sign_user(settings: AuthSettings, now: float) -> str:
    key, thumbprint = _key(settings)
    return user_assertion(
        key,
        client_id=settings.client_id,
        user=settings.user or "",
        audience=settings.audience,
        alias=settings.certificate_alias,
        x5t=thumbprint,
        now=now,
    )


def _sign_client(settings: AuthSettings, now: float) -> str:
    key, thumbprint = _key(settings)
    return client_assertion(
        key,
        client_id=settings.client_id,
        audience=settings.audience,
        alias=settings.certificate_alias,
        x5t=thumbprint,
        now=now,
    )
