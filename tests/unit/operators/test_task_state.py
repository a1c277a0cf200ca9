"""What a task remembers from try to try."""

from __future__ import annotations

import os

import pytest

from airflow_provider_oac.exceptions import OACSupersededError
from airflow_provider_oac.operators.task_state import TaskKey, TaskRecord, TaskState
from tests.tasks import StateStore, TaskInstance


def memory(store: StateStore | None, *, try_number: int = 1, max_tries: int = 2, used: bool = True) -> TaskState:
    return TaskState({"ti": TaskInstance("a_task", try_number, max_tries), "task_state_store": store}, used)


def test_facts_add_up_over_the_tries_of_an_order() -> None:
    store = StateStore()
    memory(store).remember(name="a", work_request_id="1")
    memory(store, try_number=2).remember(work_request_id=None, failed=("a",))
    assert memory(store, try_number=3).of_this_order() == TaskRecord(2, name="a", failed=("a",))


def test_a_clear_begins_a_new_order() -> None:
    store = StateStore()
    memory(store).remember(name="a", failed=("a",))
    cleared = memory(store, try_number=2, max_tries=3)
    assert cleared.of_this_order() == TaskRecord()
    assert cleared.recall().name == "a"
    cleared.remember(work_request_id="2")
    assert cleared.recall() == TaskRecord(3, work_request_id="2")


@pytest.mark.parametrize("max_tries", [2, 3], ids=["a retry", "a clear"])
def test_a_try_that_was_replaced_changes_nothing_of_what_the_current_one_remembers(max_tries: int) -> None:
    store = StateStore()
    replaced, current = memory(store), memory(store, try_number=2, max_tries=max_tries)
    replaced.claim()
    attempts = replaced.attempts()
    attempts.remember(None)
    current.claim()
    current.remember(work_request_id="2")
    before = dict(store.texts)
    replaced.remember(checked=True)
    attempts.remember(None)
    attempts.take_back()
    assert store.texts == before


@pytest.mark.parametrize("used", [True, False])
def test_without_a_store_it_remembers_nothing(used: bool) -> None:
    nothing = memory(None if used else StateStore(), used=used)
    nothing.remember(name="a")
    assert not nothing.available
    assert nothing.recall() == nothing.of_this_order() == TaskRecord()
    assert not nothing.suspect()


@pytest.mark.parametrize(
    ("text", "suspect"),
    [
        *((text, True) for text in ("[]", '"text"', "{}", '{"max_tries": 2, "work_request_id": "1", "facts": {}}')),
        (None, False), ("null", False),
    ],
)  # fmt: skip
def test_what_another_version_has_written_makes_a_suspect_and_nothing_makes_none(text: str, suspect: bool) -> None:
    store = StateStore()
    if text is not None:
        store.texts["oac_work"] = text
    assert memory(store, try_number=2).recall() == TaskRecord()
    assert memory(store, try_number=2).suspect() is suspect


def test_a_task_that_is_not_mapped_has_the_index_minus_one() -> None:
    ti = TaskInstance("a_task", 1, 2)
    ti.map_index = None
    assert TaskKey.of({"ti": ti}).map_index == -1


def test_a_try_that_froze_before_it_began_does_not_take_over_from_a_later_one() -> None:
    store = StateStore()
    early, late = memory(store, try_number=1), memory(store, try_number=2)
    late.claim()
    with pytest.raises(OACSupersededError, match=r"Try 1 of task .* another try has taken over"):
        early.claim()
    late.check_current()


def test_without_a_store_a_try_whose_supervisor_is_gone_is_not_the_current_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_oac.operators.task_state._parents", {})
    memory = TaskState({"ti": TaskInstance("t", 1, 1)})
    memory.claim()
    memory.check_current()
    # The kernel gives the process another parent.
    monkeypatch.setattr(os, "getppid", lambda: 1)
    with pytest.raises(
        OACSupersededError, match="Try 1 of task 't' sends nothing more: the process that supervised it"
    ):
        memory.check_current()
