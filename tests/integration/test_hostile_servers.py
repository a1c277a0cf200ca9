"""Servers that mean harm, or are none: whatever they answer is refused within bounds, by both drivers alike."""

from __future__ import annotations

import contextlib
import functools
import gzip
import itertools
import re
import socket
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from airflow_provider_oac.client.api import Api
from airflow_provider_oac.client.flows.download import ONE_ATTEMPT, PDF, download
from airflow_provider_oac.client.rest import catalog, system, workbooks
from airflow_provider_oac.exceptions import OACApiError, OACError, OACTransportError
from airflow_provider_oac.transport import io as transport_io
from airflow_provider_oac.transport.io import IO, SLOWEST_STREAM, Request
from airflow_provider_oac.transport.retry import ONCE
from airflow_provider_oac.transport.settings import TransportSettings
from tests.drivers import DRIVERS, IMPATIENT, Drive, SignIn, each_driver  # noqa: F401
from tests.integration.servers import Reply, Seen, answering

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
MIB = b"40000\r\n" + b" " * 0x40000 + b"\r\n"


class Hostile:
    """A server that answers every connection with what it is told, as bytes, and counts what it got rid of.

    :param pieces: the answer; it may be endless.
    """

    def __init__(self, pieces: Callable[[], Iterator[bytes]]) -> None:
        self._pieces = pieces
        self.sent = 0
        self.requests: list[bytes] = []

    def serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(20)
            self.requests.append(connection.recv(65536))
            for piece in self._pieces():
                connection.sendall(piece)
                self.sent += len(piece)
            # Until the client goes: a reset could overtake what was sent.
            connection.shutdown(socket.SHUT_WR)
            connection.recv(1)


@contextmanager
def hostile(pieces: Callable[[], Iterator[bytes]]) -> Iterator[tuple[str, Hostile]]:
    """Run one for the length of a `with`."""
    server = Hostile(pieces)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=server.serve, args=(listener.accept()[0],), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", server
        listener.shutdown(socket.SHUT_RDWR)


def once(answer: bytes) -> Callable[[], Iterator[bytes]]:
    return lambda: iter((answer,))


@functools.cache
def squeezed(size: int) -> bytes:
    return gzip.compress(b" " * size, compresslevel=1)


def packed(times: int, size: int, encoding: str) -> bytes:
    """An answer that grows to `size` bytes when it is unpacked."""
    body = squeezed(size)
    for _ in range(times - 1):
        body = gzip.compress(body)
    return HEAD + f"Content-Encoding: {encoding}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


#: What the drivers refuse.
GARBAGE = {
    "a length that is none": HEAD + b"Content-Length: many\r\n\r\n<html>",
    "a negative length": HEAD + b"Content-Length: -1\r\n\r\n<html>",
    "two lengths": HEAD + b"Content-Length: 5\r\nContent-Length: 50\r\n\r\n<html>",
    "a length beyond its body": HEAD + b"Content-Length: 500\r\n\r\n{}",
    "a chunk without a size": HEAD + CHUNKED + b"what\r\n{}\r\n0\r\n\r\n",
    "a header without end": b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 200_000 + b"\r\n\r\n{}",
    "very many headers": b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(5000)) + b"\r\n{}",
    "a status that is none": b"HTTP/1.1 nine Fine\r\n\r\n{}",
    "another protocol": b"\x00\x16\x03\x01SSH-2.0\r\n\r\n",
    "packed, but not": HEAD + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
    "packed in a way not asked for": HEAD + b"Content-Encoding: br\r\nContent-Length: 2\r\n\r\n{}",
    "packed twice": packed(2, 1000, "gzip, gzip"),
    "a redirect that is no address": b"HTTP/1.1 302 Found\r\nLocation: http://[::1/\x80\r\nContent-Length: 0\r\n\r\n",
    "a redirect without an end": b"HTTP/1.1 302 Found\r\nLocation: //[\r\nContent-Length: 0\r\n\r\n",
}
ENDLESS = {
    "an endless answer": HEAD,
    "an endless error": HEAD.replace(b"200 OK", b"400 Bad Request"),
    "an endless redirect": HEAD.replace(b"200 OK", b"302 Found\r\nLocation: http://127.0.0.1:9/x"),
}  # fmt: skip


class Nowhere:
    """A sink that keeps nothing."""

    def write(self, data: bytes) -> None: ...
    def discard(self) -> None: ...
    def commit(self) -> None: ...


@pytest.fixture(params=[False, True], ids=["whole", "streamed"])
def streamed(request: pytest.FixtureRequest) -> bool:
    """Whether the body of the response is read piece by piece, as a download is."""
    return bool(request.param)


def refusal(drive: Drive, sign_in: SignIn, url: str, streamed: bool) -> OACError:
    """The error of a call or of a download at a server: short, and without the token."""
    session, plan = sign_in.session(), replace(ONE_ATTEMPT, most_bytes=1 << 22)
    fetch = download(workbooks.download("id", "export"), Nowhere(), PDF, plan)

    async def ask(io: IO) -> None:
        api = Api(io, url, session)
        await (api.run(fetch) if streamed else api.perform(system.get(), ONCE))

    with pytest.raises(OACError) as caught:
        drive(ask)
    assert len(str(caught.value)) < 3000
    assert not re.search(r"eyJ[\w-]{8}", str(caught.value) + repr(vars(caught.value)))
    return caught.value


@pytest.mark.parametrize("answer", GARBAGE.values(), ids=GARBAGE)
def test_garbage(answer: bytes, streamed: bool, drive: Drive, sign_in: SignIn) -> None:
    with hostile(once(answer)) as (url, server):
        refusal(drive, sign_in, url, streamed)
        assert server.requests


@pytest.mark.parametrize("head", ENDLESS.values(), ids=ENDLESS)
def test_what_never_ends_is_given_up(
    head: bytes, streamed: bool, drive: Drive, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport_io, "MAX_BODY_BYTES", 1 << 22)
    with hostile(lambda: itertools.chain([head + CHUNKED], itertools.repeat(MIB))) as (url, server):
        error = refusal(drive, sign_in, url, streamed)
    assert "larger than" in str(error) or "bytes or more, but at most" in str(error)
    # More than is allowed, because it lies in the buffers of the operating system.
    assert server.sent < 10 * (1 << 23)


SLOW = TransportSettings(response_timeout=0.2)
#: What comes at once, and what then comes every hundredth of a second, well within the read timeout.
DRIPPING = {
    "the status line": (b"HTTP/1.1 200 O", b"O"),
    "a header": (b"HTTP/1.1 200 OK\r\nX-Long: ", b"x"),
    "100 Continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "103 Early Hints": (b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"),
    "chunks": (HEAD + CHUNKED, b"1\r\n \r\n"),
    "the size of a chunk": (HEAD + CHUNKED, b"0"),
    "a body of known length": (HEAD + b"Content-Length: 1000000\r\n\r\n", b" "),
    # The name of the file that it holds: nothing of it is text that was unpacked.
    "gzip": (HEAD + b"Content-Encoding: gzip\r\n" + CHUNKED + b"a\r\n\x1f\x8b\x08\x08\0\0\0\0\0\0\r\n", b"1\r\nx\r\n"),
}


def body(drive: Drive, url: str, streamed: bool, settings: TransportSettings = IMPATIENT) -> bytes:
    async def flow(io: IO) -> bytes:
        if not streamed:
            return (await io.send(Request("GET", url))).body
        async with io.open(Request("GET", url)) as answer:
            return b"".join([piece async for piece in answer.chunks(1 << 16)])

    return drive(flow, settings)


@pytest.mark.parametrize(("first", "then"), DRIPPING.values(), ids=DRIPPING)
def test_bytes_that_come_one_by_one_for_ever(first: bytes, then: bytes, streamed: bool, drive: Drive) -> None:
    enough = threading.Event()

    def drip() -> Iterator[bytes]:
        yield first
        while not enough.wait(0.01):
            yield then

    with hostile(drip) as (url, _server):
        with pytest.raises(OACTransportError, match=r"not complete after 0\.2 s and was abandoned") as caught:
            body(drive, url, streamed, SLOW)
        enough.set()
    assert (caught.value.sent, caught.value.passing) == (True, True)


def test_a_stream_that_keeps_up_may_take_longer_than_a_response(drive: Drive) -> None:
    size = 30 * SLOWEST_STREAM

    def pieces() -> Iterator[bytes]:
        yield HEAD + b"Content-Length: %d\r\n\r\n" % size
        for _ in range(6):
            time.sleep(0.06)
            yield b"x" * (size // 6)

    with hostile(pieces) as (url, _server):
        assert len(body(drive, url, True, SLOW)) == size


@pytest.mark.parametrize("interim", [(100,), (103,), (102, 103, 100), (199,)])
def test_interim_responses_are_skipped(interim: tuple[int, ...], drive: Drive) -> None:
    before = b"".join(b"HTTP/1.1 %d Wait\r\nLink: </style.css>; rel=preload\r\n\r\n" % one for one in interim)
    with hostile(once(before + HEAD + b"Content-Length: 2\r\n\r\n{}")) as (url, _server):
        answer = drive(lambda io: io.send(Request("GET", url)))
    assert (answer.status, answer.body, "link" in answer.headers) == (200, b"{}", False)


TEXT = b"0123456789" * 30_000
WHOLE = gzip.compress(TEXT)
ENCODED = {
    "gzip": ("gzip", WHOLE),
    "x-gzip": ("x-gzip", WHOLE),
    "in upper case": ("GZIP", WHOLE),
    "of two members": ("gzip", gzip.compress(TEXT[:7]) + gzip.compress(TEXT[7:])),
    "padded with zeros": ("gzip", WHOLE + bytes(100)),
    "no body": ("gzip", b""),
    "of all sizes that a piece may have": ("gzip", gzip.compress(TEXT[: 1 << 17]) + gzip.compress(TEXT[1 << 17 :])),
}
CUT = {
    "half": WHOLE[: len(WHOLE) // 2],
    "without its checksum": WHOLE[:-8],
    "without its last byte": WHOLE[:-1],
    "only its head": WHOLE[:10],
    "half of its second member": WHOLE + WHOLE[:40],
    "with a wrong checksum": WHOLE[:-8] + bytes(8),
    "followed by something else": WHOLE + b"x",
}


@pytest.mark.parametrize(("encoding", "sent"), ENCODED.values(), ids=ENCODED)
def test_what_is_packed_is_unpacked(encoding: str, sent: bytes, streamed: bool, drive: Drive) -> None:
    with answering(lambda _seen: Reply(200, sent, [("Content-Encoding", encoding)])) as server:
        assert body(drive, server.url, streamed) == (TEXT if sent else b"")


@pytest.mark.parametrize("sent", CUT.values(), ids=CUT)
def test_what_is_packed_and_cut_is_no_answer(sent: bytes, streamed: bool, drive: Drive) -> None:
    """Its Content-Length is that of what came, as where a gateway cut it."""
    cut = Reply(200, sent, [("Content-Encoding", "gzip")])
    with answering(lambda _seen: cut) as server, pytest.raises(OACTransportError, match="gzip") as caught:
        body(drive, server.url, streamed)
    assert (caught.value.sent, caught.value.passing) == (True, True)


BOMBS = ((1, "gzip"), (2, "gzip, gzip"), (1, "x-gzip"))
#: Meets servers with a driver, in a process that may take 192 MiB more than it has: less than a bomb unpacked.
VICTIM = """
import resource, sys
from pathlib import Path
from airflow_provider_oac.exceptions import OACResponseError
from airflow_provider_oac.transport import io as transport_io
from airflow_provider_oac.transport.io import Request
from tests.drivers import DRIVERS
from tests.integration.servers import answering
transport_io.MAX_BODY_BYTES = 1 << 23
drive = DRIVERS[sys.argv[1]]
with answering() as server:
    drive(lambda io: io.send(Request("GET", server.url)))
has = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (has + (192 << 20),) * 2)
for url in sys.argv[2:]:
    try:
        drive(lambda io: io.send(Request("GET", url)))
    except OACResponseError as error:
        print("refused")
"""


def test_decompression_bombs(drive: Drive) -> None:
    driver = next(name for name, known in DRIVERS.items() if known is drive)
    with contextlib.ExitStack() as stack:
        urls = [stack.enter_context(hostile(once(packed(times, 1 << 28, way))))[0] for times, way in BOMBS]
        command, root = [sys.executable, "-c", VICTIM, driver, *urls], Path(__file__).parents[2]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.split()) == (0, ["refused"] * len(BOMBS)), done.stderr[-2000:]


def test_nothing_is_asked_where_the_next_page_is_said_to_be(drive: Drive, sign_in: SignIn) -> None:
    def reply(seen: Seen) -> Reply:
        links = [("oa-next-page", elsewhere.url + "/stolen"), ("Link", f'<{elsewhere.url}/stolen>; rel="next"')]
        last = "page=3" in seen.target
        return Reply(200, b'[{"id": "%d", "name": "x", "type": "folders"}]' % len(server.seen), [] if last else links)

    with answering() as elsewhere, answering(reply) as server:
        session = sign_in.session()
        found = drive(lambda io: Api(io, server.url, session).run(catalog.list_items("folders")))
        assert len(found) == len(server.seen) == 3
        assert elsewhere.seen == []


def test_an_error_that_nobody_can_unpack_keeps_its_status(drive: Drive, sign_in: SignIn) -> None:
    unknown = Reply(403, zlib.compress(b"<html>"), [("Content-Encoding", "deflate")])
    with answering(lambda _seen: unknown) as server:
        error = refusal(drive, sign_in, server.url, streamed=False)
    assert isinstance(error, OACApiError)
    assert error.status == 403
