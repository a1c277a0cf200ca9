"""How many polls the scheduler makes at once, with an instance that is made up, on a virtual clock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
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

    def __init__(
        self, work_request_id: str, longest_pause: float, poll: Callable[[Any], Awaitable[WorkRequest]]
    ) -> None:
        super().__init__(work_request_id, WaitPlan(longest_pause=longest_pause), started_at=START - 3600.0)
        self._poll = poll

    async def poll(self, api: Any) -> WorkRequest:
        return await self._poll(api)


class Instance:
    """Answers every poll after some seconds."""

    def __init__(self, seconds: float) -> None:
        self.most = self.polls = self._under_way = 0
        self._seconds = seconds

    def now(self) -> float:
        return START + asyncio.get_running_loop().time()

    def random(self) -> float:
        return 0.5

    async def poll(self, _api: Any) -> WorkRequest:
        self.polls += 1
        self._under_way += 1
        self.most = max(self.most, self._under_way)
        await asyncio.sleep(self._seconds)
        self._under_way -= 1
        return RUNNING


async def nothing_new() -> bool:
    return False


async def polled(instance: Instance, many: int, pause: float, polls: int) -> None:
    """Have some begin to wait at an instance, then all others at once, until it was polled so often."""
    place = Scheduler(instance, nothing_new)  # type: ignore[arg-type]
    waits = []
    for number in range(many):
        waits.append(asyncio.create_task(place.wait(Polled(str(number), pause, instance.poll))))
        if number == 50:
            # By now it is known how long the instance takes.
            while instance.polls < 50:
                await asyncio.sleep(0.05)
    while instance.polls < polls:
        await asyncio.sleep(0.05)
    for wait in waits:
        wait.cancel()
    await asyncio.gather(*waits, return_exceptions=True)
    await place.close()


def test_many_who_begin_at_once_do_not_need_more_connections() -> None:
    instance = Instance(0.02)
    # On a busy machine an answer comes late: a hundred milliseconds must not be enough to need more.
    virtual.run(polled(instance, 200, 60.0, 200))
    assert instance.most == FEW


def test_who_joins_one_that_waits_for_a_worker_does_not_have_it_polled_twice() -> None:
    slow, popular = Instance(2.0), Instance(0.5)

    async def joined() -> None:
        place = Scheduler(slow, nothing_new)  # type: ignore[arg-type]

        def waits(key: str, instance: Instance) -> asyncio.Task[WorkRequest]:
            return asyncio.create_task(place.wait(Polled(key, 60.0, instance.poll)))

        # All workers are busy.
        waiting = [waits(str(number), slow) for number in range(FEW)]
        while slow.polls < FEW:
            await asyncio.sleep(0.05)
        for _ in range(3):
            waiting.append(waits("popular", popular))
            # Longer than from one collection of what is due to the next.
            await asyncio.sleep(2 * TICK)
        while not popular.polls:
            await asyncio.sleep(0.05)
        await asyncio.sleep(2 * TICK)
        for wait in waiting:
            wait.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await place.close()

    virtual.run(joined())
    assert (popular.most, popular.polls) == (1, 1)


def test_those_who_begin_together_spread() -> None:
    instance = Instance(0.0)
    chances = iter(number / 40 for number in range(10_000))
    instance.random = lambda: next(chances) % 1.0  # type: ignore[method-assign]
    moments: list[float] = []

    async def spread() -> None:
        many = Scheduler(instance, nothing_new)  # type: ignore[arg-type]
        loop = asyncio.get_running_loop()

        async def poll(_api: Any) -> WorkRequest:
            moments.append(loop.time())
            return RUNNING

        waiting = []
        for number in range(40):
            waiting.append(asyncio.create_task(many.wait(Polled(str(number), 30.0, poll))))
        while len(moments) < 80:
            await asyncio.sleep(0.05)
        for wait in waiting:
            wait.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await many.close()

    virtual.run(spread())
    # The second poll of each.
    assert 2.5 <= moments[79] - moments[40] <= 3.5


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

        await place.wait(Polled(str(number), pause, poll))
        late.append(loop.time() - end)

    async def all_of_them() -> None:
        place = Scheduler(instance, nothing_new)  # type: ignore[arg-type]
        await asyncio.gather(*(one(place, number) for number in range(many)))
        await place.close()

    virtual.run(all_of_them())
    # One that polls by itself notices it after a pause and half a latency at most.
    assert sorted(late)[int(0.99 * many)] <= pause + 1.5 * latency + 0.5
    assert instance.most <= 1.5 * many / pause * latency + 8
