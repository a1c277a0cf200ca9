"""What starting a run decides, with a clock that moves only by sleeping."""

from __future__ import annotations

import json
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from airflow_provider_oac.client.flows.polling import poll_until_done
from airflow_provider_oac.client.flows.start_run import Launched, Mark, Run, job_since, job_target
from airflow_provider_oac.client.flows.submit import submit_once
from airflow_provider_oac.client.ids import object_id
from airflow_provider_oac.client.rest import datasets
from airflow_provider_oac.exceptions import OACApiError, OACWorkRequestError
from airflow_provider_oac.transport.io import Request
from tests.manual import Answer, ManualIO, response, unreachable
from tests.unit.client.worlds import START, answering, asked, run

ID = object_id("admin", "Orders")
OF = datasets.runnable(ID)
BUSY = response(409, '{"code": "Conflict", "message": "running"}')
ACCEPTED = response(202, "", {"oa-work-request-id": "wr-1"})
LOST = unreachable(sent=True)


class World:
    """An OAC whose history is a list of jobs with the time at which each appears.

    :param posts: answers to attempts to start, one after the other.
    """

    def __init__(self, *posts: Answer) -> None:
        self.posts = list(posts)
        self.jobs: list[tuple[float, str, str]] = []
        self.on_post: Callable[[World, float], None] = lambda _world, _age: None
        self.lines: list[str] = []
        # What OAC answers in place of the history.
        self.history: Answer | None = None
        self.io: ManualIO = answering(self.answer)

    def answer(self, age: float, request: Request) -> Answer:
        if request.method == "POST":
            self.on_post(self, age)
            return self.posts.pop(0)
        if self.history is not None:
            return self.history
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


@pytest.mark.parametrize("status", ["IN_PROGRESS", "FAILED"])
def test_a_run_with_a_lost_response_is_found_in_the_history_even_if_it_failed(status: str) -> None:
    world = World(response(202, "{}"))
    world.jobs = [(0, "old", "SUCCEEDED")]
    world.on_post = starts("new", late=7.0, status=status)
    found = world.launch()
    assert (found.how, found.job_id, world.posted) == ("found", "new", 1)


def test_a_refusal_after_a_lost_answer_is_that_very_run() -> None:
    world = World(LOST, BUSY)
    world.jobs = [(0, "old", "SUCCEEDED")]
    world.on_post = lambda of, age: starts("new", late=3.0)(of, age) if of.posted == 1 else None
    found = world.launch(confirmation_timeout=1)
    assert (found.how, found.job_id, world.posted) == ("found", "new", 2)


def test_a_refusal_by_what_was_there_before_is_not() -> None:
    world = World(LOST, BUSY)
    world.jobs = [(0, "theirs", "IN_PROGRESS")]
    with pytest.raises(OACApiError, match="409"):
        world.launch(confirmation_timeout=1)


@pytest.mark.parametrize(("policy", "how"), [("adopt", "adopted"), ("wait", "busy")])
@pytest.mark.parametrize("status", ["ACCEPTED", "IN_PROGRESS", "CANCELING", "SUSPENDED"])
def test_what_runs_is_named(policy: str, how: str, status: str) -> None:
    world = World(BUSY)
    world.jobs = [(0, "old", "SUCCEEDED"), (0, "theirs", status)]
    assert world.launch(if_running=policy) == Launched(how, None, "theirs", Mark(("theirs", "old")))


@pytest.mark.parametrize(("answers", "if_running"), [([BUSY] * 3, "wait"), ([BUSY], "fail"), ([response(400)], "wait")])
def test_a_refusal_without_a_job_that_runs_is_raised(answers: list[Answer], if_running: str) -> None:
    world = World(*answers)
    with pytest.raises(OACApiError):
        world.launch(if_running=if_running)
    assert world.posted == len(answers)


def test_a_job_that_has_ended_between_two_polls_lets_ours_start() -> None:
    world = World(BUSY, ACCEPTED)
    assert world.launch(if_running="wait").how == "own"
    assert world.io.slept == [5.0]


def test_a_trace_of_an_earlier_try_is_adopted_and_nothing_is_sent() -> None:
    world = World()
    world.jobs = [(0, "old", "SUCCEEDED"), (4.0, "first", "SUCCEEDED"), (4.0, "second", "IN_PROGRESS")]
    assert world.launch(traces=Mark(("old",))) == Launched("found", None, "first", Mark(("old",)))
    assert "does not show who requested it" in world.lines[1]


def test_a_trace_that_failed_is_no_result() -> None:
    world = World(ACCEPTED)
    world.jobs = [(0, "old", "SUCCEEDED"), (0, "first", "FAILED"), (0, "second", "CANCELED")]
    found = world.launch(traces=Mark(("old",)), confirmation_timeout=4)
    assert found == Launched("own", "wr-1", None, Mark(("second", "first", "old")))


def test_by_time_the_newest_is_taken_and_clocks_may_differ_a_little() -> None:
    world = World()
    world.jobs = [(0, "first", "SUCCEEDED"), (0, "second", "SUCCEEDED")]
    assert world.launch(traces=Mark(since=START)).job_id == "second"
    assert "fromStartTime=2023-11-14T22%3A13%3A15.0Z" in asked(world.io)[0].url


@pytest.mark.parametrize("status", [403, 500])
def test_a_history_that_cannot_be_read_ends_it_before_anything_is_sent(status: int) -> None:
    world = World()
    world.history = response(status)
    with pytest.raises(OACApiError):
        world.launch()
    assert world.posted == 0


def test_a_history_that_is_not_there_is_empty() -> None:
    world = World(ACCEPTED)
    world.history = response(404)
    assert world.launch().mark == Mark(())


def test_the_job_of_a_run_is_the_first_after_it_was_started() -> None:
    world = World()
    world.jobs = [(0, "old", "SUCCEEDED"), (4.0, "ours", "SUCCEEDED"), (4.0, "next", "IN_PROGRESS")]
    found = run(world.io, job_since(OF, Mark(("old",))))
    assert found is not None
    assert found.id == "ours"


@pytest.mark.parametrize("shown", [[], ["IN_PROGRESS"]])
def test_a_history_that_lags_is_returned_as_it_is(shown: list[str]) -> None:
    world = World()
    world.jobs = [(0, "ours", status) for status in shown]
    found = run(world.io, job_since(OF, Mark(), 10.0))
    assert [found.status for found in [found] if found] == shown
    assert world.io.time - START == pytest.approx(10.0)


def test_a_job_is_waited_for_like_a_work_request() -> None:
    states, lines = ["ACCEPTED", "IN_PROGRESS", "FAILED"], []  # type: tuple[list[str], list[str]]

    def oac(_age: float, _request: Request) -> Answer:
        return response(200, json.dumps([{"jobIdentifier": "J", "jobStatus": states.pop(0), "jobRunType": "DATASET"}]))

    with pytest.raises(OACWorkRequestError, match=r"Job J \(DATASET\) ended FAILED at progress unknown"):
        run(answering(oac), poll_until_done(job_target(OF, "J", report=lines.append)))
    assert [line.split(",")[0] for line in lines] == ["Job J: ACCEPTED", "Job J: IN_PROGRESS"]
