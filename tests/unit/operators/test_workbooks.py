"""The export operators as Airflow reads, stores and renders them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from airflow_provider_oac.operators.workbooks import OACExportWorkbookOperator, OACExportWorkbooksOperator

try:
    from airflow.sdk import DAG
except ImportError:  # Airflow 2.11
    from airflow import DAG
try:
    from airflow.serialization.serialized_objects import DagSerialization
except ImportError:  # before Airflow 3.2
    from airflow.serialization.serialized_objects import SerializedDAG as DagSerialization


def one(**changes: Any) -> OACExportWorkbookOperator:
    arguments = {"task_id": "one", "workbook_path": "/shared/x", "destination": "s3://b/x.pdf", **changes}
    return OACExportWorkbookOperator(**arguments)


def many(**changes: Any) -> OACExportWorkbooksOperator:
    arguments = {"task_id": "many", "workbooks": ["/shared/x"], "destination": "s3://b", **changes}
    return OACExportWorkbooksOperator(**arguments)


def test_they_go_through_the_database_and_back() -> None:
    with DAG("d", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None) as dag:
        one(canvases=["Overview"], deferrable=True)
        many(workbooks=["/a", {"workbook_path": "/b", "canvases": ["x"]}])
    back = DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(dag))))
    assert tuple(back.task_dict["one"].template_fields) == OACExportWorkbookOperator.template_fields
    assert tuple(back.task_dict["many"].template_fields) == OACExportWorkbooksOperator.template_fields


def test_templates_are_rendered_inside_lists_and_dictionaries() -> None:
    task = one(workbook_path="/shared/{{ x }}", canvases=["{{ x }}", "b"], destination="s3://b/{{ x }}.pdf")
    task.render_template_fields({"x": "1"})
    assert (task.workbook_path, task.canvases, task.destination) == ("/shared/1", ["1", "b"], "s3://b/1.pdf")
    several = many(workbooks=["/a/{{ x }}", {"workbook_path": "/b/{{ x }}", "canvases": ["{{ x }}"]}])
    several.render_template_fields({"x": "1"})
    assert several.workbooks == ["/a/1", {"workbook_path": "/b/1", "canvases": ["1"]}]


def test_they_can_be_mapped() -> None:
    with DAG("d", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None):
        mapped = OACExportWorkbookOperator.partial(task_id="one", destination="s3://b/").expand(
            workbook_path=["/a", "/b"]
        )
    assert mapped.task_id == "one"
