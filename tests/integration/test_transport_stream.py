"""Reading an answer piece by piece."""

from __future__ import annotations

import socket
import threading
from collections.abc import AsyncIterator

import pytest

from airflow_provider_oac.exceptions import OACTransportError
from airflow_provider_oac.transport import io as transport_io
from airflow_provider_oac.transport.io import IO, Request
from oac_simulator.launch import Simulator
from tests.drivers import Drive, each_driver  # noqa: F401
from tests.integration.servers import Reply, answering

SIZE = 3_000_017
CHUNK = 1 << 16


def test_a_body_comes_in_pieces_of_bounded_size(drive: Drive) -> None:
    body = bytes(number % 251 for number in range(SIZE))

    async def pieces(io: IO, url: str) -> list[bytes]:
        async with io.open(Request("GET", url)) as answer:
            assert answer.status == 200
            return [piece async for piece in answer.chunks(CHUNK)]

    with answering(lambda _request: Reply(200, body)) as server:
        received = drive(lambda io: pieces(io, server.url))
    assert b"".join(received) == body
    assert max(map(len, received)) <= CHUNK
    assert len(received) >= SIZE // CHUNK


def test_a_body_larger_than_any_answer_may_be_is_streamed(drive: Drive, clean: Simulator) -> None:
    size = transport_io.MAX_BODY_BYTES + 1
    clean.control.fault("openid_configuration", "huge", size=size)
    url = clean.ready["identity_url"] + "/.well-known/openid-configuration"

    async def measured(io: IO) -> tuple[int, int]:
        total = longest = 0
        async with io.open(Request("GET", url)) as answer:
            async for piece in answer.chunks(CHUNK):
                total, longest = total + len(piece), max(longest, len(piece))
        return total, longest

    total, longest = drive(measured)
    assert total == size
    assert longest <= CHUNK


def test_the_head_is_there_before_the_body(drive: Drive) -> None:
    """The body is held back until the flow has seen the head."""
    seen_head = threading.Event()

    async def head_first(io: IO, url: str) -> bytes:
        async with io.open(Request("GET", url)) as answer:
            assert answer.headers["content-length"] == "4"
            seen_head.set()
            return b"".join([piece async for piece in answer.chunks(2)])

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
                if seen_head.wait(30):
                    connection.sendall(b"body")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        assert drive(lambda io: head_first(io, f"http://127.0.0.1:{listener.getsockname()[1]}/")) == b"body"
        thread.join()


def test_a_stream_left_early_leaves_the_driver_usable(drive: Drive) -> None:
    async def first_piece_then_another(io: IO, url: str) -> tuple[bytes, int]:
        async with io.open(Request("GET", url + "/large")) as answer:
            first = [piece async for piece in _first(answer)]
        return first[0], (await io.send(Request("GET", url + "/small"))).status

    async def _first(answer: transport_io.StreamedResponse) -> AsyncIterator[bytes]:
        async for piece in answer.chunks(10):
            yield piece
            return

    def reply(request: object) -> Reply:
        return Reply(200, b"x" * SIZE if getattr(request, "target", "") == "/large" else b"{}")

    with answering(reply) as server:
        first, status = drive(lambda io: first_piece_then_another(io, server.url))
    assert (first, status) == (b"x" * 10, 200)


def test_an_error_of_the_reader_is_raised_as_it_is(drive: Drive) -> None:
    async def broken(io: IO, url: str) -> None:
        async with io.open(Request("GET", url)):
            raise OSError("the disk is full")

    with answering() as server, pytest.raises(OSError, match="the disk is full") as caught:
        drive(lambda io: broken(io, server.url))
    assert not isinstance(caught.value, OACTransportError)
