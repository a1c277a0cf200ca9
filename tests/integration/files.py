"""Files that look like exports, and a server of one file that goes wrong in the ways that a test asks for."""

from __future__ import annotations

import socket
import struct
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.integration.servers import Seen, Server, _Handler, serving


def pdf(size: int = 3_000_017) -> bytes:
    """Something that begins and ends as a PDF does."""
    head, tail = b"%PDF-1.7\n", b"\nstartxref\n9\n%%EOF\n"
    middle = bytes(number % 251 for number in range(max(0, size - len(head) - len(tail))))
    return head + middle + tail


def png() -> bytes:
    """A PNG of one pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"")


@dataclass
class Step:
    """How one request is answered.

    :param status: instead of 200 or 206.
    :param body: instead of the file.
    :param cut: end the connection after so many bytes of the body.
    :param headers: further headers.
    :param announced: whether the length is announced; if not, the body ends with the connection.
    """

    status: int | None = None
    body: bytes | None = None
    cut: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    announced: bool = True


class FileServer(Server):
    """A server of one file.

    :param body: the file.
    :param steps: how the first requests are answered; the last one stays for all that follow.
    :param ranges: whether it honours ranges.
    :param tag: its entity tag.
    """

    def __init__(self, body: bytes, *steps: Step, ranges: bool = True, tag: str | None = '"v1"') -> None:
        self.body, self.ranges, self.tag = body, ranges, tag
        self.steps = list(steps) or [Step()]
        super().__init__("127.0.0.1", lambda _seen: None)  # type: ignore[arg-type, return-value]

    def _handler(self, reply: object) -> type[_Handler]:
        server = self

        class Handler(_Handler):
            def handle_any(self) -> None:
                request = self.read()
                server.seen.append(request)
                step = server.steps.pop(0) if len(server.steps) > 1 else server.steps[0]
                server.respond(self, request, step)

        return Handler

    def respond(self, handler: _Handler, request: Seen, step: Step) -> None:
        body = self.body if step.body is None else step.body
        asked = request.headers.get("range", "")
        same = request.headers.get("if-range") in (None, self.tag)
        status, part = step.status or 200, body
        headers = {"Content-Type": "application/pdf", **({"ETag": self.tag} if self.tag else {}), **step.headers}
        if self.ranges and asked and same and step.status is None:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            status, part = 206, body[start:]
            headers = {"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}", **headers}
            if start >= len(body):
                status, part = 416, b""
        handler.send_response(status)
        if step.announced:
            headers = {"Content-Length": str(len(part)), **headers}
        else:
            headers, handler.close_connection = {**headers, "Connection": "close"}, True
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        if step.cut is None:
            handler.wfile.write(part)
            return
        handler.wfile.write(part[: step.cut])
        handler.wfile.flush()
        # Let the client read what there is: a driver may drop what it has not handed over when the connection breaks.
        time.sleep(0.1)
        handler.connection.shutdown(socket.SHUT_WR)
        handler.close_connection = True

    @property
    def asked(self) -> list[str | None]:
        """The ranges that were asked for."""
        return [request.headers.get("range") for request in self.seen]


@contextmanager
def file_server(body: bytes, *steps: Step, ranges: bool = True, tag: str | None = '"v1"') -> Iterator[FileServer]:
    """Run such a server for the length of a `with`."""
    server = FileServer(body, *steps, ranges=ranges, tag=tag)
    with serving(server):
        yield server
