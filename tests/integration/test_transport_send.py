"""Sending over real HTTP: what reaches the server, what both drivers leave out alike, and reading piece by piece."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from airflow_provider_oac.transport import io as transport_io
from airflow_provider_oac.transport.io import IO, Request
from airflow_provider_oac.transport.settings import TransportSettings
from tests.drivers import Drive, each_driver  # noqa: F401
from tests.integration.servers import BEARER, Reply, Seen, answering, get, has_ipv6
from tests.integration.test_hostile_servers import hostile


@pytest.mark.parametrize(
    ("method", "body", "framing"),
    [
        ("GET", None, {}),
        ("DELETE", None, {"content-length": "0"}),
        ("POST", b'{"a": 1}', {"content-length": "8"}),
        ("POST", b"", {"content-length": "0"}),
        ("PATCH", b"\xff\x00", {"content-length": "2"}),
    ],
)
def test_the_server_sees_the_request_and_no_header_that_a_driver_adds(
    method: str, body: bytes | None, framing: dict[str, str], drive: Drive
) -> None:
    with answering(lambda _request: Reply(418, b'{"a": "b"}', [("X-Some-THING", "Value")])) as server:
        request = Request(method, server.url + "/x?y=z", BEARER, body)
        answer = drive(lambda io: io.send(request), TransportSettings(user_agent="the-agent/1"))
    headers = {"host": urlsplit(server.url).netloc, "user-agent": "the-agent/1", "accept-encoding": "gzip"}
    headers |= {"authorization": "Bearer the-token", **framing}
    assert server.seen == [Seen(method, "/x?y=z", headers, body or b"")]
    assert (answer.status, answer.headers["x-some-thing"], answer.json()) == (418, "Value", {"a": "b"})


@pytest.mark.parametrize("target", ["/w/dev%3Asnap%2Fx", "/a%20b?c=%3A%2F&d=e%2Bf", "/%C3%A4", "/a:b/c;d=(e)!$&'*,="])
def test_an_encoded_path_reaches_the_server_as_it_is(target: str, drive: Drive) -> None:
    with answering() as server:
        assert get(drive, server.url + target).url == server.url + target
    assert [seen.target for seen in server.seen] == [target]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(status: int, drive: Drive) -> None:
    with answering() as other:
        elsewhere = Reply(status, b"", [("Location", other.url + "/login")])
        with answering(lambda _request: elsewhere) as server:
            answer = drive(lambda io: io.send(Request("POST", server.url, BEARER, b"secret")))
    assert (answer.status, answer.headers["location"]) == (status, other.url + "/login")
    assert (len(server.seen), other.seen) == (1, [])


def test_netrc_does_not_replace_the_bearer_token(drive: Drive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / ".netrc"
    file.write_text("machine 127.0.0.1 login somebody password else\ndefault login somebody password else\n")
    file.chmod(0o600)
    monkeypatch.setenv("NETRC", str(file))
    monkeypatch.setenv("HOME", str(tmp_path))
    with answering() as server:
        get(drive, server.url)
        drive(lambda io: io.send(Request("GET", server.url)))
    assert [seen.headers.get("authorization") for seen in server.seen] == ["Bearer the-token", None]


def test_cookies_are_neither_kept_nor_sent_even_by_a_driver_that_was_closed_and_is_used_again(drive: Drive) -> None:
    async def reopened(io: IO, url: str) -> None:
        for _ in range(2):
            await io.send(Request("GET", url))
        closed = io.close()  # type: ignore[attr-defined]
        if closed is not None:
            await closed
        await io.send(Request("GET", url))

    cookie = Reply(200, b"{}", [("Set-Cookie", "session=1; Path=/"), ("Set-Cookie", "other=2")])
    with answering(lambda _request: cookie) as server:
        drive(lambda io: reopened(io, server.url))
    assert ["cookie" in seen.headers for seen in server.seen] == [False] * 3


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")
def test_ipv6_loopback_is_reached(drive: Drive) -> None:
    with answering(host="::1") as server:
        assert get(drive, server.url + "/x").status == 200
    assert server.seen[0].headers["host"] == urlsplit(server.url).netloc


# -------------------------------------------------------------------------------------------------- piece by piece

SIZE = 3_000_017
CHUNK = 1 << 16


def test_a_body_of_any_size_comes_in_pieces_of_bounded_size(drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_io, "MAX_BODY_BYTES", SIZE // 2)
    body = bytes(number % 251 for number in range(SIZE))

    async def pieces(io: IO, url: str) -> list[bytes]:
        async with io.open(Request("GET", url)) as answer:
            assert answer.status == 200
            return [piece async for piece in answer.chunks(CHUNK)]

    with answering(lambda _request: Reply(200, body)) as server:
        received = drive(lambda io: pieces(io, server.url))
    assert b"".join(received) == body
    assert max(map(len, received)) <= CHUNK


def test_the_head_is_there_before_the_body(drive: Drive) -> None:
    seen_head = threading.Event()

    def answer() -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"
        yield b"body" if seen_head.wait(30) else b""

    async def head_first(io: IO, url: str) -> bytes:
        async with io.open(Request("GET", url)) as answer:
            assert answer.headers["content-length"] == "4"
            seen_head.set()
            return b"".join([piece async for piece in answer.chunks(2)])

    with hostile(answer) as (url, _server):
        assert drive(lambda io: head_first(io, url)) == b"body"


def test_a_stream_whose_reader_fails_leaves_the_driver_usable_and_the_error_as_it_is(drive: Drive) -> None:
    async def fails(io: IO, url: str) -> None:
        async with io.open(Request("GET", url)) as answer:
            async for piece in answer.chunks(10):
                raise OSError(f"the disk is full after {len(piece)} bytes")

    async def first_piece_then_another(io: IO, url: str) -> int:
        with pytest.raises(OSError, match="the disk is full after 10 bytes"):
            await fails(io, url + "/large")
        return (await io.send(Request("GET", url + "/small"))).status

    with answering(lambda seen: Reply(200, b"x" * SIZE if seen.target == "/large" else b"{}")) as server:
        assert drive(lambda io: first_piece_then_another(io, server.url)) == 200
