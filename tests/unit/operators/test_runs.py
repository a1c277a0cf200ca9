"""The operators for runs, connections and the system as Airflow reads, stores and renders them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_oac.operators import connections, runs, system

try:
    from airflow.sdk import DAG
except ImportError:  # Airflow 2.11
    from airflow import DAG
try:
    from airflow.serialization.serialized_objects import DagSerialization
except ImportError:  # before Airflow 3.2
    from airflow.serialization.serialized_objects import SerializedDAG as DagSerialization

SERVER = {"host": "smtp.{{ x }}", "port": "{{ x }}", "sender": {"emailAddress": "{{ x }}@example.com"}}


def tasks() -> list[Any]:
    return [
        runs.OACReloadDatasetOperator(task_id="reload", dataset="'{{ x }}'.'Orders'", if_running="wait"),
        runs.OACRunDataFlowOperator(task_id="flow", data_flow="{{ x }}", override={"type": "{{ x }}"}),
        runs.OACRunSequenceOperator(task_id="sequence", sequence_id="{{ x }}", deferrable=True),
        connections.OACCreateConnectionOperator(
            task_id="create", connection_name="{{ x }}", connection_type="mysql", data_source_conn_id="{{ x }}",
            connection_params={"host": "{{ x }}"},
        ),
        connections.OACUpdateConnectionOperator(task_id="update", connection="{{ x }}", data_source_conn_id="c"),
        connections.OACDeleteConnectionOperator(task_id="delete", connection_id="{{ x }}"),
        system.OACSystemSettingsOperator(task_id="settings", settings={"a": "{{ x }}"}, template_oac_conn_id="{{ x }}"),
        system.OACMailServerOperator(task_id="mail", server=SERVER, mail_conn_id="{{ x }}"),
        system.OACSafeDomainsOperator(task_id="domains", domains={"a.com": ["img-src"]}, remove=["{{ x }}"]),
    ]  # fmt: skip


def test_they_go_through_the_database_and_back() -> None:
    with DAG("d", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None) as dag:
        made = tasks()
    back = DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(dag))))
    assert [tuple(back.task_dict[task.task_id].template_fields) for task in made] == [
        tuple(task.template_fields) for task in made
    ]


@pytest.mark.parametrize("task", tasks(), ids=lambda task: task.task_id)
def test_every_templated_argument_is_there_and_is_rendered(task: Any) -> None:
    assert all(hasattr(task, name) for name in task.template_fields)
    task.render_template_fields({"x": "7"})
    rendered = [getattr(task, name) for name in task.template_fields]
    assert "7" in str(rendered)
    assert "{{" not in str(rendered)


def test_secrets_that_a_template_brings_into_a_dag_are_refused_as_well() -> None:
    task = connections.OACUpdateConnectionOperator(
        task_id="u",
        connection="'a'.'b'",
        data_source_conn_id="c",
        connection_params="{{ params }}",  # type: ignore[arg-type]
    )
    task.connection_params = {"password": "x"}
    with pytest.raises(Exception, match="Secrets do not belong in a DAG"):
        task.execute({})


def test_they_can_be_mapped() -> None:
    with DAG("d", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None):
        partial = runs.OACReloadDatasetOperator.partial(task_id="reload", if_running="wait")
        assert partial.expand(dataset=["'a'.'b'", "'a'.'c'"]).task_id == "reload"
