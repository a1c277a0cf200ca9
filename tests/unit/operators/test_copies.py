"""Airflow copies operators, and pickles what it passes between processes."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from airflow_provider_oac._compat import BaseOperator
from airflow_provider_oac.arguments import arguments_of
from tests.tasks import through_the_database
from tests.unit.operators.everything import CLASSES, TRIGGERS, make, make_trigger

try:
    from airflow.sdk import DAG
except ImportError:  # Airflow 2.11
    from airflow import DAG

OPERATORS = [kind for kind in CLASSES if issubclass(kind, BaseOperator)]


def pickled(thing: Any) -> Any:
    return pickle.loads(pickle.dumps(thing))  # noqa: S301


def arguments(task: Any) -> dict[str, Any]:
    return {argument.name: getattr(task, argument.attribute) for argument in arguments_of(type(task))}


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickled])
@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_operators_sensors_and_notifiers_are_copied(kind: Any, copied: Any) -> None:
    task = make(kind)
    assert arguments(copied(task)) == arguments(task)


def test_a_part_of_a_dag_is_a_copy() -> None:
    with DAG("d", schedule=None) as dag:
        for number, kind in enumerate(OPERATORS):
            make(kind, task_id=f"task{number}")
    part = (getattr(dag, "partial_subset", None) or dag.sub_dag)([f"task{number}" for number in range(len(OPERATORS))])
    for number, kind in enumerate(OPERATORS):
        assert type(part.task_dict[f"task{number}"]) is kind
        assert arguments(part.task_dict[f"task{number}"]) == arguments(dag.task_dict[f"task{number}"])


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickled, through_the_database])
@pytest.mark.parametrize("kind", TRIGGERS, ids=lambda kind: kind.__name__)
def test_triggers_are_copied(kind: Any, copied: Any) -> None:
    trigger = make_trigger(kind)
    assert copied(trigger).serialize() == trigger.serialize()
