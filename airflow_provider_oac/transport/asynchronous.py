"""The asynchronous driver: ``aiohttp`` and asyncio, for the triggerer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager, suppress
from functools import lru_cache
from typing import Any, TypeVar

import aiohttp
from yarl import URL

from airflow_provider_oac.exceptions import OACTransportError
from airflow_provider_oac.transport.failures import transport_error
from airflow_provider_oac.transport.io import IO, Deadline, Request, Response, StreamedResponse, close_unused
from airflow_provider_oac.transport.proxies import proxy_for
from airflow_provider_oac.transport.settings import TransportSettings, checked_url

T = TypeVar("T")

# Connections to one server, however many triggers poll it. A server that hangs must not delay the others.
MAX_CONNECTIONS = 8
# Seconds for which an idle connection is kept: longer than most pauses between two polls. aiohttp's default of 15 would
# mean a handshake for each poll.
KEEP_ALIVE = 120.0
# Polls repeat their URLs, so this many are cached, parsed and checked, some 700 bytes each.
_MOST_URLS = 16_384
# Headers that aiohttp would add. Skipping takes time, so only requests that need it skip them.
_ADDED = ("Accept", "Content-Type")
_NEVER_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.ClientHttpProxyError)


class AsyncIO(IO):
    """The ``io`` of a trigger: one session and one TLS context, created at the first request.

    It is bound to the event loop that first uses it. Close it there.

    :param settings: timeouts and certificates.
    :param connections: most connections to one server.
    :param keep_alive: seconds for which an idle connection is kept.
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
        self._url = lru_cache(maxsize=_MOST_URLS)(_checked)
        # Cached, because reading the environment takes longer than a request.
        self._proxy = lru_cache(maxsize=256)(proxy_for)
        self._session: aiohttp.ClientSession | None = None
        self._opening = asyncio.Lock()

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def send(self, request: Request) -> Response:
        """Send one request and return the whole response; see :class:`airflow_provider_oac.transport.io.IO`."""
        answer, deadline = await self._sent(request)
        async with answer:
            return await _Streamed(request, answer, deadline).read()

    @asynccontextmanager
    async def open(self, request: Request) -> AsyncIterator[StreamedResponse]:
        """Send one request and stream the body of the response."""
        answer, deadline = await self._sent(request)
        async with answer:
            yield _Streamed(request, answer, deadline)

    async def _sent(self, request: Request) -> tuple[aiohttp.ClientResponse, Deadline]:
        session = self._session or await self._opened()
        url = self._url(request.url)
        proxy = self._proxy(f"{url.scheme}://{url.raw_authority}")
        # With a tunnel, the proxy sees the headers of the CONNECT request only: its login.
        login, tunnel = proxy.headers if proxy else {}, url.scheme == "https"
        deadline = Deadline(self._settings.response_timeout)
        try:
            async with asyncio.timeout(deadline.seconds):
                answer = await session.request(
                    request.method,
                    url,
                    headers=request.headers if tunnel or not login else {**request.headers, **login},
                    data=request.body,
                    proxy=proxy.address if proxy else None,
                    proxy_headers=login if tunnel else None,
                    skip_auto_headers=None if request.method == "GET" and "Accept" in request.headers else _ADDED,
                    allow_redirects=False,
                )
            return answer, deadline
        except (aiohttp.ClientError, OSError) as error:
            never_sent = isinstance(error, _NEVER_SENT)
            failure = transport_error(request, error, sent=not never_sent, deadline=deadline)
        raise failure

    async def _opened(self) -> aiohttp.ClientSession:
        async with self._opening:
            if self._session is None:
                # Reading the CA bundle takes some 15 ms, which would block all triggers.
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
                        # Includes the wait for a connection that another request holds.
                        connect=self._settings.response_timeout / 2,
                        sock_connect=self._settings.connect_timeout,
                        sock_read=self._settings.read_timeout,
                    ),
                    headers={"User-Agent": self._settings.user_agent, "Accept-Encoding": "gzip"},
                    cookie_jar=aiohttp.DummyCookieJar(),
                    auto_decompress=False,
                    trust_env=False,
                )
                # transport.retry alone decides whether to send again. aiohttp would send GET, PUT and DELETE a second
                # time when a connection breaks. There is no public switch (aiohttp #10790); a test over HTTP counts
                # the requests.
                self._session._retry_connection = False
            return self._session

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)

    async def to_thread(self, function: Callable[[], T]) -> T:
        """Run a function in a thread, so it does not block the event loop."""
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
            # Raise the first failure alone: the blocking driver raises no exception groups.
            raise failures.exceptions[0] from None
        finally:
            close_unused(pending)
        return [task.result() for task in tasks]

    async def shield(self, flow: Coroutine[Any, Any, T]) -> T:
        """Run a flow in a separate task; a canceled caller waits until the flow has ended."""
        task = asyncio.create_task(flow)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            while not task.done():
                # A caller may cancel more than once.
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([task])
            raise


def _checked(address: str) -> URL:
    checked_url(address, "The request's address")
    # The URL is already encoded: yarl would decode and encode it again, which changes %3A in an id.
    return URL(address, encoded=True)


class _Streamed(StreamedResponse):
    def __init__(self, request: Request, answer: aiohttp.ClientResponse, deadline: Deadline) -> None:
        super().__init__(request, answer.status, answer.headers, deadline)
        self._answer = answer

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
