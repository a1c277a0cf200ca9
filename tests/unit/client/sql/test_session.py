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
    call = request(Doing("ask"), "tools/call", {"query": 'SELECT "Khu vực" ế'}, 7, {"Mcp-Session-Id": "s"})
    sent = call.request("https://oac.example.com", Token("secret", 0.0, 100.0))
    assert sent.url == "https://oac.example.com/api/mcp"
    assert sent.headers["Content-Type"] == "application/json; charset=utf-8"
    assert sent.headers["Accept"] == "application/json, text/event-stream"
    assert sent.headers["Mcp-Session-Id"] == "s"
    assert sent.body is not None
    assert sent.body.isascii()
    assert json.loads(sent.body)["params"]["query"] == 'SELECT "Khu vực" ế'


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8"])
def test_json_is_the_message(kind: str) -> None:
    assert read(json.dumps(ANSWER).encode(), kind) == {"x": 1}


def test_numbers_are_as_precise_as_they_came() -> None:
    result = read(b'{"id": 7, "result": {"a": 0.1000000000000000055, "b": 9007199254740993}}')
    assert result == {"a": Decimal("0.1000000000000000055"), "b": 9007199254740993}


def test_the_response_is_found_among_other_messages_of_a_stream() -> None:
    other = {**ANSWER, "id": 6}
    body = b": keep-alive\n\n" + stream(json.dumps(NOTE), json.dumps(other), json.dumps(ANSWER))
    assert read(body, "text/event-stream") == {"x": 1}


def test_an_error_about_an_unreadable_request_has_no_id() -> None:
    message = {"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": "Parse error"}}
    with pytest.raises(OACQueryError, match=r"OAC answered Parse error \(-32700\)"):
        read(json.dumps(message).encode())


@pytest.mark.parametrize(
    ("body", "kind", "problem"),
    [
        (
            b"<html>Sign in</html>",
            "text/html; charset=utf-8",
            "brought a web page, such as a sign-in page, in place",
        ),
        (json.dumps(ANSWER).encode(), "text/html", "brought a web page"),
        (b"x", "text/plain", "brought a body of text/plain in place of JSON"),
        (b"{", "application/json", "1 characters came in place of JSON"),
        (b"7", "application/json", "no JSON-RPC response to request 7"),
        (json.dumps([ANSWER]).encode(), "application/json", "no JSON-RPC response to request 7"),
        (json.dumps({**ANSWER, "result": 7}).encode(), "application/json", "no JSON-RPC response to request 7"),
        (json.dumps({**ANSWER, "id": 8}).encode(), "application/json", "no JSON-RPC response to request 7"),
        (b"", "text/event-stream", "no JSON-RPC response to request 7"),
        (stream(json.dumps(ANSWER))[:-20], "text/event-stream", "characters came in place of JSON"),
    ],
)
def test_what_is_no_response_is_an_error(body: bytes, kind: str, problem: str) -> None:
    with pytest.raises(OACResponseError, match=problem):
        read(body, kind)


@given(
    st.lists(st.lists(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])), min_size=1)),
    st.lists(st.sampled_from([": comment", "event: message", "id: 7", "retry: 10", "unknown", "data"]), max_size=3),
    END,
    st.booleans(),
)
def test_the_data_of_events_come_back(found: list[list[str]], other: list[str], end: str, whole: bool) -> None:
    """Whatever fields are beside them, however lines end, and whether the last empty line is there."""
    fields = [line for line in other if line != "data"]
    text = "\ufeff" + "".join(
        "".join(f"{line}{end}" for line in [*fields, *(f"data: {part}" for part in parts)]) + end for parts in found
    )
    body = (text if whole or not found else text[: -len(end)]).encode()
    assert list(events(body)) == ["\n".join(parts) for parts in found]


@given(st.binary())
def test_any_bytes_are_a_stream(body: bytes) -> None:
    for text in events(body):
        assert isinstance(text, str)
