"""DAGs for the tests in a real Airflow: every operator and sensor, in its modes, and workers that get killed."""

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

BUCKET = "oac-backups"


def kill_this_worker() -> None:
    """End this task's process and the one that supervises it, without a warning, as the kernel does."""
    os.kill(os.getppid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


class KilledAfterSubmit(OACCreateSnapshotOperator):
    """Its first try dies between OAC's answer and the next line."""

    def start(self, state, context):
        started = super().start(state, context)
        if state.key.try_number == 1:
            kill_this_worker()
        return started


class KilledWhileWaiting(OACCreateSnapshotOperator):
    """Its first try dies after it remembered what it submitted."""

    def _push_link(self, context):
        super()._push_link(context)
        if context["ti"].try_number == 1:
            kill_this_worker()


# Airflow spends tries of its own while a component of it is away.
COMMON = {"bucket": BUCKET, "seal_conn_id": "oac_seal", "retries": 8, "retry_delay": timedelta(seconds=1)}
MODES = {"blocking": False, "deferred": True}
START = datetime(2024, 1, 1)

KINDS = {OACCreateSnapshotOperator: None, KilledAfterSubmit: "oac_spare_1", KilledWhileWaiting: "oac_spare_2"}
for mode, deferrable in MODES.items():
    for kind, conn_id in KINDS.items():
        name = f"{kind.__name__}_{mode}".lower()
        with DAG(f"case_{name}", schedule=None, start_date=START) as dag:
            kind(
                task_id="backup",
                snapshot_label=name.replace("_", "-"),
                deferrable=deferrable,
                confirmation_timeout=8,
                **({"oac_conn_id": conn_id} if conn_id else {}),
                **COMMON,
            )
        globals()[dag.dag_id] = dag

with DAG("case_sensors", schedule=None, start_date=START):
    start = OACCreateSnapshotOperator(
        task_id="start", snapshot_label="sensors", wait_for_completion=False, deferrable=True, **COMMON
    )
    ID = "{{ ti.xcom_pull(task_ids='start')['work_request_id'] }}"
    poke = OACWorkRequestSensor(task_id="poke", work_request_id=ID, deferrable=False, poke_interval=1, timeout=120)
    # Due again before its process of the last look has ended, which takes seconds on a busy machine, Airflow fails it.
    reschedule = OACWorkRequestSensor(
        task_id="reschedule", work_request_id=ID, deferrable=False, mode="reschedule", poke_interval=15, timeout=120
    )
    deferred = OACWorkRequestSensor(
        task_id="deferred", work_request_id=ID, deferrable=True, poke_interval=1, timeout=120
    )
    exists = OACSnapshotSensor(
        task_id="exists",
        snapshot_name="{{ ti.xcom_pull(task_ids='start')['name'] }}",
        poke_interval=1,
        timeout=120,
    )
    fresh = OACSnapshotSensor(
        task_id="fresh",
        snapshot_label="sensors",
        bucket=BUCKET,
        max_age=timedelta(minutes=10),
        poke_interval=1,
        timeout=120,
    )
    prune = OACPruneSnapshotsOperator(task_id="prune", snapshot_label="sensors", bucket=BUCKET, keep_last=1)
    delete = OACDeleteSnapshotOperator(
        task_id="delete", snapshot_name="{{ ti.xcom_pull(task_ids='start')['name'] }}", delete_storage=True
    )
    start >> [poke, reschedule, deferred] >> exists >> fresh >> prune >> delete

with DAG("case_failing", schedule=None, start_date=START):
    OACCreateSnapshotOperator(
        task_id="backup",
        snapshot_label="failing",
        deferrable=True,
        bucket="no-such-bucket",
        seal_conn_id="oac_seal",
    )

with DAG("case_stored_connections", schedule=None, start_date=START):
    OACCreateSnapshotOperator(
        task_id="backup",
        snapshot_label="stored",
        deferrable=True,
        oac_conn_id="oac_default_stored",
        bucket=BUCKET,
        seal_conn_id="oac_seal_stored",
    )
