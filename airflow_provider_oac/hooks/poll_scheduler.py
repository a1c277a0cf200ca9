"""One scheduler of polls for all who wait at one instance on one event loop.

A waiter costs a future. Polls that are due are collected four times a second and made by a few workers, one after the
other: that takes half the CPU time of a loop and a timer for each. The poll target judges what a poll showed; the
throttle says when to make none.
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
# Polls come at most by this share of a pause earlier than asked for, so that those that began together spread.
_SPREAD = 0.1
# A first poll counts as one of so many seconds when connections are reckoned: it comes once, at once, and a thousand of
# them are no rate of thousands per second.
_FIRST = 5.0
# Seconds for which a poll that is due may be late before waiters whose deadline has come learn so without it.
_LATE = 5.0
# If this thread was busy for this share of the time between two collections, they say nothing about the instance.
_BUSY = 0.9


class _Waiter:
    """A trigger that waits: the poll target, the context for its log lines, and the future."""

    __slots__ = ("context", "future", "target")

    def __init__(self, target: PollTarget[Any], future: asyncio.Future[Any]) -> None:
        self.target = target
        self.future = future
        # Airflow tells by the context whose log a line belongs to.
        self.context = contextvars.copy_context()

    def on_result(self, found: Any, now: float) -> float | None:
        """Seconds until the next poll after one that succeeded; ``None`` if the wait is over."""
        return self._judged(self.target.on_result, found, now)

    def on_error(self, error: OACError, now: float) -> float | None:
        """Seconds until the next poll after one that failed; ``None`` if the wait is over."""
        # Each of several waiters raises a copy.
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


class _Poll:
    """What is polled for one waiter or several."""

    __slots__ = ("key", "pause", "polling", "queued", "ready_since", "turn", "waiters")

    def __init__(self, key: Hashable) -> None:
        self.key = key
        self.waiters: list[_Waiter] = []
        self.turn = -1
        self.pause = math.inf
        self.polling = False
        # Whether it is due and waits for a worker.
        self.queued = False
        self.ready_since = -math.inf


class Scheduler:
    """Polls for all who wait.

    Bound to the running event loop. What it runs there runs in an empty context, so its log lines belong to no task.

    :param api: the instance, signed in.
    :param renewed: asked when the instance refuses a poll: whether there are new credentials now.
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
        # The most polls that were under way so far: about as many connections are open.
        self._opened = 0
        # When the last collection was, and the CPU time of this thread then.
        self._collected = (self._loop.time(), time.thread_time())

    @property
    def idle(self) -> bool:
        """Whether it has no waiters."""
        return not self._polls

    @property
    def polling(self) -> bool:
        """Whether a poll is under way."""
        return bool(self._workers)

    async def wait(self, target: PollTarget[R]) -> R:
        """Wait until a poll target is done.

        :returns: what the last poll showed.
        :raises OACError: as the target says.
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
        """End what is under way. It has no waiters any more."""
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
        """Poll it after a pause, and not at any other time."""
        self._forget_pause(poll)
        poll.pause = max(pause, TICK) if pause else _FIRST
        self._rate += 1.0 / poll.pause
        poll.turn = next(self._turns)
        due = self._loop.time() + pause * (1.0 - _SPREAD * self.api.random())
        heapq.heappush(self._due, (due, poll.turn, poll))
        self._wake()

    def _wake(self) -> None:
        """Have the next collection come when the next poll is due, or may be late, on a grid that all polls share."""
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
        """Hand what is due to the workers."""
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
            # One more than ever before opens a connection.
            opens = len(self._workers) >= self._opened
            self._opened += opens
            worker = self._loop.create_task(self._work(opens), context=contextvars.Context())
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)

    def _disturbed(self) -> bool:
        """Whether this thread was hardly idle since the last collection: it worked, or did not get the processor."""
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
                # Ours: each waiter must raise it. As it is: not every exception can be copied.
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
        """Poll once, and have all waiters judge what came.

        :returns: seconds until the next poll that one of them wants.
        """
        if not poll.waiters:
            return 0.0
        if (rest := self.throttle.quiet_until - self._loop.time()) > 0:
            return self._postpone(poll, rest)
        found, trouble = None, None
        try:
            found = await self._polled(poll, opens)
        except OACError as error:
            trouble = error
        now, pauses = self.api.now(), []
        for waiter in list(poll.waiters):
            pause = waiter.on_error(trouble, now) if trouble else waiter.on_result(found, now)
            if pause is None:
                poll.waiters.remove(waiter)
            else:
                pauses.append(pause)
        return min(pauses, default=0.0)

    async def _polled(self, poll: _Poll, opens: bool) -> Any:
        """Poll once, or twice if there were new credentials in between."""
        once = poll.waiters[0].target.poll
        for again in (True, False):
            # Credentials may be renewed while this poll is under way, because another one was refused.
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
        """Do not poll now, while all rest; but give all waiters the reason: the deadline of some may have come."""
        now, why = self.api.now(), _resting(rest, self.throttle.reason)
        for waiter in list(poll.waiters):
            if waiter.on_error(why, now) is None:
                poll.waiters.remove(waiter)
        left = [waiter.target.deadline - now for waiter in poll.waiters if waiter.target.deadline is not None]
        return min([rest + self.api.random(), *(seconds for seconds in left if seconds > 0)])

    def _end_the_late(self, now: float) -> None:
        """End waits whose deadline has come while their poll is due and all workers wait for responses."""
        for poll in self._ready:
            late = now - poll.ready_since
            if late < _LATE:
                # Those after it are due for a shorter time.
                break
            self._end_overdue(poll, _slow(late), self.api.now())

    def _end_overdue(self, poll: _Poll, why: OACError, now: float) -> None:
        for waiter in list(poll.waiters):
            deadline = waiter.target.deadline
            if deadline is not None and deadline <= now and waiter.on_error(why, now) is None:
                poll.waiters.remove(waiter)


def _resting(rest: float, reason: str) -> OACApiError:
    return OACApiError(
        f"Polling pauses for {math.ceil(rest)} s more after this error: {reason}",
        status=503,
        method="GET",
        path="",
        retryable=True,
        retry_after=rest,
    )


def _slow(late: float) -> OACTransportError:
    return OACTransportError(
        f"A poll is {late:.0f} s late because all connections are waiting for responses. Likely cause: OAC does not "
        "answer, or the network is slow. Next step: check the instance's state and the network.",
        sent=False,
    )


def refuses_us(error: OACError) -> bool:
    """Whether other credentials, or another address or CA file, could help."""
    if isinstance(error, OACApiError):
        return error.status in (401, 403)
    if isinstance(error, OACTransportError):
        # An untrusted certificate, for example: the Connection's ca_file may have been corrected.
        return not error.passing
    if isinstance(error, OACAuthError):
        # A page in place of a token may pass, or the address may have been corrected in the Connection.
        return not error.retryable or error.status == 200
    return isinstance(error, OACConfigurationError)
