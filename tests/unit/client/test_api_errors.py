"""OAC's error answers, of every shape: one error that says what was tried, what came, why, and what to do."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest

from airflow_provider_oac.client.errors import api_error
from airflow_provider_oac.client.rest import snapshots, system
from airflow_provider_oac.exceptions import OACApiError
from airflow_provider_oac.transport.io import Response
from tests.manual import response

GET = snapshots.get("s1")
SECRET = 'Pa"ss\\wörd  77-AB'


def error(answer: Response, call: Any = GET) -> OACApiError:
    return api_error(call, answer, now=0.0)


def body(status: int, body: Any, **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return response(status, body if isinstance(body, bytes) else json.dumps(body), named)


HTML = {"content_type": "text/html; charset=utf-8"}
CHALLENGE = 'Bearer error="invalid_token"'
ROLE = body(401, {"user": "jane", "status": "unauthorized"})
SERVLET = body(500, {"servlet": "oracle.PublicAPIJerseyServlet-7", "message": "Server Error"})
SHAPES: dict[str, tuple[Response, str | None, str | None]] = {
    "documented": (body(400, {"code": "BadRequest", "message": "No such uri"}), "BadRequest", "No such uri"),
    "only a message": (body(400, {"message": "No such uri"}), None, "No such uri"),
    "only a code": (body(400, {"code": "BadRequest"}), "BadRequest", None),
    "code as a number": (body(400, {"code": 17, "message": "m"}), "17", "m"),
    "error": (body(400, {"error": "it broke"}), None, "it broke"),
    "error as an object": (body(400, {"error": {"code": "C", "message": "m"}}), "C", "m"),
    "OAuth's": (body(401, {"error": "invalid_token", "error_description": "expired"}), "invalid_token", "expired"),
    "problem details": (body(404, {"type": "x", "title": "Not Found", "detail": "no such"}), None, "no such"),
    "gateway": (ROLE, None, "user jane: unauthorized"),
    "servlet": (SERVLET, None, "Server Error"),
    "a page": (body(502, b"<html>Bad Gateway</html>", **HTML), None, "24 bytes of text/html, not a JSON object"),
    "JSON that is no object": (body(500, ["x"]), None, "5 bytes of application/json, not a JSON object"),
    "bytes": (body(500, b'{"id": "\xff'), None, "9 bytes of application/json, not a JSON object"),
    "nothing": (body(503, b""), None, None),
    "nothing but a challenge": (body(401, b"", www_authenticate=CHALLENGE), None, CHALLENGE),
    "members of other types": (body(400, {"code": None, "message": {"a": 1}}), None, '{"a": 1}'),
    "several lines": (body(400, {"message": "one\n  two\r\n\tthree"}), None, "one two three"),
    "a long message": (body(400, {"message": "x" * 100_000}), None, "x" * 1000),
}


@pytest.mark.parametrize(("answer", "code", "detail"), SHAPES.values(), ids=SHAPES)
def test_every_shape_is_read_and_every_message_is_complete(
    answer: Response, code: str | None, detail: str | None
) -> None:
    found = error(answer)
    assert (found.code, found.detail) == (code, detail)
    assert (found.status, found.method, found.path) == (answer.status, "GET", "/snapshots/s1")
    message = str(found)
    assert message.startswith(f"Could not read snapshot s1 (GET /snapshots/s1): OAC answered HTTP {answer.status}")
    for part in (code, detail, "Likely cause: ", "Next step: "):
        assert part is None or part in message
    assert "None" not in message
    assert "\n" not in message


SESSION = {"error": "invalid_session", "error_description": "no"}
OTHER_INSTANCE = "issued for another OAC instance.*Compare the Connection's scope"
AUDIENCE = f'{CHALLENGE}, error_description="Token Audience"'
EXPLAINED: dict[str, tuple[Response, str]] = {
    "400": (body(400, {}), "refused the request as malformed"),
    "role": (ROLE, "user jane is signed in but lacks the application role.*BI Service Administrator for snapshots"),
    "audience": (body(401, b"", www_authenticate=AUDIENCE), OTHER_INSTANCE),
    "session in the header": (body(401, b"", www_authenticate='Bearer error="invalid_session"'), OTHER_INSTANCE),
    "session in the body": (body(401, SESSION), OTHER_INSTANCE),
    "token": (body(401, {"code": "x", "message": "expired"}), "even a new one.*scope.*active.*clock"),
    "403": (body(403, {}), "user lacks permission.*role or permission"),
    "403 of another": (body(403, b"<html>", **HTML), "in front of OAC refuses this machine.*reach the Connection's"),
    "404": (body(404, {}), "object does not exist, or the host is not.*Check the id and the Connection's host"),
    "409": (body(409, {}), "already running, or it conflicts"),
    "429": (body(429, {}), "too many requests.*poll_interval"),
    "no user": (SERVLET, "token carries no user.*jwt_assertion"),
    "500": (body(500, {}), "internal error in OAC.*Oracle Support"),
    "index": (body(503, {"code": "SearchIndexNotReady"}), "builds its search index.*few minutes"),
    "503": (body(503, {}), "paused, restarting, restoring or overloaded.*Check its state"),
    "507": (body(507, {}), "internal error in OAC"),
    "redirect": (body(302, b"", location="https://i.example.com/x"), "to https://i.example.com/x; .*without a path"),
    "418": (body(418, {}), "unknown.*Oracle Support"),
}


@pytest.mark.parametrize(("answer", "says"), EXPLAINED.values(), ids=EXPLAINED)
def test_each_has_its_own_cause_and_next_step(answer: Response, says: str) -> None:
    with pytest.raises(OACApiError, match=f"Likely cause: .*{says}"):
        raise error(answer)


@pytest.mark.parametrize(
    ("answer", "retryable"),
    [(body(status, {}), True) for status in (408, 429, 500, 502, 503, 504)]
    + [(body(status, {}), False) for status in (302, 400, 401, 403, 404, 409, 412, 422, 501)]
    + [(SERVLET, False), (ROLE, False)],
)
def test_it_says_whether_a_retry_makes_sense(answer: Response, retryable: bool) -> None:
    assert error(answer).retryable is retryable


@pytest.mark.parametrize(
    ("answer", "missing"),
    [
        (ROLE, True),
        (body(401, {"user": "", "status": "unauthorized"}), False),
        (body(401, {"code": "x"}), False),
        (body(403, {"user": "jane", "status": "unauthorized"}), False),
        (body(401, b"<html>"), False),
    ],
)
def test_a_missing_role_is_distinguished_from_a_bad_token(answer: Response, missing: bool) -> None:
    assert error(answer).missing_role is missing


@pytest.mark.parametrize("header", ["opc-request-id", "x-request-id", "x-oracle-dms-ecid", "ecid"])
def test_the_id_of_the_request_is_for_oracle_support(header: str) -> None:
    found = error(response(500, "", {header: "req-7"}))
    assert found.request_id == "req-7"
    assert "(request id req-7)" in str(found)


def ordered() -> Any:
    user = snapshots.UserIdAuthentication("r", "t", "u", "f", "d3JhcHBlZA==")
    return snapshots.create("name", "file:///a.bar", snapshots.Storage("b", user=user), SECRET)


REJECTED = {"bar": {"password": SECRET}}
ECHOES = [
    {"message": f"bar.password {SECRET} is weak"},
    {"message": "x" * 990 + SECRET},
    {"code": SECRET, "message": "m"},
    {"error": {"message": SECRET}},
    {"error": SECRET},
    {"message": "Bad body: " + json.dumps(REJECTED)},
    {"message": "Bad body: " + json.dumps(REJECTED, ensure_ascii=False)},
    {"message": {"password": SECRET}},
    {"message": ["d3JhcHBlZA=="]},
    {"detail": "auth d3JhcHBlZA=="},
    {"status": SECRET, "user": "u"},
]


@pytest.mark.parametrize("echo", ECHOES, ids=lambda echo: json.dumps(echo)[:30])
def test_secrets_that_the_server_quotes_are_masked(echo: dict[str, Any]) -> None:
    found = error(body(400, echo), ordered())
    shown = f"{found} {found!r} {vars(found)}"
    for piece in (SECRET, "d3JhcHBlZA==", 'Pa"ss', "wörd", "77-AB", "w\\u00f6rd"):
        assert piece not in shown
    assert "***" in str(found)


def test_the_password_of_a_restore_and_any_token_are_masked() -> None:
    found = error(body(400, {"message": f"wrong password {SECRET}"}), system.restore_snapshot("s1", SECRET))
    assert found.detail == "wrong password ***"
    token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJqYW5lIn0.c2lnbmF0dXJl-_"
    found = error(body(401, {"message": f"the token {token} has expired"}, www_authenticate=f"Bearer {token}"))
    assert found.detail == "the token *** has expired"
    assert "c2lnbmF0dXJl" not in str(found)


def test_it_survives_copying_and_pickling() -> None:
    found = error(ROLE)
    for other in (copy.copy(found), pickle.loads(pickle.dumps(found))):  # noqa: S301 - our own
        assert (str(other), vars(other)) == (str(found), vars(found))
