"""What becomes of a call's parts on the wire."""

from __future__ import annotations

from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

import pytest

from airflow_provider_oac.auth.token import Token
from airflow_provider_oac.client.calls import Call, multipart, nothing
from airflow_provider_oac.transport.io import Request


def request(method: str = "GET", path: str = "/x", **parts: Any) -> Request:
    call: Call[None] = Call("try it", method, path, nothing, **parts)
    return call.request("https://oac.example.com", Token("access", 0.0, 100.0))


@pytest.mark.parametrize(
    ("query", "sent"),
    [
        ({}, ""),
        ({"a": None, "b": ""}, "?b="),
        ({"page": 2, "manageContent": True, "recursive": False}, "?page=2&manageContent=true&recursive=false"),
        ({"key": ["a", "b&c", None]}, "?key=a&key=b%26c"),
    ],
)
def test_a_query_leaves_out_what_is_none(query: dict[str, Any], sent: str) -> None:
    assert request(query=query).url == "https://oac.example.com/api/20210901/x" + sent


def test_bytes_are_sent_as_they_are() -> None:
    body, kind = multipart({"connectionParams": '{"name": "ö"}', "cert": b"\x00\r\n\xff"})
    sent = request("POST", body=body, content_type=kind, accept="*/*", headers={"X-Own": "1", "Accept": "no"})
    assert sent.body == body
    assert sent.headers == {"Authorization": "Bearer access", "Accept": "*/*", "Content-Type": kind, "X-Own": "1"}
    message = BytesParser(policy=HTTP).parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + body)
    assert [
        (part.get_content_type(), part.get_param("name", header="content-disposition"), part.get_payload(decode=True))
        for part in message.iter_parts()
    ] == [("text/plain", "connectionParams", '{"name": "ö"}'.encode()), ("text/plain", "cert", b"\x00\r\n\xff")]


def test_no_header_of_a_call_replaces_the_token() -> None:
    assert request(headers={"Authorization": "Basic x"}).headers["Authorization"] == "Bearer access"


def test_only_an_empty_post_says_that_it_is_empty() -> None:
    assert (request("POST").body, request("GET").body, request("DELETE").body) == (b"", None, None)
    assert request("POST", body={}).body == b"{}"
