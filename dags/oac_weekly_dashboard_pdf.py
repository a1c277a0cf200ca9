"""Every Monday, keep a dashboard workbook as a PDF, and the figures of a second one as a PNG, in object storage.

Needs the Connection ``oac_export`` (type ``oac``): of a user who may read what is exported and nothing else, since an
export shows what its user may see. The folder is named by the Variable ``oac_export_folder``: any URL that Airflow's
``ObjectStoragePath`` takes, such as ``s3://aws_default@reports/oac`` or ``oci://oci_store@reports/oac``; the provider
of that store must be installed. Put your own workbooks in the place of those below.
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
# The day on which the run began: a run that was triggered by hand has no other date in Airflow 3.
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
    # All canvases in the workbook's order; more than five are joined of several exports.
    OACExportWorkbookOperator(
        task_id="dashboard",
        workbook_path="/@Catalog/shared/Sales/All Regions",
        destination=f"{FOLDER}/{WEEK}/All Regions.pdf",
        screen_width=1920,
        screen_height=1080,
        deferrable=True,
    )

    # Several workbooks in one task. One that fails does not stop the others, and a retry makes only what is missing.
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
