"""Many triggers, one scheduler, and what goes wrong for all of them at once."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_oac.client.api import Api
from airflow_provider_oac.client.flows.polling import WaitPlan, WorkRequestTarget
from airflow_provider_oac.client.flows.restore import ReadinessTarget
from airflow_provider_oac.client.rest import work_requests
from airflow_provider_oac.client.rest.work_requests import WorkRequest
from airflow_provider_oac.exceptions import OACAuthError, OACError, OACTransportError
from airflow_provider_oac.hooks import poll_scheduler, shared_poller
from airflow_provider_oac.hooks.poll_scheduler import Scheduler
from airflow_provider_oac.transport.asynchronous import AsyncIO
from oac_simulator.launch import Simulator
from tests.integration.flows import LOOK, SYSTEM
from tests.integration.test_shared_poller import events, looked, looks, target, trigger
from tests.tasks import ADMIN, AUTHOR, Connections, first_event

FORBIDDEN: dict[str, Any] = {"status": 403, "body": {"code": "Forbidden", "message": "no"}}
QUICK = WaitPlan(longest_pause=0.05)


@pytest.fixture(autouse=True)
def connected(connections: Connections) -> None:
    """There is a Connection."""


def test_credentials_that_were_renewed_save_all_who_wait(
    connections: Connections, clean: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = shared_poller.aget_connection

    async def slowly(conn_id: str) -> Any:
        # Until all who look at once are refused.
        await asyncio.sleep(1.0)
        return await read(conn_id)

    connections.oac(user=AUTHOR)
    works = clean.control.start_work("dev", 2.0, 40)

    async def renew() -> list[str]:
        waiting = asyncio.create_task(events(works))
        await looked(clean, 40)
        connections.oac(user=ADMIN)
        # As many as look at once: all of them are refused, and one of them reads the Connection.
        monkeypatch.setattr(shared_poller, "aget_connection", slowly)
        clean.control.fault(LOOK, "status", times=8, **FORBIDDEN)
        return await waiting

    assert asyncio.run(renew()) == ["ended"] * 40
    assert clean.control.grants("jwt-bearer") == 2


def test_who_is_refused_with_credentials_that_are_not_those_of_now_looks_again(
    connections: Connections, clean: Simulator
) -> None:
    connections.oac(user=AUTHOR)
    (long,), (short,) = clean.control.start_work("dev", 3.0), clean.control.start_work("dev", 0.1)

    refused, released = asyncio.Event(), asyncio.Event()

    class Late(WorkRequestTarget):
        async def poll(self, api: Api) -> WorkRequest:
            try:
                return await super().poll(api)
            except OACError:
                refused.set()
                await released.wait()
                raise

    async def renew() -> str:
        clean.control.fault(LOOK, "status", **FORBIDDEN)
        waiting = asyncio.create_task(shared_poller.wait("oac_default", Late(long, QUICK)))
        await refused.wait()
        connections.oac(user=ADMIN)
        await shared_poller.wait("oac_default", target(short))
        released.set()
        return (await waiting).status

    assert asyncio.run(renew()) == "SUCCEEDED"


def test_a_connection_that_cannot_be_read_again_fails_nobody_who_can_wait(
    clean: Simulator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (work,) = clean.control.start_work("dev", 1.5)

    async def broken(_conn_id: str) -> Any:
        raise RuntimeError("a secret that the database told")

    async def refuse() -> str:
        plan = WaitPlan(longest_pause=0.05, tolerated=frozenset({401}))
        waiting = asyncio.create_task(shared_poller.wait("oac_default", WorkRequestTarget(work, plan)))
        await looked(clean)
        monkeypatch.setattr(shared_poller, "aget_connection", broken)
        clean.control.fault(LOOK, "status", status=401, times=4)
        return (await waiting).status

    assert asyncio.run(refuse()) == "SUCCEEDED"
    assert "cannot be read in the triggerer (RuntimeError)" in caplog.text
    assert "that the database told" not in caplog.text


def test_a_ca_file_that_was_corrected_saves_who_waits(connections: Connections, clean: Simulator) -> None:
    connections.oac(user=AUTHOR)
    (work,) = clean.control.start_work("dev", 0.1)
    asked: list[Api] = []

    class Distrusting(WorkRequestTarget):
        async def poll(self, api: Api) -> WorkRequest:
            asked.append(api)
            if api is asked[0]:
                connections.oac(user=ADMIN)
                raise OACTransportError("its certificate is nobody's", sent=False, passing=False)
            return await super().poll(api)

    assert asyncio.run(shared_poller.wait("oac_default", Distrusting(work, QUICK))).status == "SUCCEEDED"
    assert len(set(map(id, asked))) == 2


def test_who_has_no_more_time_is_told_so_while_the_server_hangs(
    clean: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poll_scheduler, "_LATE", 0.5)
    works = clean.control.start_work("dev", 60, 24)
    clean.control.fault(LOOK, "delay", seconds=3.0, times=None)

    async def all_of_them() -> list[dict[str, Any]]:
        return await asyncio.gather(*(first_event(trigger(work, 1.0)) for work in works))

    told = asyncio.run(all_of_them())
    assert [event["outcome"] for event in told] == ["timeout"] * 24
    assert sum("all connections are waiting for responses" in event["message"] for event in told) == 16
    assert looks(clean) == 8


def test_a_deadline_that_has_passed_leaves_one_look(clean: Simulator) -> None:
    works = clean.control.start_work("dev", 0.0, 30)
    assert asyncio.run(ended_late(works)) == ["ended"] * 30


async def ended_late(works: list[str]) -> list[str]:
    return [e["outcome"] for e in await asyncio.gather(*(first_event(trigger(work, -5.0)) for work in works))]


class Odd(Exception):
    """One of those that cannot be copied, such as Airflow's AirflowRuntimeError."""

    def __init__(self, error: Any) -> None:
        super().__init__(f"odd: {error['detail']}")


def test_a_defect_that_cannot_be_copied_reaches_all_who_wait(clean: Simulator) -> None:
    def broken(_body: Any) -> WorkRequest:
        raise Odd({"detail": "a defect"})

    (work,) = clean.control.start_work("dev", 60)
    look = replace(work_requests.get(work), read=broken)

    async def three() -> list[Any]:
        waits = (shared_poller.wait("oac_default", WorkRequestTarget(work, call=look)) for _ in range(3))
        return await asyncio.wait_for(asyncio.gather(*waits, return_exceptions=True), 20)

    assert [str(failure) for failure in asyncio.run(three())] == ["odd: a defect"] * 3


def test_what_goes_wrong_with_the_sign_in_names_the_connection(connections: Connections, clean: Simulator) -> None:
    connections.oac(user="nobody@example.com")
    (work,) = clean.control.start_work("dev", 60)
    event = asyncio.run(first_event(trigger(work)))
    assert event["outcome"] == "error"
    assert event["message"].startswith(
        f"Waiting in the triggerer for work request {work} failed: Connection 'oac_default': "
    )
    with pytest.raises(OACAuthError, match=r"^Connection 'oac_default': "):
        asyncio.run(shared_poller.wait("oac_default", target(work)))


def test_who_is_cancelled_twice_leaves_no_connection_open(clean: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    (work,) = clean.control.start_work("dev", 60)
    real, closing, closed = Scheduler.close, asyncio.Event(), list[AsyncIO]()

    async def slow(self: Scheduler) -> None:
        closing.set()
        await asyncio.sleep(0.2)
        await real(self)

    real_io = AsyncIO.close

    async def noted(self: AsyncIO) -> None:
        await real_io(self)
        closed.append(self)

    monkeypatch.setattr(Scheduler, "close", slow)
    monkeypatch.setattr(AsyncIO, "close", noted)

    async def cancel_twice() -> None:
        waiting = asyncio.create_task(shared_poller.wait("oac_default", target(work)))
        await looked(clean)
        waiting.cancel()
        await closing.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await asyncio.gather(*shared_poller._closings)

    asyncio.run(cancel_twice())
    assert len(closed) == 1
    assert shared_poller._closings == set()


def test_an_instance_that_restarts_gets_a_rest(clean: Simulator) -> None:
    clean.control.fault(SYSTEM, "status", status=503, headers={"Retry-After": "60"}, times=None)

    async def rest() -> float:
        waiting = asyncio.create_task(
            shared_poller.wait("oac_default", ReadinessTarget(WaitPlan(deadline=time.time() + 60, longest_pause=0.05)))
        )
        while clean.control.calls("dev", SYSTEM) < 1:
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.5)
        (place,) = shared_poller._places.values()
        left = place.scheduler.throttle.quiet_until - asyncio.get_running_loop().time()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        return left

    assert asyncio.run(rest()) > 30
