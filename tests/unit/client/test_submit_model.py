"""The model of submit_once, enumerated completely, and the real flow along each of its paths."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path

import pytest

from airflow_provider_oac.client.flows.create_snapshot import NewSnapshot, SnapshotOrder
from airflow_provider_oac.client.flows.submit import Attempts, submit_once
from airflow_provider_oac.client.rest.snapshots import Storage
from airflow_provider_oac.client.snapshot_names import task_mark
from airflow_provider_oac.exceptions import OACApiError, OACUncertainError
from airflow_provider_oac.transport.io import Request
from tests.manual import Answer, response, unreachable
from tests.submit_model import ACCEPTED, ADOPTED, CRASH, ENDS, Rules, Situation, diagram, paths, reachable, steps
from tests.unit.client.snapshot_lists import listing
from tests.unit.client.worlds import answering, run

DOCS = Path(__file__).parents[3] / "docs" / "durability.md"
ORDER = SnapshotOrder("nightly", "prod", "seal", task_mark("d", "r", "t", -1, 1), "f", Storage("b"))
SHOWN, NOT_SHOWN = "OAC shows it", "OAC does not show it"


def test_whatever_happens_oac_accepts_one() -> None:
    assert max(at.works for at in reachable()) == 1


def test_each_situation_leads_to_success_if_nothing_more_goes_wrong() -> None:
    leads = {at for at in reachable() if at.state in (ACCEPTED, ADOPTED)}
    while more := {at for at, after in reachable().items() if at not in leads and after & leads}:
        leads |= more
    assert leads == set(reachable())


@pytest.mark.parametrize("rule", [rule.name for rule in fields(Rules)])
def test_without_any_of_the_rules_oac_accepts_two(rule: str) -> None:
    assert max(at.works for at in reachable(replace(Rules(), **{rule: False}))) == 2


def test_nothing_follows_an_end_but_another_try() -> None:
    assert all(not list(steps(at)) for at in reachable() if at.state in ENDS)


def test_the_docs_show_the_model() -> None:
    text = DOCS.read_text()
    assert f"```text\n{diagram()}\n```" in text, f"docs/durability.md is to show:\n{diagram()}"


class Lost(BaseException):
    """The process is lost."""


class Try:
    """One try of the real flow. What the model says is done to it, and what it does is noted.

    :param before: where the task is.
    :param messages: the path along which it is led.
    """

    def __init__(self, before: Situation, messages: tuple[str, ...]) -> None:
        self.before = before
        self.ahead = list(messages)
        self.seen: list[str] = []
        self.works = before.works
        self.suspect = before.suspect

    def note(self, message: str) -> None:
        """Something happens, unless the process is lost before."""
        if self.ahead and self.ahead[0] == CRASH:
            self.seen.append(self.ahead.pop(0))
            raise Lost
        self.seen.append(message)
        if self.ahead and self.ahead[0] == message:
            self.ahead.pop(0)

    def remember(self, _clue: object) -> None:
        self.note("the intent is remembered")
        self.suspect = True

    def take_back(self) -> None:
        self.suspect = False

    def answer(self, _age: float, request: Request) -> Answer:
        if request.method == "GET":
            self.note(SHOWN if self.works else NOT_SHOWN)
            return listing(*[ORDER.name(0, None)] * min(self.works, 1))
        self.note("the request is sent")
        message = self.ahead.pop(0)
        self.seen.append(message)
        if message.startswith("OAC accepts") or message.endswith("arrives"):
            self.works += 1
        if message.startswith(CRASH):
            raise Lost
        if message == "OAC accepts it":
            return response(202, '{"workRequestId": "w:1"}', {"oa-work-request-id": "w:1"})
        return response(400) if message == "OAC refuses it" else unreachable(sent=True)

    def run(self) -> tuple[tuple[str, ...], int, bool]:
        """The messages on its way, and how many works and whether an intent are left."""
        kind = NewSnapshot(ORDER, "Correct-Horse-7-Battery", suspect=self.before.suspect, confirmation_timeout=0)
        self.seen.append("an earlier try may have sent it" if self.before.suspect else "no earlier try has sent it")
        self.ahead.pop(0)
        try:
            taken = run(answering(self.answer), submit_once(kind, Attempts(self.remember, self.take_back)))
            if taken.work_request_id is not None:
                # The operator does that.
                self.note("the id is remembered")
                self.suspect = False
        except Lost:
            pass
        except OACUncertainError:
            with suppress(Lost):
                self.note("it was sent often enough")
        except OACApiError:
            pass
        return tuple(self.seen), self.works, self.suspect


BEGINNINGS = [Situation(), Situation(suspect=True), Situation(suspect=True, works=1)]
PATHS = [(at, messages, end) for at in BEGINNINGS for messages, end in paths(at)]


@pytest.mark.parametrize(("at", "messages", "end"), PATHS, ids=[" / ".join(messages) for _, messages, _ in PATHS])
def test_the_flow_goes_as_the_model_does(at: Situation, messages: tuple[str, ...], end: Situation) -> None:
    assert Try(at, messages).run() == (messages, end.works, end.suspect)
