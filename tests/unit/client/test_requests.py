"""What becomes of a call's parts on the wire."""

from __future__ import annotations

from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

from airflow_provider_oac.auth.token import Token
from airflow_provider_oac.client.calls import Call, multipart, nothing
from airflow_provider_oac.transport.io import Request


def request(method: str, **parts: Any) -> Request:
    call: Call[None] = Call("try it", method, "/x", nothing, **parts)
    return call.request("https://oac.example.com", Token("access", 0.0, 100.0))


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


def test_no_header_of_a_call_replaces_the_token_and_an_empty_object_is_a_body() -> None:
    sent = request("POST", body={}, headers={"Authorization": "Basic x"})
    assert (sent.headers["Authorization"], sent.body) == ("Bearer access", b"{}")


def test_only_an_empty_post_says_that_it_is_empty() -> None:
    assert [request(method).body for method in ("POST", "GET", "DELETE")] == [b"", None, None]
