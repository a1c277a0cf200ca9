"""The checksum of what passes into a sink."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import Future, ThreadPoolExecutor

from airflow_provider_oac.client.transfer import Sink

# A smaller piece is computed sooner than it is handed over.
_WORTH_A_THREAD = 1 << 17
THREAD_NAME = "oac-checksum"


class SummedSink:
    """A sink that computes the SHA-256 of what it passes on to another one.

    Of large pieces in a thread of its own, while the next one is read: it takes as long as reading from a fast network
    does, and neither holds the interpreter's lock meanwhile. One piece waits at most.

    :param sink: where it all goes.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._beside: ThreadPoolExecutor | None = None
        self._pending: Future[None] | None = None
        self._digest = hashlib.sha256()
        # A flow that is cancelled discards while a thread may still be writing.
        self._lock = threading.Lock()
        self.size = 0

    def write(self, data: bytes) -> None:
        """Take the next bytes. What the sink refuses does not count."""
        with self._lock:
            self._sink.write(data)
            self.size += len(data)
            self._settle()
            if len(data) < _WORTH_A_THREAD:
                self._digest.update(data)
                return
            if self._beside is None:
                self._beside = ThreadPoolExecutor(max_workers=1, thread_name_prefix=THREAD_NAME)
            self._pending = self._beside.submit(self._digest.update, data)

    def discard(self) -> None:
        """Forget what was written."""
        with self._lock:
            try:
                self._sink.discard()
            finally:
                self._end_thread(wait=False)
                self._digest = hashlib.sha256()
                self.size = 0

    def commit(self) -> None:
        """Make it the file that was wanted."""
        with self._lock:
            # First: what ends the task here ends it before the file is in its place.
            self._settle()
            self._end_thread(wait=True)
            self._sink.commit()

    @property
    def sha256(self) -> str:
        """Of what was written, in hexadecimal digits."""
        with self._lock:
            self._settle()
            return self._digest.hexdigest()

    def _settle(self) -> None:
        if self._pending is not None:
            self._pending.result()
            self._pending = None

    def _end_thread(self, *, wait: bool) -> None:
        beside, self._beside, self._pending = self._beside, None, None
        if beside is not None:
            beside.shutdown(wait=wait)
