"""What a task remembers from try to try."""

from __future__ import annotations

import pytest

from airflow_provider_oac.operators.memory import Identity, TaskMemory
from tests.tasks import StateStore, TaskInstance


def memory(store: StateStore | None, *, try_number: int = 1, max_tries: int = 2, used: bool = True) -> TaskMemory:
    return TaskMemory({"ti": TaskInstance("a_task", try_number, max_tries), "task_state_store": store}, used)


def test_facts_add_up_over_the_tries_of_an_order() -> None:
    store = StateStore()
    memory(store).remember(name="a", work_request_id="1")
    memory(store, try_number=2).remember(work_request_id=None, failed=["a"])
    assert memory(store, try_number=3).of_this_order() == {
        "name": "a",
        "work_request_id": None,
        "failed": ["a"],
        "max_tries": 2,
    }


def test_a_clear_begins_a_new_order() -> None:
    store = StateStore()
    memory(store).remember(name="a", failed=["a"])
    cleared = memory(store, try_number=2, max_tries=3)
    assert cleared.of_this_order() == {}
    assert cleared.recall()["name"] == "a"
    cleared.remember(work_request_id="2")
    assert cleared.recall() == {"work_request_id": "2", "max_tries": 3}


@pytest.mark.parametrize("used", [True, False])
def test_without_a_store_it_remembers_nothing(used: bool) -> None:
    nothing = memory(None if used else StateStore(), used=used)
    nothing.remember(name="a")
    assert not nothing.available
    assert nothing.recall() == nothing.of_this_order() == {}


@pytest.mark.parametrize("text", ["null", "[]", '"text"'])
def test_what_is_no_record_of_ours_counts_as_nothing(text: str) -> None:
    store = StateStore()
    store.texts["oac_work"] = text
    assert memory(store).recall() == {}


def test_a_task_that_is_not_mapped_has_the_index_minus_one() -> None:
    ti = TaskInstance("a_task", 1, 2)
    ti.map_index = None
    assert Identity.of({"ti": ti}).map_index == -1
