"""The checksum of what passes into a sink."""

from __future__ import annotations

import hashlib
import threading

from airflow_provider_oac.client.flows.download import Sink


class SummedSink:
    """A sink that computes the SHA-256 of what it passes on to another one.

    :param sink: where it all goes.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._digest = hashlib.sha256()
        # A flow that is canceled discards while a thread may still be writing.
        self._lock = threading.Lock()
        self.size = 0

    def write(self, data: bytes) -> None:
        """Take the next bytes. What the sink refuses does not count."""
        with self._lock:
            self._sink.write(data)
            self._digest.update(data)
            self.size += len(data)

    def discard(self) -> None:
        """Forget what was written."""
        with self._lock:
            self._sink.discard()
            self._digest = hashlib.sha256()
            self.size = 0

    def commit(self) -> None:
        """Make it the file that was wanted."""
        with self._lock:
            self._sink.commit()

    @property
    def sha256(self) -> str:
        """Of what was written, in hexadecimal digits."""
        with self._lock:
            return self._digest.hexdigest()
