"""Mail a dashboard as a PDF to people who do not sign in to Oracle Analytics Cloud.

Needs the Connections ``oac_export`` (type ``oac``, of a user who may see only what the recipients may see) and
``smtp_default`` (type ``smtp``, with ``from_email`` in its extra). The Variable ``oac_mail_to`` names the recipients,
with commas in between, and ``oac_export_folder`` the folder for the sent files.
"""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path

import pendulum

try:
    from airflow.sdk import DAG, ObjectStoragePath, task
except ImportError:  # Airflow 2.11
    from airflow import DAG
    from airflow.decorators import task
    from airflow.io.path import ObjectStoragePath

from airflow_provider_oac.operators.workbooks import OACExportWorkbookOperator

FOLDER = "{{ var.value.get('oac_export_folder', 'file:///tmp/oac-exports') }}"
# Many mail servers refuse larger mails, and base64 adds a third.
LARGEST_ATTACHMENT = 15 * 1024 * 1024


@task
def send(path: str, size: str, to: str, subject: str) -> None:
    """Mail a file from object storage. This task may run on another worker than the export."""
    from airflow.providers.smtp.hooks.smtp import SmtpHook

    if int(size) > LARGEST_ATTACHMENT:
        raise ValueError(f"{path} has {size} bytes, too many for a mail: send a link to it instead.")
    source = ObjectStoragePath(path)
    with tempfile.TemporaryDirectory() as folder:
        attachment = Path(folder, source.name)
        attachment.write_bytes(source.read_bytes())
        with SmtpHook(smtp_conn_id="smtp_default") as smtp:
            smtp.send_email_smtp(
                to=[address.strip() for address in to.split(",")],
                subject=subject,
                html_content="<p>The figures of this week are attached.</p>",
                files=[str(attachment)],
            )


with DAG(
    dag_id="oac_pdf_by_mail",
    description="A dashboard workbook as PDF by mail",
    schedule="30 6 * * 1",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["oac", "export"],
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
):
    export = OACExportWorkbookOperator(
        task_id="export",
        oac_conn_id="oac_export",
        workbook_path="/@Catalog/shared/Sales/Revenue by Region",
        canvases=["Overview", "Europe"],
        destination=f"{FOLDER}/mailed/{{{{ dag_run.start_date | ds }}}}/Revenue by Region.pdf",
        deferrable=True,
    )

    # Runs only after the PDF is complete. A retry of the mail does not export again.
    export >> send(
        path="{{ ti.xcom_pull('export')['path'] }}",
        size="{{ ti.xcom_pull('export')['size'] }}",
        to="{{ var.value.get('oac_mail_to', 'sales@example.com') }}",
        subject="Revenue by region, {{ dag_run.start_date | ds }}",
    )
