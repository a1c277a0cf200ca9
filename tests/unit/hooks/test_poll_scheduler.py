"""How many polls the scheduler makes at once, with an instance that is made up, on a virtual clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import pytest

from airflow_provider_oac.client.flows.polling import WaitPlan, WorkRequestTarget
from airflow_provider_oac.client.flows.throttle import FEW
from airflow_provider_oac.client.rest.work_requests import WorkRequest
from airflow_provider_oac.hooks.poll_scheduler import TICK, Scheduler
from tests import virtual

START = 1_700_000_000.0
RUNNING = WorkRequest.parse({"id": "1", "status": "IN_PROGRESS"}, "A work request")
DONE = WorkRequest.parse({"id": "1", "status": "SUCCEEDED"}, "A work request")


class Polled(WorkRequestTarget):
    """A work request of an hour ago that is polled in another way."""

    def __init__(self, key: Any, longest_pause: float, poll: Callable[[Any], Awaitable[WorkRequest]]) -> None:
        super().__init__(str(key), WaitPlan(longest_pause=longest_pause), started_at=START - 3600.0)
        self._poll = poll

    async def poll(self, api: Any) -> WorkRequest:
        return await self._poll(api)


class Instance:
    """Answers every poll after some seconds."""

    def __init__(self, seconds: float) -> None:
        self.most = self._under_way = 0
        self.polls: list[float] = []
        self._seconds = seconds

    def now(self) -> float:
        return START + asyncio.get_running_loop().time()

    def random(self) -> float:
        return 0.5

    async def poll(self, _api: Any) -> WorkRequest:
        self.polls.append(self.now())
        self._under_way += 1
        self.most = max(self.most, self._under_way)
        await asyncio.sleep(self._seconds)
        self._under_way -= 1
        return RUNNING

    async def polled(self, times: int) -> None:
        """Wait until it was polled so often."""
        while len(self.polls) < times:
            await asyncio.sleep(0.05)


async def nothing_new() -> bool:
    return False


@asynccontextmanager
async def waiting(instance: Instance) -> AsyncIterator[Callable[..., None]]:
    """A function that begins to wait; all waits end with the block."""
    place = Scheduler(instance, nothing_new)  # type: ignore[arg-type]
    waits: list[asyncio.Task[WorkRequest]] = []

    def begin(key: Any, pause: float, at: Instance = instance) -> None:
        waits.append(asyncio.create_task(place.wait(Polled(key, pause, at.poll))))

    yield begin
    for wait in waits:
        wait.cancel()
    await asyncio.gather(*waits, return_exceptions=True)
    await place.close()


def test_many_who_begin_at_once_do_not_need_more_connections() -> None:
    instance = Instance(0.02)

    async def begun() -> None:
        async with waiting(instance) as begin:
            for number in range(200):
                begin(number, 60.0)
                if number == 50:
                    # By now it is known how long the instance takes.
                    await instance.polled(50)
            # On a busy machine an answer comes late: a hundred milliseconds must not be enough to need more.
            await instance.polled(200)

    virtual.run(begun())
    assert instance.most == FEW


def test_who_joins_one_that_waits_for_a_worker_does_not_have_it_polled_twice() -> None:
    slow, popular = Instance(2.0), Instance(0.5)

    async def joined() -> None:
        async with waiting(slow) as begin:
            # All workers are busy.
            for number in range(FEW):
                begin(number, 60.0)
            await slow.polled(FEW)
            for _ in range(3):
                begin("popular", 60.0, popular)
                # Longer than from one collection of what is due to the next.
                await asyncio.sleep(2 * TICK)
            await popular.polled(1)
            await asyncio.sleep(2 * TICK)

    virtual.run(joined())
    assert (popular.most, len(popular.polls)) == (1, 1)


def test_those_who_begin_together_spread() -> None:
    instance = Instance(0.0)
    chances = iter(number / 40 for number in range(10_000))
    instance.random = lambda: next(chances) % 1.0  # type: ignore[method-assign]

    async def spread() -> None:
        async with waiting(instance) as begin:
            for number in range(40):
                begin(number, 30.0)
            await instance.polled(80)

    virtual.run(spread())
    # The second poll of each.
    assert 2.5 <= instance.polls[79] - instance.polls[40] <= 3.5


@pytest.mark.parametrize("latency", [0.02, 0.1, 0.3])
@pytest.mark.parametrize("many", [100, 1000])
@pytest.mark.parametrize("spread", [True, False], ids=["spread", "burst"])
def test_the_end_is_noticed_in_time_at_a_distance_with_few_connections(many: int, latency: float, spread: bool) -> None:
    pause, late = 5.0, []
    instance, chance = Instance(latency), Random(1)
    instance.random = chance.random  # type: ignore[method-assign]

    async def one(place: Scheduler, number: int) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(pause * number / many if spread else 0.0)
        # After the time in which the limit grows.
        end = loop.time() + 15.0 + pause * chance.random()

        async def poll(api: Any) -> WorkRequest:
            # OAC decides what it answers half way.
            ended = loop.time() + latency / 2 >= end
            await instance.poll(api)
            return DONE if ended else RUNNING

        await place.wait(Polled(number, pause, poll))
        late.append(loop.time() - end)

    async def all_of_them() -> None:
        place = Scheduler(instance, nothing_new)  # type: ignore[arg-type]
        await asyncio.gather(*(one(place, number) for number in range(many)))
        await place.close()

    virtual.run(all_of_them())
    # One that polls by itself notices it after a pause and half a latency at most.
    assert sorted(late)[int(0.99 * many)] <= pause + 1.5 * latency + 0.5
    assert instance.most <= 1.5 * many / pause * latency + 8
