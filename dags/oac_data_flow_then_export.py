"""Run a data flow, then export the workbook that shows its result as a PDF.

Needs two Connections of the type ``oac``: ``oac_default`` of a user who may run the data flow, and ``oac_export`` of a
user who may read only the exported data, since an export shows what its user may see. The Variable
``oac_export_folder`` names the folder: any URL of Airflow's ``ObjectStoragePath``. Replace the data flow and the
workbook below with yours.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum

try:
    from airflow.sdk import DAG
except ImportError:  # Airflow 2.11
    from airflow import DAG

from airflow_provider_oac.operators.runs import OACRunDataFlowOperator
from airflow_provider_oac.operators.workbooks import OACExportWorkbookOperator

FOLDER = "{{ var.value.get('oac_export_folder', 'file:///tmp/oac-exports') }}"

with DAG(
    dag_id="oac_data_flow_then_export",
    description="A data flow, then a workbook as PDF",
    schedule="0 5 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["oac", "runs", "export"],
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5), "deferrable": True},
):
    # Replaces the source dataset that is saved in the data flow. If the data flow is already running, for example
    # because a user started it, the task adopts that run.
    clean_orders = OACRunDataFlowOperator(
        task_id="clean_orders",
        data_flow="'admin'.'Load Orders'",
        override={"type": "source", "parameterName": "P_SOURCE", "datasetId": "'admin'.'Orders'"},
        if_running="adopt",
        timeout=timedelta(hours=1),
    )

    export = OACExportWorkbookOperator(
        task_id="export",
        oac_conn_id="oac_export",
        workbook_path="/@Catalog/shared/Sales/Revenue by Region",
        destination=f"{FOLDER}/orders/{{{{ dag_run.start_date | ds }}}}.pdf",
    )

    clean_orders >> export
