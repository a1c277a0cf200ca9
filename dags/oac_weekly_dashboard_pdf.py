"""Every Monday, export dashboard workbooks as PDF and PNG to object storage.

Needs the Connection ``oac_export`` (type ``oac``) of a user who may read only the exported data, since an export shows
what its user may see. The Variable ``oac_export_folder`` names the folder: any URL of Airflow's ``ObjectStoragePath``,
such as ``s3://aws_default@reports/oac`` or ``oci://oci_store@reports/oac``; the provider of that store must be
installed. Replace the workbooks below with yours.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum

try:
    from airflow.sdk import DAG
except ImportError:  # Airflow 2.11
    from airflow import DAG

from airflow_provider_oac.operators.workbooks import OACExportWorkbookOperator, OACExportWorkbooksOperator

FOLDER = "{{ var.value.get('oac_export_folder', 'file:///tmp/oac-exports') }}"
# The day on which the run started: in Airflow 3, a run that was triggered by hand has no other date.
WEEK = "{{ dag_run.start_date | ds }}"

with DAG(
    dag_id="oac_weekly_dashboard_pdf",
    description="Dashboard workbooks as PDF and PNG into object storage",
    schedule="0 6 * * 1",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["oac", "export"],
    default_args={"oac_conn_id": "oac_export", "retries": 2, "retry_delay": timedelta(minutes=5)},
):
    # All canvases in the workbook's order. For more than five, the task joins several exports.
    OACExportWorkbookOperator(
        task_id="dashboard",
        workbook_path="/@Catalog/shared/Sales/All Regions",
        destination=f"{FOLDER}/{WEEK}/All Regions.pdf",
        screen_width=1920,
        screen_height=1080,
        deferrable=True,
    )

    # Several workbooks in one task. A failed export does not stop the others, and a retry makes only the missing files.
    OACExportWorkbooksOperator(
        task_id="figures",
        workbooks=[
            "/@Catalog/shared/Sales/Pipeline",
            {
                "workbook_path": "/@Catalog/shared/Sales/Revenue by Region",
                "canvases": ["Overview"],
                "formats": ["pdf", "png"],
            },
        ],
        destination=f"{FOLDER}/{WEEK}/figures",
        deferrable=True,
    )
