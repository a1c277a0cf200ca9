"""Reading an answer piece by piece."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from airflow_provider_oac.transport import io as transport_io
from airflow_provider_oac.transport.io import IO, Request
from tests.drivers import Drive, each_driver  # noqa: F401
from tests.integration.servers import Reply, answering
from tests.integration.test_hostile_servers import hostile

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
