"""Who runs when: simulated processes and event loops take turns on one virtual clock.

A process is a greenlet, so that blocking code can pause wherever it touches the world; a triggerer or the simulator is
an event loop. One that is killed is never resumed: as with SIGKILL, none of its ``finally`` blocks runs.
"""

from __future__ import annotations

import asyncio
import heapq
import os
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from greenlet import GreenletExit, getcurrent, greenlet

from tests.universes.chance import Chance

#: When each universe begins, in seconds since the epoch.
BEGIN = 1_800_000_000.0
#: A night that takes longer than this (in virtual seconds, and in steps) does not end.
LONGEST = 14 * 86_400.0
MOST_STEPS = 40_000


class NeverEnds(Exception):
    """Nothing can happen any more, or too much did."""


class Wait:
    """Something that will be done, with a value or an error."""

    __slots__ = ("_callbacks", "done", "error", "value")

    def __init__(self) -> None:
        self.done = False
        self.value: Any = None
        self.error: BaseException | None = None
        self._callbacks: list[Callable[[], None]] = []

    def finish(self, value: Any = None, error: BaseException | None = None) -> None:
        """Be done, unless it is."""
        if not self.done:
            self.done, self.value, self.error = True, value, error
            for callback in self._callbacks:
                callback()

    def then(self, callback: Callable[[], None]) -> None:
        """Call it when this is done, which may be now."""
        if self.done:
            callback()
        else:
            self._callbacks.append(callback)


class Process:
    """A process of the simulated machine.

    :param parent: the process that supervises it.
    """

    def __init__(self, kernel: Kernel, name: str, parent: int = 1) -> None:
        self.kernel, self.name, self.pid, self.ppid = kernel, name, kernel.new_pid(), parent
        self.dead = False
        self.ended = Wait()
        #: Done when it is told to stop.
        self.stopping = Wait()
        self.threads: list[greenlet] = []

    def start(self, main: Callable[[], Any], ended: Wait) -> None:
        """Start a thread of it."""

        def run() -> None:
            try:
                value = main()
            except GreenletExit:
                return
            except BaseException as error:
                ended.finish(error=error)
            else:
                ended.finish(value)

        thread = greenlet(run, parent=self.kernel.hub)
        thread.process = self
        self.threads.append(thread)
        self.kernel.ready.append(thread)


class Loop(asyncio.BaseEventLoop):
    """An event loop that the kernel steps. What it hands to a thread is done at once."""

    def __init__(self, kernel: Kernel, process: Process | None = None) -> None:
        super().__init__()
        self._kernel = kernel
        # A selector without sockets.
        self._selector: Any = SimpleNamespace(select=lambda timeout: [])
        self._thread_id = threading.get_ident()
        self.process = process
        self.dead = False
        self.set_exception_handler(lambda _loop, _context: None)

    def time(self) -> float:
        """Seconds since the universe began."""
        return self._kernel.elapsed

    def when(self) -> float | None:
        """When it has something to do next."""
        if self._ready:  # type: ignore[attr-defined]
            return self._kernel.elapsed
        scheduled: Any = self._scheduled  # type: ignore[attr-defined]
        return scheduled[0].when() if scheduled else None

    def step(self) -> None:
        """Do what is due."""
        asyncio._set_running_loop(self)
        try:
            self._run_once()  # type: ignore[attr-defined]
        finally:
            asyncio._set_running_loop(None)

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        """Call it here and now."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def discard(self) -> None:
        """Forget it; its tasks are not told."""
        for task in asyncio.all_tasks(self):
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            with suppress(RuntimeError):
                # Its ``finally`` blocks find no loop.
                task.get_coro().close()  # type: ignore[union-attr]
        self._thread_id = None  # type: ignore[assignment]
        self.close()

    def _process_events(self, event_list: Any) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody sleeps in a selector."""


class Kernel:
    """The simulated machine.

    :param chance: decides who comes first.
    """

    def __init__(self, chance: Chance) -> None:
        self.chance = chance
        self.hub = getcurrent()
        self.elapsed = 0.0
        self.steps = 0
        #: Threads that can run.
        self.ready: deque[greenlet] = deque()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = 0
        self._pids = 100
        self.loops: list[Loop] = []
        self._processes: list[Process] = []
        #: Called whenever another process runs than before.
        self.on_switch: Callable[[], None] = lambda: None
        self._last: Process | None = None
        self._stepping: Loop | None = None
        #: What is wrong with the simulator, or these tests.
        self.defect: Exception | None = None

    # -- time

    def now(self) -> float:
        """Wall-clock time in seconds since the epoch."""
        return BEGIN + self.elapsed

    def after(self, seconds: float, callback: Callable[[], None]) -> None:
        """Call something later."""
        self._numbers += 1
        heapq.heappush(self._timers, (self.elapsed + max(0.0, seconds), self._numbers, callback))

    def timer(self, seconds: float) -> Wait:
        """Be done later."""
        wait = Wait()
        self.after(seconds, wait.finish)
        return wait

    # -- processes

    def new_pid(self) -> int:
        """A number for a process."""
        self._pids += 1
        return self._pids

    def spawn(self, name: str, main: Callable[[], Any], parent: int = 1) -> Process:
        """Start a process."""
        process = Process(self, name, parent)
        process.start(main, process.ended)
        self._processes.append(process)
        return process

    def loop(self, process: Process | None = None) -> Loop:
        """Start an event loop."""
        loop = Loop(self, process)
        self.loops.append(loop)
        return loop

    @property
    def process(self) -> Process | None:
        """The process that runs now."""
        if self._stepping is not None:
            return self._stepping.process
        return getattr(getcurrent(), "process", None)

    def wait(self, wait: Wait) -> Any:
        """Pause this thread until something is done."""
        thread = getcurrent()
        if not wait.done:
            wait.then(lambda: self.ready.append(thread))
            self.hub.switch()
        if wait.error is not None:
            raise wait.error
        return wait.value

    def first(self, *waits: Wait) -> None:
        """Pause this thread until one of these is done."""
        either = Wait()
        for wait in waits:
            wait.then(either.finish)
        self.wait(either)

    # -- running

    def run(self, until: Wait) -> None:
        """Let everything take its turns until something is done."""
        while not until.done:
            self.steps += 1
            if self.defect is not None:
                raise self.defect
            if self.steps > MOST_STEPS or self.elapsed > LONGEST:
                raise NeverEnds(f"after {self.steps} steps and {self.elapsed / 3600:.0f} h")
            who = self._next()
            if isinstance(who, Loop):
                self._stepping = who
                self._switch(who.process)
                try:
                    who.step()
                finally:
                    self._stepping = None
            elif who is not None and not who.process.dead:
                self._switch(who.process)
                who.switch()

    def _switch(self, process: Process | None) -> None:
        if process is not None and process is not self._last:
            self._last = process
            self.on_switch()

    def _due(self) -> Iterator[tuple[float, Loop]]:
        """When loops have something to do next."""
        for loop in self.loops:
            if not loop.dead and (when := loop.when()) is not None:
                yield when, loop

    def _next(self) -> Any:
        """The thread or loop that is next; ``None`` if only time went by."""
        busy: list[Any] = [loop for when, loop in self._due() if when <= self.elapsed]
        if self.ready:
            busy.append(None)
        if not busy:
            return self._advance()
        which = busy[0] if len(busy) == 1 else busy[self.chance.order(len(busy))]
        if which is not None:
            return which
        if len(self.ready) > 1:
            self.ready.rotate(-self.chance.order(len(self.ready)))
        return self.ready.popleft()

    def _advance(self) -> None:
        """Let the time come at which something is due."""
        due = [when for when, _ in self._due()] + [when for when, *_ in self._timers[:1]]
        if not due:
            raise NeverEnds("everybody waits for somebody else")
        self.elapsed = max(self.elapsed, min(due))
        while self._timers and self._timers[0][0] <= self.elapsed:
            heapq.heappop(self._timers)[2]()

    def close(self) -> None:
        """Leave nothing behind."""
        for loop in self.loops:
            if not loop.is_closed():
                loop.discard()
        for process in self._processes:
            process.dead = True
            for thread in process.threads:
                if not thread.dead and thread:
                    thread.throw(GreenletExit)

    @contextmanager
    def machine(self) -> Iterator[None]:
        """Give this process the clock and the process ids of the simulated machine."""
        state, pid, ppid = random.getstate(), os.getpid(), os.getppid()
        random.seed(self.chance.seed)
        try:
            with (
                patch.multiple(time, time=self.now, monotonic=lambda: self.elapsed),
                patch.object(os, "getpid", lambda: process.pid if (process := self.process) else pid),
                patch.object(os, "getppid", lambda: process.ppid if (process := self.process) else ppid),
            ):
                try:
                    yield
                finally:
                    self.close()
        finally:
            random.setstate(state)
