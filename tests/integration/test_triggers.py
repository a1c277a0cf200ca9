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


def arguments(seconds: float | None) -> dict[str, Any]:
    now = time.time()
    deadline = None if seconds is None else now + seconds
    return {"oac_conn_id": "oac_default", "submitted_at": now, "poll_interval": 0.05, "deadline": deadline}


def event_of(work: str, seconds: float | None = 20, **changes: Any) -> dict[str, Any]:
    trigger = OACWorkRequestTrigger(work_request_id=work, **{**arguments(seconds), **changes})
    return asyncio.run(first_event(trigger))


@pytest.mark.parametrize(
    ("work_seconds", "seconds", "outcome"), [(0.2, 20, "ended"), (0.2, None, "ended"), (60, 0.2, "timeout")]
)
def test_its_event_says_how_the_wait_ended(
    connections: Connections, clean: Simulator, work_seconds: float, seconds: float | None, outcome: str
) -> None:
    (work,) = clean.control.start_work("dev", work_seconds)
    event = event_of(work, seconds)
    assert (event["outcome"], event["carried"]) == (outcome, None)
    assert work in event["message"] if outcome == "timeout" else event["message"] == ""


def test_its_event_says_that_waiting_failed(connections: Connections, clean: Simulator) -> None:
    connections.oac(certificate_alias="other")
    (work,) = clean.control.start_work("dev", 60)
    event = event_of(work)
    assert event["outcome"] == "error"
    begins = f"Waiting in the triggerer for work request {work} failed: Connection 'oac_default': Signing in at"
    assert event["message"].startswith(begins)
    assert "certificate alias" in event["message"]
    assert f" Work request {work} continues in OAC, which cannot cancel it." in event["message"]


def test_an_id_that_oac_does_not_know_is_an_end(connections: Connections) -> None:
    event = event_of("lfc-cc:1-c9:2", submitted_at=time.time() - 3600)
    assert event["outcome"] == "ended"
    assert "OAC does not know work request lfc-cc:1-c9:2" in event["message"]


@pytest.mark.parametrize("event", [None, {}, "ended", {"outcome": None}, {"outcome": "done"}, {"status": "success"}])
def test_an_event_that_is_not_ours_fails_loudly(event: Any) -> None:
    with pytest.raises(OACError, match="Unknown trigger event"):
        outcome_of(event)


def test_the_event_alone_is_enough_to_go_on(connections: Connections) -> None:
    """`airflow dags test` hands over the event in place of the arguments that the task deferred with."""
    task = Task(lambda: make(deferrable=True))
    task.start()
    assert task.deferred is not None
    event = asyncio.run(first_event(task.deferred.trigger))
    operator = make()
    result = operator.resume_execution("execute_complete", {"event": event}, task.context(operator.task_id))
    assert result["verified"]


@pytest.mark.parametrize(
    ("outcome", "says"), [("ended", "does not say what the task had started"), ("error", r"^no route\.$")]
)
def test_an_event_that_carries_nothing_or_an_error_is_refused(outcome: str, says: str) -> None:
    with pytest.raises(OACError, match=says):
        make().execute_complete({}, {"outcome": outcome, "message": "no route."})


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
    job = {"kind": "datasets", "noun": "dataset", "object_id": object_id("admin", "Orders"), "job_id": started["job"]}
    made: Any = (
        OACJobTrigger(**job, **arguments(None))
        if noun == "Job"
        else OACWorkRequestTrigger(work_request_id=started["work_request"], **arguments(20))
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
