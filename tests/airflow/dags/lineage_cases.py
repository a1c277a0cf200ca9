"""A DAG whose tasks read from OAC and write files, for the test of a reader of hook lineage."""

from __future__ import annotations

from datetime import datetime

from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator

try:
    from airflow.sdk import DAG, Variable, task
except ImportError:  # Airflow 2.11
    from airflow.decorators import task
    from airflow.models import Variable
    from airflow.models.dag import DAG

from airflow_provider_oac.operators.workbooks import OACExportWorkbookOperator

WORKBOOK = "/@Catalog/shared/Sales/Pipeline"


@task
def by_hook() -> None:
    """Export a workbook with calls of the hook."""
    from airflow_provider_oac.client.flows import download
    from airflow_provider_oac.client.ids import catalog_id
    from airflow_provider_oac.client.rest import workbooks
    from airflow_provider_oac.hooks.oac import OACHook
    from airflow_provider_oac.hooks.object_storage import Destination, ObjectStorageSink

    hook, workbook_id = OACHook("oac_export"), catalog_id(WORKBOOK)
    canvas, *_ = hook.run(workbooks.canvases(workbook_id))
    export_id = hook.run(workbooks.export(workbook_id, "Pipeline", [canvas.id], workbooks.PDF))
    hook.wait(export_id)
    sink = ObjectStorageSink(Destination(f"{Variable.get('oac_export_folder')}/lineage/by hook.pdf"))
    hook.run(download.download(workbooks.download(workbook_id, export_id), sink, download.PDF))


with DAG("case_lineage", schedule=None, start_date=datetime(2024, 1, 1)):
    by_hook()
    OACExportWorkbookOperator(
        task_id="by_operator",
        oac_conn_id="oac_export",
        workbook_path=WORKBOOK,
        destination="{{ var.value.oac_export_folder }}/lineage/by operator.pdf",
        deferrable=False,
    )
    SQLExecuteQueryOperator(
        task_id="query",
        conn_id="oac_default",
        sql="""SELECT "Sales History"."Facts"."Revenue" FROM "Sales History"
            WHERE "Sales History"."Products"."Category" = ?""",
        parameters=["Category 1"],
    )
