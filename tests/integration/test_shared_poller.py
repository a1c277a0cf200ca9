"""Many triggers, one scheduler: what they share, what they must not do to each other, and trouble for all of them."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import requests

from airflow_provider_oac.client.api import Api
from airflow_provider_oac.client.flows.polling import WaitPlan, WorkRequestTarget, wait
from airflow_provider_oac.client.flows.restore import ReadinessTarget
from airflow_provider_oac.client.flows.throttle import FEW
from airflow_provider_oac.client.rest import system, work_requests
from airflow_provider_oac.client.rest.work_requests import WorkRequest
from airflow_provider_oac.exceptions import OACApiError, OACAuthError, OACError, OACTransportError
from airflow_provider_oac.hooks import poll_scheduler, shared_poller
from airflow_provider_oac.hooks.poll_scheduler import Scheduler
from airflow_provider_oac.transport.asynchronous import KEEP_ALIVE, AsyncIO
from airflow_provider_oac.transport.io import Request
from airflow_provider_oac.triggers import oac
from airflow_provider_oac.triggers.oac import OACWorkRequestTrigger
from oac_simulator.launch import Simulator
from tests.integration.flows import LOOK, QUICK, SYSTEM, Oac
from tests.integration.servers import Reply, Seen, answering
from tests.tasks import ADMIN, AUTHOR, Connections, first_event

FORBIDDEN: dict[str, Any] = {"status": 403, "body": {"code": "Forbidden", "message": "no"}}


def trigger(work: str, seconds: float = 30.0, poll_interval: float = 0.05) -> OACWorkRequestTrigger:
    now = time.time()
    times = {"submitted_at": now, "deadline": now + seconds, "poll_interval": poll_interval}
    return OACWorkRequestTrigger(oac_conn_id="oac_default", work_request_id=work, **times)


async def all_events(works: list[str], seconds: float = 30.0) -> list[dict[str, Any]]:
    return await asyncio.gather(*(first_event(trigger(work, seconds)) for work in works))


async def outcomes(works: list[str], seconds: float = 30.0) -> list[str]:
    return [event["outcome"] for event in await all_events(works, seconds)]


def looks(simulator: Simulator) -> int:
    return simulator.control.calls("dev", LOOK)


async def waited(work: str | WorkRequestTarget) -> str:
    """Wait for a work request, with all others; its status."""
    target = WorkRequestTarget(work, QUICK) if isinstance(work, str) else work
    return (await shared_poller.wait("oac_default", target)).status


async def begun(simulator: Simulator, work: str | WorkRequestTarget) -> asyncio.Task[str]:
    """A task that waits for a work request and has looked at it; the test's own limit ends this."""
    waiting = asyncio.create_task(waited(work))
    while not looks(simulator):
        await asyncio.sleep(0.02)
    return waiting


@pytest.fixture(autouse=True)
def nothing_is_left(connections: Connections) -> Iterator[None]:
    yield
    assert (shared_poller._places, shared_poller._readings, shared_poller._closings) == ({}, {}, set())


# ------------------------------------------------------------------------------------------------- what they share


async def test_a_burst_shares_one_reading_one_token_and_few_connections(clean: Simulator) -> None:
    works = clean.control.start_work("dev", 0.0, 30)
    assert await outcomes(works) == ["ended"] * 30
    counters = clean.control.counters()
    assert counters["connections"]["dev"]["accepted"] <= FEW
    assert counters["grants"] == {"jwt-bearer": 1}


async def test_who_is_cancelled_does_not_cancel_the_look_of_others(clean: Simulator) -> None:
    (work,) = clean.control.start_work("dev", 0.3)
    clean.control.fault(LOOK, "delay", seconds=1.0)
    other = asyncio.create_task(waited(work))
    one = await begun(clean, work)
    one.cancel()
    with pytest.raises(asyncio.CancelledError):
        await one
    assert (await other, looks(clean)) == ("SUCCEEDED", 1)


def test_two_loops_at_one_time_have_a_scheduler_each(clean: Simulator) -> None:
    works = clean.control.start_work("dev", 1.0, 6)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda part: asyncio.run(outcomes(part)), (works[:3], works[3:])))
    assert found == [["ended"] * 3] * 2
    assert clean.control.grants("jwt-bearer") <= 2


@pytest.mark.filterwarnings("ignore")
def test_a_loop_that_ended_with_everything_on_it_is_forgotten(clean: Simulator) -> None:
    (long,), (short,) = clean.control.start_work("dev", 60), clean.control.start_work("dev", 0.1)
    loop = asyncio.new_event_loop()
    waiting = loop.run_until_complete(begun(clean, long))
    loop.close()
    assert len(shared_poller._places) == 1
    assert asyncio.run(outcomes([short])) == ["ended"]
    assert shared_poller._places == {}
    waiting.cancelled()


async def test_a_pause_longer_than_keep_alive_means_another_handshake(clean: Simulator) -> None:
    io = AsyncIO(keep_alive=0.1)
    for pause in (0.6, 0.0):
        await io.send(Request("GET", clean.ready["instances"]["dev"]["url"] + "/api/20210901/system"))
        await asyncio.sleep(pause)
    await io.close()
    assert clean.control.counters()["connections"]["dev"]["accepted"] == 2
    assert 2 * WaitPlan().longest_pause < KEEP_ALIVE


async def test_no_trigger_fires_before_the_scheduler_has_noticed_the_deferral(
    clean: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oac, "QUIET_SECONDS", 0.7)
    began = time.monotonic()
    assert await outcomes(clean.control.start_work("dev", 0.0)) == ["ended"]
    assert time.monotonic() - began >= 0.7


WHOSE: contextvars.ContextVar[str] = contextvars.ContextVar("WHOSE", default="nobody")


async def test_a_line_about_a_work_request_is_its_tasks_and_all_others_are_nobodys(
    clean: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    works = clean.control.start_work("dev", 2.0, 2)
    lines: list[tuple[str, str]] = []
    caplog.set_level(logging.INFO, "airflow_provider_oac")

    class Whose(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            lines.append((record.name.partition(".")[0], WHOSE.get()))
            return True

    async def one(work: str) -> None:
        WHOSE.set(work)
        report = lambda line: lines.append((line.split()[2].rstrip(":"), WHOSE.get()))  # noqa: E731
        await waited(WorkRequestTarget(work, QUICK, report=report))

    with caplog.filtering(Whose()):
        await asyncio.gather(*(one(work) for work in works))
    assert {whose for name, whose in lines if name not in works} == {"nobody"}
    assert {(name, whose) for name, whose in lines if name in works} == {(work, work) for work in works}


# ----------------------------------------------------------------------------------- a Connection that was edited


async def test_who_waits_goes_on_with_the_connection_as_it_was_edited(
    connections: Connections, clean: Simulator
) -> None:
    connections.oac(user=AUTHOR)
    (long,), (short,) = clean.control.start_work("dev", 2.0), clean.control.start_work("dev", 0.2)
    first = await begun(clean, long)
    connections.oac(user=ADMIN)
    await waited(short)
    (place,) = shared_poller._places.values()
    assert place.settings.auth.user == ADMIN
    assert await first == "SUCCEEDED"
    assert clean.control.grants("jwt-bearer") == 2


async def test_an_instance_that_was_edited_is_another_and_who_waits_stays_at_the_first(
    connections: Connections, clean: Simulator
) -> None:
    (here,), (there,) = clean.control.start_work("dev", 1.5), clean.control.start_work("prod", 0.2)
    first = await begun(clean, here)
    connections.oac(instance="prod")
    assert [await waited(there), await first] == ["SUCCEEDED", "SUCCEEDED"]


async def test_credentials_that_were_renewed_save_all_who_wait(
    connections: Connections, clean: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = shared_poller.aget_connection

    async def slowly(conn_id: str) -> Any:
        # Until all who look at once are refused.
        await asyncio.sleep(1.0)
        return await read(conn_id)

    connections.oac(user=AUTHOR)
    waiting = asyncio.create_task(outcomes(clean.control.start_work("dev", 2.0, 40)))
    while looks(clean) < 40:
        await asyncio.sleep(0.02)
    connections.oac(user=ADMIN)
    # As many as look at once: all of them are refused, and one of them reads the Connection.
    monkeypatch.setattr(shared_poller, "aget_connection", slowly)
    clean.control.fault(LOOK, "status", times=8, **FORBIDDEN)
    assert await waiting == ["ended"] * 40
    assert clean.control.grants("jwt-bearer") == 2


async def test_who_is_refused_with_credentials_that_are_not_those_of_now_looks_again(
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

    clean.control.fault(LOOK, "status", **FORBIDDEN)
    waiting = asyncio.create_task(waited(Late(long, QUICK)))
    await refused.wait()
    connections.oac(user=ADMIN)
    await waited(short)
    released.set()
    assert await waiting == "SUCCEEDED"


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        ({}, "Forbidden"),
        ({"instance": "prod"}, r"Forbidden.*Connection 'oac_default' now points to \S+, but this work is at \S+"),
        ({"scope": ""}, r"Forbidden.*Connection 'oac_default' can no longer be used: .*scope"),
    ],
    ids=["not edited", "another instance", "unusable"],
)
async def test_who_is_refused_hears_why_the_connection_of_now_does_not_help(
    connections: Connections, clean: Simulator, edit: dict[str, str], says: str
) -> None:
    (work,) = clean.control.start_work("dev", 60.0)
    waiting = await begun(clean, work)
    connections.oac(**edit)
    clean.control.fault(LOOK, "status", **FORBIDDEN)
    with pytest.raises(OACApiError, match=says):
        await waiting


async def test_who_gets_a_page_in_place_of_a_token_looks_whether_the_connection_was_edited(
    connections: Connections, clean: Simulator
) -> None:
    (work,) = clean.control.start_work("dev", 1.0)
    moved: list[bool] = []

    def domain(asked: Seen) -> Reply:
        if moved:
            return Reply(200, b"<html>sign in</html>")
        there = clean.ready["identity_url"] + asked.target
        answer = requests.post(there, asked.body, headers={"Content-Type": asked.headers["content-type"]}, timeout=30)
        return Reply(answer.status_code, answer.content)

    with answering(domain) as server:
        connections.oac(identity_url=server.url)
        waiting = await begun(clean, work)
        moved.append(True)
        connections.oac()
        clean.control.fault(LOOK, "expired_token")
        assert await asyncio.wait_for(waiting, 60) == "SUCCEEDED"


async def test_a_ca_file_that_was_corrected_saves_who_waits(connections: Connections, clean: Simulator) -> None:
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

    assert await waited(Distrusting(work, QUICK)) == "SUCCEEDED"
    assert len(set(map(id, asked))) == 2


# ------------------------------------------------------------------------------ a Connection that cannot be read


@pytest.mark.parametrize("failures", [1, 1000])
async def test_a_connection_that_airflow_cannot_read_is_read_again_and_fails_the_wait_with_an_event(
    clean: Simulator, monkeypatch: pytest.MonkeyPatch, failures: int
) -> None:
    real, left = shared_poller.aget_connection, iter(range(failures))

    async def sometimes(conn_id: str) -> Any:
        if next(left, None) is not None:
            raise RuntimeError("a password that the database told")
        return await real(conn_id)

    monkeypatch.setattr(shared_poller, "aget_connection", sometimes)
    (event,) = await all_events(clean.control.start_work("dev", 0.0))
    unread = "Connection 'oac_default' cannot be read in the triggerer (RuntimeError). Likely cause"
    assert (event["outcome"], unread in event["message"]) == (("ended", False) if failures == 1 else ("error", True))
    assert "password" not in event["message"]


async def test_a_connection_that_cannot_be_read_again_fails_nobody_who_can_wait(
    clean: Simulator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (work,) = clean.control.start_work("dev", 1.5)

    async def broken(_conn_id: str) -> Any:
        raise RuntimeError("a secret that the database told")

    waiting = await begun(clean, WorkRequestTarget(work, replace(QUICK, tolerated=frozenset({401}))))
    monkeypatch.setattr(shared_poller, "aget_connection", broken)
    clean.control.fault(LOOK, "status", status=401, times=4)
    assert await waiting == "SUCCEEDED"
    assert "cannot be read in the triggerer (RuntimeError)" in caplog.text
    assert "that the database told" not in caplog.text


@pytest.mark.parametrize(
    ("conn_id", "extra"),
    [
        ("oac_none", {}),
        ("oac_default", {"private_key": "nonsense"}),
        ("oac_default", {"grant": "refresh_token", "refresh_token": "unused"}),
    ],
    ids=["no such Connection", "a bad key", "a grant that needs a store"],
)
async def test_a_connection_that_cannot_work_fails_all_who_wait(
    connections: Connections, conn_id: str, extra: dict[str, str]
) -> None:
    connections.oac(**extra)
    waits = (shared_poller.wait(conn_id, WorkRequestTarget(f"w{number}", QUICK)) for number in range(3))
    failures = await asyncio.gather(*waits, return_exceptions=True)
    assert [conn_id in str(failure) for failure in failures] == [True] * 3


# --------------------------------------------------------------------------------------- an instance in trouble


async def test_who_has_no_more_time_is_told_so_while_nobody_asks(clean: Simulator) -> None:
    works = clean.control.start_work("dev", 60, 20)
    clean.control.fault(LOOK, "status", status=429, headers={"Retry-After": "60"}, times=None)
    said = await all_events(works, 1.0)
    assert [event["outcome"] for event in said] == ["timeout"] * 20
    assert looks(clean) <= 8
    # Not only that nobody asks, but what came.
    assert all("too many requests" in event["message"] for event in said), said
    assert any("Polling pauses for" in event["message"] for event in said), said


async def test_who_begins_to_wait_while_nobody_asks_is_told_why(clean: Simulator) -> None:
    first, second = clean.control.start_work("dev", 0.0, 2)
    clean.control.fault(LOOK, "status", status=429, headers={"Retry-After": "3"}, times=1)
    said: list[str] = []
    one = await begun(clean, first)
    await waited(WorkRequestTarget(second, QUICK, report=said.append))
    await one
    assert f"Work request {second} cannot be read at the moment; still waiting. Polling pauses for" in said[0]
    assert "too many requests" in said[0]
    assert said[1:] == [], "the task reports the end"


async def test_who_has_no_more_time_is_told_so_while_the_server_hangs(
    clean: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poll_scheduler, "_LATE", 0.5)
    works = clean.control.start_work("dev", 60, 24)
    clean.control.fault(LOOK, "delay", seconds=3.0, times=None)
    said = await all_events(works, 1.0)
    assert [event["outcome"] for event in said] == ["timeout"] * 24
    assert sum("all connections are waiting for responses" in event["message"] for event in said) == 16
    assert looks(clean) == 8


async def test_a_deadline_that_has_passed_leaves_one_look(clean: Simulator) -> None:
    assert await outcomes(clean.control.start_work("dev", 0.0, 30), -5.0) == ["ended"] * 30


async def test_an_instance_that_restarts_gets_a_rest(clean: Simulator) -> None:
    clean.control.fault(SYSTEM, "status", status=503, headers={"Retry-After": "60"}, times=None)
    ready = ReadinessTarget(replace(QUICK, deadline=time.time() + 60))
    waiting = asyncio.create_task(shared_poller.wait("oac_default", ready))
    while not clean.control.calls("dev", SYSTEM):
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.5)
    (place,) = shared_poller._places.values()
    assert place.scheduler.throttle.quiet_until - asyncio.get_running_loop().time() > 30
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


class Odd(Exception):
    """One of those that cannot be copied, such as Airflow's AirflowRuntimeError."""

    def __init__(self, error: Any) -> None:
        super().__init__(f"odd: {error['detail']}")


async def test_a_defect_that_cannot_be_copied_reaches_all_who_wait(clean: Simulator) -> None:
    def broken(_body: Any) -> WorkRequest:
        raise Odd({"detail": "a defect"})

    (work,) = clean.control.start_work("dev", 60)
    look = replace(work_requests.get(work), read=broken)
    waits = (waited(WorkRequestTarget(work, call=look)) for _ in range(3))
    failures = await asyncio.wait_for(asyncio.gather(*waits, return_exceptions=True), 20)
    assert [str(failure) for failure in failures] == ["odd: a defect"] * 3


async def test_who_is_cancelled_twice_leaves_no_connection_open(
    clean: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    (work,) = clean.control.start_work("dev", 60)
    real, closing = Scheduler.close, asyncio.Event()

    async def slow(self: Scheduler) -> None:
        closing.set()
        await asyncio.sleep(0.2)
        await real(self)

    monkeypatch.setattr(Scheduler, "close", slow)
    waiting = await begun(clean, work)
    waiting.cancel()
    await closing.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.gather(*shared_poller._closings)
    assert shared_poller._drivers == {}


def test_a_page_in_place_of_a_token_passes_only_where_tokens_came_from_before(run: Oac, clean: Simulator) -> None:
    (work,), lines = clean.control.start_work("dev", 1.0), list[str]()
    clean.control.fault("token", "non_json")
    with pytest.raises(OACAuthError, match="Check identity_url"):
        run(wait(work, QUICK))
    run(system.get())
    clean.control.fault(LOOK, "expired_token", after=1)
    clean.control.fault("token", "non_json", times=2)
    assert run(wait(work, QUICK), report=lines.append).status == "SUCCEEDED"
    assert any("cannot be read" in line for line in lines)
    assert all(ordered["hits"] for ordered in clean.control.faults())
