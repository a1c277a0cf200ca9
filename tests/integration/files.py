"""Files that look like exports, and a server of one file that goes wrong in the ways that a test asks for."""

from __future__ import annotations

import socket
import time
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.integration.servers import Server, _Handler, serving


def pdf(size: int = 3_000_017) -> bytes:
    """Something that begins and ends as a PDF does."""
    head, tail = b"%PDF-1.7\n", b"\nstartxref\n9\n%%EOF\n"
    middle = bytes(number % 251 for number in range(max(0, size - len(head) - len(tail))))
    return head + middle + tail


def png() -> bytes:
    """A PNG of one pixel."""
    return b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==")


@dataclass
class Step:
    """How one request is answered.

    :param status: instead of 200.
    :param body: instead of the file.
    :param cut: end the connection after so many bytes of the body.
    :param headers: further headers.
    """

    status: int | None = None
    body: bytes | None = None
    cut: int | None = None
    headers: dict[str, str] = field(default_factory=dict)


class FileServer(Server):
    """A server of one file.

    :param body: the file.
    :param steps: how the first requests are answered; the last one stays for all that follow.
    """

    def __init__(self, body: bytes, *steps: Step) -> None:
        self.body = body
        self.steps = list(steps) or [Step()]
        super().__init__("127.0.0.1", lambda _seen: None)  # type: ignore[arg-type, return-value]

    def _handler(self, reply: object) -> type[_Handler]:
        server = self

        class Handler(_Handler):
            def handle_any(self) -> None:
                server.seen.append(self.read())
                step = server.steps.pop(0) if len(server.steps) > 1 else server.steps[0]
                server.respond(self, step)

        return Handler

    def respond(self, handler: _Handler, step: Step) -> None:
        body = self.body if step.body is None else step.body
        headers = {"Content-Type": "application/pdf", "Content-Length": str(len(body)), **step.headers}
        handler.send_response(step.status or 200)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body[: step.cut])
        if step.cut is not None:
            handler.wfile.flush()
            # Let the client read what there is: a driver may drop what it has not handed over when the connection
            # breaks.
            time.sleep(0.1)
            handler.connection.shutdown(socket.SHUT_WR)
            handler.close_connection = True


@contextmanager
def file_server(body: bytes, *steps: Step) -> Iterator[FileServer]:
    """Run such a server for the length of a `with`."""
    server = FileServer(body, *steps)
    with serving(server):
        yield server
