"""Export a workbook before the morning meeting, and send a mail if it is late for any reason.

A deadline alert counts from the time when the DAG run is queued, so it also notifies if a task waits for a worker or
OAC is slow and nothing has failed yet. Airflow has deadline alerts since 3.1; on 2.11 the DAG runs without one. Needs
the Connection ``oac_export`` (type ``oac``) and, for mail, Airflow's provider smtp and the Connection
``smtp_default``. The Variable ``oac_export_folder`` names the folder. Replace the workbook below with yours.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum

from airflow_provider_oac.notifications.oac import OACWorkNotifier
from airflow_provider_oac.operators.workbooks import OACExportWorkbookOperator

try:
    from airflow.sdk import DAG
except ImportError:  # Airflow 2.11
    from airflow import DAG

    ON_TIME = {}
else:
    try:
        from airflow.sdk import AsyncCallback, DeadlineAlert, DeadlineReference
    except ImportError:  # Airflow 3.1
        from airflow.sdk.definitions.deadline import AsyncCallback, DeadlineAlert, DeadlineReference

    LATE = {"work_name": "board report", "to": "night-shift@example.com"}
    ON_TIME = {
        "deadline": DeadlineAlert(
            reference=DeadlineReference.DAGRUN_QUEUED_AT,
            interval=timedelta(hours=1),
            # Runs in the triggerer.
            callback=AsyncCallback(OACWorkNotifier, kwargs=LATE),
        )
    }

with DAG(
    dag_id="oac_report_on_time",
    description="A workbook as PDF, and a mail if it is late",
    schedule="0 6 * * 1-5",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["oac", "export"],
    default_args={"oac_conn_id": "oac_export", "retries": 2, "retry_delay": timedelta(minutes=5)},
    **ON_TIME,
):
    OACExportWorkbookOperator(
        task_id="report",
        workbook_path="/@Catalog/shared/Sales/Pipeline",
        destination="{{ var.value.get('oac_export_folder', 'file:///tmp/oac-exports') }}/on-time/{{ run_id }}.pdf",
        deferrable=True,
    )
