"""Back up Oracle Analytics Cloud every night, delete old backups by retention rules, and notify if the backup fails.

Needs two Connections: ``oac_default`` (type ``oac``, the address and sign-in of the instance) and ``oac_seal`` (any
type, whose password seals the snapshots; a restore needs it). The Variable ``oac_bucket`` names the bucket. To run it
against a real instance instead of the simulator, change only ``oac_default``.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum

try:
    from airflow.sdk import DAG
except ImportError:  # Airflow 2.11
    from airflow import DAG

from airflow_provider_oac.notifications.oac import OACBackupNotifier
from airflow_provider_oac.operators.snapshots import OACCreateSnapshotOperator, OACPruneSnapshotsOperator
from airflow_provider_oac.sensors.snapshots import OACSnapshotSensor

# One series of snapshots: the arguments of the tasks that create, prune and watch it.
SERIES = {"snapshot_label": "nightly", "bucket": "{{ var.value.get('oac_bucket', 'oac-backups') }}"}

# Logs the newest snapshot in OAC. With `to="night-shift@example.com"`, it also sends a mail, which needs Airflow's
# provider smtp and the Connection smtp_default.
TELL = OACBackupNotifier(snapshot_label=SERIES["snapshot_label"])

with DAG(
    dag_id="oac_nightly_backup",
    description="Snapshot of the whole instance into Object Storage, with retention and a freshness check",
    schedule="0 1 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["oac", "backup"],
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5), "on_failure_callback": TELL},
):
    # Waits in the triggerer, without a worker slot. A retry reattaches to the snapshot of the previous try.
    backup = OACCreateSnapshotOperator(
        task_id="backup",
        **SERIES,
        seal_conn_id="oac_seal",
        deferrable=True,
        timeout=timedelta(hours=3),
    )

    # Runs only after the backup succeeded. It always keeps the newest snapshot and that of this run.
    prune = OACPruneSnapshotsOperator(
        task_id="prune",
        **SERIES,
        keep_last=7,
        keep_weekly=4,
        keep_monthly=12,
    )

    # Also runs after a failed backup, and then checks whether an earlier one is still recent enough.
    freshness = OACSnapshotSensor(
        task_id="freshness",
        **SERIES,
        max_age=timedelta(hours=26),
        trigger_rule="all_done",
        mode="reschedule",
        poke_interval=60,
        timeout=180,
    )

    backup >> [prune, freshness]
