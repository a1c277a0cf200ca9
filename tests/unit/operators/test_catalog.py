"""The operators and the sensor for the catalog, permissions and any call, as Airflow reads, stores and renders them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from airflow_provider_oac.operators.acl import OACAuditACLOperator, OACUpdateACLOperator
from airflow_provider_oac.operators.api import OACApiOperator
from airflow_provider_oac.operators.catalog import (
    OACChangeOwnerOperator,
    OACCopyCatalogItemOperator,
    OACCreateFolderOperator,
    OACDeleteFolderOperator,
    OACListCatalogOperator,
    OACMoveCatalogItemOperator,
)
from airflow_provider_oac.sensors.catalog import OACCatalogItemSensor
from airflow_provider_oac.triggers.oac import OACCatalogItemTrigger
from tests.tasks import through_the_database
from tests.unit.test_imports import DagSerialization

try:
    from airflow.sdk import DAG
except ImportError:  # Airflow 2.11
    from airflow import DAG

ITEM: dict[str, Any] = {"catalog_type": "{{ params.kind }}", "path": "{{ params.path }}", "item_id": "{{ params.id }}"}
TASKS: dict[Any, dict[str, Any]] = {
    OACListCatalogOperator: {"search": "{{ params.words }}"},
    OACCreateFolderOperator: {"path": "{{ params.path }}"},
    OACCopyCatalogItemOperator: {**ITEM, "new_name": "x"},
    OACMoveCatalogItemOperator: {**ITEM, "to_folder_path": "/{{ params.folder }}"},
    OACDeleteFolderOperator: {"path": "{{ params.path }}"},
    OACChangeOwnerOperator: {**ITEM, "new_owner": "{{ params.who }}"},
    OACUpdateACLOperator: {**ITEM, "entries": [{"account": "{{ params.who }}", "permissions": ["read"]}]},
    OACAuditACLOperator: {"destination": "/tmp/{{ params.file }}"},
    OACApiOperator: {"call": "catalog.get", "arguments": {"kind": "{{ params.kind }}"}, "result_check": bool},
    OACCatalogItemSensor: {**ITEM, "modified_since": "{{ params.moment }}"},
}  # fmt: skip


def dag() -> Any:
    with DAG("all", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None) as made:
        for number, (kind, arguments) in enumerate(TASKS.items()):
            kind(task_id=f"task{number}", **arguments)
    return made


def test_they_go_through_the_database_and_back() -> None:
    back = DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(dag()))))
    assert [back.task_dict[f"task{number}"].task_type for number in range(len(TASKS))] == [
        kind.__name__ for kind in TASKS
    ]


def test_templates_are_rendered_also_in_lists() -> None:
    task = OACUpdateACLOperator(task_id="x", **TASKS[OACUpdateACLOperator])
    task.render_template_fields({"params": {"kind": "folders", "path": "/x", "id": "L3g", "who": "jane"}})
    assert (task.catalog_type, task.path, task.item_id) == ("folders", "/x", "L3g")
    assert task.entries == [{"account": "jane", "permissions": ["read"]}]


def test_a_mapped_task_can_be_made_of_them() -> None:
    with DAG("mapped", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None) as made:
        found = OACListCatalogOperator(task_id="found", folder_path="/@Catalog/shared/Sales")
        OACCopyCatalogItemOperator.partial(task_id="copy", catalog_type="workbooks", new_name="x").expand(
            item_id=found.output.map(lambda item: item["id"])
        )
    assert DagSerialization.to_dict(made)


def test_a_trigger_goes_through_the_database() -> None:
    trigger = OACCatalogItemTrigger(
        oac_conn_id="oac_default",
        wanted={"kind": "workbooks", "item_id": "L3g", "modified_since": "2026-01-31T00:00:00+00:00"},
        deadline=1.5,
        poll_interval=30.0,
    )
    assert through_the_database(trigger).serialize() == trigger.serialize()
    assert "secret" not in json.dumps(trigger.serialize())
