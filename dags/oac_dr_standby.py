"""Keep a standby instance in a second region, and fail over to it: two DAGs.

``oac_dr_standby`` registers each night's backup in the standby instance, as soon as the replica of the bucket contains
its file. Start ``oac_dr_failover`` by hand when the first region is lost. After an approval, it restores the newest
registered backup in the standby instance and sets the Variable ``oac_active_conn_id``. DAGs that are to move to the
standby take their Connection from it: ``oac_conn_id="{{ var.value.get('oac_active_conn_id', 'oac_default') }}"``. If
the Variable already names the standby, whose content is production then, ``oac_dr_failover`` fails.

Needs the Connections ``oac_default`` (first region) and ``oac_standby`` (second region), and the one whose password
sealed the backups. Needs the Variables ``oac_standby_host`` (host of the standby instance; no other instance is
restored), ``oac_replica_bucket`` (bucket of the replica, for the standby instance) and ``oac_primary_instance`` (name
of the first instance in the names of its snapshots). On Airflow 2.11, approve by the Variable
``oac_failover_approval``: the id of the DAG run and the host of the standby instance, with a blank in between.

Never prune in the replica: the object store keeps it equal to the first bucket. **Pruning in the first bucket also
removes the replica's file**, sooner or later: keep the snapshots there that the standby must be able to restore, and
set ``keep_last`` to cover more time than the replication may lag. OACPruneSnapshotsOperator never considers registered
snapshots, whose names have another form.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum

try:
    from airflow.providers.standard.operators.hitl import ApprovalOperator
    from airflow.providers.standard.operators.python import PythonOperator
    from airflow.sdk import DAG, Variable

    WITH_APPROVALS = True
except Exception:  # Airflow 2.11, where the first import fails in one way or another
    from airflow import DAG
    from airflow.models import Variable
    from airflow.operators.python import PythonOperator
    from airflow.sensors.python import PythonSensor

    WITH_APPROVALS = False

from airflow_provider_oac.operators.compare import OACCheckRolesOperator, OACReviewRestoreOperator
from airflow_provider_oac.operators.restore import OACRestoreSnapshotOperator
from airflow_provider_oac.operators.snapshots import OACFindSnapshotOperator, OACRegisterSnapshotOperator

PRIMARY, STANDBY = "oac_default", "oac_standby"
STANDBY_HOST = "{{ var.value.oac_standby_host }}"
REPLICA = "{{ var.value.oac_replica_bucket }}"
COMMON = {"start_date": pendulum.datetime(2026, 1, 1, tz="UTC"), "catchup": False, "max_active_runs": 1}


def approved(this_run: str, host: str) -> bool:
    """Whether a person approved this run and target. Airflow 2.11 only."""
    return Variable.get("oac_failover_approval", default_var="").split() == [this_run, host]


def refuse_second() -> None:
    """Fail if the standby is already in use: a failover would replace production for good."""
    default = {"default" if WITH_APPROVALS else "default_var": PRIMARY}
    if Variable.get("oac_active_conn_id", **default) == STANDBY:
        raise RuntimeError(
            f"Variable oac_active_conn_id names {STANDBY}: people work there since a failover, and a second "
            "failover would replace what they did, without a safety snapshot. Nothing was done. The way home is a "
            "promotion; after it, set the Variable back."
        )


def move_schedule() -> str:
    """Make the standby the active instance for DAGs that use the Variable."""
    Variable.set("oac_active_conn_id", STANDBY)
    print(
        f"oac_active_conn_id is {STANDBY} now. Pause the DAGs of the first region that do not ask for it, and set it "
        "back after the way home, which is a promotion: snapshot of the standby, restored in the first region."
    )
    return STANDBY


with DAG(dag_id="oac_dr_standby", schedule="0 3 * * *", tags=["oac", "backup"], **COMMON):
    newest = OACFindSnapshotOperator(
        task_id="newest", oac_conn_id=PRIMARY, snapshot_label="nightly", max_age=timedelta(hours=26)
    )

    # Fails and is retried until the replica contains the file. A failed try leaves nothing behind.
    register = OACRegisterSnapshotOperator(
        task_id="register",
        oac_conn_id=STANDBY,
        snapshot=newest.output,
        bucket=REPLICA,
        deferrable=True,
        retries=12,
        retry_delay=timedelta(minutes=10),
    )

with DAG(dag_id="oac_dr_failover", schedule=None, tags=["oac", "restore"], **COMMON):
    first = PythonOperator(task_id="refuse_second", python_callable=refuse_second)

    find = OACFindSnapshotOperator(
        task_id="find",
        oac_conn_id=STANDBY,
        snapshot_label="nightly",
        source_instance="{{ var.value.oac_primary_instance }}",
        registered=True,
        bucket=REPLICA,
    )

    # Without source_oac_conn_id: the first region is lost.
    review = OACReviewRestoreOperator(
        task_id="review", oac_conn_id=STANDBY, expected_host=STANDBY_HOST, snapshot=find.output
    )

    if WITH_APPROVALS:
        approve = ApprovalOperator(
            task_id="approve",
            subject=f"Fail over: replace the whole content of {STANDBY_HOST}?",
            body="{{ ti.xcom_pull(task_ids='review') }}",
            response_timeout=timedelta(hours=12),
            fail_on_reject=True,
        )
        approval = "{{ ti.xcom_pull(task_ids='approve')['responded_at'] }}"
    else:
        approve = PythonSensor(
            task_id="approve",
            python_callable=approved,
            op_args=["{{ run_id }}", STANDBY_HOST],
            mode="reschedule",
            poke_interval=30,
            timeout=timedelta(hours=12).total_seconds(),
        )
        approval = None

    # No safety snapshot: the standby contains only an older copy (see refuse_second), and nothing may be written into
    # the replica.
    restore = OACRestoreSnapshotOperator(
        task_id="restore",
        oac_conn_id=STANDBY,
        expected_host=STANDBY_HOST,
        snapshot=find.output,
        without_safety_snapshot=True,
        approval=approval,
        deferrable=True,
    )

    roles = OACCheckRolesOperator(task_id="roles", oac_conn_id=STANDBY)

    move = PythonOperator(task_id="move_schedule", python_callable=move_schedule)

    first >> find >> review >> approve >> restore >> roles >> move
