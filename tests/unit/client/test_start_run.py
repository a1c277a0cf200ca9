"""What starting a run decides, with a clock that moves only by sleeping."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
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
#: A job in the history: when it appears, its id and its status.
Entry = tuple[float, str, str]


class World:
    """An OAC whose history is a list of jobs with the time at which each appears.

    :param posts: answers to attempts to start, one after the other.
    :param jobs: what the history shows: seconds since the start, id, status.
    :param begins: a job that the first attempt begins, with the seconds until the history shows it.
    :param history: what OAC answers in place of the history.
    """

    def __init__(
        self, *posts: Answer, jobs: Sequence[Entry] = (), begins: Entry | None = None, history: Answer | None = None
    ) -> None:
        self.posts, self.jobs, self.begins, self.history = list(posts), list(jobs), begins, history
        self.lines: list[str] = []
        self.io: ManualIO = answering(self.answer)

    def answer(self, age: float, request: Request) -> Answer:
        if request.method == "POST":
            if self.begins:
                late, job, status = self.begins
                self.jobs.append((age + late, job, status))
                self.begins = None
            return self.posts.pop(0)
        if self.history is not None:
            return self.history
        shown = [(job, status) for at, job, status in reversed(self.jobs) if at <= age]
        path = urlsplit(request.url).path
        if not path.endswith("/history"):
            shown = [pair for pair in shown if path.endswith(pair[0])]
        return response(200, json.dumps([{"jobIdentifier": job, "jobStatus": status} for job, status in shown]))

    def launch(self, **details: Any) -> Launched:
        return run(self.io, submit_once(Run(OF, datasets.reload(ID), **details)), self.lines.append)


OLD = (0.0, "old", "SUCCEEDED")
AFTER_OLD = Mark(("old",))
OWN, NEW = Launched("own", "wr-1", None, AFTER_OLD), Launched("found", None, "new", AFTER_OLD)
ENDED = [(0.0, "first", "FAILED"), (0.0, "second", "CANCELED")]
CASES: dict[str, tuple[World, dict[str, Any], Launched]] = {
    "accepted": (World(ACCEPTED, jobs=[OLD]), {}, OWN),
    "no history": (World(ACCEPTED, history=response(404)), {}, replace(OWN, mark=Mark())),
    "a lost response": (World(response(202, "{}"), jobs=[OLD], begins=(7.0, "new", "IN_PROGRESS")), {}, NEW),
    "a lost response, and it failed": (World(LOST, jobs=[OLD], begins=(7.0, "new", "FAILED")), {}, NEW),
    "a refusal after a lost response": (
        World(LOST, BUSY, jobs=[OLD], begins=(3.0, "new", "IN_PROGRESS")), {"confirmation_timeout": 1}, NEW,
    ),
    "a trace of an earlier try": (
        World(jobs=[OLD, (4.0, "new", "SUCCEEDED"), (4.0, "next", "IN_PROGRESS")]), {"traces": AFTER_OLD}, NEW,
    ),
    "a trace that failed": (
        World(ACCEPTED, jobs=[OLD, *ENDED]), {"traces": AFTER_OLD, "confirmation_timeout": 4},
        replace(OWN, mark=Mark(("second", "first", "old"))),
    ),
    **{
        f"{status}, {policy}": (
            World(BUSY, jobs=[OLD, (0.0, "theirs", status)]), {"if_running": policy},
            Launched(how, None, "theirs", Mark(("theirs", "old"))),
        )
        for policy, how in (("adopt", "adopted"), ("wait", "busy"))
        for status in ("ACCEPTED", "IN_PROGRESS", "CANCELING", "SUSPENDED")
    },
}  # fmt: skip


@pytest.mark.parametrize(("world", "details", "launched"), CASES.values(), ids=CASES)
def test_a_launch(world: World, details: dict[str, Any], launched: Launched) -> None:
    assert world.launch(**details) == launched
    assert world.posts == []
    if launched == NEW:
        assert "the request to reload dataset 'admin'.'Orders'" in world.lines[0]
        assert "does not show who requested it" in world.lines[-1]


@pytest.mark.parametrize(
    ("world", "if_running"),
    [
        (World(BUSY, BUSY, BUSY), "wait"),
        (World(BUSY), "fail"),
        (World(response(400)), "wait"),
        # It was there before.
        (World(LOST, BUSY, jobs=[(0.0, "theirs", "IN_PROGRESS")]), "fail"),
        # Nothing is sent.
        *((World(history=response(status)), "fail") for status in (403, 500)),
    ],
)
def test_a_refusal_without_a_job_of_ours_is_raised(world: World, if_running: str) -> None:
    with pytest.raises(OACApiError):
        world.launch(if_running=if_running, confirmation_timeout=1)
    assert world.posts == []


def test_a_job_that_has_ended_between_two_polls_lets_ours_start() -> None:
    world = World(BUSY, ACCEPTED)
    assert world.launch(if_running="wait").how == "own"
    assert world.io.slept == [5.0]


def test_by_time_the_newest_is_taken_and_clocks_may_differ_a_little() -> None:
    world = World(jobs=[(0.0, "first", "SUCCEEDED"), (0.0, "second", "SUCCEEDED")])
    assert world.launch(traces=Mark(since=START)).job_id == "second"
    assert "fromStartTime=2023-11-14T22%3A13%3A15.0Z" in asked(world.io)[0].url


def test_the_job_of_a_run_is_the_first_after_it_was_started() -> None:
    world = World(jobs=[OLD, (4.0, "ours", "SUCCEEDED"), (4.0, "next", "IN_PROGRESS")])
    found = run(world.io, job_since(OF, AFTER_OLD))
    assert found is not None
    assert found.id == "ours"


@pytest.mark.parametrize("shown", [[], ["IN_PROGRESS"]])
def test_a_history_that_lags_is_returned_as_it_is(shown: list[str]) -> None:
    world = World(jobs=[(0.0, "ours", status) for status in shown])
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
