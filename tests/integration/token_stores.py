"""The stores of tests over HTTP: a folder, and a Redis server that a test may do anything to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.chains import Store
from tests.redis_server import redis_server


@contextmanager
def a_store(kind: str, folder: Path, lease: float = 20.0) -> Iterator[Store]:
    """An empty store of a kind."""
    if kind == "file":
        yield Store(str(folder / "tokens"), lease=lease)
        return
    with redis_server() as server:
        yield Store(server.url, lease=lease)
