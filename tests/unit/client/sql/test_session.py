"""Messages of JSON-RPC in HTTP: JSON, streams of events, and what is neither."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_oac.auth.token import Token
from airflow_provider_oac.client.sql.errors import Doing
from airflow_provider_oac.client.sql.session import events, request
from airflow_provider_oac.exceptions import OACQueryError, OACResponseError
from airflow_provider_oac.transport.io import Response

ANSWER = {"jsonrpc": "2.0", "id": 7, "result": {"x": 1}}
NOTE = {"jsonrpc": "2.0", "method": "notifications/message", "params": {"id": 7}}
END = st.sampled_from(["\n", "\r\n", "\r"])


def read(body: bytes, kind: str = "application/json", status: int = 200) -> dict[str, Any]:
    call = request(Doing("ask"), "tools/call", {}, 7, {})
    result, session = call.read(Response(status, {"content-type": kind, "mcp-session-id": "s"}, body))
    assert session == "s"
    return result


def stream(*texts: str) -> bytes:
    return "".join(f"event: message\ndata: {text}\n\n" for text in texts).encode()


def test_a_body_is_ascii_that_says_utf8() -> None:
    query = 'SELECT "Khu vực" ế'
    call = request(Doing("ask"), "tools/call", {"query": query}, 7, {"Mcp-Session-Id": "s"})
    sent = call.request("https://oac.example.com", Token("secret", 0.0, 100.0))
    assert sent.url == "https://oac.example.com/api/mcp"
    assert sent.headers == {
        "Authorization": "Bearer secret", "Content-Type": "application/json; charset=utf-8",
        "Accept": "application/json, text/event-stream", "Mcp-Session-Id": "s",
    }  # fmt: skip
    assert sent.body is not None
    assert sent.body.isascii()
    assert json.loads(sent.body)["params"]["query"] == query


JSON, STREAM = "application/json", "text/event-stream"
AMONG_OTHERS = stream(json.dumps(NOTE), json.dumps({**ANSWER, "id": 6}), json.dumps(ANSWER))
PRECISE = b'{"id": 7, "result": {"a": 0.1000000000000000055, "b": 9007199254740993}}'


@pytest.mark.parametrize(
    ("body", "kind", "result"),
    [
        (json.dumps(ANSWER).encode(), JSON, {"x": 1}),
        (json.dumps(ANSWER).encode(), f"{JSON}; charset=utf-8", {"x": 1}),
        (PRECISE, JSON, {"a": Decimal("0.1000000000000000055"), "b": 9007199254740993}),
        (b": keep-alive\n\n" + AMONG_OTHERS, STREAM, {"x": 1}),
    ],
    ids=["JSON", "JSON that names its encoding", "numbers as precise as they came", "among other messages of a stream"],
)
def test_the_response_is_found(body: bytes, kind: str, result: dict[str, Any]) -> None:
    assert read(body, kind) == result


def test_an_error_about_an_unreadable_request_has_no_id() -> None:
    message = {"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": "Parse error"}}
    with pytest.raises(OACQueryError, match=r"OAC answered Parse error \(-32700\)"):
        read(json.dumps(message).encode())


NO_RESPONSE = "no JSON-RPC response to request 7"


@pytest.mark.parametrize(
    ("body", "kind", "problem"),
    [
        (json.dumps(ANSWER).encode(), "text/html; charset=utf-8", "brought a web page, such as a sign-in page, in"),
        (b"x", "text/plain", "brought a body of text/plain in place of JSON"),
        (b"{", JSON, "1 characters came in place of JSON"),
        (b"7", JSON, NO_RESPONSE),
        (json.dumps([ANSWER]).encode(), JSON, NO_RESPONSE),
        (json.dumps({**ANSWER, "result": 7}).encode(), JSON, NO_RESPONSE),
        (json.dumps({**ANSWER, "id": 8}).encode(), JSON, NO_RESPONSE),
        (b"", STREAM, NO_RESPONSE),
        (stream(json.dumps(ANSWER))[:-20], STREAM, "characters came in place of JSON"),
    ],
)
def test_what_is_no_response_is_an_error(body: bytes, kind: str, problem: str) -> None:
    with pytest.raises(OACResponseError, match=problem):
        read(body, kind)


@given(
    st.lists(st.lists(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])), min_size=1)),
    st.lists(st.sampled_from([": comment", "event: message", "id: 7", "retry: 10", "unknown"]), max_size=3),
    END,
    st.booleans(),
)
def test_the_data_of_events_come_back(found: list[list[str]], other: list[str], end: str, whole: bool) -> None:
    """Whatever fields are beside them, however lines end, and whether the last empty line is there."""
    blocks = [[*other, *(f"data: {part}" for part in parts), ""] for parts in found]
    text = "\ufeff" + "".join(f"{line}{end}" for block in blocks for line in block)
    body = (text if whole or not found else text[: -len(end)]).encode()
    assert list(events(body)) == ["\n".join(parts) for parts in found]


@given(st.binary())
def test_any_bytes_are_a_stream(body: bytes) -> None:
    assert all(isinstance(text, str) for text in events(body))
