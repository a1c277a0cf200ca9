"""Many triggers, one scheduler: what they share, and what they must not do to each other."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from airflow_provider_oac.client.flows.polling import WaitPlan, WorkRequestTarget
from airflow_provider_oac.client.flows.throttle import FEW, MANY
from airflow_provider_oac.exceptions import OACApiError
from airflow_provider_oac.hooks import shared_poller
from airflow_provider_oac.transport.asynchronous import KEEP_ALIVE, AsyncIO
from airflow_provider_oac.transport.io import Request
from airflow_provider_oac.triggers import oac
from airflow_provider_oac.triggers.oac import OACWorkRequestTrigger
from oac_simulator.launch import Simulator
from tests.integration.flows import LOOK
from tests.integration.servers import Reply, Seen, answering
from tests.tasks import ADMIN, AUTHOR, Connections, first_event


def trigger(work: str, seconds: float = 30.0, poll_interval: float = 0.05) -> OACWorkRequestTrigger:
    now = time.time()
    return OACWorkRequestTrigger(
        oac_conn_id="oac_default",
        work_request_id=work,
        submitted_at=now,
        deadline=now + seconds,
        poll_interval=poll_interval,
    )


def target(work: str, **plan: Any) -> WorkRequestTarget:
    return WorkRequestTarget(work, WaitPlan(**{"longest_pause": 0.05, **plan}))


def looks(simulator: Simulator) -> int:
    return simulator.control.calls("dev", LOOK)


async def looked(simulator: Simulator, times: int = 1) -> None:
    """Wait until OAC was asked so often; the test's own limit ends this."""
    while looks(simulator) < times:
        await asyncio.sleep(0.02)


async def events(works: list[str]) -> list[str]:
    return [event["outcome"] for event in await asyncio.gather(*(first_event(trigger(work)) for work in works))]


@pytest.fixture(autouse=True)
def nothing_is_left(connections: Connections) -> Iterator[None]:
    yield
    assert shared_poller._places == {}
    assert shared_poller._readings == {}


@pytest.mark.parametrize(
    ("how_many", "sockets"),
    [
        # So few that nothing is known yet of how long the instance takes.
        (30, FEW),
        # On a busy machine answers come late, which looks like distance, and may need more.
        (150, MANY),
    ],
)
def test_a_burst_shares_one_reading_one_token_and_few_connections(
    clean: Simulator, how_many: int, sockets: int
) -> None:
    works = clean.control.start_work("dev", 0.0, how_many)
    assert asyncio.run(events(works)) == ["ended"] * how_many
    counters = clean.control.counters()
    assert counters["connections"]["dev"]["accepted"] <= sockets
    assert counters["grants"] == {"jwt-bearer": 1}


def test_one_work_request_is_looked_at_once_for_all_who_wait_for_it(clean: Simulator) -> None:
    (work,) = clean.control.start_work("dev", 1.0)
    assert asyncio.run(events([work] * 30)) == ["ended"] * 30
    assert looks(clean) < 30


def test_who_is_cancelled_does_not_cancel_the_look_of_others(clean: Simulator) -> None:
    (work,) = clean.control.start_work("dev", 0.3)
    clean.control.fault(LOOK, "delay", seconds=1.0)

    async def cancel_one() -> tuple[Any, int]:
        one, other = (asyncio.create_task(shared_poller.wait("oac_default", target(work))) for _ in range(2))
        await looked(clean)
        one.cancel()
        with pytest.raises(asyncio.CancelledError):
            await one
        return await other, looks(clean)

    found, count = asyncio.run(cancel_one())
    assert (found.status, count) == ("SUCCEEDED", 1)


def test_two_loops_at_one_time_have_a_scheduler_each(clean: Simulator) -> None:
    works = clean.control.start_work("dev", 1.0, 6)
    outcomes: list[list[str]] = []
    threads = [
        threading.Thread(target=lambda part=part: outcomes.append(asyncio.run(events(part))))  # type: ignore[misc]
        for part in (works[:3], works[3:])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert outcomes == [["ended"] * 3] * 2
    assert clean.control.grants("jwt-bearer") <= 2


@pytest.mark.filterwarnings("ignore")
def test_a_loop_that_ended_with_everything_on_it_is_forgotten(clean: Simulator) -> None:
    works = clean.control.start_work("dev", 60, 2)
    loop = asyncio.new_event_loop()
    waiting = loop.create_task(shared_poller.wait("oac_default", target(works[0])))
    loop.run_until_complete(looked(clean))
    loop.close()
    assert len(shared_poller._places) == 1
    (short,) = clean.control.start_work("dev", 0.1)
    assert asyncio.run(events([short])) == ["ended"]
    assert shared_poller._places == {}
    waiting.cancelled()


def test_who_waits_goes_on_with_the_connection_as_it_was_edited(connections: Connections, clean: Simulator) -> None:
    connections.oac(user=AUTHOR)
    long, short = clean.control.start_work("dev", 2.0)[0], clean.control.start_work("dev", 0.2)[0]

    async def edit() -> list[str]:
        first = asyncio.create_task(shared_poller.wait("oac_default", target(long)))
        await looked(clean)
        connections.oac(user=ADMIN)
        await shared_poller.wait("oac_default", target(short))
        (place,) = shared_poller._places.values()
        assert place.settings.auth.user == ADMIN
        return [(await first).status]

    assert asyncio.run(edit()) == ["SUCCEEDED"]
    assert clean.control.grants("jwt-bearer") == 2


def test_an_instance_that_was_edited_is_another_and_who_waits_stays_at_the_first(
    connections: Connections, clean: Simulator
) -> None:
    (here,) = clean.control.start_work("dev", 1.5)
    (there,) = clean.control.start_work("prod", 0.2)

    async def edit() -> list[str]:
        first = asyncio.create_task(shared_poller.wait("oac_default", target(here)))
        await looked(clean)
        connections.oac(instance="prod")
        second = await shared_poller.wait("oac_default", target(there))
        return [second.status, (await first).status]

    assert asyncio.run(edit()) == ["SUCCEEDED", "SUCCEEDED"]


@pytest.mark.parametrize("edited", [True, False])
def test_who_is_refused_looks_whether_the_connection_was_edited(
    connections: Connections, clean: Simulator, edited: bool
) -> None:
    connections.oac(user=AUTHOR)
    (work,) = clean.control.start_work("dev", 1.0)

    async def refuse() -> str:
        waiting = asyncio.create_task(shared_poller.wait("oac_default", target(work)))
        await looked(clean)
        if edited:
            connections.oac(user=ADMIN)
        clean.control.fault(LOOK, "status", status=403, body={"code": "Forbidden", "message": "no"})
        return str((await waiting).status)

    if edited:
        assert asyncio.run(refuse()) == "SUCCEEDED"
    else:
        with pytest.raises(OACApiError, match="Forbidden"):
            asyncio.run(refuse())


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        ({"instance": "prod"}, r"Connection 'oac_default' now points to \S+, but this work is at \S+"),
        ({"scope": ""}, r"Connection 'oac_default' can no longer be used: .*scope"),
    ],
)
def test_who_is_refused_hears_why_the_connection_of_now_does_not_help(
    connections: Connections, clean: Simulator, edit: dict[str, str], says: str
) -> None:
    (work,) = clean.control.start_work("dev", 60.0)

    async def refuse() -> None:
        waiting = asyncio.create_task(shared_poller.wait("oac_default", target(work)))
        await looked(clean)
        connections.oac(**edit)
        clean.control.fault(LOOK, "status", status=403, body={"code": "Forbidden", "message": "no"})
        await waiting

    with pytest.raises(OACApiError, match=f"Forbidden.*{says}"):
        asyncio.run(refuse())


def test_who_gets_a_page_in_place_of_a_token_looks_whether_the_connection_was_edited(
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

    async def corrected() -> str:
        waiting = asyncio.create_task(shared_poller.wait("oac_default", target(work)))
        await looked(clean)
        moved.append(True)
        connections.oac()
        clean.control.fault(LOOK, "expired_token")
        return str((await asyncio.wait_for(waiting, 60)).status)

    with answering(domain) as server:
        connections.oac(identity_url=server.url)
        assert asyncio.run(corrected()) == "SUCCEEDED"
        assert moved


def test_who_has_no_more_time_is_told_so_while_nobody_asks(clean: Simulator) -> None:
    works = clean.control.start_work("dev", 60, 20)
    clean.control.fault(LOOK, "status", status=429, headers={"Retry-After": "60"}, times=None)

    async def all_of_them() -> list[dict[str, Any]]:
        return list(await asyncio.gather(*(first_event(trigger(work, 1.0)) for work in works)))

    said = asyncio.run(all_of_them())
    assert [event["outcome"] for event in said] == ["timeout"] * 20
    assert looks(clean) <= 8
    # Not only that nobody asks, but what came.
    assert all("too many requests" in event["message"] for event in said), said
    assert any("Polling pauses for" in event["message"] for event in said), said


def test_who_begins_to_wait_while_nobody_asks_is_told_why(clean: Simulator) -> None:
    first, second = clean.control.start_work("dev", 0.0, 2)
    clean.control.fault(LOOK, "status", status=429, headers={"Retry-After": "3"}, times=1)
    said: list[str] = []

    async def both() -> None:
        one = asyncio.create_task(shared_poller.wait("oac_default", target(first)))
        await looked(clean)
        await shared_poller.wait(
            "oac_default", WorkRequestTarget(second, WaitPlan(longest_pause=0.05), report=said.append)
        )
        await one

    asyncio.run(both())
    assert f"Work request {second} cannot be read at the moment; still waiting. Polling pauses for" in said[0]
    assert "too many requests" in said[0]
    assert said[1:] == [], "the task reports the end"


def test_a_connection_that_airflow_cannot_read_at_first_is_read_again(
    clean: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    (work,) = clean.control.start_work("dev", 0.0)
    real, failures = shared_poller.aget_connection, [RuntimeError("a password that the database told")]

    async def sometimes(conn_id: str) -> Any:
        if failures:
            raise failures.pop()
        return await real(conn_id)

    monkeypatch.setattr(shared_poller, "aget_connection", sometimes)
    assert asyncio.run(events([work])) == ["ended"]


def test_a_connection_that_airflow_cannot_read_fails_the_wait_with_an_event(
    clean: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_conn_id: str) -> Any:
        raise RuntimeError("a password that the database told")

    monkeypatch.setattr(shared_poller, "aget_connection", broken)
    event = asyncio.run(first_event(trigger("w1")))
    assert event["outcome"] == "error"
    assert "Connection 'oac_default' cannot be read in the triggerer (RuntimeError). Likely cause" in event["message"]
    assert "password" not in event["message"]


WHOSE: contextvars.ContextVar[str] = contextvars.ContextVar("WHOSE", default="nobody")


def test_a_line_about_a_work_request_is_its_tasks_and_all_others_are_nobodys(clean: Simulator) -> None:
    works = clean.control.start_work("dev", 2.0, 2)
    lines: list[tuple[str, str]] = []

    class Whose(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append((record.name, WHOSE.get()))

    async def one(work: str) -> None:
        WHOSE.set(work)
        report = lambda line: lines.append((line.split()[2].rstrip(":"), WHOSE.get()))  # noqa: E731
        await shared_poller.wait("oac_default", WorkRequestTarget(work, WaitPlan(longest_pause=0.05), report=report))

    async def both() -> None:
        await asyncio.gather(*(one(work) for work in works))

    log, handler = logging.getLogger("airflow_provider_oac"), Whose()
    before = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        asyncio.run(both())
    finally:
        log.removeHandler(handler)
        log.setLevel(before)
    assert {whose for name, whose in lines if name.startswith("airflow_provider_oac")} == {"nobody"}
    assert {(name, whose) for name, whose in lines if name in works} == {(work, work) for work in works}


@pytest.mark.parametrize("how", ["no such Connection", "a bad key", "a grant that needs a store"])
def test_a_connection_that_cannot_work_fails_all_who_wait(connections: Connections, how: str) -> None:
    conn_id = "oac_none" if how == "no such Connection" else "oac_default"
    if how == "a bad key":
        connections.oac(private_key="nonsense")
    elif how == "a grant that needs a store":
        connections.oac(grant="refresh_token", refresh_token="unused")

    async def three() -> list[Any]:
        waits = (shared_poller.wait(conn_id, target(f"w{number}")) for number in range(3))
        return await asyncio.gather(*waits, return_exceptions=True)

    failures = asyncio.run(three())
    assert len(failures) == 3
    assert all(conn_id in str(failure) for failure in failures), failures


@pytest.mark.parametrize(("options", "accepted"), [({"keep_alive": 0.1}, 2), ({}, 1)])
def test_a_pause_shorter_than_keep_alive_means_no_handshake(
    clean: Simulator, options: dict[str, float], accepted: int
) -> None:
    url = clean.ready["instances"]["dev"]["url"] + "/api/20210901/system"

    async def twice() -> None:
        io = AsyncIO(**options)  # type: ignore[arg-type]
        for pause in (0.6, 0.0):
            await io.send(Request("GET", url))
            await asyncio.sleep(pause)
        await io.close()

    asyncio.run(twice())
    assert clean.control.counters()["connections"]["dev"]["accepted"] == accepted
    assert 2 * WaitPlan().longest_pause < KEEP_ALIVE


def test_no_trigger_fires_before_the_scheduler_has_noticed_the_deferral(
    clean: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oac, "QUIET_SECONDS", 0.7)
    (done,) = clean.control.start_work("dev", 0.0)
    began = time.monotonic()
    assert asyncio.run(events([done])) == ["ended"]
    assert time.monotonic() - began >= 0.7
