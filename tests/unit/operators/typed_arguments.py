"""What a type checker says of arguments: nothing of good ones, and an error wherever a comment ignores one.

Nothing runs this: `make lint` lets mypy read it, which also complains of a comment that ignores nothing.
"""

from datetime import timedelta
from pathlib import Path

from airflow.sdk import ObjectStoragePath

from airflow_provider_oac.notifications.oac import OACBackupNotifier, OACWorkNotifier
from airflow_provider_oac.operators.api import OACApiOperator
from airflow_provider_oac.operators.catalog import OACChangeOwnerOperator, OACMoveCatalogItemOperator
from airflow_provider_oac.operators.restore import OACRestoreSnapshotOperator
from airflow_provider_oac.operators.runs import OACReloadDatasetOperator
from airflow_provider_oac.operators.snapshots import (
    OACCreateSnapshotOperator,
    OACPruneSnapshotsOperator,
    OACRegisterSnapshotOperator,
)
from airflow_provider_oac.operators.workbooks import OACExportWorkbookOperator
from airflow_provider_oac.sensors.work_requests import OACWorkRequestSensor

backup = OACCreateSnapshotOperator(
    task_id="backup", snapshot_label="nightly", bucket="b", seal_conn_id="seal", folder=Path("folder"),
    oac_conn_id="oac", deferrable=True, poll_interval=5, timeout=timedelta(hours=1),
    confirmation_timeout=timedelta(seconds=5), wait_for_completion=False, retries=3, retry_delay=timedelta(minutes=1),
    trigger_rule="all_done", execution_timeout=timedelta(hours=2),
    on_failure_callback=[OACBackupNotifier(snapshot_label="nightly"), OACWorkNotifier(work_name="x", to=["a"])],
)  # fmt: skip
register = OACRegisterSnapshotOperator(task_id="register", snapshot=backup.output)
OACRestoreSnapshotOperator(task_id="restore", expected_host="host", snapshot=register.output, safety_bucket="b")
OACExportWorkbookOperator(task_id="a", workbook_path="/x", destination=ObjectStoragePath("s3://b/"), max_parallel=2)
OACExportWorkbookOperator(task_id="b", workbook_path=Path("/x"), destination="s3://b/{{ ds }}", file_format="{{ x }}")
OACWorkRequestSensor(task_id="c", work_request_id=backup.output["work_request_id"], poke_interval=5, mode="reschedule")
OACMoveCatalogItemOperator(
    task_id="d", catalog_type="workbooks", path="/x", new_name="y", oac_conn_id="oac", pool="oac"
)
OACReloadDatasetOperator(task_id="e", dataset="'a'.'b'", if_running="wait", deferrable=None)
OACApiOperator(task_id="f", method="GET", path="/system", wait_for_completion=True)

OACReloadDatasetOperator(task_id="a", dataset="'a'.'b'", defferable=True)  # type: ignore[call-arg]
OACReloadDatasetOperator(task_id="b", dataset="'a'.'b'", deferrable="yes")  # type: ignore[arg-type]
OACReloadDatasetOperator(task_id="c", dataset="'a'.'b'", if_running="waits")  # type: ignore[arg-type]
OACReloadDatasetOperator(task_id="d", dataset="'a'.'b'", timeout="3 hours")  # type: ignore[arg-type]
OACReloadDatasetOperator(task_id="e", dataset="'a'.'b'", retries="3")  # type: ignore[arg-type]
OACReloadDatasetOperator(dataset="'a'.'b'")  # type: ignore[call-arg]
OACChangeOwnerOperator(task_id="f", catalog_type="folders", new_owner="x", recursive="false")  # type: ignore[arg-type]
OACChangeOwnerOperator(task_id="g", new_owner="x", path="/x")  # type: ignore[call-arg]
OACPruneSnapshotsOperator(task_id="h", snapshot_label="x", bucket="b", keep_for=30)  # type: ignore[arg-type]
OACPruneSnapshotsOperator(task_id="i", snapshot_label="x", bucket="b", deferrable=True)  # type: ignore[call-arg]
OACWorkRequestSensor(task_id="k", work_request_id="x", poll_interval=5)  # type: ignore[call-arg]
OACBackupNotifier(snapshot_label="x", bukket="b")  # type: ignore[call-arg]
