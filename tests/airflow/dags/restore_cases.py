"""DAGs for the tests of restores in a real Airflow: workers that get killed, a replica that arrives late."""

from __future__ import annotations

import os
import signal
from datetime import datetime, timedelta

try:
    from airflow.sdk import DAG
except ImportError:
    from airflow.models.dag import DAG

from airflow_provider_oac.operators.restore import OACRestoreSnapshotOperator
from airflow_provider_oac.operators.snapshots import OACCreateSnapshotOperator, OACRegisterSnapshotOperator


def kill_this_worker() -> None:
    """End this task's process and the one that supervises it, without a warning, as the kernel does."""
    os.kill(os.getppid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


class KilledAfterSubmit(OACRestoreSnapshotOperator):
    """Its first try dies between OAC's answer and the next line."""

    def _submit(self, facts, state):
        started = super()._submit(facts, state)
        if state.key.try_number == 1:
            kill_this_worker()
        return started


class KilledWhileWaiting(OACRestoreSnapshotOperator):
    """Its first try dies after it remembered what it submitted."""

    def _push_link(self, context):
        super()._push_link(context)
        if context["ti"].try_number == 1:
            kill_this_worker()


START = datetime(2024, 1, 1)

# Each restores its own instance, so that they run at the same time.
for first, mode in ((1, "blocking"), (3, "deferred")):
    for number, kind in enumerate((KilledAfterSubmit, KilledWhileWaiting), first):
        name = f"{kind.__name__}_{mode}".lower()
        with DAG(f"case_restore_{name}", schedule=None, start_date=START) as dag:
            backup = OACCreateSnapshotOperator(
                task_id="backup", snapshot_label=f"restore-{number}", bucket="oac-backups", seal_conn_id="oac_seal"
            )
            register = OACRegisterSnapshotOperator(
                task_id="register", oac_conn_id=f"oac_spare_{number}", snapshot=backup.output
            )
            kind(
                task_id="restore",
                oac_conn_id=f"oac_spare_{number}",
                expected_host=f"{{{{ var.value.oac_spare_{number}_host }}}}",
                snapshot=register.output,
                without_safety_snapshot=True,
                deferrable=mode == "deferred",
                retries=1,
                retry_delay=timedelta(seconds=1),
            )
        globals()[dag.dag_id] = dag

with DAG("case_register_replica", schedule=None, start_date=START):
    OACRegisterSnapshotOperator(
        task_id="register",
        oac_conn_id="oac_standby",
        bar_uri="arrives/late.bar",
        bucket="{{ var.value.oac_replica_bucket }}",
        deferrable=True,
        retries=20,
        retry_delay=timedelta(seconds=1),
    )
