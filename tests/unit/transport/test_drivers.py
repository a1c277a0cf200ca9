"""What the two drivers add to their libraries besides HTTP: run flows, wait, stop, work side by side."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
import warnings
from typing import Any

import pytest

from airflow_provider_oac.exceptions import OACConfigurationError, OACKilledError, OACTransportError
from airflow_provider_oac.transport import io as transport_io
from airflow_provider_oac.transport.blocking import BlockingIO, run
from airflow_provider_oac.transport.io import IO, Request
from airflow_provider_oac.transport.settings import TransportSettings
from tests.drivers import Drive, blocking, each_driver  # noqa: F401


def test_a_flow_that_awaits_something_foreign_is_refused_and_may_clean_up() -> None:
    ended: list[str] = []

    async def flow() -> None:
        try:
            await asyncio.sleep(0)
        finally:
            ended.append("cleaned up")

    with pytest.raises(RuntimeError, match="awaited something that is not its io"):
        run(flow())
    assert ended == ["cleaned up"]


@pytest.mark.parametrize(("seconds", "looks"), [(3600, [False, False, True]), (0, [True]), (0.01, [False, False])])
def test_a_killed_task_stops_waiting_at_the_next_look(seconds: float, looks: list[bool]) -> None:
    left = looks.copy()
    waiting = BlockingIO(stopped=lambda: left.pop(0)).sleep(seconds)
    if True in looks:
        with pytest.raises(OACKilledError):
            run(waiting)
    else:
        run(waiting)
    assert left == []


class TestTogether:
    @pytest.mark.parametrize("count", [0, 6])
    def test_returns_results_in_the_order_of_the_flows(self, count: int, drive: Drive) -> None:
        async def one(io: IO, number: int) -> int:
            await io.sleep(0.002 * (5 - number))
            return number

        assert drive(lambda io: io.gather((one(io, number) for number in range(count)), 3)) == list(range(count))

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
        assert (max(seen), len(seen)) == (2, 8)

    @pytest.mark.parametrize("failing", [0, 1])
    def test_raises_the_first_failure_itself_and_leaves_no_flow_behind(self, failing: int, drive: Drive) -> None:
        async def one(io: IO, number: int) -> None:
            if number == failing:
                raise LookupError("the first")
            await io.sleep(0.001)

        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            with pytest.raises(LookupError, match="the first"):
                drive(lambda io: io.gather([one(io, number) for number in range(50)], 1 + failing))
            # A flow that was never begun would warn.
            gc.collect()
        assert [str(warning.message) for warning in warned] == []


def test_to_thread_keeps_an_event_loop_free_and_a_task_in_its_thread(drive: Drive) -> None:
    def fail() -> None:
        raise LookupError("from the function")

    here = drive(lambda io: io.to_thread(threading.get_ident)) == threading.get_ident()
    assert here is (drive is blocking)
    with pytest.raises(LookupError, match="from the function"):
        drive(lambda io: io.to_thread(fail))


def test_random_is_a_share_that_varies() -> None:
    numbers = {BlockingIO().random() for _ in range(200)}
    assert len(numbers) > 100
    assert all(0 <= number < 1 for number in numbers)


@pytest.mark.parametrize("url", ["http://oac.example.com/api", "https://u:pass-phrase@127.0.0.1/", "nonsense"])
def test_an_address_that_must_not_be_sent_to_is_refused_before_anything_is_sent(url: str, drive: Drive) -> None:
    with pytest.raises(OACConfigurationError) as caught:
        drive(lambda io: io.send(Request("GET", url, {"Authorization": "Bearer the-token"})))
    assert not [secret for secret in ("the-token", "pass-phrase") if secret in str(caught.value)]


def test_a_name_with_thousands_of_addresses_holds_no_task_beyond_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of them answers."""
    tried: list[tuple[str, float]] = []

    def addresses(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        many = [host] if host[0].isdigit() else [f"10.0.{number // 250}.{number % 250}" for number in range(4000)]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in many]

    def connect(self: socket.socket, address: tuple[str, int]) -> None:
        tried.append((address[0], self.gettimeout() or 0))
        raise TimeoutError

    monkeypatch.setattr(socket, "getaddrinfo", addresses)
    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(transport_io.time, "monotonic", lambda: 1000.0 + sum(timeout for _, timeout in tried))
    settings = TransportSettings(connect_timeout=60, response_timeout=900)
    with pytest.raises(OACTransportError) as caught:
        run(BlockingIO(settings).send(Request("GET", "https://many.example.com/")))
    assert not caught.value.sent
    assert sum(timeout for _, timeout in tried) == pytest.approx(900)
    assert len({address for address, _ in tried}) == 15
