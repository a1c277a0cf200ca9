"""The blocking driver: ``requests`` and ``time.sleep``, for tasks and command lines.

Its methods are coroutines that never suspend, so :func:`run` completes a whole flow with one ``send``.
"""

from __future__ import annotations

import contextvars
import http.client
import io
import math
import os
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from http.cookiejar import DefaultCookiePolicy
from typing import Any, TypeVar

import requests
import requests.adapters
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from airflow_provider_oac.exceptions import OACKilledError, OACTransportError
from airflow_provider_oac.transport.failures import causes, transport_error
from airflow_provider_oac.transport.forking import ProcessLock
from airflow_provider_oac.transport.io import IO, Deadline, Request, Response, StreamedResponse, close_unused
from airflow_provider_oac.transport.proxies import Proxy, proxy_for
from airflow_provider_oac.transport.settings import TransportSettings, checked_url

T = TypeVar("T")

_NEVER_SENT = (requests.exceptions.ConnectTimeout, requests.exceptions.ProxyError)
# OpenSSL's reasons for a failed handshake. Others, such as an unexpected end, may also occur after the request.
_HANDSHAKE = frozenset(
    {
        "CERTIFICATE_VERIFY_FAILED", "HTTP_REQUEST", "NO_PROTOCOLS_AVAILABLE", "RECORD_LAYER_FAILURE",
        "SSLV3_ALERT_HANDSHAKE_FAILURE", "TLSV1_ALERT_PROTOCOL_VERSION", "TLSV1_UNRECOGNIZED_NAME",
        "UNSUPPORTED_PROTOCOL", "WRONG_VERSION_NUMBER",
    }
)  # fmt: skip
# Seconds between two checks whether the task was told to stop (Airflow kills it after five).
_LOOK_INTERVAL = 0.5
# The deadline of the request that this thread sends: requests cannot pass it down to the code that reads bytes.
_deadline: contextvars.ContextVar[Deadline] = contextvars.ContextVar("_deadline")


def run(flow: Coroutine[Any, Any, T]) -> T:
    """Run a flow whose every ``await`` ends in a blocking driver, and return its result."""
    try:
        flow.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    finally:
        flow.close()
    raise RuntimeError("a flow awaited something that is not its io")


class DeadlineAdapter(requests.adapters.HTTPAdapter):
    """Gives each response a deadline, as attribute ``deadline``, and verifies servers by a TLS context.

    :param seconds: seconds within which a response must be complete.
    :param tls: the TLS context, shared with other adapters. It is used if ``verify`` is ``True`` and there is no client
        certificate, which the library would load into the context. In other cases ``requests`` chooses the context.
    """

    def __init__(self, seconds: float, tls: ssl.SSLContext) -> None:
        self._seconds = seconds
        self._tls = tls
        self._proxies: dict[str, Proxy] = {}
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools of direct connections."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> urllib3.ProxyManager:
        """Make the pools of connections through a proxy."""
        manager: urllib3.ProxyManager = super().proxy_manager_for(proxy, proxy_ssl_context=self._tls, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager

    def proxy_headers(self, proxy: str) -> dict[str, str]:
        """The login for a proxy."""
        return dict(self._proxies[proxy].headers)

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> tuple[Any, Any]:
        """Choose the pool for a request."""
        host, pool = super().build_connection_pool_key_attributes(request, verify, cert)
        return host, ({**pool, "ssl_context": self._tls} if verify is True and cert is None else pool)

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Prepare a pool for verification, without the authorities that ``requests`` would add to the context."""
        if verify is True and cert is None:
            conn.cert_reqs = "CERT_REQUIRED"
        else:
            super().cert_verify(conn, url, verify, cert)  # type: ignore[no-untyped-call]

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """Send a request, through the proxy that the environment names."""
        proxy = proxy_for(request.url or "")
        if proxy is not None:
            self._proxies[proxy.address] = proxy
        kwargs["proxies"] = {"http": proxy.address, "https": proxy.address} if proxy else {}
        deadline = Deadline(self._seconds)
        former = _deadline.set(deadline)
        try:
            response = super().send(request, *args, **kwargs)
        finally:
            _deadline.reset(former)
        response.deadline = deadline  # type: ignore[attr-defined]
        return response


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_UntilDeadline(self.fp.detach(), sock, _deadline.get()))

    def _read_status(self) -> tuple[str, int, str]:
        """Skip interim responses such as 103 Early Hints, which may precede any response (RFC 9110 section 15.2).

        The base class skips 100 only.
        """
        while True:
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if not 102 <= status <= 199:
                return version, status, reason
            http.client.parse_headers(self.fp)


class _UntilDeadline(io.RawIOBase):
    """A socket's reading end with a deadline: the socket's own timeout restarts with each byte."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, deadline: Deadline) -> None:
        self._raw = raw
        self._sock = sock
        self._deadline = deadline
        self._patience = sock.gettimeout()

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._raw.fileno()

    def readinto(self, buffer: Any) -> int | None:
        left = self._deadline.left()
        if left <= 0:
            raise TimeoutError("the response is not complete in time")
        shorter = left < (math.inf if self._patience is None else self._patience)
        self._sock.settimeout(left if shorter else self._patience)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Connection(HTTPConnection):
    response_class = _Response

    def _new_conn(self) -> socket.socket:
        """Connect before the deadline: a name may have thousands of addresses, each with the whole connect timeout."""
        name, patience, deadline = self._dns_host, self.timeout, _deadline.get()
        try:
            found = socket.getaddrinfo(name.strip("[]"), self.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            return super()._new_conn()  # The library reports the problem.
        addresses = list(dict.fromkeys(str(one[4][0]) for one in found))
        try:
            for address in addresses:
                left = max(0.001, deadline.left())
                self._dns_host = address
                self.timeout = min(left, patience) if isinstance(patience, int | float) else left
                try:
                    return super()._new_conn()
                except (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError):
                    if address == addresses[-1] or deadline.left() <= 0:
                        raise
        finally:
            self._dns_host, self.timeout = name, patience
        raise AssertionError("a name without an address")


class _TLSConnection(_Connection, HTTPSConnection):
    pass


# The names are for people: urllib3's exceptions show them.
class HTTPPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class HTTPSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


_POOLS = {"http": HTTPPool, "https": HTTPSPool}


class PlainSession(requests.Session):
    """A session without the implicit behavior of ``requests``.

    It uses no netrc (which would replace the bearer token), no cookies, no redirects, and only two settings of the
    environment: the CA file and the proxies.

    :param settings: timeouts and certificates.
    :raises OACConfigurationError: if the CA file cannot be used.
    """

    def __init__(self, settings: TransportSettings) -> None:
        super().__init__()
        tls = settings.ssl_context()
        self.trust_env = False
        for scheme in ("https://", "http://"):
            self.mount(scheme, DeadlineAdapter(settings.response_timeout, tls))
        self.headers.clear()
        self.headers.update({"User-Agent": settings.user_agent, "Accept-Encoding": "gzip"})
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return ``None``: redirects are never followed.

        Otherwise requests would read the whole body of a redirect, however large, even if it does not follow it, and
        fail on an address that it cannot parse.
        """


class BlockingIO(IO):
    """The ``io`` of a task.

    :param settings: timeouts and certificates.
    :param stopped: called twice a second during a wait; once it returns ``True``, :class:`OACKilledError` is raised.
    """

    def __init__(
        self, settings: TransportSettings = TransportSettings(), stopped: Callable[[], bool] = lambda: False
    ) -> None:
        self._settings = settings
        self._stopped = stopped
        self._session: requests.Session | None = None
        self._opening = ProcessLock()
        self._pid = os.getpid()

    def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            self._session.close()
            self._session = None

    async def send(self, request: Request) -> Response:
        """Send one request and return the whole response; see :class:`airflow_provider_oac.transport.io.IO`."""
        async with self.open(request) as answer:
            return await answer.read()

    @asynccontextmanager
    async def open(self, request: Request) -> AsyncIterator[StreamedResponse]:
        """Send one request and stream the body of the response."""
        checked_url(request.url, "The request's address")
        session = self._opened()
        prepared = session.prepare_request(
            requests.Request(request.method, request.url, headers=dict(request.headers), data=request.body)
        )
        deadline = Deadline(self._settings.response_timeout)
        failure: OACTransportError | None = None
        try:
            answer = session.send(
                prepared,
                stream=True,
                allow_redirects=False,
                timeout=(self._settings.connect_timeout, self._settings.read_timeout),
                verify=session.verify,
            )
        except requests.exceptions.RequestException as error:
            failure = transport_error(request, error, sent=not _never_sent(error), deadline=deadline)
        if failure is not None:
            raise failure
        with answer:
            yield _Streamed(request, answer)

    def _opened(self) -> requests.Session:
        with self._opening:
            if self._session is None or self._pid != os.getpid():
                # A forked child must not write into the connections of its parent.
                self._session, self._pid = PlainSession(self._settings), os.getpid()
            return self._session

    async def sleep(self, seconds: float) -> None:
        """Wait, and check twice a second whether the task was told to stop."""
        end = time.monotonic() + seconds
        while True:
            if self._stopped():
                raise OACKilledError("The task was told to stop.")
            left = end - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, _LOOK_INTERVAL))

    async def to_thread(self, function: Callable[[], T]) -> T:
        """Run a function in this thread."""
        return function()

    async def gather(self, flows: Iterable[Awaitable[T]], limit: int) -> list[T]:
        """Run flows in ``limit`` threads and return their results in order."""
        pending = list(flows)
        try:
            with ThreadPoolExecutor(max_workers=limit) as pool:
                return list(pool.map(lambda flow: run(_complete(flow)), pending))
        finally:
            close_unused(pending)

    async def shield(self, flow: Coroutine[Any, Any, T]) -> T:
        """Run a flow in a separate thread.

        If a signal handler raises an exception here (Airflow's timeout, Airflow 2's termination), it takes effect after
        the flow has ended.
        """
        context = contextvars.copy_context()
        with ThreadPoolExecutor(max_workers=1) as pool:
            return pool.submit(context.run, lambda: run(flow)).result()


async def _complete(flow: Awaitable[T]) -> T:
    return await flow


def _never_sent(error: requests.exceptions.RequestException) -> bool:
    """Whether the request certainly did not reach the server."""
    if isinstance(error, _NEVER_SENT):
        return True
    return any(
        isinstance(cause, urllib3.exceptions.NewConnectionError)
        or (isinstance(cause, ssl.SSLError) and cause.reason in _HANDSHAKE)
        for cause in causes(error)
    )


class _Streamed(StreamedResponse):
    def __init__(self, request: Request, answer: requests.Response) -> None:
        super().__init__(request, answer.status_code, answer.headers, answer.deadline)  # type: ignore[attr-defined]
        self._answer = answer

    async def pieces(self, size: int) -> AsyncIterator[bytes]:
        stream = self._answer.raw.stream(size, decode_content=False)
        while piece := self._piece(stream):
            yield piece

    def _piece(self, stream: Iterator[bytes]) -> bytes:
        failure: OACTransportError
        try:
            return next(stream, b"")
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            failure = transport_error(self.request, error, sent=True, deadline=self.deadline)
        raise failure
