"""The checksum of what passes into a sink."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from airflow_provider_oac.client.checksum import SummedSink
from airflow_provider_oac.client.transfer import copy
from airflow_provider_oac.exceptions import OACStorageError

LARGE = bytes(1 << 20)


class Memory:
    """Keeps what it is given, unless it is full."""

    def __init__(self) -> None:
        self.data = b""
        self.full = False

    def write(self, data: bytes) -> None:
        if self.full:
            raise OACStorageError("no space left")
        self.data += data

    def discard(self) -> None:
        self.data = b""

    def commit(self) -> None:
        if self.full:
            raise OACStorageError("no space left")


def test_pieces_of_any_size_count_in_their_order() -> None:
    random, sink = Random(1), Memory()
    summed = SummedSink(sink)
    pieces = [random.randbytes(random.choice((0, 1, 1000, 1 << 17, 1 << 20))) for _ in range(40)]
    for piece in pieces:
        summed.write(piece)
    summed.commit()
    assert sink.data == b"".join(pieces)
    assert (summed.size, summed.sha256) == (len(sink.data), hashlib.sha256(sink.data).hexdigest())


def test_what_is_discarded_or_refused_does_not_count() -> None:
    sink = Memory()
    summed = SummedSink(sink)
    summed.write(LARGE)
    summed.discard()
    summed.write(b"what counts")
    sink.full = True
    with pytest.raises(OACStorageError):
        summed.write(LARGE)
    assert (summed.size, summed.sha256) == (11, hashlib.sha256(b"what counts").hexdigest())


@pytest.mark.parametrize("end", [SummedSink.commit, SummedSink.discard])
def test_its_thread_ends_with_it(end: Callable[[SummedSink], None]) -> None:
    before = set(threading.enumerate())
    summed = SummedSink(Memory())
    summed.write(LARGE)
    assert set(threading.enumerate()) > before
    end(summed)
    assert set(threading.enumerate()) == before


def test_a_copy_that_the_sink_refuses_to_commit_leaves_nothing(tmp_path: Path) -> None:
    source, sink = tmp_path / "source", Memory()
    source.write_bytes(LARGE)
    before = set(threading.enumerate())
    summed = SummedSink(sink)
    summed.write(LARGE)
    sink.full = True
    with pytest.raises(OACStorageError):
        copy(source, summed)
    assert (sink.data, summed.size, set(threading.enumerate())) == (b"", 0, before)
