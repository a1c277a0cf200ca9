"""From OAC's error answers, of which there are several shapes, to one error with cause and next step.

Sources: the error schema of the REST reference (documented: ``code`` and ``message``); the other bodies are
observed by others on live instances.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from airflow_provider_oac.client.calls import Call
from airflow_provider_oac.client.ids import plain_id, visible
from airflow_provider_oac.exceptions import OACApiError
from airflow_provider_oac.transport.io import Response, media_type
from airflow_provider_oac.transport.quoting import error_object, quoted
from airflow_provider_oac.transport.retry import PASSING, retry_after

# Headers that servers in front of or inside OAC may put an id into; none is documented for OAC.
_ID_HEADERS = ("opc-request-id", "x-request-id", "x-oracle-dms-ecid", "ecid", "x-oracle-dms-rid")

# OAC's own refusal is JSON (documented).
_REFUSED_ELSEWHERE = (
    "something in front of OAC refuses this machine, such as a proxy or a rule about addresses",
    "Check whether this machine may reach the Connection's host.",
)


def without_user(response: Response) -> bool:
    """Whether this is OAC's answer to a token that carries no user (observed): it will stay the same."""
    return response.status == 500 and b"PublicAPIJerseyServlet" in response.body[:2000]


def refuses_token(response: Response) -> bool:
    """Whether OAC refuses the token itself, so that another one may help: a 401 that is not about a missing role."""
    return response.status == 401 and not _lacks_role(response, error_object(response))


def api_error(call: Call[Any], response: Response, now: float, sent: Iterable[str] = ()) -> OACApiError:
    """Explain an answer that is not the call's success.

    :param now: this machine's clock, for a ``Retry-After`` that is a date.
    :param sent: secrets that were sent besides those of the call, and must not come back in a message: the token.
    """
    secrets = (*call.secrets, *sent)
    body = error_object(response)
    code, detail = _code_and_detail(body, response, secrets)
    ids = (quoted(response.headers.get(name), secrets, 200) for name in _ID_HEADERS)
    request_id = next(filter(None, ids), None)
    cause, next_step = _explain(response, body, code, detail, secrets)
    if response.status == 403 and media_type(response.headers) == "text/html":
        cause, next_step = _REFUSED_ELSEWHERE
    cause = call.causes.get(response.status, cause)
    if response.status == 404:
        next_step += _other_form_of_path(call.path)
    came = f"HTTP {response.status}" + (f", {code}" if code else "") + (f": {detail.rstrip('.')}" if detail else "")
    message = (
        f"Could not {call.what}: OAC answered {came}"
        f"{f' (request id {request_id})' if request_id else ''}. Likely cause: {cause}. Next step: {next_step}"
    )
    return OACApiError(
        message,
        status=response.status,
        code=code,
        detail=detail,
        method=call.method,
        path=call.path,
        request_id=request_id,
        retryable=response.status in PASSING and not without_user(response),
        missing_role=_lacks_role(response, body),
        retry_after=retry_after(response, now),
    )


def _code_and_detail(body: dict[str, Any], response: Response, secrets: Iterable[str]) -> tuple[str | None, str | None]:
    """Read ``{code, message}``, ``{error}``, gateways' ``{user, status}``, servlets' bodies, or no JSON at all."""
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
        detail = detail or f"{len(response.body)} bytes of {media_type(response.headers)}, no JSON object"
    return quoted(code, secrets), quoted(detail, secrets)


def _explain(
    response: Response, body: dict[str, Any], code: str | None, detail: str | None, secrets: Iterable[str]
) -> tuple[str, str]:
    status = response.status
    if status == 401:
        return _explain_unauthorized(response, body, detail, secrets)
    if without_user(response):
        return (
            "the token carries no user, which OAC does not accept",
            "Use a grant that acts as a user: jwt_assertion (default) or password.",
        )
    if status == 503 and code == "SearchIndexNotReady":
        return (
            "the instance builds its search index, as it does when it is new or was restored",
            "Try again in some minutes.",
        )
    if 300 <= status < 400:
        return (
            f"the address redirects (to {_place(response, secrets)}), and no redirect is followed with credentials",
            "Check the Connection's host: it is the address of the OAC instance itself, without a path.",
        )
    known = {
        400: ("OAC refused the request as malformed", "Read OAC's message and correct the named argument."),
        403: (
            "the user may not do this",
            "Give the user the application role or permission that this operation needs.",
        ),
        404: (
            "there is no such object, or the address is not that of an OAC instance",
            "Check the id and the Connection's host.",
        ),
        409: (
            "it is running already, or conflicts with something that exists",
            "Wait for what is running, or give it another name.",
        ),
        429: ("too many requests", "Raise poll_interval or run fewer tasks at once."),
        503: ("the instance is paused, restarting, restoring or overloaded", "Check its state, then try again."),
    }
    if status in known:
        return known[status]
    if status >= 500:
        return (
            "trouble inside OAC or in front of it",
            "Try again later; if it stays, give Oracle Support the time and the request id.",
        )
    return ("not known", "Read OAC's message; give Oracle Support the time and the request id.")


def _place(response: Response, secrets: Iterable[str]) -> str:
    """Where a redirect leads, without the query, in which there may be anything."""
    return quoted(response.headers.get("location", "").partition("?")[0], secrets, 200) or "nowhere"


def _other_form_of_path(path: str) -> str:
    """Examples of paths in the reference begin with /@Catalog; those of workbooks' own calls do not (documented)."""
    for part in path.split("/"):
        plain = visible(plain_id(part) or "")
        if plain.startswith("/@Catalog/"):
            return f" The path given is '{plain}'; the type must be the item's own."
        if plain.startswith("/"):
            return f" The path given is '{plain}', while paths in lists of the catalog begin with /@Catalog/."
    return ""


def _lacks_role(response: Response, body: dict[str, Any]) -> bool:
    """Observed: 401 with ``{"user": …, "status": "unauthorized"}`` means a missing role, not a bad token."""
    return response.status == 401 and bool(body.get("user")) and bool(body.get("status"))


def _explain_unauthorized(
    response: Response, body: dict[str, Any], detail: str | None, secrets: Iterable[str]
) -> tuple[str, str]:
    if _lacks_role(response, body):
        return (
            f"the user {quoted(body['user'], secrets, 200)} is signed in but lacks the application role that this "
            "operation needs",
            "Give the user the role: BI Service Administrator for snapshots and system settings, DV Content Author "
            "for the catalog (OAC, Console, Users and Roles).",
        )
    said = (response.headers.get("www-authenticate"), body.get("error"), body.get("code"), detail)
    challenge = " ".join(str(text) for text in said if text).lower()
    # Observed: a token of another application is answered so.
    if "audience" in challenge or "invalid_session" in challenge:
        return (
            "the token was issued for another OAC instance or resource",
            "Compare the Connection's scope with the scope of this very instance in the identity domain's console.",
        )
    return (
        "OAC does not accept the token, not even a new one",
        "Check that the scope belongs to this instance, that the user is active, and that the clocks agree.",
    )
