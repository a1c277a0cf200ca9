"""What a backup tells Airflow: an asset event, links, and people by mail when it failed or came too late."""

from __future__ import annotations

from datetime import timedelta

import pendulum

from airflow_provider_oac.notifications.oac import OACBackupNotifier, OACWorkNotifier
from airflow_provider_oac.operators.snapshots import OACCreateSnapshotOperator

try:
    from airflow.sdk import DAG, Asset
except ImportError:  # Airflow 2.11
    from airflow import DAG
    from airflow.datasets import Dataset as Asset

    WITH_DEADLINES = False
else:
    WITH_DEADLINES = True
    try:
        from airflow.sdk import AsyncCallback, DeadlineAlert, DeadlineReference
    except ImportError:  # Airflow 3.1
        from airflow.sdk.definitions.deadline import AsyncCallback, DeadlineAlert, DeadlineReference

TELL = {"snapshot_label": "events", "to": "night@example.com"}
BACKUP = {"snapshot_label": "events", "seal_conn_id": "oac_seal", "deferrable": True, "poll_interval": 1}
ON_TIME = {}
if WITH_DEADLINES:
    ON_TIME["deadline"] = DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(seconds=1),
        callback=AsyncCallback(OACBackupNotifier, kwargs={**TELL, "to": "deadline@example.com"}),
    )

with DAG(dag_id="oac_events", schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), **ON_TIME):
    OACCreateSnapshotOperator(
        task_id="backup",
        bucket="oac-backups",
        outlets=[Asset("oac://oac.example.com/snapshots/events")],
        **BACKUP,
    )
    OACCreateSnapshotOperator(
        task_id="failing",
        bucket="no-such-bucket",
        on_failure_callback=[
            OACBackupNotifier(**TELL),
            OACWorkNotifier(work_name="work", to="work@example.com"),
        ],
        **BACKUP,
    )
