"""An ``io`` without real time and network, for tests of the decisions of flows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from airflow_provider_oac.exceptions import OACTransportError
from airflow_provider_oac.transport.io import Deadline, Request, Response, StreamedResponse

T = TypeVar("T")
Answer = Response | BaseException


def response(
    status: int = 200, body: bytes | str = b"{}", headers: dict[str, str] | None = None, url: str = ""
) -> Response:
    """Build a response; a string body is JSON unless a content type says otherwise."""
    data = body.encode() if isinstance(body, str) else body
    return Response(status, {"content-type": "application/json", **(headers or {})}, data, url)


def unreachable(*, sent: bool = False, passing: bool = True) -> OACTransportError:
    """Build the error for a missing response."""
    return OACTransportError("no answer came", sent=sent, passing=passing)


class ManualIO:
    """An ``io`` whose clock moves only by sleeping, and whose server is a function.

    :param answer: returns the response to each request, or an exception to raise.
    :param now: initial time in seconds since the epoch.
    :param random: the constant result of `random`.
    """

    def __init__(
        self,
        answer: Callable[[Request], Answer] = lambda _request: response(),
        *,
        now: float = 1_700_000_000.0,
        random: float = 0.5,
    ) -> None:
        self._answer = answer
        self._random = random
        self.time = now
        self.requests: list[Request] = []
        self.slept: list[float] = []

    async def send(self, request: Request) -> Response:
        self.requests.append(request)
        answer = self._answer(request)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    @asynccontextmanager
    async def open(self, request: Request) -> AsyncIterator[StreamedResponse]:
        answer = await self.send(request)
        yield _Whole(request, answer)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds

    def now(self) -> float:
        return self.time

    def random(self) -> float:
        return self._random

    async def to_thread(self, function: Callable[[], T]) -> T:
        return function()

    async def gather(self, flows: Iterable[Awaitable[T]], limit: int) -> list[T]:
        return [await flow for flow in flows]

    async def shield(self, flow: Coroutine[Any, Any, T]) -> T:
        return await flow


def in_turn(*answers: Answer) -> Callable[[Request], Answer]:
    """Return a server that gives these responses in order, and fails the test on further requests."""
    left = list(answers)

    def answer(request: Request) -> Answer:
        if not left:
            raise AssertionError(f"one request too many: {request}")
        return left.pop(0)

    return answer


class _Whole(StreamedResponse):
    def __init__(self, request: Request, answer: Response) -> None:
        super().__init__(request, answer.status, answer.headers, Deadline(900.0))
        self._body = answer.body

    async def pieces(self, size: int) -> AsyncIterator[bytes]:
        for start in range(0, len(self._body), size):
            yield self._body[start : start + size]
