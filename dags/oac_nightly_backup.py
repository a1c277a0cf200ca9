"""Back up Oracle Analytics Cloud every night, keep what the retention rule says, and say so when it did not work.

Needs two Connections: ``oac_default`` (type ``oac``: how to reach and sign in at the instance) and
``oac_seal`` (any type: its password seals the snapshots, and restoring needs it). The bucket is named by the Variable
``oac_bucket``. To run it against a real instance instead of the simulator, change ``oac_default``; nothing else.
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

# One series of snapshots: the same words name it when it is made, pruned and looked after.
SERIES = {"snapshot_label": "nightly", "bucket": "{{ var.value.get('oac_bucket', 'oac-backups') }}"}

# A line of the log with the newest snapshot that there is; with `to="night-shift@example.com"` also a mail, which needs
# Airflow's provider smtp and the Connection smtp_default.
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
    # Waits in the triggerer, without a worker. A retry finds a running snapshot again instead of taking a second one.
    backup = OACCreateSnapshotOperator(
        task_id="backup",
        **SERIES,
        seal_conn_id="oac_seal",
        deferrable=True,
        timeout=timedelta(hours=3),
    )

    # Runs only after this run's backup succeeded. The newest snapshot and this run's own are kept in any case.
    prune = OACPruneSnapshotsOperator(
        task_id="prune",
        **SERIES,
        keep_last=7,
        keep_weekly=4,
        keep_monthly=12,
    )

    # Also runs when the backup failed, and then tells whether there still is one that is young enough.
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
