"""DAGs for the tests in a real Airflow: backups and sensors, in their modes, and workers that get killed."""

from __future__ import annotations

import os
import signal
from datetime import datetime, timedelta

try:
    from airflow.sdk import DAG
except ImportError:
    from airflow.models.dag import DAG

from airflow_provider_oac.operators.snapshots import (
    OACCreateSnapshotOperator,
    OACDeleteSnapshotOperator,
    OACPruneSnapshotsOperator,
)
from airflow_provider_oac.sensors.snapshots import OACSnapshotSensor
from airflow_provider_oac.sensors.work_requests import OACWorkRequestSensor


def kill_this_worker(try_number: int) -> None:
    """On the first try, end this process and the one that supervises it without a warning, as the kernel does."""
    if try_number == 1:
        os.kill(os.getppid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)


class KilledAfterSubmit(OACCreateSnapshotOperator):
    """Its first try dies between OAC's answer and the next line."""

    def start(self, state, context):
        started = super().start(state, context)
        kill_this_worker(state.key.try_number)
        return started


class KilledWhileWaiting(OACCreateSnapshotOperator):
    """Its first try dies after it remembered what it submitted."""

    def _push_link(self, context):
        super()._push_link(context)
        kill_this_worker(context["ti"].try_number)


# Airflow spends tries of its own while a component of it is away.
COMMON = {"bucket": "oac-backups", "seal_conn_id": "oac_seal", "retries": 8, "retry_delay": timedelta(seconds=1)}
START = datetime(2024, 1, 1)
KINDS = {
    OACCreateSnapshotOperator: "oac_default",
    KilledAfterSubmit: "oac_spare_1",
    KilledWhileWaiting: "oac_spare_2",
}
for mode in ("blocking", "deferred"):
    for kind, conn_id in KINDS.items():
        name = f"{kind.__name__}_{mode}".lower()
        waits = {"deferrable": mode == "deferred", "confirmation_timeout": 8}
        with DAG(f"case_{name}", schedule=None, start_date=START) as dag:
            kind(task_id="backup", oac_conn_id=conn_id, snapshot_label=name.replace("_", "-"), **waits, **COMMON)
        globals()[dag.dag_id] = dag

with DAG("case_sensors", schedule=None, start_date=START):
    start = OACCreateSnapshotOperator(
        task_id="start", snapshot_label="sensors", wait_for_completion=False, deferrable=True, **COMMON
    )
    WAIT = {"poke_interval": 1, "timeout": 120}
    WORK = {**WAIT, "work_request_id": "{{ ti.xcom_pull(task_ids='start')['work_request_id'] }}"}
    NAMED = {"snapshot_name": "{{ ti.xcom_pull(task_ids='start')['name'] }}"}
    SERIES = {"snapshot_label": "sensors", "bucket": "oac-backups"}
    # Due again before its process of the last look has ended, which takes seconds on a busy machine, Airflow fails it.
    RARELY = {**WORK, "poke_interval": 15}
    works = [
        OACWorkRequestSensor(task_id="poke", deferrable=False, **WORK),
        OACWorkRequestSensor(task_id="reschedule", deferrable=False, mode="reschedule", **RARELY),
        OACWorkRequestSensor(task_id="deferred", deferrable=True, **WORK),
    ]
    exists = OACSnapshotSensor(task_id="exists", **NAMED, **WAIT)
    fresh = OACSnapshotSensor(task_id="fresh", max_age=timedelta(minutes=10), **SERIES, **WAIT)
    prune = OACPruneSnapshotsOperator(task_id="prune", keep_last=1, **SERIES)
    delete = OACDeleteSnapshotOperator(task_id="delete", delete_storage=True, **NAMED)
    start >> works >> exists >> fresh >> prune >> delete

with DAG("case_stored_connections", schedule=None, start_date=START):
    OACCreateSnapshotOperator(
        task_id="backup",
        snapshot_label="stored",
        deferrable=True,
        oac_conn_id="oac_default_stored",
        bucket="oac-backups",
        seal_conn_id="oac_seal_stored",
    )
