"""Explain an error of the token service: its likely cause and the next step.

The messages of identity domains are short and sometimes misleading. Each mapping from message to cause was observed on
live systems by others, is documented by Oracle, or is inferred from RFC 6749.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from airflow_provider_oac.auth.settings import ASSERTION, JWT_ASSERTION, NONE, AuthSettings
from airflow_provider_oac.auth.token import UnknownTokenType
from airflow_provider_oac.exceptions import OACAuthError, OACResponseError
from airflow_provider_oac.plain_text import name_or_length
from airflow_provider_oac.transport.io import Response
from airflow_provider_oac.transport.redaction import error_object, quoted
from airflow_provider_oac.transport.retry import PASSING, retry_after

# Clock differences in seconds. From the first one on, the clock is the prime suspect. Below the second one, the Date
# header's whole seconds and the time that the response took explain the difference.
_SUSPICIOUS_SKEW = 30.0
_NOTICEABLE_SKEW = 2.0
# Most characters of a server's text in a message.
_TEXT_LIMIT = 500


@dataclass(frozen=True)
class _Symptom:
    matches: Callable[[str, str, int], bool]
    cause: str
    next_step: str
    # Applies only to a renewal with a refresh token.
    uses_refresh_token: bool = False
    # Applies only to a request without client authentication.
    unauthenticated: bool = False


def _says(*words: str) -> Callable[[str, str, int], bool]:
    return lambda _error, description, _status: any(word in description for word in words)


def _is(*errors: str) -> Callable[[str, str, int], bool]:
    return lambda error, _description, _status: error in errors


def _status(first: int, last: int | None = None) -> Callable[[str, str, int], bool]:
    return lambda _error, _description, status: first <= status <= (last or first)


# Cause and next step for a request without client authentication.
_UNKNOWN_CLIENT = (
    "the client id is wrong, or the application is not a public client and must authenticate",
    "Compare the Connection's login with the application's client id. Unless the application is a public client, "
    "set its client secret (password) or a private key.",
)
# The first match wins, so the specific ones come before the general ones.
_SYMPTOMS = (
    _Symptom(
        _says("user is not active", "user is inactive", "user is disabled", "user is deactivated"),
        "the user is deactivated in the identity domain",
        "Open the user in the identity domain's console and choose Activate.",
    ),
    _Symptom(
        _says("inactive", "not active", "is disabled"),
        "the application is not activated, or the user is deactivated",
        "Activate the application (new ones are deactivated) in the identity domain's console, and check the user.",
    ),
    _Symptom(
        _says("consumed"),
        "the refresh token was used before, here or elsewhere; each refresh token works once",
        "Sign in again. Make sure that no script and no second store uses the same refresh token.",
    ),
    _Symptom(
        _says("refresh token"),
        "the refresh token has expired (by default after a week), was revoked, or belongs to another application",
        "Sign in again. Use the grant jwt_assertion for a DAG that runs less often than refresh tokens live.",
        uses_refresh_token=True,
    ),
    _Symptom(
        _says("audience"),
        "the domain does not accept the audience of the assertions",
        "Set assertion_audience in the Connection's extra to https://identity.oraclecloud.com/, to the domain's URL "
        "or to its custom issuer.",
    ),
    _Symptom(
        _says("system error"),
        "the certificate alias (kid) is missing or unknown to the application, or the application's grant Client "
        "Credentials is not ticked",
        "Compare certificate_alias with the alias in the application character by character. Tick both JWT Assertion "
        "and Client Credentials.",
    ),
    _Symptom(
        _says("signature"),
        "the private key does not match the imported certificate, the certificate alias names another certificate, "
        "or the clock is wrong",
        "Import the certificate that was created with this key, and compare its alias with certificate_alias.",
    ),
    _Symptom(
        _says("federated"),
        "the user signs in through another identity provider, and the grant password does not support that",
        "Use the grant jwt_assertion, which works for federated users.",
    ),
    _Symptom(
        _says("user name or password", "username or password"),
        "the user name or password is wrong, or the user signs in through another identity provider, which the "
        "grant password does not support",
        "Check user and user_password, or use the grant jwt_assertion, which also works for federated users.",
    ),
    _Symptom(_is("invalid_client"), *_UNKNOWN_CLIENT, unauthenticated=True),
    _Symptom(
        _is("invalid_client"),
        "the client id or client secret is wrong, or the certificate is not registered with this application",
        "Compare the Connection's login and password with the application's client id and secret (a regenerated "
        "secret replaces the old one). With a key, check that its certificate is imported and the client type Trusted.",
    ),
    _Symptom(
        _is("invalid_scope"),
        "the scope has the wrong host, or it is not among the application's resources",
        "Copy the scope from the application's Token issuance policy, Resources. Its host usually differs from the "
        "host that users see. Request no other scope beside it except offline_access.",
    ),
    _Symptom(
        _is("unsupported_grant_type", "unauthorized_client"),
        "this grant is not ticked in the application",
        "Tick JWT Assertion and Client Credentials (for jwt_assertion), Resource Owner (for password), Refresh Token "
        "(for refresh_token) or Device Code and Refresh Token (for device_code) in the application.",
    ),
    _Symptom(
        _is("invalid_grant"),
        "the refresh token has expired or was revoked, or its user is deactivated",
        "Check that the user is active, then sign in again.",
        uses_refresh_token=True,
    ),
    _Symptom(
        _is("invalid_grant"),
        "the user is missing, deactivated or named differently in this domain, or the password is wrong",
        "Check that the user is active. Set user to the attribute that the domain maps: usually the user name, which "
        "may differ from the e-mail address.",
    ),
    _Symptom(
        _is("invalid_request"),
        "the assertion is malformed, the key does not match the certificate, or the clock is wrong",
        "Check the private key, its certificate's alias and this machine's clock.",
    ),
    _Symptom(
        _status(404),
        "there is no token service at this address",
        "Set identity_url to the address of the identity domain, not of OAC.",
    ),
    _Symptom(
        _status(300, 399),
        "the address redirects; redirects are never followed",
        "Set identity_url to the identity domain's own address, without a path.",
    ),
    _Symptom(
        _status(429),
        "too many token calls for this identity domain (a Free domain allows 150 a minute)",
        "Start fewer tasks at once, or ask Oracle for a larger domain type.",
    ),
    _Symptom(
        _status(401),
        "the refresh token was issued to another application, such as OAC's own (Profile page)",
        "Sign in with the application of this Connection.",
        uses_refresh_token=True,
    ),
    _Symptom(_status(401), *_UNKNOWN_CLIENT, unauthenticated=True),
    _Symptom(
        lambda _error, _description, status: status in (401, 403),
        "the domain rejects this application or its authentication method",
        "Check client id, secret and certificate, and whether the application restricts client IP addresses.",
    ),
    _Symptom(
        _status(500, 599),
        "an internal error in the identity domain",
        "Try again later. If the error persists, send Oracle Support the ecid and the time.",
    ),
)
_UNKNOWN = _Symptom(_says(""), "unknown", "Send Oracle Support the ecid and the time.")
# Inferred from RFC 6749 section 4.1.2.1, which names them for another endpoint.
_PASSING_ERRORS = ("server_error", "temporarily_unavailable")
# A token service that returns one of these has accepted the assertions, whatever the clocks show (inferred).
_NOT_BY_CLOCK = ("invalid_scope", "unauthorized_client", "unsupported_grant_type")


def auth_error(settings: AuthSettings, response: Response, now: float, *, renewing: bool = True) -> OACAuthError:
    """Explain a response of the token service that holds no token.

    :param settings: the settings of the request. The text holds none of their secrets.
    :param response: the response.
    :param now: this machine's clock, to compare with the server's.
    :param renewing: whether the request sent a refresh token, for a grant that uses one.
    """
    body = error_object(response)
    error = quoted(body.get("error"), settings.secrets, _TEXT_LIMIT)
    description = quoted(body.get("error_description") or body.get("message"), settings.secrets, _TEXT_LIMIT)
    ecid = _ecid(body, response, settings.secrets)
    status = response.status
    renewal = settings.uses_refresh_token and renewing
    unauthenticated = settings.client_authentication_used == NONE
    symptom = next(
        one
        for one in (*_SYMPTOMS, _UNKNOWN)
        if (renewal or not one.uses_refresh_token)
        and (unauthenticated or not one.unauthenticated)
        and one.matches(error or "", (description or "").lower(), status)
    )
    cause, next_step = symptom.cause, symptom.next_step
    difference = _skew(settings, response, now, error)
    if abs(difference) >= _NOTICEABLE_SKEW:
        side = "ahead of" if difference > 0 else "behind"
        skew = f"this machine's clock is {abs(difference):.0f} s {side} the identity domain's"
        if abs(difference) >= _SUSPICIOUS_SKEW:
            cause = f"{skew}; otherwise: {cause}"
            next_step = "Correct this machine's clock (NTP) first. " + next_step
        else:
            cause = f"{cause} ({skew})"
    answer = f"HTTP {status}" + (f", {error}" if error else "")
    answer += f": {description.rstrip('.')}" if description else ""
    user = f", user {name_or_length(settings.user, settings.secrets)}" if settings.user else ""
    message = (
        f"Signing in at {settings.identity_url} (grant {settings.grant}, client "
        f"{name_or_length(settings.client_id, settings.secrets)}{user}) failed. The token service answered {answer}"
        f"{f' (ecid {ecid})' if ecid else ''}. Likely cause: {cause}. Next step: {next_step}"
    )
    return OACAuthError(
        message,
        error=error,
        description=description,
        status=status,
        ecid=ecid,
        cause=cause,
        next_step=next_step,
        # A domain answers server_error for some lasting causes, too; a known symptom identifies these.
        retryable=status in PASSING or (error in _PASSING_ERRORS and symptom is _UNKNOWN),
        retry_after=retry_after(response, now),
    )


def unusable_token(settings: AuthSettings, response: Response, problem: OACResponseError) -> OACAuthError:
    """Explain a response with status 200 that holds no token."""
    if isinstance(problem, UnknownTokenType):
        cause = "the application or the domain is configured for sender-constrained tokens"
        next_step = "Configure this application for bearer tokens in the identity domain's console."
    else:
        cause = "a proxy or a sign-in page answers at this address instead of a token service"
        next_step = "Check identity_url, and whether a proxy intercepts the request."
    return OACAuthError(
        f"Signing in at {settings.identity_url} (grant {settings.grant}) failed. {problem} "
        f"Likely cause: {cause}. Next step: {next_step}",
        status=response.status,
        ecid=_ecid({}, response, settings.secrets),
        cause=cause,
        next_step=next_step,
    )


def _skew(settings: AuthSettings, response: Response, now: float, error: str | None) -> float:
    """Seconds by which this machine's clock is ahead of the server's; 0 if the clock cannot be the cause."""
    server = response.date()
    asserted = settings.grant == JWT_ASSERTION or settings.client_authentication_used == ASSERTION
    judged = response.status in (400, 401, 403, 500) and error and error not in _NOT_BY_CLOCK
    if server is None or not asserted or not judged:
        return 0.0
    return now - server


def _ecid(body: dict[str, Any], response: Response, secrets: tuple[str, ...] = ()) -> str | None:
    """The execution context id, from a header or the body (observed; not documented)."""
    names = ("x-oracle-dms-ecid", "ecid", "opc-request-id")
    values = [*(response.headers.get(name) for name in names), body.get("ecId"), body.get("ecid")]
    return next((text for value in values if (text := quoted(value, secrets, _TEXT_LIMIT))), None)
