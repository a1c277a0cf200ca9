"""What the two drivers do besides HTTP: run flows, wait, stop, work side by side."""

from __future__ import annotations

import asyncio
import gc
import threading
import warnings

import pytest

from airflow_provider_oac.exceptions import OACConfigurationError, OACKilledError
from airflow_provider_oac.transport.asynchronous import AsyncIO
from airflow_provider_oac.transport.blocking import BlockingIO, run
from airflow_provider_oac.transport.io import IO, Request
from tests.drivers import Drive, each_driver  # noqa: F401


class TestRun:
    def test_returns_what_the_flow_returns(self) -> None:
        async def flow() -> str:
            await BlockingIO().sleep(0)
            return "result"

        assert run(flow()) == "result"

    def test_raises_what_the_flow_raises(self) -> None:
        async def flow() -> None:
            raise LookupError("from the flow")

        with pytest.raises(LookupError, match="from the flow"):
            run(flow())

    def test_refuses_a_flow_that_awaits_something_foreign_and_lets_it_clean_up(self) -> None:
        ended: list[str] = []

        async def flow() -> None:
            try:
                await asyncio.sleep(0)
            finally:
                ended.append("cleaned up")

        with pytest.raises(RuntimeError, match="awaited something that is not its io"):
            run(flow())
        assert ended == ["cleaned up"]


class TestStopping:
    def test_a_killed_task_stops_waiting_at_the_next_look(self) -> None:
        looks = iter([False, False, True])
        asked: list[bool] = []

        def stopped() -> bool:
            asked.append(next(looks))
            return asked[-1]

        with pytest.raises(OACKilledError):
            run(BlockingIO(stopped=stopped).sleep(3600))
        assert asked == [False, False, True]

    def test_a_task_killed_before_does_not_wait_at_all(self) -> None:
        with pytest.raises(OACKilledError):
            run(BlockingIO(stopped=lambda: True).sleep(0))

    def test_a_cancelled_trigger_stops_waiting(self) -> None:
        async def whole() -> None:
            waiting = asyncio.ensure_future(AsyncIO().sleep(3600))
            await asyncio.sleep(0)
            waiting.cancel()
            await waiting

        with pytest.raises(asyncio.CancelledError):
            asyncio.run(whole())

    def test_a_task_waits_as_long_as_told_otherwise(self) -> None:
        looks: list[int] = []
        run(BlockingIO(stopped=lambda: looks.append(1) is not None).sleep(0.01))
        assert len(looks) == 2


class TestTogether:
    def test_returns_results_in_the_order_of_the_flows(self, drive: Drive) -> None:
        async def one(io: IO, number: int) -> int:
            await io.sleep(0.002 * (5 - number))
            return number

        assert drive(lambda io: io.gather((one(io, number) for number in range(6)), 3)) == list(range(6))

    def test_of_nothing_is_nothing(self, drive: Drive) -> None:
        assert drive(lambda io: io.gather([], 4)) == []

    def test_runs_no_more_than_the_limit_at_once_but_as_many(self, drive: Drive) -> None:
        lock, running, seen = threading.Lock(), [0], []
        both = threading.Barrier(2)

        async def one(io: IO) -> None:
            with lock:
                running[0] += 1
                seen.append(running[0])
            # Each waits for one that runs beside it; nobody ends alone.
            await io.to_thread(lambda: both.wait(30))
            with lock:
                running[0] -= 1

        drive(lambda io: io.gather([one(io) for _ in range(8)], 2))
        assert max(seen) == 2
        assert len(seen) == 8

    def test_raises_the_first_failure_itself(self, drive: Drive) -> None:
        async def one(io: IO, number: int) -> int:
            if number == 1:
                raise LookupError("the second")
            return number

        with pytest.raises(LookupError, match="the second"):
            drive(lambda io: io.gather([one(io, number) for number in range(4)], 2))

    def test_leaves_no_flow_behind_that_was_never_begun(self, drive: Drive) -> None:
        async def one(io: IO, number: int) -> None:
            if number == 0:
                raise LookupError
            await io.sleep(0.001)

        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            with pytest.raises(LookupError):
                drive(lambda io: io.gather([one(io, number) for number in range(50)], 1))
            gc.collect()
        assert [str(warning.message) for warning in warned] == []


def test_offload_returns_and_raises_as_the_function_does(drive: Drive) -> None:
    def fail() -> None:
        raise LookupError("from the function")

    assert drive(lambda io: io.to_thread(lambda: 42)) == 42
    with pytest.raises(LookupError, match="from the function"):
        drive(lambda io: io.to_thread(fail))


def test_offload_keeps_an_event_loop_free() -> None:
    threads: list[int] = []

    async def whole() -> None:
        await AsyncIO().to_thread(lambda: threads.append(threading.get_ident()))

    asyncio.run(whole())
    assert threads != [threading.get_ident()]


def test_offload_in_a_task_stays_in_its_thread() -> None:
    threads: list[int] = []
    run(BlockingIO().to_thread(lambda: threads.append(threading.get_ident())))
    assert threads == [threading.get_ident()]


def test_random_is_a_share(drive: Drive) -> None:
    async def many(io: IO) -> list[float]:
        return [io.random() for _ in range(200)]

    numbers = drive(many)
    assert all(0 <= number < 1 for number in numbers)
    assert len(set(numbers)) > 100


@pytest.mark.parametrize(
    "url", ["http://oac.example.com/api", "https://u:pass-phrase@127.0.0.1/", "nonsense", "https://"]
)
def test_an_address_that_must_not_be_sent_to_is_refused_before_anything_is_sent(url: str, drive: Drive) -> None:
    with pytest.raises(OACConfigurationError) as caught:
        drive(lambda io: io.send(Request("GET", url, {"Authorization": "Bearer the-token"})))
    assert "the-token" not in str(caught.value)
    assert "pass-phrase" not in str(caught.value)
