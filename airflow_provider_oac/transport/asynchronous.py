"""The asynchronous driver: ``aiohttp`` and asyncio, for the triggerer."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

import aiohttp
from yarl import URL

from airflow_provider_oac.exceptions import OACTransportError
from airflow_provider_oac.transport.failures import transport_error
from airflow_provider_oac.transport.io import Deadline, Request, Response, StreamedResponse, close_unused
from airflow_provider_oac.transport.proxies import Proxy, proxy_for
from airflow_provider_oac.transport.settings import TransportSettings, checked_url

T = TypeVar("T")

# To one server, however much waits for it. A server that hangs must not hold up the others.
MAX_CONNECTIONS = 8
# Seconds for which a connection that nobody uses is kept: longer than most pauses between two looks. aiohttp's own 15
# would mean a handshake for each look.
KEEP_ALIVE = 120.0
# Addresses are kept read and checked, since those that are polled come again and again. One that nobody asked for in so
# many seconds is forgotten; one that comes more rarely is read again.
_REMEMBERED = 600.0
# And not more than twice so many in any case, some 700 bytes each.
_MOST_URLS = 16_384
# What aiohttp would add by itself. Leaving it out takes time, so it is only done where there is something to leave out.
_ADDED = ("Accept", "Content-Type")
_NEVER_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.ClientHttpProxyError)


class AsyncIO:
    """The world of a trigger: one session and one TLS context, made at the first request.

    Bound to the event loop that first uses it. Close it there.

    :param settings: timeouts, certificates.
    :param connections: most connections to one server.
    :param keep_alive: seconds for which a connection that is not used is kept.
    """

    def __init__(
        self,
        settings: TransportSettings = TransportSettings(),
        *,
        connections: int = MAX_CONNECTIONS,
        keep_alive: float = KEEP_ALIVE,
    ) -> None:
        self._settings = settings
        self._connections = connections
        self._keep_alive = keep_alive
        self._proxies: dict[tuple[str, str], Proxy | None] = {}
        self._urls: dict[str, URL] = {}
        self._older_urls: dict[str, URL] = {}
        self._forget_at = 0.0
        self._session: aiohttp.ClientSession | None = None
        self._opening = asyncio.Lock()

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def send(self, request: Request) -> Response:
        """Send one request and return the whole answer; see :class:`airflow_provider_oac.transport.io.IO`."""
        answer, deadline = await self._sent(request)
        async with answer:
            return await _Streamed(request, answer, deadline).read()

    @asynccontextmanager
    async def open(self, request: Request) -> AsyncIterator[StreamedResponse]:
        """Send one request; the body of the answer is streamed."""
        answer, deadline = await self._sent(request)
        async with answer:
            yield _Streamed(request, answer, deadline)

    async def _sent(self, request: Request) -> tuple[aiohttp.ClientResponse, Deadline]:
        session = self._session or await self._opened()
        url = self._urls.get(request.url) or self._url(request.url)
        proxy = self._proxies[url.scheme, url.raw_authority]
        deadline = Deadline(self._settings.response_timeout)
        try:
            async with asyncio.timeout(deadline.seconds):
                answer = await session.request(
                    request.method,
                    url,
                    headers=request.headers
                    if proxy is None or url.scheme == "https"
                    else proxy.added_to(request.headers),
                    data=request.body,
                    proxy=proxy.address if proxy else None,
                    # With which a tunnel is asked for. What goes through it is not the proxy's to read.
                    proxy_headers=proxy.headers if proxy is not None and url.scheme == "https" else None,
                    skip_auto_headers=None if request.method == "GET" and "Accept" in request.headers else _ADDED,
                    allow_redirects=False,
                )
            return answer, deadline
        except (aiohttp.ClientError, OSError) as error:
            never_sent = isinstance(error, _NEVER_SENT)
            failure = transport_error(request, error, sent=not never_sent, deadline=deadline)
        raise failure

    def _url(self, address: str) -> URL:
        """An address that was not asked for lately."""
        now = time.monotonic()
        if now >= self._forget_at or len(self._urls) >= _MOST_URLS:
            self._older_urls, self._urls = self._urls, {}
            self._forget_at = now + _REMEMBERED
        url = self._older_urls.get(address)
        if url is None:
            checked_url(address, "The request's address")
            # Already encoded: yarl would decode and encode again, and so change %3A in an id.
            url = URL(address, encoded=True)
            server = (url.scheme, url.raw_authority)
            if server not in self._proxies:
                # Reading the environment takes longer than a request.
                self._proxies[server] = proxy_for(address)
        self._urls[address] = url
        return url

    async def _opened(self) -> aiohttp.ClientSession:
        async with self._opening:
            if self._session is None:
                # Reading the CA bundle takes some 15 ms, during which no trigger would move.
                context = await asyncio.to_thread(self._settings.ssl_context)
                self._session = aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(
                        ssl=context,
                        limit=0,
                        limit_per_host=self._connections,
                        keepalive_timeout=self._keep_alive,
                    ),
                    timeout=aiohttp.ClientTimeout(
                        total=None,
                        # With the wait for one of the few connections, which others may hold.
                        connect=self._settings.response_timeout / 2,
                        sock_connect=self._settings.connect_timeout,
                        sock_read=self._settings.read_timeout,
                    ),
                    headers={"User-Agent": self._settings.user_agent, "Accept-Encoding": "gzip"},
                    cookie_jar=aiohttp.DummyCookieJar(),
                    auto_decompress=False,
                    trust_env=False,
                )
                # Whether to send again is decided in one place, and it is not here: aiohttp by itself sends GET, PUT
                # and DELETE a second time when a connection breaks. There is no public switch (aiohttp #10790);
                # a test over HTTP counts the requests.
                self._session._retry_connection = False
            return self._session

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)

    def now(self) -> float:
        """Wall-clock time in seconds since the epoch."""
        return time.time()

    def random(self) -> float:
        """A number in [0, 1)."""
        return random.random()  # noqa: S311 (jitter, not cryptography)

    async def to_thread(self, function: Callable[[], T]) -> T:
        """Run a function in a thread, so that the loop goes on."""
        return await asyncio.to_thread(function)

    async def gather(self, flows: Iterable[Awaitable[T]], limit: int) -> list[T]:
        """Run flows as tasks, ``limit`` at once, and return their results in order."""
        gate = asyncio.Semaphore(limit)

        async def gated(flow: Awaitable[T]) -> T:
            async with gate:
                return await flow

        pending = list(flows)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(gated(flow)) for flow in pending]
        except BaseExceptionGroup as failures:
            # As itself, not wrapped in a group: the other driver knows no groups.
            raise failures.exceptions[0] from None
        finally:
            close_unused(pending)
        return [task.result() for task in tasks]

    async def shield(self, flow: Coroutine[Any, Any, T]) -> T:
        """Run a flow in a task of its own; a caller that is canceled waits for its end before it goes."""
        task = asyncio.create_task(flow)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            while not task.done():
                # Who is impatient cancels more than once.
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([task])
            raise


class _Streamed(StreamedResponse):
    def __init__(self, request: Request, answer: aiohttp.ClientResponse, deadline: Deadline) -> None:
        super().__init__(request, answer.status, answer.headers, deadline)
        self._answer = answer

    def arrived(self) -> bytes | None:
        content = self._answer.content
        if not content.is_eof() or content.exception() is not None:
            return None
        return content.read_nowait()

    async def pieces(self, size: int) -> AsyncIterator[bytes]:
        while piece := await self._piece(size):
            yield piece

    async def _piece(self, size: int) -> bytes:
        failure: OACTransportError
        try:
            async with asyncio.timeout(self.deadline.left()):
                return await self._answer.content.read(size)
        except (aiohttp.ClientError, OSError) as error:
            failure = transport_error(self.request, error, sent=True, deadline=self.deadline)
        raise failure
