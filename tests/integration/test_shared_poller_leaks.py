"""Nothing is left of thousands of triggers, neither after the last one nor beside one that stays."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from airflow_provider_oac.auth.session import PROCESS_STORE
from airflow_provider_oac.hooks import shared_poller
from airflow_provider_oac.transport import asynchronous
from oac_simulator.launch import Simulator
from tests.integration.test_shared_poller import looks, trigger

# The poller is the same on every line.
pytest.importorskip("airflow.sdk", reason="takes half a minute; runs on Airflow 3 only")

ROUNDS, AT_ONCE, THREADS = 7, 500, 4
# Caches fill while the first few run.
WARM = 4


async def outcome(work: str, *, pause: float = 0.05, seconds: float = 60.0) -> str:
    async for event in trigger(work, seconds, pause).run():
        return str(event.payload["outcome"])
    raise AssertionError("the trigger ended without an event")


def kept() -> tuple[int, int, int]:
    """Objects, tasks of the event loop, and open files."""
    gc.collect()
    folder = Path("/proc/self/fd")
    return len(gc.get_objects()), len(asyncio.all_tasks()), len(list(folder.iterdir())) if folder.is_dir() else 0


@pytest.fixture
def silence() -> Iterator[None]:
    """pytest keeps each line that is logged, with what it holds."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("beside", [False, True], ids=["all go", "one stays"])
@pytest.mark.usefixtures("connections", "silence")
async def test_nothing_is_left_of_thousands_of_triggers(
    beside: bool, clean: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They come, wait and go: most since their work is over, some canceled in a pause. Where somebody waits all day
    beside them, the scheduler and its session stay."""
    monkeypatch.setattr(asynchronous, "_MOST_URLS", 10)
    # The event loop's threads stay, and are begun when they are first needed.
    all_there = threading.Barrier(THREADS)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS))
    await asyncio.gather(*(asyncio.to_thread(all_there.wait, 30) for _ in range(THREADS)))
    (long_work,) = clean.control.start_work("dev", 3600.0)
    stays, counts = [], []
    if beside:
        stays.append(asyncio.create_task(outcome(long_work, pause=1.0, seconds=3600.0)))
    for _ in range(ROUNDS):
        canceled = [asyncio.create_task(outcome(work)) for work in clean.control.start_work("dev", 3600.0, 50)]
        over = clean.control.start_work("dev", 0.0, AT_ONCE - 50)
        assert await asyncio.gather(*(outcome(work) for work in over)) == ["ended"] * len(over)
        for task in canceled:
            task.cancel()
        ends = await asyncio.gather(*canceled, return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError) for end in ends)
        # What was due for them has come by now, and what closes the session has ended.
        await asyncio.sleep(0.6)
        counts.append(kept())
    for task in stays:
        (place,) = shared_poller._places.values()
        (poll,) = place.scheduler._polls.values()
        assert [entry[2] for entry in place.scheduler._due] == [poll] * (not poll.polling)
        assert not place.scheduler._ready
        assert place.scheduler._rate == pytest.approx(1.0 / poll.pause)
        task.cancel()
    await asyncio.gather(*stays, return_exceptions=True)
    objects, tasks, files = zip(*counts[WARM:], strict=True)
    # Not even one object for ten triggers, whatever it is.
    assert max(objects) - objects[0] < (ROUNDS - WARM) * AT_ONCE / 10
    if not beside:
        assert max(objects) - objects[0] < (ROUNDS - WARM) * AT_ONCE / 50
        assert set(tasks) == {1}
        assert len(set(files)) == 1
    assert shared_poller._places == {}
    assert shared_poller._readings == {}
    assert len(PROCESS_STORE._entries) == 1


@pytest.mark.usefixtures("connections", "silence")
async def test_a_trigger_that_waits_is_few_objects(clean: Simulator) -> None:
    # A thousand that begin at once must not make Python's garbage collector go through all that Airflow has loaded,
    # which it does when a quarter as many objects were added: no trigger would move for a tenth of a second.
    (before_all,), works = clean.control.start_work("dev", 3600.0), clean.control.start_work("dev", 3600.0, AT_ONCE)
    going = [asyncio.create_task(outcome(before_all, pause=60.0, seconds=3600.0))]
    while not looks(clean):
        await asyncio.sleep(0.1)
    before = kept()[0]
    going += [asyncio.create_task(outcome(work, pause=60.0, seconds=3600.0)) for work in works]
    while looks(clean) <= AT_ONCE:
        await asyncio.sleep(0.1)
    found = (kept()[0] - before) / AT_ONCE
    for task in going:
        task.cancel()
    await asyncio.gather(*going, return_exceptions=True)
    # Some of them are of connections, of which a slow machine needs more.
    assert found < 34
