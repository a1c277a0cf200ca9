"""Small servers that do what the simulator has no reason to do: show raw requests, redirect, set cookies, proxy."""

from __future__ import annotations

import base64
import contextlib
import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from airflow_provider_oac.transport.io import Request, Response
from airflow_provider_oac.transport.settings import TransportSettings
from tests.drivers import IMPATIENT, Drive

BEARER = {"Authorization": "Bearer the-token"}


def get(drive: Drive, url: str, settings: TransportSettings = IMPATIENT) -> Response:
    """Send a GET request with a token."""
    return drive(lambda io: io.send(Request("GET", url, BEARER)), settings)


@dataclass
class Seen:
    """One request as it stood on the wire."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Reply:
    """What to answer."""

    status: int = 200
    body: bytes = b"{}"
    headers: list[tuple[str, str]] = field(default_factory=list)


class Server:
    """A server on loopback and what it has seen.

    :param host: address to listen on.
    :param reply: what to answer to a request.
    """

    def __init__(self, host: str, reply: Callable[[Seen], Reply]) -> None:
        self.seen: list[Seen] = []
        self.server = _server(host, self._handler(reply))
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self.server.server_address[1]}"

    def _handler(self, reply: Callable[[Seen], Reply]) -> type[BaseHTTPRequestHandler]:
        seen = self.seen

        class Handler(_Handler):
            def handle_any(self) -> None:
                request = self.read()
                seen.append(request)
                self.answer(reply(request))

        return Handler


class Proxy(Server):
    """A forward proxy for http, and a tunnel for https.

    :param login: `user:password` that it asks for, or None.
    :param refusal: status with which it refuses everything, or None.
    :param leads_to: `host:port` that every tunnel leads to, or None for where it should.
    """

    def __init__(self, login: str | None = None, refusal: int | None = None, leads_to: str | None = None) -> None:
        self._wanted = "Basic " + base64.b64encode(login.encode()).decode() if login else None
        self._refusal = refusal
        self._leads_to = leads_to
        super().__init__("127.0.0.1", lambda _request: Reply())

    def _handler(self, reply: Callable[[Seen], Reply]) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(_Handler):
            def handle_any(self) -> None:
                request = self.read()
                proxy.seen.append(request)
                if proxy._refusal:
                    self.answer(Reply(proxy._refusal))
                elif proxy._wanted and request.headers.get("proxy-authorization") != proxy._wanted:
                    self.answer(Reply(407, headers=[("Proxy-Authenticate", 'Basic realm="proxy"')]))
                elif request.method == "CONNECT":
                    self._tunnel(proxy._leads_to or request.target)
                else:
                    self.answer(_forwarded(request))

            def _tunnel(self, target: str) -> None:
                host, _, port = target.rpartition(":")
                with socket.create_connection((host, int(port)), timeout=30) as far:
                    self.send_response(200)
                    self.end_headers()
                    self.wfile.flush()
                    _pump(self.connection, far)
                self.close_connection = True

        return Handler


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Otherwise a body waits for the acknowledgement of its headers.
    wbufsize = -1
    disable_nagle_algorithm = True

    def read(self) -> Seen:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        return Seen(self.command, self.path, headers, body)

    def answer(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    def handle_any(self) -> None:
        raise NotImplementedError

    def do_GET(self) -> None:
        self.handle_any()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_CONNECT = do_GET

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


def _server(host: str, handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
    class Listening(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, *_arguments: object) -> None:
            """A client that goes away in the middle is what some tests are about."""

    return Listening((host, 0), handler)


def _forwarded(request: Seen) -> Reply:
    parts = urlsplit(request.target)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    with contextlib.closing(connection):
        headers = {name: value for name, value in request.headers.items() if not name.startswith("proxy-")}
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        connection.request(request.method, target, request.body or None, headers)
        answer = connection.getresponse()
        kept = [(name, value) for name, value in answer.getheaders() if name.lower() in ("content-type", "date")]
        return Reply(answer.status, answer.read(), kept)


def _pump(near: socket.socket, far: socket.socket) -> None:
    """Carry bytes both ways until either end closes."""
    while True:
        readable, _, _ = select.select([near, far], [], [], 30)
        if not readable:
            return
        for one in readable:
            data = one.recv(65536)
            if not data:
                return
            (far if one is near else near).sendall(data)


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    """Run a server in a thread for the length of a `with`."""
    thread = threading.Thread(target=server.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.server.shutdown()
        server.server.server_close()
        thread.join()


@contextmanager
def answering(reply: Callable[[Seen], Reply] = lambda _request: Reply(), host: str = "127.0.0.1") -> Iterator[Server]:
    """Run a plain server for the length of a `with`."""
    with serving(Server(host, reply)) as server:
        yield server


def unused_port() -> int:
    """A port of loopback that refuses connections."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def has_ipv6() -> bool:
    """Whether this machine can listen on the IPv6 loopback address."""
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False
