"""The checksum of what passes into a sink."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import pytest

from airflow_provider_oac.client.flows.download import Stored, SummedSink, copy
from airflow_provider_oac.exceptions import OACStorageError

LARGE = bytes(1 << 20)


class Memory:
    """Keeps what it is given, unless it is full, or the store does not take it in the end."""

    data, full, refuses = b"", False, False

    def write(self, data: bytes) -> None:
        if self.full:
            raise OACStorageError("no space left")
        self.data += data

    def discard(self) -> None:
        self.data = b""

    def commit(self) -> None:
        if self.refuses:
            raise OACStorageError("not taken")


def test_pieces_of_any_size_count_in_their_order() -> None:
    random, sink = Random(1), Memory()
    summed = SummedSink(sink)
    pieces = [random.randbytes(random.choice((0, 1, 1000, 1 << 17, 1 << 20))) for _ in range(40)]
    for piece in pieces:
        summed.write(piece)
    stored = summed.commit()
    assert sink.data == b"".join(pieces)
    assert stored == Stored(len(sink.data), hashlib.sha256(sink.data).hexdigest())


def test_what_is_discarded_or_refused_does_not_count() -> None:
    sink = Memory()
    summed = SummedSink(sink)
    summed.write(LARGE)
    summed.discard()
    summed.write(b"what counts")
    sink.full = True
    with pytest.raises(OACStorageError):
        summed.write(LARGE)
    assert summed.commit() == Stored(11, hashlib.sha256(b"what counts").hexdigest())


@pytest.mark.parametrize("trouble", ["full", "refuses"])
def test_a_copy_that_the_sink_refuses_leaves_nothing(trouble: str, tmp_path: Path) -> None:
    source, sink = tmp_path / "source", Memory()
    source.write_bytes(LARGE)
    sink.write(LARGE)
    setattr(sink, trouble, True)
    with pytest.raises(OACStorageError):
        copy(source, sink)
    assert sink.data == b""


class Slow(Memory):
    """Writes when it is told to."""

    def __init__(self) -> None:
        self.begun, self.continues = threading.Event(), threading.Event()

    def write(self, data: bytes) -> None:
        self.begun.set()
        assert self.continues.wait(10.0)
        super().write(data)


def test_what_is_discarded_while_a_thread_writes_is_forgotten() -> None:
    sink = Slow()
    summed = SummedSink(sink)
    with ThreadPoolExecutor() as threads:
        threads.submit(summed.write, LARGE)
        assert sink.begun.wait(10.0)
        threads.submit(summed.discard)
        sink.continues.set()
    assert sink.data == b""
    assert summed.commit() == Stored(0, hashlib.sha256().hexdigest())
