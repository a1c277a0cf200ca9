"""A backup that waits in a worker: the DAG that `run.py` adds to the examples, to kill the worker."""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.sdk import DAG

from airflow_provider_oac.operators.snapshots import OACCreateSnapshotOperator

with DAG("blocking_backup", schedule=None, start_date=datetime(2026, 1, 1)):
    OACCreateSnapshotOperator(
        task_id="backup",
        snapshot_label="blocking",
        bucket="oac-backups",
        seal_conn_id="oac_seal",
        deferrable=False,
        retries=8,
        retry_delay=timedelta(seconds=10),
    )
