"""Turn OAC's error responses, which have several shapes, into one error with cause and next step.

Sources: the REST reference documents the error schema (``code`` and ``message``). Others observed the other bodies on
live instances.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from airflow_provider_oac.client.calls import Call
from airflow_provider_oac.client.ids import plain_id, visible
from airflow_provider_oac.exceptions import (
    OACApiError,
    OACAuthError,
    OACError,
    OACResponseError,
    OACTokenStoreError,
    OACTransportError,
)
from airflow_provider_oac.transport.io import Response, media_type
from airflow_provider_oac.transport.redaction import error_object, quoted
from airflow_provider_oac.transport.retry import PASSING, retry_after

# Headers in which OAC, or a server in front of it, may return a request id; OAC documents none of them.
_ID_HEADERS = ("opc-request-id", "x-request-id", "x-oracle-dms-ecid", "ecid", "x-oracle-dms-rid")

# For a 403 with an HTML body: OAC itself refuses in JSON (documented).
_REFUSED_ELSEWHERE = (
    "a proxy, firewall or IP allowlist in front of OAC refuses this machine",
    "Check whether this machine is allowed to reach the Connection's host.",
)

_PAUSED = ("the instance is paused", "Start it in the OCI console, or wait until its schedule does, then try again.")


def passing(error: OACError) -> bool:
    """Whether the error is transient: the same request may succeed later without intervention."""
    if isinstance(error, OACApiError | OACAuthError):
        return error.retryable
    if isinstance(error, OACTransportError | OACTokenStoreError):
        return error.passing
    return isinstance(error, OACResponseError)


def without_user(response: Response) -> bool:
    """Whether this is OAC's response to a token without a user (observed); a retry gets the same one."""
    return response.status == 500 and b"PublicAPIJerseyServlet" in response.body[:2000]


def refuses_token(response: Response) -> bool:
    """Whether OAC refuses the token itself, so another one may help: a 401 that is not about a missing role."""
    return response.status == 401 and not _lacks_role(response, error_object(response))


def api_error(call: Call[Any], response: Response, now: float, sent: Iterable[str] = ()) -> OACApiError:
    """Build the error for an unsuccessful response.

    :param now: this machine's clock, for a ``Retry-After`` that is a date.
    :param sent: secrets that were sent besides the call's own, such as the token; the message never contains them.
    """
    secrets = (*call.secrets, *sent)
    body = error_object(response)
    code, detail = _code_and_detail(body, response, secrets)
    ids = (quoted(response.headers.get(name), secrets, 200) for name in _ID_HEADERS)
    request_id = next(filter(None, ids), None)
    cause, next_step = _explain(response, body, code, detail, secrets)
    cause = call.causes.get(response.status, cause)
    paused = False
    if response.status == 403 and media_type(response.headers) == "text/html":
        # The page's title is "Instance Suspended" (observed).
        paused = b"instance suspended" in response.body[:2000].lower()
        cause, next_step = _PAUSED if paused else _REFUSED_ELSEWHERE
    if response.status == 404:
        next_step += _other_form_of_path(call.path)
    came = f"HTTP {response.status}" + (f", {code}" if code else "") + (f": {detail.rstrip('.')}" if detail else "")
    came += f" (request id {request_id})" if request_id else ""
    return OACApiError(
        f"Could not {call.what}: OAC answered {came}. Likely cause: {cause}. Next step: {next_step}",
        status=response.status,
        code=code,
        detail=detail,
        method=call.method,
        path=call.path,
        request_id=request_id,
        retryable=paused or (response.status in PASSING and not without_user(response)),
        missing_role=_lacks_role(response, body),
        retry_after=retry_after(response, now),
    )


def _code_and_detail(body: dict[str, Any], response: Response, secrets: Iterable[str]) -> tuple[str | None, str | None]:
    """Read ``{code, message}``, ``{error}``, a gateway's ``{user, status}``, a servlet's body, or no JSON at all."""
    code = body.get("code") or body.get("errorCode")
    detail = body.get("message") or body.get("error_description") or body.get("detail") or body.get("title")
    error = body.get("error")
    if isinstance(error, dict):
        code, detail = code or error.get("code"), detail or error.get("message")
    elif error:
        code, detail = (code or error, detail) if detail else (code, error)
    if not detail and body.get("status"):
        detail = f"user {body.get('user')}: {body['status']}"
    challenge = response.headers.get("www-authenticate")
    if challenge and not detail:
        detail = challenge
    if not body and response.body:
        detail = detail or f"{len(response.body)} bytes of {media_type(response.headers)}, not a JSON object"
    return quoted(code, secrets), quoted(detail, secrets)


_NO_USER = (
    "the token carries no user, which OAC does not accept",
    "Use a grant that acts as a user: jwt_assertion (default) or password.",
)
_NO_INDEX = ("OAC builds its search index, as it does after it was created or restored", "Try again in a few minutes.")
_INTERNAL = (
    "an internal error in OAC or in a server in front of it",
    "Try again later. If the error persists, send Oracle Support the time and the request id.",
)
_UNKNOWN = ("unknown", "Read OAC's message, or send Oracle Support the time and the request id.")
# Cause and next step by HTTP status.
_KNOWN = {
    400: ("OAC refused the request as malformed", "Read OAC's message and correct the named argument."),
    403: (
        "the user lacks permission for this operation",
        "Grant the user the application role or permission that this operation needs.",
    ),
    404: ("the object does not exist, or the host is not an OAC instance", "Check the id and the Connection's host."),
    409: (
        "the operation is already running, or it conflicts with an existing object",
        "Wait until the running operation ends, or choose another name.",
    ),
    429: ("too many requests", "Raise poll_interval or run fewer tasks at once."),
    503: ("the instance is paused, restarting, restoring or overloaded", "Check its state, then try again."),
}


def _explain(
    response: Response, body: dict[str, Any], code: str | None, detail: str | None, secrets: Iterable[str]
) -> tuple[str, str]:
    status = response.status
    if status == 401:
        return _explain_unauthorized(response, body, detail, secrets)
    if without_user(response):
        return _NO_USER
    if status == 503 and code == "SearchIndexNotReady":
        return _NO_INDEX
    if 300 <= status < 400:
        # The query is dropped, because it may contain anything.
        location = quoted(response.headers.get("location", "").partition("?")[0], secrets, 200)
        cause = f"the address redirects to {location or 'an unknown location'}; redirects are never followed"
        return cause, "Set the Connection's host to the address of the OAC instance, without a path."
    return _KNOWN.get(status, _INTERNAL if status >= 500 else _UNKNOWN)


def _other_form_of_path(path: str) -> str:
    """Return a hint about the form of the path in a call.

    Paths in the reference's examples begin with /@Catalog, except those of the workbook operations (documented).
    """
    for part in path.split("/"):
        plain = visible(plain_id(part) or "")
        if plain.startswith("/@Catalog/"):
            return f" The path is '{plain}'; the type must match the item."
        if plain.startswith("/"):
            return f" The path is '{plain}', but paths in catalog lists begin with /@Catalog/."
    return ""


def _lacks_role(response: Response, body: dict[str, Any]) -> bool:
    """Whether the 401 means a missing role instead of a bad token.

    Its body is then ``{"user": …, "status": "unauthorized"}`` (observed).
    """
    return response.status == 401 and bool(body.get("user")) and bool(body.get("status"))


def _explain_unauthorized(
    response: Response, body: dict[str, Any], detail: str | None, secrets: Iterable[str]
) -> tuple[str, str]:
    if _lacks_role(response, body):
        user = quoted(body["user"], secrets, 200)
        return (
            f"the user {user} is signed in but lacks the application role that this operation needs",
            "Grant the user the role in OAC, Console, Users and Roles: BI Service Administrator for snapshots and "
            "system settings, DV Content Author for the catalog.",
        )
    texts = (response.headers.get("www-authenticate"), body.get("error"), body.get("code"), detail)
    challenge = " ".join(str(text) for text in texts if text).lower()
    # OAC answers a token for another application this way (observed).
    if "audience" in challenge or "invalid_session" in challenge:
        return (
            "the token was issued for another OAC instance or resource",
            "Compare the Connection's scope with the scope of this instance in the identity domain's console.",
        )
    return (
        "OAC rejects the token, even a new one",
        "Check the scope, that the user is active, and this machine's clock.",
    )
