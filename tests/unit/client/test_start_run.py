"""What starting a run decides, with a clock that moves only by sleeping."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from airflow_provider_oac.client.flows.polling import poll_until_done
from airflow_provider_oac.client.flows.start_run import Launched, Mark, Run, job_since, job_target
from airflow_provider_oac.client.flows.submit import submit_once
from airflow_provider_oac.client.ids import object_id
from airflow_provider_oac.client.rest import datasets
from airflow_provider_oac.client.rest.jobs import Job
from airflow_provider_oac.exceptions import (
    OACApiError,
    OACTransportError,
    OACUncertainError,
    OACWorkRequestError,
)
from airflow_provider_oac.transport.io import Request
from tests.manual import Answer, ManualIO, response, unreachable
from tests.unit.client.worlds import START, answering, asked, run

ID = object_id("admin", "Orders")
OF = datasets.runnable(ID)
BUSY = response(409, '{"code": "Conflict", "message": "running"}')
ACCEPTED = response(202, "", {"oa-work-request-id": "wr-1"})


class World:
    """An OAC whose history is a list of jobs with the time at which each appears.

    :param posts: answers to attempts to start, one after the other.
    """

    def __init__(self, *posts: Answer) -> None:
        self.posts = list(posts)
        self.jobs: list[tuple[float, str, str]] = []
        self.on_post: Callable[[World, float], None] = lambda _world, _age: None
        self.lines: list[str] = []
        self.io: ManualIO = answering(self.answer)

    def answer(self, age: float, request: Request) -> Answer:
        if request.method == "POST":
            self.on_post(self, age)
            return self.posts.pop(0)
        shown = [(job, status) for at, job, status in reversed(self.jobs) if at <= age]
        path = urlsplit(request.url).path
        if not path.endswith("/history"):
            shown = [pair for pair in shown if path.endswith(pair[0])]
        return response(200, json.dumps([{"jobIdentifier": job, "jobStatus": status} for job, status in shown]))

    def launch(
        self, traces: Mark | None = None, if_running: str = "fail", confirmation_timeout: float = 30.0
    ) -> Launched:
        kind = Run(OF, datasets.reload(ID), if_running, traces, confirmation_timeout=confirmation_timeout)
        return run(self.io, submit_once(kind), self.lines.append)

    @property
    def posted(self) -> int:
        return len(asked(self.io, "POST"))


def starts(job: str, late: float = 0.0, status: str = "IN_PROGRESS") -> Callable[[World, float], None]:
    """A request that OAC acts on: a job begins, which the history shows a little later."""

    def begin(world: World, age: float) -> None:
        world.jobs.append((age + late, job, status))

    return begin


def test_it_is_started_and_the_history_before_it_is_remembered() -> None:
    world = World(ACCEPTED)
    world.jobs = [(0, "old", "SUCCEEDED")]
    assert world.launch() == Launched("own", "wr-1", None, Mark(("old",)))


@pytest.mark.parametrize("lost", [unreachable(sent=True), response(503, ""), response(202, "{}"), response(500, "")])
def test_an_answer_that_is_no_answer_is_looked_for(lost: Answer) -> None:
    world = World(lost)
    world.jobs = [(0, "old", "SUCCEEDED")]
    world.on_post = starts("new", late=7.0)
    found = world.launch()
    assert (found.how, found.job_id, world.posted) == ("found", "new", 1)


def test_one_that_failed_at_once_is_found_as_well() -> None:
    world = World(unreachable(sent=True))
    world.on_post = starts("new", status="FAILED")
    assert world.launch().job_id == "new"


@pytest.mark.parametrize("lost", [unreachable(), response(429, "", {"retry-after": "1"})])
def test_what_oac_surely_did_not_do_is_not_looked_for(lost: Answer) -> None:
    world = World(lost, ACCEPTED)
    assert world.launch().how == "own"
    assert len(asked(world.io, "GET")) == 1


def test_what_does_not_appear_in_time_is_asked_for_again() -> None:
    world = World(unreachable(sent=True), ACCEPTED)
    assert world.launch(confirmation_timeout=30).how == "own"
    assert world.io.time - START == pytest.approx(30.0)


def test_three_uncertain_attempts_end_it() -> None:
    world = World(*[response(503, "")] * 3)
    with pytest.raises(OACUncertainError, match=r"Could not reload dataset 'admin'.'Orders': 3 requests had no usable"):
        world.launch(confirmation_timeout=1)
    assert world.posted == 3


def test_a_refusal_after_a_lost_answer_is_that_very_run() -> None:
    world = World(unreachable(sent=True), BUSY)
    world.jobs = [(0, "old", "SUCCEEDED")]
    world.on_post = lambda of, age: starts("new", late=3.0)(of, age) if of.posted == 1 else None
    found = world.launch(confirmation_timeout=1)
    assert (found.how, found.job_id, world.posted) == ("found", "new", 2)


def test_a_refusal_by_what_was_there_before_is_not() -> None:
    world = World(unreachable(sent=True), BUSY)
    world.jobs = [(0, "theirs", "IN_PROGRESS")]
    with pytest.raises(OACApiError, match="409"):
        world.launch(confirmation_timeout=1)


@pytest.mark.parametrize(("policy", "how"), [("adopt", "adopted"), ("wait", "busy")])
@pytest.mark.parametrize("status", ["ACCEPTED", "IN_PROGRESS", "CANCELING", "SUSPENDED"])
def test_what_runs_is_named(policy: str, how: str, status: str) -> None:
    world = World(BUSY)
    world.jobs = [(0, "old", "SUCCEEDED"), (0, "theirs", status)]
    assert world.launch(if_running=policy) == Launched(how, None, "theirs", Mark(("theirs", "old")))


def test_what_has_ended_between_two_looks_lets_ours_start() -> None:
    world = World(BUSY, ACCEPTED)
    assert world.launch(if_running="wait").how == "own"
    assert world.io.slept == [5.0]


def test_a_refusal_that_stays_without_a_job_is_raised() -> None:
    world = World(BUSY, BUSY, BUSY)
    with pytest.raises(OACApiError, match="409"):
        world.launch(if_running="wait")


def test_a_trace_of_an_earlier_try_is_adopted_and_nothing_is_sent() -> None:
    world = World()
    world.jobs = [(0, "old", "SUCCEEDED"), (4.0, "first", "SUCCEEDED"), (4.0, "second", "IN_PROGRESS")]
    found = world.launch(traces=Mark(("old",)))
    assert (found.how, found.job_id) == ("found", "first")
    assert "does not show who requested it" in world.lines[1]


def test_a_trace_that_failed_is_no_result() -> None:
    world = World(ACCEPTED)
    world.jobs = [(0, "old", "SUCCEEDED"), (0, "first", "FAILED"), (0, "second", "CANCELED")]
    assert world.launch(traces=Mark(("old",)), confirmation_timeout=4) == Launched(
        "own", "wr-1", None, Mark(("second", "first", "old"))
    )


def test_by_time_the_newest_is_taken_and_clocks_may_differ_a_little() -> None:
    world = World()
    world.jobs = [(0, "first", "SUCCEEDED"), (0, "second", "SUCCEEDED")]
    assert world.launch(traces=Mark(since=START)).job_id == "second"
    asked_for = parse_qs(urlsplit(asked(world.io)[0].url).query)
    assert asked_for["fromStartTime"] == ["2023-11-14T22:13:15.0Z"]


def test_a_mark_goes_through_json() -> None:
    for mark in (Mark(("a", "b")), Mark(since=12.5)):
        assert Mark.from_json(json.loads(json.dumps(mark.to_json()))) == mark


@pytest.mark.parametrize("status", [403, 500])
def test_a_history_that_cannot_be_read_ends_it_before_anything_is_sent(status: int) -> None:
    io = answering(lambda _age, request: response(status, "") if request.method == "GET" else ACCEPTED)
    with pytest.raises(OACApiError):
        run(io, submit_once(Run(OF, datasets.reload(ID))))
    assert asked(io, "POST") == []


def test_a_history_that_is_not_there_is_empty() -> None:
    io = answering(lambda _age, request: response(404, "") if request.method == "GET" else ACCEPTED)
    assert run(io, submit_once(Run(OF, datasets.reload(ID)))).mark == Mark(())


def seen(world: World, mark: Mark, patience: float = 10.0) -> Job | None:
    return run(world.io, job_since(OF, mark, patience))


def test_the_job_of_a_run_is_the_first_after_it_was_started() -> None:
    world = World()
    world.jobs = [(0, "old", "SUCCEEDED"), (4.0, "ours", "SUCCEEDED"), (4.0, "next", "IN_PROGRESS")]
    found = seen(world, Mark(("old",)))
    assert found is not None
    assert found.id == "ours"


def test_a_history_that_stays_behind_is_told_as_it_is() -> None:
    world = World()
    assert seen(world, Mark()) is None
    assert world.io.time - START == pytest.approx(10.0)
    world.jobs = [(0, "ours", "IN_PROGRESS")]
    found = seen(world, Mark())
    assert found is not None
    assert found.status == "IN_PROGRESS"


def test_a_job_is_waited_for_like_a_work_request() -> None:
    states = ["ACCEPTED", "IN_PROGRESS", "FAILED"]

    def oac(_age: float, _request: Request) -> Answer:
        body: dict[str, Any] = {"jobIdentifier": "J", "jobStatus": states.pop(0), "jobRunType": "DATASET"}
        return response(200, json.dumps([body]))

    lines: list[str] = []
    with pytest.raises(OACWorkRequestError, match=r"Job J \(DATASET\) ended FAILED at progress unknown"):
        run(answering(oac), poll_until_done(job_target(OF, "J", report=lines.append)))
    assert [line.split(",")[0] for line in lines] == ["Job J: ACCEPTED", "Job J: IN_PROGRESS"]


def test_trouble_that_will_stay_is_raised() -> None:
    io = answering(lambda _age, _request: unreachable(passing=False))
    with pytest.raises(OACTransportError):
        run(io, poll_until_done(job_target(OF, "J")))
