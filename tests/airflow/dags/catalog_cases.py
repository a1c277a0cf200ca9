"""A DAG for the tests of the catalog in a real Airflow: every operator, and the sensor in its modes."""

from __future__ import annotations

from datetime import datetime, timedelta

try:
    from airflow.sdk import DAG
except ImportError:
    from airflow.models.dag import DAG

from airflow_provider_oac.operators.acl import OACUpdateACLOperator
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

SALES = "/@Catalog/shared/Sales"
CASE = f"{SALES}/Case"
RETRIES = {"retries": 2, "retry_delay": timedelta(seconds=1)}

with DAG(
    "case_catalog", schedule=None, start_date=datetime(2024, 1, 1), default_args=RETRIES, max_active_runs=1
) as dag:
    folder = OACCreateFolderOperator(task_id="folder", path=CASE)
    acl = OACUpdateACLOperator(
        task_id="acl",
        catalog_type="folders",
        path=CASE,
        entries=[{"account": "oac.colleague@example.com", "permissions": ["read", "list"]}],
    )
    copied = OACCopyCatalogItemOperator(
        task_id="copied", catalog_type="workbooks", path=f"{SALES}/Pipeline", to_folder_path=CASE, overwrite=True
    )
    moved = OACMoveCatalogItemOperator(
        task_id="moved",
        catalog_type="workbooks",
        item_id="{{ ti.xcom_pull(task_ids='copied')['id'] }}",
        new_name="Moved",
        overwrite=True,
    )
    WHERE = {"catalog_type": "workbooks", "path": f"{CASE}/Moved", "poke_interval": 1, "timeout": 60}
    SINCE = "{{ dag_run.start_date - macros.timedelta(days=1) }}"
    there = [
        OACCatalogItemSensor(task_id="there_poke", deferrable=False, **WHERE),
        OACCatalogItemSensor(task_id="there_reschedule", deferrable=False, mode="reschedule", **WHERE),
        OACCatalogItemSensor(task_id="there_deferred", deferrable=True, modified_since=SINCE, **WHERE),
    ]
    owner = OACChangeOwnerOperator(
        task_id="owner", catalog_type="workbooks", path=f"{CASE}/Moved", new_owner="oac.author@example.com"
    )
    gone = OACDeleteFolderOperator(task_id="gone", path=f"{CASE}/Sub", recursive=True)
    folder >> acl >> copied >> moved >> there >> owner
    folder >> OACCreateFolderOperator(task_id="sub", path=f"{CASE}/Sub") >> gone

    OACListCatalogOperator(
        task_id="all",
        manage_content=True,
        destination="{{ var.value.oac_audit_folder }}-lists/{{ run_id }}.jsonl",
    )
    OACApiOperator(
        task_id="reload",
        method="POST",
        path="/catalog/datasets/{{ 'J2FkbWluJy4nT3JkZXJzJw' }}/actions/reload",
        wait_for_completion=True,
        deferrable=True,
        poll_interval=1,
    )
    OACApiOperator(
        task_id="by_name",
        call="catalog.get",
        arguments={"kind": "folders", "item_id": "L0BDYXRhbG9nL3NoYXJlZC9TYWxlcw"},
    )
    OACApiOperator(task_id="by_path", method="GET", path="/catalog/workbooks", query={"search": "*"}, paged=True)
