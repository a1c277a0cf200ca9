"""Start a sequence when a workbook is published, run another task in the meantime, and wait for the end in a sensor.

The task that starts the sequence ends as soon as OAC accepts it, so other tasks can run before the sequence ends. If
you do not need that, let ``OACRunSequenceOperator`` wait (``deferrable=True``): unlike a sensor, its retry starts a
failed sequence again.

Needs the Connection ``oac_default`` (type ``oac``) of a user with the application role DV Content Author. Replace the
workbook and the sequence below with yours.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum

try:
    from airflow.sdk import DAG
except ImportError:  # Airflow 2.11
    from airflow import DAG

from airflow_provider_oac.operators.api import OACApiOperator
from airflow_provider_oac.operators.runs import OACRunSequenceOperator
from airflow_provider_oac.sensors.catalog import OACCatalogItemSensor
from airflow_provider_oac.sensors.work_requests import OACWorkRequestSensor

with DAG(
    dag_id="oac_sequence_then_wait",
    description="A sequence once a workbook is there, and something else while it runs",
    schedule="0 4 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["oac", "runs"],
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
):
    # Waits in the triggerer. To wait for a new version, add
    # modified_since="{{ (dag_run.data_interval_start or dag_run.start_date).isoformat() }}".
    published = OACCatalogItemSensor(
        task_id="published",
        catalog_type="workbooks",
        path="/@Catalog/shared/Sales/Pipeline",
        deferrable=True,
        timeout=timedelta(hours=3).total_seconds(),
    )

    start = OACRunSequenceOperator(task_id="start", sequence="'admin'.'Nightly'", wait_for_completion=False)

    # Other work in the meantime: any operation of the REST API, by method and path.
    meanwhile = OACApiOperator(
        task_id="meanwhile", method="GET", path="/catalog/dataflows", query={"search": "*"}, paged=True
    )

    # Fails as soon as the sequence fails, with OAC's errors.
    done = OACWorkRequestSensor(
        task_id="done",
        work_request_id="{{ ti.xcom_pull('start')['work_request_id'] }}",
        deferrable=True,
        timeout=timedelta(hours=2).total_seconds(),
    )

    published >> start >> [meanwhile, done]
