"""What a backup tells Airflow: an asset event, links, and people by mail when it failed or came too late."""

from __future__ import annotations

from datetime import timedelta

import pendulum

from airflow_provider_oac.notifications.oac import OACBackupNotifier, OACWorkNotifier
from airflow_provider_oac.operators.snapshots import OACCreateSnapshotOperator

try:
    from airflow.sdk import DAG, Asset, task
except ImportError:  # Airflow 2.11
    from airflow import DAG
    from airflow.datasets import Dataset as Asset
    from airflow.decorators import task

    DeadlineAlert = None
else:
    try:
        from airflow.sdk import AsyncCallback, DeadlineAlert, DeadlineReference
    except ImportError:  # Airflow 3.1
        from airflow.sdk.definitions.deadline import AsyncCallback, DeadlineAlert, DeadlineReference

START = pendulum.datetime(2026, 1, 1, tz="UTC")
TELL = {"snapshot_label": "events", "to": "night@example.com"}
BACKUP = {"snapshot_label": "events", "seal_conn_id": "oac_seal", "deferrable": True, "poll_interval": 1}
ON_TIME = {}
if DeadlineAlert:
    ON_TIME["deadline"] = DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(seconds=1),
        callback=AsyncCallback(OACBackupNotifier, kwargs={**TELL, "to": "deadline@example.com"}),
    )

with DAG(dag_id="oac_events", schedule=None, start_date=START, **ON_TIME):
    series = Asset("oac://oac.example.com/snapshots/events")
    OACCreateSnapshotOperator(task_id="backup", bucket="oac-backups", outlets=[series], **BACKUP)
    tell = [OACBackupNotifier(**TELL), OACWorkNotifier(work_name="work", to="work@example.com")]
    OACCreateSnapshotOperator(task_id="failing", bucket="no-such-bucket", on_failure_callback=tell, **BACKUP)

with DAG("case_warehouse_load", schedule=None, start_date=START):

    @task(outlets=[Asset("warehouse://adw/sales")])
    def load() -> None:
        """Load the warehouse."""

    load()
