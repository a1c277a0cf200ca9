"""Every night, extract a dataset to Parquet, page by page, for a data lake or a warehouse.

Needs the Connection ``oac_default`` (type ``oac``) of a user with the role DV Content Author who may read the dataset,
and pyarrow (``pip install 'airflow-provider-oac[parquet]'``). The Variable ``oac_extract_folder`` names the folder: any
URL of Airflow's ``ObjectStoragePath``, such as ``s3://aws_default@lake/oac``. Replace the query below with yours.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum

try:
    from airflow.sdk import DAG
except ImportError:  # Airflow 2.11
    from airflow import DAG

from airflow_provider_oac.operators.sql import OACSqlToStorageOperator

FOLDER = "{{ var.value.get('oac_extract_folder', 'file:///tmp/oac-extracts') }}"

with DAG(
    dag_id="oac_nightly_extract",
    description="A dataset as Parquet in object storage",
    schedule="0 3 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["oac", "sql"],
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
):
    # The values of page_key are unique, so the pages neither repeat nor lose rows while the data change.
    OACSqlToStorageOperator(
        task_id="extract",
        sql="""
            SELECT XSA('admin'.'Orders')."ORDERS"."Order ID" order_id,
                   XSA('admin'.'Orders')."ORDERS"."Ordered At" ordered_at,
                   XSA('admin'.'Orders')."ORDERS"."Customer" customer,
                   XSA('admin'.'Orders')."ORDERS"."Amount" amount
            FROM XSA('admin'.'Orders')
            WHERE XSA('admin'.'Orders')."ORDERS"."Status" IN (?, ?)
        """,
        parameters=["Delivered", "Returned"],
        page_rows=10_000,
        page_key="order_id",
        file_format="parquet",
        column_types={"amount": "decimal128(18, 2)"},
        destination=f"{FOLDER}/orders/{{{{ dag_run.start_date | ds }}}}.parquet",
        manifest=True,
    )
