"""Mail a report only if its figures are fresh and pass SQL checks.

Needs the Connections ``oac_default`` (type ``oac``, of a user with the role DV Content Author who may read the subject
area), ``oac_export`` (type ``oac``, of a user who may see only what the recipients may see) and ``smtp_default`` (type
``smtp``, with ``from_email`` in its extra). The Variable ``oac_mail_to`` names the recipients, and
``oac_export_folder`` the folder for the sent files. Replace the subject area, checks and workbook below with yours.
"""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path

import pendulum
from airflow.providers.common.sql.operators.sql import SQLColumnCheckOperator, SQLTableCheckOperator

try:
    from airflow.sdk import DAG, ObjectStoragePath, task
except ImportError:  # Airflow 2.11
    from airflow import DAG
    from airflow.decorators import task
    from airflow.io.path import ObjectStoragePath

from airflow_provider_oac.operators.workbooks import OACExportWorkbookOperator
from airflow_provider_oac.sensors.sql import OACFreshnessSensor

FOLDER = "{{ var.value.get('oac_export_folder', 'file:///tmp/oac-exports') }}"
SALES = '"Sales History"'


@task
def send(path: str, to: str, subject: str) -> None:
    """Mail a file from object storage. This task may run on another worker than the export."""
    from airflow.providers.smtp.hooks.smtp import SmtpHook

    source = ObjectStoragePath(path)
    with tempfile.TemporaryDirectory() as folder:
        attachment = Path(folder, source.name)
        attachment.write_bytes(source.read_bytes())
        with SmtpHook(smtp_conn_id="smtp_default") as smtp:
            smtp.send_email_smtp(
                to=[address.strip() for address in to.split(",")],
                subject=subject,
                html_content="<p>The checked figures are attached.</p>",
                files=[str(attachment)],
            )


with DAG(
    dag_id="oac_checked_report",
    description="A report that goes out only if its figures are fresh and add up",
    schedule="0 6 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["oac", "sql", "export"],
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
):
    fresh = OACFreshnessSensor(
        task_id="fresh",
        sql='SELECT MAX("Sales History"."Time"."Day") newest FROM "Sales History"',
        max_age=timedelta(days=2),
        deferrable=True,
        poke_interval=timedelta(minutes=5),
        timeout=timedelta(hours=4),
    )

    # Attributes: the checks see the column's value in each row.
    orders = SQLColumnCheckOperator(
        task_id="orders",
        conn_id="oac_default",
        table=SALES,
        column_mapping={
            '"Sales History"."Orders"."Order Number"': {"null_check": {"equal_to": 0}, "unique_check": {"equal_to": 0}},
            '"Sales History"."Customers"."Region"': {"distinct_check": {"geq_to": 3}},
        },
    )

    # Measures: OAC aggregates a measure by its aggregation rule before the check sees it.
    totals = SQLTableCheckOperator(
        task_id="totals",
        conn_id="oac_default",
        table=SALES,
        checks={
            "enough_orders": {"check_statement": 'COUNT("Sales History"."Orders"."Order Number") >= 1000'},
            "revenue_is_positive": {"check_statement": '"Sales History"."Facts"."Revenue" > 0'},
        },
    )

    export = OACExportWorkbookOperator(
        task_id="export",
        oac_conn_id="oac_export",
        workbook_path="/@Catalog/shared/Sales/Revenue by Region",
        destination=f"{FOLDER}/checked/{{{{ dag_run.start_date | ds }}}}/Revenue by Region.pdf",
        deferrable=True,
    )

    fresh >> [orders, totals] >> export
    export >> send(
        path="{{ ti.xcom_pull('export')['path'] }}",
        to="{{ var.value.get('oac_mail_to', 'sales@example.com') }}",
        subject="Checked revenue by region, {{ dag_run.start_date | ds }}",
    )
