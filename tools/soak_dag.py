"""The DAGs of tools/soak_airflow.py: a backup, an export and a reload, deferred, and retried after faults."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.sdk import DAG

from airflow_provider_oac.operators.runs import OACReloadDatasetOperator
from airflow_provider_oac.operators.snapshots import OACCreateSnapshotOperator
from airflow_provider_oac.operators.workbooks import OACExportWorkbookOperator

END = datetime.fromtimestamp(float(Path(__file__).with_name("until").read_text()), UTC)
HOW = {"deferrable": True, "poll_interval": 0.5, "retries": 8, "retry_delay": timedelta(seconds=1)}

for number in range(int(os.environ["SOAK_DAGS"])):
    with DAG(
        f"soak_{number}",
        schedule="@continuous",
        max_active_runs=1,
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        end_date=END,
        default_args=HOW,
    ):
        OACCreateSnapshotOperator(
            task_id="backup", snapshot_label="whole-airflow", bucket="oac-backups", seal_conn_id="oac_seal"
        )
        OACExportWorkbookOperator(
            task_id="export",
            workbook_path="/@Catalog/shared/Sales/Revenue by Region",
            destination=f"file://{os.environ['SOAK_EXPORTS']}/{{{{ dag.dag_id }}}}-{{{{ run_id }}}}.pdf",
        )
        OACReloadDatasetOperator(task_id="reload", dataset="'admin'.'Orders'", if_running="wait")
