"""The checksum of what passes into a sink."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from random import Random

import pytest

from airflow_provider_oac.client.flows.download import Stored, SummedSink, copy
from airflow_provider_oac.exceptions import OACStorageError

LARGE = bytes(1 << 20)


class Memory:
    """Keeps what it is given, unless it is full, or the store does not take it in the end."""

    def __init__(self) -> None:
        self.data = b""
        self.full = False
        self.refuses = False

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


def test_what_is_discarded_while_a_thread_writes_is_forgotten() -> None:
    begun, goes_on = threading.Event(), threading.Event()

    class Slow(Memory):
        def write(self, data: bytes) -> None:
            begun.set()
            assert goes_on.wait(10.0)
            super().write(data)

    sink = Slow()
    summed = SummedSink(sink)
    writer = threading.Thread(target=summed.write, args=(LARGE,))
    writer.start()
    assert begun.wait(10.0)
    ender = threading.Thread(target=summed.discard)
    ender.start()
    goes_on.set()
    writer.join(10.0)
    ender.join(10.0)
    assert sink.data == b""
    assert summed.commit() == Stored(0, hashlib.sha256().hexdigest())
