"""Airflow copies and stores operators, and pickles what it passes between processes."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest

from airflow_provider_oac.arguments import arguments_of
from airflow_provider_oac.links import OACInstanceLink, OACWorkRequestLink
from tests.tasks import through_the_database
from tests.unit.operators.everything import CLASSES, TASKS, TRIGGERS, make, make_trigger

try:
    from airflow.sdk import DAG
except ImportError:  # Airflow 2.11
    from airflow import DAG
try:
    from airflow.serialization.serialized_objects import DagSerialization
except ImportError:  # before Airflow 3.2
    from airflow.serialization.serialized_objects import SerializedDAG as DagSerialization


@pytest.fixture(scope="module")
def dag() -> Any:
    """A DAG of all operators and sensors; their names are the IDs of the tasks."""
    with DAG("d", schedule=None) as dag:
        for name, kind in TASKS.items():
            make(kind, task_id=name)
    return dag


def pickled(thing: Any) -> Any:
    return pickle.loads(pickle.dumps(thing))  # noqa: S301


def arguments(task: Any) -> dict[str, Any]:
    return {argument.name: getattr(task, argument.attribute) for argument in arguments_of(type(task))}


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickled])
@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_operators_sensors_and_notifiers_are_copied(kind: Any, copied: Any) -> None:
    task = make(kind)
    assert arguments(copied(task)) == arguments(task)


def test_a_part_of_a_dag_is_a_copy(dag: Any) -> None:
    part = (getattr(dag, "partial_subset", None) or dag.sub_dag)(list(dag.task_dict))
    for name, task in dag.task_dict.items():
        assert type(part.task_dict[name]) is type(task)
        assert arguments(part.task_dict[name]) == arguments(task)


def test_a_dag_of_all_goes_through_the_database_and_back(dag: Any) -> None:
    back = DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(dag)))).task_dict
    assert {name: (task.task_type, tuple(task.template_fields)) for name, task in back.items()} == {
        name: (name, tuple(task.template_fields)) for name, task in dag.task_dict.items()
    }
    links = {link.name: link.xcom_key for link in back["OACCreateSnapshotOperator"].operator_extra_links}
    assert links == {OACInstanceLink.name: "oac_instance_url", OACWorkRequestLink.name: "oac_work_request_url"}


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickled, through_the_database])
@pytest.mark.parametrize("kind", TRIGGERS, ids=lambda kind: kind.__name__)
def test_triggers_are_copied(kind: Any, copied: Any) -> None:
    trigger = make_trigger(kind)
    assert copied(trigger).serialize() == trigger.serialize()
