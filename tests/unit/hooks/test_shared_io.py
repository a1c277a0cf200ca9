"""One driver for all that runs on an event loop with the same transport settings."""

from __future__ import annotations

import asyncio

from airflow_provider_oac.hooks import shared_poller
from airflow_provider_oac.transport.settings import TransportSettings

QUICK, SLOW = TransportSettings(read_timeout=1.0), TransportSettings(read_timeout=2.0)


def test_it_is_one_as_long_as_somebody_uses_it() -> None:
    async def use() -> None:
        async with shared_poller.shared_io(QUICK) as first:
            async with shared_poller.shared_io(QUICK) as same, shared_poller.shared_io(SLOW) as another:
                assert same is first
                assert another is not first
            async with shared_poller.shared_io(QUICK) as still:
                assert still is first
        async with shared_poller.shared_io(QUICK) as new:
            assert new is not first

    asyncio.run(use())
    assert shared_poller._drivers == {}


def test_a_loop_that_was_ended_leaves_none_behind() -> None:
    loop = asyncio.new_event_loop()

    async def take() -> None:
        await shared_poller.shared_io(QUICK).__aenter__()

    loop.run_until_complete(take())
    loop.close()
    test_it_is_one_as_long_as_somebody_uses_it()
