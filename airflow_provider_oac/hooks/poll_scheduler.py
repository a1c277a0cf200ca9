"""One scheduler of looks for all who wait at one instance on one event loop.

Who waits costs a future. Looks that are due are collected four times a second and made by a few workers, one after the
other: that takes half the CPU time of a loop and a timer for each. What a look means is the watch's to say; when
there is to be none, the pace's.
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
from airflow_provider_oac.client.throttle import Pace
from airflow_provider_oac.exceptions import (
    OACApiError,
    OACAuthError,
    OACConfigurationError,
    OACError,
    OACTransportError,
)

R = TypeVar("R")

# Seconds between two collections of the looks that are due.
TICK = 0.25
# Looks come at most by this share of a pause earlier than asked for, so that those who began together spread.
_SPREAD = 0.1
# A first look counts as one of so many seconds when connections are reckoned: it comes once, at once, and a thousand of
# them are no rate of thousands per second.
_FIRST = 5.0
# Seconds for which a look that is due may be late before those who have no more time are told so without it.
_LATE = 5.0


class _Waiter:
    """Somebody who waits: the decisions, the context for its log lines, and the future."""

    __slots__ = ("context", "future", "watch")

    def __init__(self, watch: PollTarget[Any], future: asyncio.Future[Any]) -> None:
        self.watch = watch
        self.future = future
        # Airflow tells by the context whose log a line belongs to.
        self.context = contextvars.copy_context()

    def shown(self, found: Any, now: float) -> float | None:
        """Seconds until the next look after one that showed something; ``None`` if the wait is over."""
        return self._judged(self.watch.seen, found, now)

    def told(self, error: OACError, now: float) -> float | None:
        """Seconds until the next look after one that failed; ``None`` if the wait is over."""
        # One of many, who all raise it.
        own = copy.copy(error)
        return self._judged(self.watch.troubled, own, now)

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


class _Target:
    """Something that is looked at, for one waiter or several."""

    __slots__ = ("key", "looking", "pause", "queued", "ready_since", "turn", "waiters")

    def __init__(self, key: Hashable) -> None:
        self.key = key
        self.waiters: list[_Waiter] = []
        self.turn = -1
        self.pause = math.inf
        self.looking = False
        # Whether it is due and waits for a worker.
        self.queued = False
        self.ready_since = -math.inf


class Scheduler:
    """Looks for all who wait.

    Bound to the running event loop. What it runs there runs in an empty context, so that its log lines are nobody's.

    :param api: the instance, signed in.
    :param renewed: asked when the instance refuses whoever asks: whether there are new credentials by now.
    """

    def __init__(self, api: Api, renewed: Callable[[], Awaitable[bool]]) -> None:
        self.api = api
        self.pace = Pace()
        self._renewed = renewed
        self._loop = asyncio.get_running_loop()
        self._targets: dict[Hashable, _Target] = {}
        self._due: list[tuple[float, int, _Target]] = []
        self._turns = itertools.count()
        self._ready: deque[_Target] = deque()
        self._workers: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._rate = 0.0

    @property
    def idle(self) -> bool:
        """Whether nobody waits."""
        return not self._targets

    @property
    def looking(self) -> bool:
        """Whether a look is under way."""
        return bool(self._workers)

    async def wait(self, watch: PollTarget[R]) -> R:
        """Wait until a watch is over.

        :returns: what was seen last.
        :raises OACError: as the watch says.
        """
        watch.begin(self.api.io.now())
        waiter = _Waiter(watch, self._loop.create_future())
        target = self._targets.get(watch.key)
        if target is None:
            target = self._targets[watch.key] = _Target(watch.key)
        target.waiters.append(waiter)
        if not (target.looking or target.queued):
            self._schedule(target, 0.0)
        try:
            result: R = await waiter.future
            return result
        finally:
            self._leave(target, waiter)

    async def close(self) -> None:
        """End what is under way. Nobody waits any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._due.clear()
        self._ready.clear()
        workers = list(self._workers)
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)

    def _leave(self, target: _Target, waiter: _Waiter) -> None:
        if waiter in target.waiters:
            target.waiters.remove(waiter)
        if not target.waiters and self._targets.get(target.key) is target:
            self._forget_pause(target)
            del self._targets[target.key]

    def _forget_pause(self, target: _Target) -> None:
        self._rate -= 1.0 / target.pause
        target.pause = math.inf

    def _schedule(self, target: _Target, pause: float) -> None:
        """Look at it after a pause, and not at any other time."""
        self._forget_pause(target)
        target.pause = max(pause, TICK) if pause else _FIRST
        self._rate += 1.0 / target.pause
        target.turn = next(self._turns)
        due = self._loop.time() + pause * (1.0 - _SPREAD * self.api.io.random())
        heapq.heappush(self._due, (due, target.turn, target))
        self._wake()

    def _wake(self) -> None:
        """Have the next collection come when the next look is due, or may be late, on a grid that all looks share."""
        due = self._due[0][0] if self._due else math.inf
        if self._ready:
            due = min(due, max(self._ready[0].ready_since + _LATE, self._loop.time() + _LATE / 5))
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
        self._timer = None
        now = self._loop.time() + 0.001
        self._tell_the_late(now)
        while self._due and self._due[0][0] <= now:
            _, turn, target = heapq.heappop(self._due)
            if turn == target.turn and target.waiters:
                target.ready_since = now
                target.queued = True
                self._ready.append(target)
        self._wake()
        wanted = min(self.pace.at_once(self._rate) - len(self._workers), len(self._ready))
        for _ in range(wanted):
            worker = self._loop.create_task(self._work(), context=contextvars.Context())
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)

    async def _work(self) -> None:
        """Make looks until none is due."""
        while self._ready and len(self._workers) <= self.pace.at_once(self._rate):
            target = self._ready.popleft()
            target.queued, target.looking = False, True
            try:
                pause = await self._look(target)
            except Exception as defect:
                # Ours: whoever waits must hear of it. As it is: not every exception can be copied.
                for waiter in target.waiters:
                    waiter.fail(defect)
                target.waiters.clear()
                pause = 0.0
            finally:
                target.looking = False
            if target.waiters:
                self._schedule(target, pause)
        if (this := asyncio.current_task()) is not None:
            self._workers.discard(this)

    async def _look(self, target: _Target) -> float:
        """Look once, and have all who wait for it judge what came.

        :returns: seconds until the next look that one of them wants.
        """
        if not target.waiters:
            return 0.0
        if (rest := self.pace.quiet_until - self._loop.time()) > 0:
            return self._put_off(target, rest)
        found, trouble = None, None
        try:
            found = await self._looked(target)
        except OACError as error:
            trouble = error
        now, pauses = self.api.io.now(), []
        for waiter in list(target.waiters):
            pause = waiter.told(trouble, now) if trouble else waiter.shown(found, now)
            if pause is None:
                target.waiters.remove(waiter)
            else:
                pauses.append(pause)
        return min(pauses, default=0.0)

    async def _looked(self, target: _Target) -> Any:
        """Look once, or twice if there were new credentials in between."""
        look = target.waiters[0].watch.look
        for again in (True, False):
            # Credentials may be renewed while this look is under way, because another one was refused.
            began, busy, api = self._loop.time(), time.thread_time(), self.api
            try:
                found = await look(api)
            except OACError as error:
                now = self._loop.time()
                self.pace.refused(error, began, now)
                if again and refuses_us(error) and (self.api is not api or await self._renewed()):
                    continue
                raise
            # What this thread itself worked meanwhile is not the server's: more connections would not help.
            self.pace.answered(max(0.0, self._loop.time() - began - (time.thread_time() - busy)))
            return found

    def _put_off(self, target: _Target, rest: float) -> float:
        """Do not look now, while everybody rests; but say why to all who wait, of whom some have no more time."""
        now, why = self.api.io.now(), _resting(rest, self.pace.reason)
        for waiter in list(target.waiters):
            if waiter.told(why, now) is None:
                target.waiters.remove(waiter)
        left = [waiter.watch.deadline - now for waiter in target.waiters if waiter.watch.deadline is not None]
        return min([rest + self.api.io.random(), *(seconds for seconds in left if seconds > 0)])

    def _tell_the_late(self, now: float) -> None:
        """Tell who has no more time, of those whose look is due and is not made since all workers wait for answers."""
        for target in self._ready:
            late = now - target.ready_since
            if late < _LATE:
                # Those after it are due for a shorter time.
                break
            self._tell_who_has_no_time(target, _slow(late), self.api.io.now())

    def _tell_who_has_no_time(self, target: _Target, why: OACError, now: float) -> None:
        for waiter in list(target.waiters):
            deadline = waiter.watch.deadline
            if deadline is not None and deadline <= now and waiter.told(why, now) is None:
                target.waiters.remove(waiter)


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
        # Such as a certificate that nobody here trusts: the Connection's ca_file may have been corrected.
        return not error.passing
    if isinstance(error, OACAuthError):
        # A page in place of a token may pass, or the address may have been corrected in the Connection.
        return not error.retryable or error.status == 200
    return isinstance(error, OACConfigurationError)
