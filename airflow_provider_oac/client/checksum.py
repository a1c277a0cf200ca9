"""The checksum of a stream, computed beside its reading."""

from __future__ import annotations

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

# A smaller piece is computed sooner than it is handed over.
_WORTH_A_THREAD = 1 << 17


class Checksum:
    """SHA-256 of a stream. Large pieces are computed in a thread of its own, while the next one is read.

    Computing takes as long as reading from a fast network does, and neither holds the interpreter's lock meanwhile. One
    piece waits at most. Used by one thread at a time; a context manager, with which its thread ends.
    """

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._beside = ThreadPoolExecutor(max_workers=1, thread_name_prefix="oac-checksum")
        self._pending: Future[None] | None = None

    def __enter__(self) -> Checksum:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._beside.shutdown()

    def update(self, data: bytes) -> None:
        """Take the next bytes."""
        self._settle()
        if len(data) < _WORTH_A_THREAD:
            self._digest.update(data)
        else:
            self._pending = self._beside.submit(self._digest.update, data)

    def restart(self) -> None:
        """Forget what came."""
        self._settle()
        self._digest = hashlib.sha256()

    def hexdigest(self) -> str:
        """Of all that came, in hexadecimal digits."""
        self._settle()
        return self._digest.hexdigest()

    def _settle(self) -> None:
        if self._pending is not None:
            self._pending.result()
            self._pending = None
