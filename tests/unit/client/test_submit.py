"""The loop that submits once, with the smallest kind of work: what it counts, searches, reports and gives up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from airflow_provider_oac.client.api import Api
from airflow_provider_oac.client.calls import Call, nothing
from airflow_provider_oac.client.flows.submit import (
    TRACES_HOLD,
    Attempts,
    Submission,
    may_have_acted,
    search,
    submit_once,
    unless_gone,
    without_user,
)
from airflow_provider_oac.exceptions import (
    OACApiError,
    OACAuthError,
    OACError,
    OACKilledError,
    OACSupersededError,
    OACTransportError,
    OACUncertainError,
)
from airflow_provider_oac.operators.task_state import TaskRecord, TaskState
from tests.manual import Answer, ManualIO, in_turn, response, unreachable
from tests.tasks import StateStore, TaskInstance
from tests.unit.client.worlds import answering, asked, run

LOST, REFUSED, ACCEPTED = unreachable(sent=True), response(400), response(202)
DELETE = Call("delete the work", "DELETE", "/works/7", nothing)
WAIT, LONG_WAIT = (response(429, "", {"retry-after": str(TRACES_HOLD + more)}) for more in (-1, 1))


@dataclass
class Work(Submission[None, str]):
    """Work whose traces show as often as `shows` tells; `log` keeps the order of events."""

    shows: list[bool | OACError] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    again: bool = False

    doing = "start the work"
    where = "the list of works"
    clue = "work 7"

    async def prepare(self, api: Api) -> None:
        self.log.append("prepare")

    async def trace(self, api: Api, lost: OACError | None) -> str | None:
        self.log.append("trace" if lost is None else "trace after a loss")
        shown = self.shows.pop(0) if self.shows else False
        if isinstance(shown, OACError):
            raise shown
        return "found" if shown else None

    def call(self, now: float) -> Call[None]:
        self.log.append("call")
        return Call(self.doing, "POST", "/works", nothing)

    def accepted(self, api: Api, answer: None) -> str:
        return "accepted"

    async def refused(self, api: Api, error: OACApiError, lost: OACError | None) -> str | None:
        if self.again:
            return None
        raise error


@dataclass
class Unseen(Work):
    """Work that OAC shows nowhere."""

    where = ""


@dataclass
class Expected(Work):
    """Work that may be there already, so it is searched for first."""

    looks_first = True


def submitted(work: Work, *answers: Answer) -> tuple[str, ManualIO, list[str]]:
    next_answer, lines = in_turn(*answers), []  # type: tuple[Any, list[str]]
    io = answering(lambda _age, request: next_answer(request))
    task = Attempts(lambda _clue: work.log.append("remember"), lambda: work.log.append("take back"))
    return run(io, submit_once(work, task), lines.append), io, lines


def test_it_prepares_once_remembers_sends_and_reports_nothing() -> None:
    work = Work()
    result, io, lines = submitted(work, ACCEPTED)
    assert (result, lines, io.slept) == ("accepted", [], [])
    assert work.log == ["prepare", "call", "remember"]


def test_a_lost_response_is_searched_for_and_the_request_sent_again_with_lines_that_name_it() -> None:
    work = Work(confirmation_timeout=3.0)
    result, io, lines = submitted(work, LOST, ACCEPTED)
    assert (result, len(asked(io, "POST"))) == ("accepted", 2)
    # At 0, 2 and 3 seconds.
    assert (work.log.count("trace after a loss"), io.slept) == (3, [2.0, 1.0])
    assert "take back" not in work.log
    maybe, none = lines
    assert "may or may not have accepted the request to start the work, named work 7" in maybe
    assert "shows no result after 3 s, so the request counts as not accepted" in none
    assert "it is a duplicate: start the work, named work 7." in none


def test_traces_of_a_lost_request_are_the_result_without_a_line_that_they_are_missing() -> None:
    result, io, lines = submitted(Work(shows=[False, True]), LOST)
    assert (result, len(asked(io, "POST")), len(lines)) == ("found", 1, 1)


@pytest.mark.parametrize(
    ("work", "sends"), [(Work(confirmation_timeout=0.0), 3), (Unseen(), 1)], ids=["shown in a list", "shown nowhere"]
)
def test_work_that_oac_shows_nowhere_is_sent_once_and_other_work_three_times(work: Work, sends: int) -> None:
    says = f"Could not start the work: {sends} requests had .*run the task again; it searches.*: no answer came"
    with pytest.raises(OACUncertainError, match=says) as problem:
        submitted(work, *[LOST] * sends)
    assert problem.value.__cause__ is LOST


@pytest.mark.parametrize(
    ("broken", "kind", "says"),
    [
        (
            OACError("no list"),
            OACUncertainError,
            "could not be read.*First failure: no answer.*Second failure: no list",
        ),
        (OACUncertainError("two lists"), OACUncertainError, "^two lists$"),
        (OACKilledError("told to stop"), OACKilledError, "^told to stop$"),
    ],
)
def test_a_search_that_fails_ends_in_an_error(broken: OACError, kind: type[OACError], says: str) -> None:
    with pytest.raises(kind, match=says):
        submitted(Work(shows=[broken]), LOST)


SENT, TAKEN_BACK = ["prepare", "call", "remember"], ["prepare", "call", "remember", "take back"]
NO_USER = response(500, "Servlet execution threw an exception: PublicAPIJerseyServlet")
CASES: dict[str, tuple[Work, list[Answer], str | type[OACError], list[str]]] = {
    **{
        f"HTTP {status}": (Work(), [response(status, headers={"retry-after": "999"})], OACApiError, TAKEN_BACK)
        for status in (400, 403, 409, 429)
    },
    "not sent": (Work(), [unreachable(sent=False, passing=False)], OACTransportError, TAKEN_BACK),
    "a refusal after a lost response": (
        Work(confirmation_timeout=0.0), [LOST, REFUSED], OACApiError, [*SENT, "trace after a loss", *SENT[1:]],
    ),
    "a token without a user": (Work(), [NO_USER], OACApiError, SENT),
    "refusals that ask to send again": (Work(again=True), [REFUSED] * 3, OACApiError, ["prepare", *TAKEN_BACK[1:] * 3]),
    "a pause in which traces hold": (Work(), [WAIT, ACCEPTED], "accepted", SENT),
    "a longer pause": (Work(), [LONG_WAIT, ACCEPTED], "accepted", [*TAKEN_BACK, "trace", *SENT[1:]]),
    "a longer pause in which another try sends it": (
        Work(shows=[True]), [LONG_WAIT], "found", [*TAKEN_BACK, "trace"],
    ),
    "work that may be there already": (Expected(), [ACCEPTED], "accepted", ["trace", *SENT]),
    "an earlier try": (Work(suspect=True, confirmation_timeout=0.0, shows=[True]), [], "found", ["trace"]),
}  # fmt: skip


@pytest.mark.parametrize(("work", "answers", "result", "log"), CASES.values(), ids=CASES)
def test_what_is_remembered_taken_back_and_searched(
    work: Work, answers: list[Answer], result: str | type[OACError], log: list[str]
) -> None:
    try:
        found: str | type[OACError] = submitted(work, *answers)[0]
    except OACError as error:
        found = type(error)
    assert (found, work.log) == (result, log)


def test_an_earlier_try_is_searched_for_before_anything_and_only_as_long_as_asked() -> None:
    work = Work(suspect=True, confirmation_timeout=1.0)
    result, io, (line,) = submitted(work, ACCEPTED)
    assert (result, io.slept) == ("accepted", [1.0])
    assert (
        "An earlier try may have sent the request to start the work. Searching the list of works for up to 1 s" in line
    )
    assert work.log == ["trace", "trace", "prepare", "call", "remember"]


def test_an_instance_that_keeps_asking_to_wait_is_asked_three_times() -> None:
    work = Work()
    with pytest.raises(OACError, match=r"OAC repeatedly asked to wait\. Nothing was sent"):
        submitted(work, *[LONG_WAIT] * 3)
    assert work.log == ["prepare", *["call", "remember", "take back", "trace"] * 3]


class SleepyIO(ManualIO):
    """One whose first long sleep lets others act."""

    async def nothing(self) -> None: ...

    on_long_sleep: Callable[[], Awaitable[None]] = nothing

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        if seconds >= 100:
            others, self.on_long_sleep = self.on_long_sleep, self.nothing
            await others()


def memory(store: StateStore, try_number: int) -> TaskState:
    return TaskState({"ti": TaskInstance("a_task", try_number, 2), "task_state_store": store})


def test_a_try_that_was_replaced_while_it_slept_sends_nothing() -> None:
    """OAC asks to come back in 100 s, the supervisor is killed, try 2 starts and sends, try 1 wakes."""
    store, results, answers = StateStore(), [], [response(429, "", {"retry-after": "100"}), ACCEPTED]
    first, second = memory(store, 1), memory(store, 2)
    io = answering(lambda _age, _request: answers.pop(0), SleepyIO)

    async def whole(api: Api) -> None:
        async def replaced() -> None:
            second.claim()
            results.append(await submit_once(Work(), second.attempts())(api))

        first.claim()
        io.on_long_sleep = replaced  # type: ignore[attr-defined]
        await submit_once(Work(), first.attempts())(api)

    with pytest.raises(OACSupersededError, match="Try 1 of task 'a_task' sends nothing more: another try"):
        run(io, whole)
    assert (len(asked(io, "POST")), results) == (2, ["accepted"])
    # Nor does it touch what the other remembers.
    assert second.of_this_order() == TaskRecord(2, sending=True)


class Gone(StateStore):
    """A store that cannot be read."""

    def get(self, key: str) -> Any:
        raise BrokenPipeError("the supervisor is gone")


def test_a_store_that_cannot_be_read_is_no_permission_to_send() -> None:
    with pytest.raises(OACSupersededError, match=r"Airflow does not say .*the supervisor is gone"):
        memory(Gone(), 1).check_current()


def test_a_lost_response_of_the_token_service_is_no_lost_response_of_oac() -> None:
    work = Work()
    io = ManualIO(lambda _request: unreachable(sent=True))
    with pytest.raises(OACTransportError):
        run(io, submit_once(work, Attempts(take_back=lambda: work.log.append("take back"))))
    assert work.log == ["prepare", "call", "take back"]


@pytest.mark.parametrize(("status", "existed"), [(200, True), (404, False)])
def test_what_is_gone_already_is_no_error(status: int, existed: bool) -> None:
    io = answering(response(status))
    assert run(io, unless_gone(DELETE)) is existed
    assert len(asked(io, "DELETE")) == 1


@pytest.mark.parametrize("status", [400, 403, 405, 500])
def test_any_other_failure_of_a_deletion_is_raised(status: int) -> None:
    with pytest.raises(OACApiError):
        run(answering(response(status)), unless_gone(DELETE))


def api_error(status: int, retryable: bool = False) -> OACApiError:
    return OACApiError("x", status=status, method="POST", path="/", retryable=retryable)


@pytest.mark.parametrize(
    ("error", "acted"),
    [
        *((api_error(status), False) for status in (302, 400, 404, 409, 429, 499)),
        *((api_error(status), True) for status in (408, 500, 503, 520)),
        (unreachable(sent=True), True),
        (unreachable(sent=False), False),
        (OACAuthError("x"), False),
        (OACError("unreadable"), True),
    ],
)
def test_what_oac_may_have_acted_on(error: OACError, acted: bool) -> None:
    assert may_have_acted(error) is acted


def test_a_token_without_a_user_is_a_500_that_is_not_worth_a_retry() -> None:
    errors: list[Any] = [api_error(500), api_error(500, retryable=True), api_error(501), OACError("x")]
    assert [without_user(error) for error in errors] == [True, False, False, False]


@pytest.mark.parametrize("jump", [0.0, -3600.0, 3600.0])
def test_a_search_ends_neither_early_nor_late_if_the_clock_is_set_and_looks_after_its_last_pause(jump: float) -> None:
    io, looks = answering(response()), []  # type: tuple[ManualIO, list[float]]

    async def attempt() -> None:
        looks.append(sum(io.slept))
        io.time += jump

    run(io, lambda api: search(api, attempt, 5.0))
    assert looks == [0.0, 2.0, 4.0, 5.0]
