"""The interface between flows and drivers: requests, responses and the ``IO`` protocol.

A flow is an ``async def`` that reaches the network, the clock and threads only through the :class:`IO` that it is
given. Two drivers implement it: the blocking one in :mod:`airflow_provider_oac.transport.blocking` (its methods never
suspend, so one ``send`` runs the whole coroutine) and the asynchronous one in
:mod:`airflow_provider_oac.transport.asynchronous`.
"""

from __future__ import annotations

import json
import math
import random
import re
import time
import zlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Protocol, TypeVar

from airflow_provider_oac.exceptions import OACResponseError, OACTransportError

T = TypeVar("T")

# Responses of the API and the token service are small. Large ones (exports) are streamed through ``IO.open``.
MAX_BODY_BYTES = 64 * 1024 * 1024
# Bytes per second at which a streamed body may take as long as it needs.
SLOWEST_STREAM = 10_000
# Requests ask for gzip; x-gzip is the same (RFC 9110 section 8.4.1.3).
_GZIP = frozenset({"gzip", "x-gzip"})
_ENCODINGS = _GZIP | {"", "identity"}


@dataclass(frozen=True)
class Request:
    """One complete HTTP request, which every driver sends alike.

    :param method: HTTP method.
    :param url: absolute URL, already encoded, with its query.
    :param headers: all headers except ``Host``, ``User-Agent``, ``Accept-Encoding`` and those of framing.
    :param body: body, or ``None`` for none.
    """

    method: str
    url: str
    # Headers and body hold tokens, assertions and passwords.
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Response:
    """One HTTP response with its whole body.

    :param headers: header names in lower case.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    url: str = ""

    def json(self) -> Any:
        """Parse the body as JSON.

        :raises OACResponseError: if it is not JSON.
        """
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            pass
        # Raised outside the handler: the parser's exception holds the body, which may hold a token.
        raise OACResponseError(
            f"HTTP {self.status} from {self.url} carries no valid JSON ({media_type(self.headers)}, "
            f"{len(self.body)} bytes)."
        )

    def date(self) -> float | None:
        """The server's clock (seconds since the epoch) by its ``Date`` header, or ``None``."""
        return http_date(self.headers.get("date", ""))


def media_type(headers: Mapping[str, str]) -> str:
    """The media type of a body, for messages; a server may send anything, so a malformed one is not shown."""
    text = headers.get("content-type", "").partition(";")[0].strip()
    if not text:
        return "no content type"
    return text if re.fullmatch(r"[a-z]{1,20}/[a-z0-9.+-]{1,80}", text) else "an unknown type"


def http_date(text: str) -> float | None:
    """Seconds since the epoch of an HTTP date, in any of its three forms (RFC 9110 section 5.6.7), or ``None``."""
    try:
        moment = parsedate_to_datetime(text)
        # The form of C's asctime names no zone; every HTTP date is in UTC.
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


class Deadline:
    """The moment at which a driver abandons a response, however slowly its bytes arrive.

    :param seconds: from now.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._until = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds left; zero or negative if the deadline has passed."""
        return self._until - time.monotonic()

    def extend(self, seconds: float) -> None:
        """Postpone the deadline."""
        self._until += seconds

    def lift(self) -> None:
        """Remove the deadline."""
        self._until = math.inf


class StreamedResponse(ABC):
    """A response whose body is read piece by piece.

    :param request: the request that it answers.
    :param status: HTTP status.
    :param headers: header names in any case.
    :param deadline: when the driver abandons it.
    """

    def __init__(self, request: Request, status: int, headers: Mapping[str, str], deadline: Deadline) -> None:
        self.request = request
        self.status = status
        self.headers = {name.lower(): value for name, value in headers.items()}
        self.deadline = deadline

    async def chunks(self, size: int) -> AsyncIterator[bytes]:
        """Yield the body in pieces of at most ``size`` bytes.

        The time that the reader takes does not count toward the deadline, and each piece postpones it.

        :raises OACTransportError: if the body ends before it is complete, or arrives too slowly.
        :raises OACResponseError: if it has an encoding that was not requested, such as gzip applied twice.
        """
        self._check_encoding()
        async for piece in self._unpacked(size):
            arrived = time.monotonic()
            yield piece
            self.deadline.extend(time.monotonic() - arrived + len(piece) / SLOWEST_STREAM)

    async def _unpacked(self, size: int) -> AsyncIterator[bytes]:
        if self._encoding not in _GZIP:
            async for piece in self.pieces(size):
                yield piece
            return
        packed = Gunzip(size)
        async for piece in self.pieces(size):
            for unpacked in packed.unpack(piece):
                yield unpacked
            if packed.broken:
                break
        if packed.broken or not packed.complete:
            what = "is not gzip, as its head says" if packed.broken else "ends before its gzip stream does"
            raise OACTransportError(
                f"{self.request.method} {self._url}: the body of the response {what}. Likely cause: a proxy or gateway "
                "truncated or changed it. The server may have acted on the request.",
                sent=True,
            )

    def _check_encoding(self) -> None:
        if self._encoding not in _ENCODINGS:
            raise OACResponseError(
                f"{self.request.method} {self._url}: the body of HTTP {self.status} has the encoding "
                f"{self._encoding[:40]!r}, which was not requested. Likely cause: a proxy compresses responses."
            )

    @property
    def _encoding(self) -> str:
        return self.headers.get("content-encoding", "").strip().lower()

    @property
    def _url(self) -> str:
        """The URL without its query, for messages."""
        return self.request.url.partition("?")[0]

    @abstractmethod
    def pieces(self, size: int) -> AsyncIterator[bytes]:
        """The driver's part of :meth:`chunks`: yield the body as it arrives, still compressed."""

    async def read(self) -> Response:
        """Read the whole body.

        An error response with an encoding that was not requested, such as a proxy's, is returned with an empty body, so
        its status is not lost.

        :raises OACResponseError: if the body is larger than ``MAX_BODY_BYTES``, or has an encoding that was not
            requested.
        :raises OACTransportError: if the body ends before it is complete, or arrives too slowly.
        """
        if self.status >= 400 and self._encoding not in _ENCODINGS:
            return Response(self.status, self.headers, b"", self.request.url)
        self._check_encoding()
        body = bytearray()
        async for piece in self._unpacked(1 << 16):
            body += piece
            if len(body) > MAX_BODY_BYTES:
                raise OACResponseError(
                    f"The response to {self.request.method} {self._url} is larger than {MAX_BODY_BYTES} bytes and was "
                    "abandoned."
                )
        return Response(self.status, self.headers, bytes(body), self.request.url)


class Gunzip:
    """Decompresses gzip (RFC 1952: one member or several) in bounded memory.

    :param size: most bytes of a piece.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._member: Any = None
        self.broken = False

    @property
    def complete(self) -> bool:
        """Whether the stream may end here; an empty body, such as a 204's, is complete."""
        return self._member is None or bool(self._member.eof)

    def unpack(self, data: bytes) -> Iterator[bytes]:
        """Decompress the next bytes."""
        full = False
        while data or full:
            if self.complete:
                # Some writers pad with zeros.
                data = data if self._member is None else data.lstrip(b"\0")
                if not data:
                    return
                self._member = zlib.decompressobj(zlib.MAX_WBITS | 16)
            try:
                piece = self._member.decompress(data, self._size)
            except zlib.error:
                self.broken = True
                return
            data = self._member.unconsumed_tail or self._member.unused_data
            # zlib may hold back more even if it has read all its input.
            full = len(piece) == self._size and not self._member.eof
            if piece:
                yield piece


def close_unused(flows: Iterable[Awaitable[Any]]) -> None:
    """Close the flows that never started because another one failed; this has no effect on finished ones."""
    for flow in flows:
        if isinstance(flow, Coroutine):
            flow.close()


class IO(Protocol):
    """Network, clock and threads for a flow.

    No implementation follows a redirect, so credentials are never sent to another host.
    """

    async def send(self, request: Request) -> Response:
        """Send one request and return the whole response.

        :raises OACTransportError: if no complete response arrived.
        """
        ...

    def open(self, request: Request) -> AbstractAsyncContextManager[StreamedResponse]:
        """Send one request and stream the body of the response."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...

    def now(self) -> float:
        """Wall-clock time in seconds since the epoch."""
        return time.time()

    def random(self) -> float:
        """A number in [0, 1) for jitter."""
        return random.random()  # noqa: S311 (jitter, not cryptography)

    async def to_thread(self, function: Callable[[], T]) -> T:
        """Run a function that takes CPU time or blocks, where it does not block an event loop."""
        ...

    async def gather(self, flows: Iterable[Awaitable[T]], limit: int) -> list[T]:
        """Run flows concurrently, at most ``limit`` at once, and return their results in order."""
        ...

    async def shield(self, flow: Coroutine[Any, Any, T]) -> T:
        """Run a flow to its end even if its caller is canceled, for work that must not be interrupted."""
        ...
