"""Locks within one process, which are free in a forked child even if a thread of its parent holds them."""

from __future__ import annotations

import os
import threading
from types import TracebackType
from weakref import WeakSet


class ProcessLock:
    """A ``threading.Lock`` that is free in a forked child, which does not have its parent's other threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        _locks.add(self)

    def acquire(self, blocking: bool = True) -> bool:
        """Take the lock; see :meth:`threading.Lock.acquire`."""
        return self._lock.acquire(blocking)

    def release(self) -> None:
        """Release the lock."""
        self._lock.release()

    def renew(self) -> None:
        """Replace the lock with a free one."""
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._lock.release()


_locks: WeakSet[ProcessLock] = WeakSet()


def _renew_all() -> None:
    for lock in _locks:
        lock.renew()


os.register_at_fork(after_in_child=_renew_all)
