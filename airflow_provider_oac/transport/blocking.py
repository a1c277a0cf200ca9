"""The blocking driver: ``requests`` and ``time.sleep``, for tasks and command lines.

Its methods are coroutines that never suspend, so :func:`run` completes a whole flow with one ``send``.
"""

from __future__ import annotations

import contextvars
import os
import random
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from http.cookiejar import DefaultCookiePolicy
from typing import Any, TypeVar

import requests
import requests.adapters
import urllib3.exceptions

from airflow_provider_oac.exceptions import OACKilledError, OACTransportError
from airflow_provider_oac.transport.adapter import DeadlineAdapter
from airflow_provider_oac.transport.failures import causes, transport_error
from airflow_provider_oac.transport.forking import ProcessLock
from airflow_provider_oac.transport.io import Deadline, Request, Response, StreamedResponse, close_unused
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


class BlockingIO:
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

    def now(self) -> float:
        """Wall-clock time in seconds since the epoch."""
        return time.time()

    def random(self) -> float:
        """A number in [0, 1)."""
        return random.random()  # noqa: S311 (jitter, not cryptography)

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
