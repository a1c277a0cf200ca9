"""Schedules the polls for all waiters at one instance on one event loop.

A waiter costs one future. Four times a second the scheduler collects the polls that are due, and a few workers make
them one after another. This takes half the CPU time of one loop and one timer for each waiter. The poll target
evaluates the result of a poll; the throttle decides when polling pauses.
"""

from __future__ import annotations

import asyncio
import contextvars
import copy
import heapq
import itertools
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from airflow_provider_oac.client.api import Api
from airflow_provider_oac.client.flows.polling import PollTarget
from airflow_provider_oac.client.flows.throttle import Throttle
from airflow_provider_oac.exceptions import (
    OACApiError,
    OACAuthError,
    OACConfigurationError,
    OACError,
    OACTransportError,
)

R = TypeVar("R")

# Seconds between two collections of the polls that are due.
TICK = 0.25
# A poll may come earlier by up to this share of its pause, so polls that began together spread out.
_SPREAD = 0.1
# For the poll rate, a first poll counts as one with this pause in seconds: it comes at once, but only once, and a
# thousand first polls are not a lasting rate of thousands per second.
_FIRST = 5.0
# Seconds that a due poll may be late before waiters whose deadline has passed end without it.
_LATE = 5.0
# If this thread was busy for more than this share of the time between two collections, delays may be its own.
_BUSY = 0.9


@dataclass(slots=True, eq=False)
class _Waiter:
    """A waiting trigger: its poll target, its future, and the context by which Airflow assigns its log lines."""

    target: PollTarget[Any]
    future: asyncio.Future[Any]
    context: contextvars.Context = field(default_factory=contextvars.copy_context)

    def on_result(self, found: Any, now: float) -> float | None:
        """Return the seconds until the next poll after a successful one; ``None`` if the wait is over."""
        return self._judged(self.target.on_result, found, now)

    def on_error(self, error: OACError, now: float) -> float | None:
        """Return the seconds until the next poll after a failed one; ``None`` if the wait is over."""
        # Several waiters may raise this error, so each gets a copy.
        return self._judged(self.target.on_error, copy.copy(error), now)

    def _judged(self, judge: Callable[[Any, float], float | None], what: Any, now: float) -> float | None:
        if self.future.done():
            return None
        try:
            pause = self.context.run(judge, what, now)
        except Exception as error:
            self.fail(error)
            return None
        if pause is None:
            self.future.set_result(what)
        return pause

    def fail(self, error: Exception) -> None:
        """End the wait."""
        if not self.future.done():
            self.future.set_exception(error)


@dataclass(slots=True, eq=False)
class _Poll:
    """One poll for one or more waiters with the same key.

    :param queued: whether it is due and waits for a worker.
    """

    key: Hashable
    waiters: list[_Waiter] = field(default_factory=list)
    turn: int = -1
    pause: float = math.inf
    polling: bool = False
    queued: bool = False
    ready_since: float = -math.inf


class Scheduler:
    """Polls for all waiters.

    It is bound to the running event loop. Its tasks run in an empty context, so their log lines belong to no Airflow
    task.

    :param api: the signed-in instance.
    :param renewed: called when the instance refuses a poll; returns whether there are new credentials.
    """

    def __init__(self, api: Api, renewed: Callable[[], Awaitable[bool]]) -> None:
        self.api = api
        self.throttle = Throttle()
        self._renewed = renewed
        self._loop = asyncio.get_running_loop()
        self._polls: dict[Hashable, _Poll] = {}
        self._due: list[tuple[float, int, _Poll]] = []
        self._turns = itertools.count()
        self._ready: deque[_Poll] = deque()
        self._workers: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._rate = 0.0
        # The highest number of concurrent polls so far, which is about the number of open connections.
        self._opened = 0
        # The time of the last collection, and the CPU time of this thread at that time.
        self._collected = (self._loop.time(), time.thread_time())

    @property
    def idle(self) -> bool:
        """Whether it has no waiters."""
        return not self._polls

    async def wait(self, target: PollTarget[R]) -> R:
        """Wait until a poll target is done.

        :returns: the result of the last poll.
        :raises OACError: as the target decides.
        """
        target.begin(self.api.now())
        waiter = _Waiter(target, self._loop.create_future())
        poll = self._polls.get(target.key)
        if poll is None:
            poll = self._polls[target.key] = _Poll(target.key)
        poll.waiters.append(waiter)
        if not (poll.polling or poll.queued):
            self._schedule(poll, 0.0)
        try:
            result: R = await waiter.future
            return result
        finally:
            self._leave(poll, waiter)

    async def close(self) -> None:
        """Cancel the timer and the polls under way. Call it when there are no more waiters."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._due.clear()
        self._ready.clear()
        workers = list(self._workers)
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)

    def _leave(self, poll: _Poll, waiter: _Waiter) -> None:
        if waiter in poll.waiters:
            poll.waiters.remove(waiter)
        if not poll.waiters and self._polls.get(poll.key) is poll:
            self._forget_pause(poll)
            del self._polls[poll.key]

    def _forget_pause(self, poll: _Poll) -> None:
        self._rate -= 1.0 / poll.pause
        poll.pause = math.inf

    def _schedule(self, poll: _Poll, pause: float) -> None:
        """Schedule a poll after a pause. This replaces its earlier schedule."""
        self._forget_pause(poll)
        poll.pause = max(pause, TICK) if pause else _FIRST
        self._rate += 1.0 / poll.pause
        poll.turn = next(self._turns)
        due = self._loop.time() + pause * (1.0 - _SPREAD * self.api.random())
        heapq.heappush(self._due, (due, poll.turn, poll))
        self._wake()

    def _wake(self) -> None:
        """Set the timer to the next tick of a common grid at which a poll is due, or a queued poll may be late."""
        due = self._due[0][0] if self._due else math.inf
        if self._ready:
            due = min(due, self._loop.time() + TICK)
        if due == math.inf or (self._timer is not None and self._timer.when() <= due):
            return
        when = math.ceil(due / TICK) * TICK
        if self._timer is not None:
            if self._timer.when() <= when:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._collect, context=contextvars.Context())

    def _collect(self) -> None:
        """Pass the due polls to the workers."""
        now = self._loop.time() + 0.001
        disturbed = self._disturbed()
        self._timer = None
        self._end_the_late(now)
        while self._due and self._due[0][0] <= now:
            _, turn, poll = heapq.heappop(self._due)
            if turn == poll.turn and poll.waiters:
                poll.ready_since = now
                poll.queued = True
                self._ready.append(poll)
        self._wake()
        waiting = bool(self._ready) and self._ready[0].ready_since <= now - TICK
        self.throttle.adapt(self._rate, waiting, disturbed)
        for _ in range(min(self.throttle.at_once - len(self._workers), len(self._ready))):
            # More workers than ever before need another connection.
            opens = len(self._workers) >= self._opened
            self._opened += opens
            worker = self._loop.create_task(self._work(opens), context=contextvars.Context())
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)

    def _disturbed(self) -> bool:
        """Return whether this thread was hardly ever idle since the last collection.

        The time that it waited for the processor counts as busy.
        """
        (then, busy), now = self._collected, (self._loop.time(), time.thread_time())
        self._collected = now
        late = now[0] - self._timer.when() if self._timer is not None else 0.0
        return now[1] - busy + late > _BUSY * (now[0] - then)

    async def _work(self, opens: bool) -> None:
        """Make polls until none is due.

        :param opens: whether the first one opens a connection.
        """
        while self._ready and len(self._workers) <= self.throttle.at_once:
            poll = self._ready.popleft()
            poll.queued, poll.polling = False, True
            try:
                pause = await self._poll(poll, opens)
            except Exception as defect:
                # A defect of this package. Each waiter raises the same object: not every exception can be copied.
                for waiter in poll.waiters:
                    waiter.fail(defect)
                poll.waiters.clear()
                pause = 0.0
            finally:
                poll.polling = opens = False
            if poll.waiters:
                self._schedule(poll, pause)
        if (this := asyncio.current_task()) is not None:
            self._workers.discard(this)

    async def _poll(self, poll: _Poll, opens: bool) -> float:
        """Poll once, and let all waiters evaluate the result.

        :returns: seconds until the earliest next poll that a waiter wants.
        """
        if not poll.waiters:
            return 0.0
        if (rest := self.throttle.quiet_until - self._loop.time()) > 0:
            return self._postpone(poll, rest)
        result, failure = None, None
        try:
            result = await self._polled(poll, opens)
        except OACError as error:
            failure = error
        now, pauses = self.api.now(), []
        for waiter in list(poll.waiters):
            pause = waiter.on_error(failure, now) if failure else waiter.on_result(result, now)
            if pause is None:
                poll.waiters.remove(waiter)
            else:
                pauses.append(pause)
        return min(pauses, default=0.0)

    async def _polled(self, poll: _Poll, opens: bool) -> Any:
        """Poll once. Poll again if OAC refuses the credentials and there are new ones."""
        once = poll.waiters[0].target.poll
        for again in (True, False):
            # The refusal of another poll may renew the credentials while this poll is under way.
            began, api = self._loop.time(), self.api
            try:
                found = await once(api)
            except OACError as error:
                now = self._loop.time()
                self.throttle.refused(error, began, now)
                if again and refuses_us(error) and (self.api is not api or await self._renewed()):
                    continue
                raise
            self.throttle.answered(None if opens else self._loop.time() - began)
            return found

    def _postpone(self, poll: _Poll, rest: float) -> float:
        """Skip a poll while polling pauses, but pass the reason to all waiters: some deadlines may have passed."""
        now = self.api.now()
        why = OACApiError(
            f"Polling pauses for {math.ceil(rest)} s more after this error: {self.throttle.reason}",
            status=503,
            method="GET",
            path="",
            retryable=True,
            retry_after=rest,
        )
        for waiter in list(poll.waiters):
            if waiter.on_error(why, now) is None:
                poll.waiters.remove(waiter)
        left = [waiter.target.deadline - now for waiter in poll.waiters if waiter.target.deadline is not None]
        return min([rest + self.api.random(), *(seconds for seconds in left if seconds > 0)])

    def _end_the_late(self, now: float) -> None:
        """End waits whose deadline has passed while their poll is due and all workers wait for responses."""
        for poll in self._ready:
            late = now - poll.ready_since
            if late < _LATE:
                # The polls behind it have been due for a shorter time.
                break
            why = OACTransportError(
                f"A poll is {late:.0f} s late because all connections are waiting for responses. Likely cause: OAC "
                "does not answer, or the network is slow. Next step: check the instance's state and the network.",
                sent=False,
            )
            wall = self.api.now()
            for waiter in list(poll.waiters):
                deadline = waiter.target.deadline
                if deadline is not None and deadline <= wall and waiter.on_error(why, wall) is None:
                    poll.waiters.remove(waiter)


def refuses_us(error: OACError) -> bool:
    """Return whether other credentials, another address or another CA file could help."""
    if isinstance(error, OACApiError):
        return error.status in (401, 403)
    if isinstance(error, OACTransportError):
        # An untrusted certificate, for example: the Connection's ca_file may have been corrected.
        return not error.passing
    if isinstance(error, OACAuthError):
        # A page (HTTP 200) instead of a token may be temporary, or the Connection's address may have been corrected.
        return not error.retryable or error.status == 200
    return isinstance(error, OACConfigurationError)
