"""The checksum of a stream."""

from __future__ import annotations

import hashlib
import threading
from random import Random

from airflow_provider_oac.client.checksum import Checksum


def test_pieces_of_any_size_count_in_their_order() -> None:
    random = Random(1)
    pieces = [random.randbytes(random.choice((0, 1, 1000, 1 << 17, 1 << 20))) for _ in range(40)]
    with Checksum() as checksum:
        for piece in pieces:
            checksum.update(piece)
        assert checksum.hexdigest() == hashlib.sha256(b"".join(pieces)).hexdigest()


def test_what_came_before_a_restart_does_not_count() -> None:
    with Checksum() as checksum:
        checksum.update(bytes(1 << 20))
        checksum.restart()
        checksum.update(b"what counts")
        assert checksum.hexdigest() == hashlib.sha256(b"what counts").hexdigest()


def test_its_thread_ends_with_it_also_after_an_error() -> None:
    before = set(threading.enumerate())
    try:
        with Checksum() as checksum:
            checksum.update(bytes(1 << 20))
            assert set(threading.enumerate()) > before
            raise ValueError
    except ValueError:
        pass
    assert set(threading.enumerate()) == before
