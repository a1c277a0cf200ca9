"""OACWorkRequestTrigger and what its event leads to."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from airflow_provider_oac.client.ids import object_id
from airflow_provider_oac.exceptions import OACError
from airflow_provider_oac.triggers.oac import OACJobTrigger, OACWorkRequestTrigger, outcome_of
from oac_simulator.launch import Simulator
from tests.tasks import Connections, Task, first_event
from tests.tasks import backup_operator as make


def trigger(work_request_id: str, seconds: float | None = 20, **changes: Any) -> OACWorkRequestTrigger:
    now = time.time()
    deadline = None if seconds is None else now + seconds
    arguments = {"oac_conn_id": "oac_default", "submitted_at": now, "poll_interval": 0.05, "deadline": deadline}
    return OACWorkRequestTrigger(work_request_id=work_request_id, **{**arguments, **changes})


def event_of(waiting: OACWorkRequestTrigger) -> dict[str, Any]:
    return asyncio.run(first_event(waiting))


@pytest.mark.parametrize("seconds", [20, None])
def test_its_event_says_that_the_work_ended(connections: Connections, clean: Simulator, seconds: float | None) -> None:
    (work,) = clean.control.start_work("dev", 0.2)
    event = event_of(trigger(work, seconds))
    assert event == {"outcome": "ended", "message": "", "carried": None}


def test_its_event_says_that_the_deadline_came(connections: Connections, clean: Simulator) -> None:
    (work,) = clean.control.start_work("dev", 60)
    event = event_of(trigger(work, 0.2))
    assert event["outcome"] == "timeout"
    assert work in event["message"]


def test_its_event_says_that_waiting_failed(connections: Connections, clean: Simulator) -> None:
    connections.oac(certificate_alias="other")
    (work,) = clean.control.start_work("dev", 60)
    event = event_of(trigger(work))
    assert event["outcome"] == "error"
    assert "certificate alias" in event["message"]
    assert event["message"].startswith(f"Waiting in the triggerer for work request {work} failed: ")
    assert f" Work request {work} continues in OAC, which cannot cancel it." in event["message"]


def test_an_id_that_oac_does_not_know_is_an_end(connections: Connections) -> None:
    event = event_of(trigger("lfc-cc:1-c9:2", submitted_at=time.time() - 3600))
    assert event["outcome"] == "ended"
    assert "OAC does not know work request lfc-cc:1-c9:2" in event["message"]


@pytest.mark.parametrize(
    "event", [None, {}, "ended", [], {"outcome": None}, {"outcome": "done"}, {"status": "success"}]
)
def test_an_event_that_is_not_ours_fails_loudly(event: Any) -> None:
    with pytest.raises(OACError, match="Unknown trigger event"):
        outcome_of(event)


def test_an_event_of_an_error_fails_with_its_message() -> None:
    with pytest.raises(OACError, match=r"^no route\.$"):
        outcome_of({"outcome": "error", "message": "no route."})


@pytest.mark.parametrize("event", [None, {"outcome": "error", "message": "no route"}])
def test_a_bad_event_fails_the_operator_and_the_retry_finds_the_work(
    connections: Connections, clean: Simulator, event: Any
) -> None:
    task = Task(lambda: make(deferrable=True))
    task.start()
    with pytest.raises(OACError):
        task.execute_complete(event)
    assert task.attempt()["verified"]
    assert len(clean.control.snapshots("dev")) == 1


def test_the_event_alone_is_enough_to_go_on(connections: Connections) -> None:
    """`airflow dags test` hands over the event in place of the arguments that the task deferred with."""
    task = Task(lambda: make(deferrable=True))
    task.start()
    assert task.deferred is not None
    event = asyncio.run(first_event(task.deferred.trigger))
    operator = make()
    result = operator.resume_execution("execute_complete", {"event": event}, task.context(operator.task_id))
    assert result["verified"]


def test_an_event_that_carries_nothing_is_refused() -> None:
    with pytest.raises(OACError, match="does not say what the task had started"):
        make().execute_complete({}, {"outcome": "ended", "message": ""})


class Heard:
    """What a trigger logs, whatever Airflow does with it."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def warning(self, text: str, *values: Any) -> None:
        self.said.append(text % values if values else text)

    info = warning


@pytest.mark.parametrize("noun", ["Work request", "Job"])
def test_whoever_ends_the_task_is_told_what_goes_on(connections: Connections, clean: Simulator, noun: str) -> None:
    started = clean.control.start_run("dev", "datasets", "'admin'.'Orders'", seconds=20)
    made: Any = trigger(started["work_request"])
    if noun == "Job":
        orders, now = object_id("admin", "Orders"), time.time()
        made = OACJobTrigger(
            oac_conn_id="oac_default",
            kind="datasets",
            noun="dataset",
            object_id=orders,
            job_id=started["job"],
            submitted_at=now,
            deadline=None,
            poll_interval=0.1,
        )
    made._log = heard = Heard()

    async def ended() -> None:
        waiting = asyncio.ensure_future(anext(made.run()))
        await asyncio.sleep(0.5)
        # Airflow 3.3 calls this as well; older ones only cancel.
        await made.on_kill()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(ended())
    awaited = started["job" if noun == "Job" else "work_request"]
    assert len([line for line in heard.said if f"{noun} {awaited} continues in OAC" in line]) == 2, heard.said
