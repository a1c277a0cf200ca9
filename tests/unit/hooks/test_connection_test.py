"""The test of a Connection, where a server cannot show it."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace
from typing import Any

from airflow.models import Connection

from airflow_provider_oac.hooks.connection import read_connection
from airflow_provider_oac.hooks.connection_test import _Checks


class SlowEntry:
    """An entry of a token store whose lock takes a while."""

    where = "a store"

    def __init__(self) -> None:
        self.asked, self.go, self.released = threading.Event(), threading.Event(), threading.Event()
        self.lock = self

    def read(self) -> None: ...

    def acquire(self) -> bool:
        self.asked.set()
        return self.go.wait(30)

    def release(self) -> None:
        self.released.set()


def test_a_canceled_test_leaves_no_lock_of_the_store_behind() -> None:
    extra = {"identity_url": "https://identity.example.com", "scope": "https://x::all", "grant": "device_code"}
    conn = Connection("oac", "oac", host="https://oac.example.com", login="id", password="secret", extra=extra)
    entry, io = SlowEntry(), SimpleNamespace(to_thread=asyncio.to_thread)

    async def canceled() -> None:
        checks: Any = _Checks(read_connection(conn), io, entry)  # type: ignore[arg-type]
        task = asyncio.create_task(anext(checks._store()))
        await asyncio.to_thread(entry.asked.wait, 30)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        entry.go.set()
        assert await asyncio.to_thread(entry.released.wait, 30)

    asyncio.run(canceled())
