"""Test the backup: restore last night's into a scratch instance, and compare that with the source, item by item.

Needs the Connections ``oac_default`` (the instance that is backed up), ``oac_scratch`` (an instance without content of
any value: **the restore overwrites it without a safety snapshot**), and the one whose password sealed the backup; the
backup's name contains its id. The Variable ``oac_scratch_host`` contains the host of the scratch instance; the DAG
restores no other instance.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum

try:
    from airflow.sdk import DAG
except ImportError:  # Airflow 2.11
    from airflow import DAG

from airflow_provider_oac.operators.compare import OACCompareCatalogsOperator
from airflow_provider_oac.operators.restore import OACRestoreSnapshotOperator
from airflow_provider_oac.operators.snapshots import (
    OACDeleteSnapshotOperator,
    OACFindSnapshotOperator,
    OACRegisterSnapshotOperator,
)

SOURCE, SCRATCH = "oac_default", "oac_scratch"

with DAG(
    dag_id="oac_restore_drill",
    description="Restores last night's backup into a scratch instance and compares the catalogs",
    # After oac_nightly_backup, and before users change much: later changes are logged but cannot be compared.
    schedule="0 4 * * 0",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["oac", "backup"],
):
    find = OACFindSnapshotOperator(
        task_id="find",
        oac_conn_id=SOURCE,
        snapshot_label="nightly",
        bucket="{{ var.value.get('oac_bucket', 'oac-backups') }}",
        max_age=timedelta(hours=26),
    )

    register = OACRegisterSnapshotOperator(
        task_id="register", oac_conn_id=SCRATCH, snapshot=find.output, deferrable=True, retries=2
    )

    restore = OACRestoreSnapshotOperator(
        task_id="restore",
        oac_conn_id=SCRATCH,
        expected_host="{{ var.value.oac_scratch_host }}",
        snapshot=register.output,
        without_safety_snapshot=True,
        allowed_run_types=("scheduled", "manual"),
        deferrable=True,
    )

    # Fails if items are missing or different, and names them.
    compare = OACCompareCatalogsOperator(
        task_id="compare",
        oac_conn_id=SCRATCH,
        source_oac_conn_id=SOURCE,
        taken_at="{{ ti.xcom_pull(task_ids='find')['taken_at'] }}",
    )

    # Removes only the entry from the scratch instance's list: the file is the backup.
    unregister = OACDeleteSnapshotOperator(
        task_id="unregister",
        oac_conn_id=SCRATCH,
        snapshot_id="{{ ti.xcom_pull(task_ids='register')['snapshot_id'] }}",
        missing_ok=True,
    )

    restore >> compare >> unregister
