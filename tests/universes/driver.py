"""The third driver: an ``io`` whose network, clock and threads are the universe's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_oac.auth.store import Lock
from airflow_provider_oac.exceptions import OACKilledError, OACTokenStoreError, OACTransportError
from airflow_provider_oac.transport.blocking import run
from airflow_provider_oac.transport.io import Deadline, Request, Response, StreamedResponse, close_unused
from airflow_provider_oac.transport.settings import TransportSettings
from tests.universes.kernel import Loop, Process, Wait

if TYPE_CHECKING:
    from tests.universes.universe import Universe

T = TypeVar("T")

#: The universe that runs now; operators make their drivers themselves.
_now: list[Universe] = []


def current() -> Universe:
    """The universe that runs now."""
    return _now[-1]


class _UniverseIO:
    """What both drivers share."""

    def __init__(self, process: Process) -> None:
        self._universe = current()
        self._kernel = self._universe.kernel
        self._process = process

    async def _until(self, wait: Wait) -> Any:
        raise NotImplementedError

    async def _point(self, where: str) -> None:
        """A point between two awaits, where the seed may let something happen."""
        raise NotImplementedError

    async def send(self, request: Request) -> Response:
        await self._point("send")
        answer: Response = await self._until(self._universe.network.exchange(self._process, request))
        await self._point("answered")
        return answer

    @asynccontextmanager
    async def open(self, request: Request) -> AsyncIterator[StreamedResponse]:
        answer = await self.send(request)
        yield _Streamed(request, answer, self)

    def now(self) -> float:
        return self._kernel.now()

    def random(self) -> float:
        return self._kernel.chance.random("jitter")

    async def to_thread(self, function: Callable[[], T]) -> T:
        await self._point("thread")
        result = function()
        await self._point("after thread")
        return result


class TaskIO(_UniverseIO):
    """The driver of a task.

    :param stopped: whether the task was told to stop.
    """

    def __init__(
        self, _settings: TransportSettings = TransportSettings(), stopped: Callable[[], bool] = lambda: False
    ) -> None:
        process = current().kernel.process
        assert process is not None
        super().__init__(process)
        self._stopped = stopped

    def close(self) -> None: ...

    async def _until(self, wait: Wait) -> Any:
        return self._kernel.wait(wait)

    async def _point(self, where: str) -> None:
        self._universe.point(self._process, where)

    async def sleep(self, seconds: float) -> None:
        await self._point("sleep")
        if not self._stopped():
            self._kernel.first(self._kernel.timer(seconds), self._process.stopping)
        if self._stopped():
            raise OACKilledError("The task was told to stop.")

    async def gather(self, flows: Iterable[Awaitable[T]], limit: int) -> list[T]:
        pending = [(flow, Wait()) for flow in flows]
        left = iter(pending)

        def work() -> None:
            for flow, outcome in left:
                try:
                    outcome.finish(run(_complete(flow)))
                except Exception as error:
                    outcome.finish(error=error)

        try:
            workers = [Wait() for _ in range(min(limit, len(pending)))]
            for worker in workers:
                self._process.start(work, worker)
            for worker in workers:
                self._kernel.wait(worker)
            return [self._kernel.wait(outcome) for _, outcome in pending]
        finally:
            close_unused([flow for flow, _ in pending])

    async def shield(self, flow: Coroutine[Any, Any, T]) -> T:
        return await flow


async def _complete(flow: Awaitable[T]) -> T:
    return await flow


class TriggerIO(_UniverseIO):
    """The driver of a triggerer: everything but the network is asyncio's, as in the real one."""

    def __init__(self, _settings: TransportSettings = TransportSettings(), **_options: Any) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Loop)
        assert loop.process is not None
        self._loop = loop
        super().__init__(loop.process)

    async def close(self) -> None: ...

    async def _until(self, wait: Wait) -> Any:
        future = self._loop.create_future()

        def done() -> None:
            if future.done() or self._loop.is_closed():
                return
            if wait.error is not None:
                future.set_exception(wait.error)
            else:
                future.set_result(wait.value)

        wait.then(done)
        return await future

    async def _point(self, where: str) -> None:
        self._universe.point(self._process, where)
        if self._process.dead:
            await self._loop.create_future()

    async def sleep(self, seconds: float) -> None:
        await self._point("sleep")
        await asyncio.sleep(seconds)

    async def gather(self, flows: Iterable[Awaitable[T]], limit: int) -> list[T]:
        return await _real_async[0].gather(flows, limit)

    async def shield(self, flow: Coroutine[Any, Any, T]) -> T:
        return await _real_async[0].shield(flow)


#: The asynchronous driver, for what it does without a network.
_real_async: list[Any] = []


class _Streamed(StreamedResponse):
    def __init__(self, request: Request, answer: Response, io: _UniverseIO) -> None:
        super().__init__(request, answer.status, answer.headers, Deadline(900.0))
        self._body, self._io = answer.body, io

    async def pieces(self, size: int) -> AsyncIterator[bytes]:
        # In a few pieces, whatever the size.
        step = max(1, min(size, -(-len(self._body) // 4)))
        for start in range(0, len(self._body), step):
            await self._io._point("piece")
            plan = self._io._universe.plan
            if self._io._universe.chance.event("stream", plan.streams, plan.rate):
                raise OACTransportError(f"{self.request.method}: the connection broke in the body.", sent=True)
            yield self._body[start : start + step]


class SharedStore:
    """A store of tokens that all processes of a universe share.

    :param place: its name; a lease ends by itself in one of Redis's kind, with its process in one of files.
    """

    def __init__(self, place: str) -> None:
        self.where = f"the token store {place}"
        self._universe = current()

    def read(self, name: str) -> bytes | None:
        self._trouble("read")
        return self._universe.kept.get(name)

    def read_all(self, names: Any) -> list[Any]:
        return [self.read(name) for name in names]

    def write(self, name: str, sealed: bytes, expected: bytes | None) -> bool:
        process, network = self._universe.kernel.process, self._universe.network
        try:
            self._trouble("written")
        except OACTokenStoreError:
            if process in network.unkept:
                network.refused[process] += 1
            raise
        if self._universe.kept.get(name) != expected:
            return False
        self._universe.kept[name] = sealed
        if process:
            network.unkept.discard(process)
        return True

    def delete(self, name: str) -> None:
        self._universe.kept.pop(name, None)

    def lock(self, name: str, lease: float) -> Lock:
        return _Lock(self._universe, name, lease if self._universe.plan.leases else None)

    def _trouble(self, what: str) -> None:
        plan = self._universe.plan
        if self._universe.chance.event(f"store {what}", plan.stores, plan.rate):
            raise OACTokenStoreError(f"The {self.where} cannot be {what}: simulated trouble.")


class _Lock:
    def __init__(self, universe: Universe, name: str, lease: float | None) -> None:
        self._universe, self._name, self._lease = universe, name, lease

    def _held(self) -> Any:
        """Who has it."""
        lock, process, until = self._universe.locks.get(self._name, (None, None, 0.0))
        if self._lease is None:
            return None if process is not None and process.dead else lock
        return lock if until > self._universe.kernel.elapsed else None

    def _take_if(self, free: bool) -> bool:
        if free:
            kernel = self._universe.kernel
            self._universe.locks[self._name] = (self, kernel.process, kernel.elapsed + (self._lease or 0.0))
        return free

    def acquire(self) -> bool:
        return self._take_if(self._held() is None)

    def extend(self) -> bool:
        return self._take_if(self._held() is self)

    def release(self) -> None:
        if self._held() is self:
            del self._universe.locks[self._name]
