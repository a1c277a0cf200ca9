"""Promote the whole development instance to production: by a snapshot, after a person approves it.

The steps: a snapshot of development, registered in production; a review of what will be lost; an approval by a person;
a safety snapshot of production; the restore; the credentials of production's connections; a check of the roles; a list
of what is left to do by hand. A restore replaces everything. To promote single folders, copy them within an instance.

Needs the Connections ``oac_default`` (development) and ``oac_prod`` (production), both of the type ``oac``, and
``oac_seal`` (any type, whose password seals the snapshots). The Variable ``oac_prod_host`` contains the host of
production and guards against a Connection to another instance; ``oac_bucket`` names the bucket that both instances may
use.

On Airflow 3.1 and later, the approval is a required action in Airflow's web interface. On Airflow 2.11, the task
``approve`` waits until the Variable ``oac_promote_approval`` contains the id of this DAG run and the host of
production, with a blank in between. Start the DAG by hand; the restore refuses scheduled runs and backfills.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum

try:
    from airflow.providers.standard.operators.hitl import ApprovalOperator
    from airflow.providers.standard.operators.python import PythonOperator
    from airflow.sdk import DAG

    WITH_APPROVALS = True
except Exception:  # Airflow 2.11, where the first import fails in one way or another
    from airflow import DAG
    from airflow.models import Variable
    from airflow.operators.python import PythonOperator
    from airflow.sensors.python import PythonSensor

    WITH_APPROVALS = False

from airflow_provider_oac.operators.compare import OACCheckRolesOperator, OACReviewRestoreOperator
from airflow_provider_oac.operators.connections import OACUpdateConnectionOperator
from airflow_provider_oac.operators.restore import OACRestoreSnapshotOperator
from airflow_provider_oac.operators.snapshots import (
    OACCreateSnapshotOperator,
    OACDeleteSnapshotOperator,
    OACRegisterSnapshotOperator,
)

DEVELOPMENT, PRODUCTION = "oac_default", "oac_prod"
PRODUCTION_HOST = "{{ var.value.oac_prod_host }}"
BUCKET = "{{ var.value.get('oac_bucket', 'oac-backups') }}"

# OAC's connections whose data source differs in production: the plain id of each, and the Airflow Connection with the
# login and password of production's data source.
CONNECTIONS = [{"connection": "'admin'.'ADW'", "data_source_conn_id": "adw_prod"}]

BY_HAND = """\
Look after these by hand in production, since no snapshot saves them and the REST API has no operation for them:
- schedules of deliveries and of data flows, sequences and datasets: compare with the safety snapshot's time
- data of files that people uploaded: upload it again, or reload the datasets from their sources
- members of application roles: Console, Users and Roles. Those of production were replaced by development's
- mail server, safe domains, system settings: run the declarative operators for them
To undo all of it, restore the safety snapshot named above."""


def approved(this_run: str, host: str) -> bool:
    """Whether a person approved this run and target. Airflow 2.11 only."""
    return Variable.get("oac_promote_approval", default_var="").split() == [this_run, host]


def say_what_is_left(restored: dict) -> str:
    """Print the remaining steps, which the REST API cannot do."""
    text = f"{restored['host']} holds {restored['name']}. Before that: {restored['safety']['name']}.\n{BY_HAND}"
    print(text)
    return text


with DAG(
    dag_id="oac_promote",
    description="Development to production by snapshot, after an approval",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["oac", "promote"],
):
    snapshot = OACCreateSnapshotOperator(
        task_id="snapshot",
        oac_conn_id=DEVELOPMENT,
        snapshot_label="promote",
        bucket=BUCKET,
        seal_conn_id="oac_seal",
        deferrable=True,
    )

    register = OACRegisterSnapshotOperator(
        task_id="register", oac_conn_id=PRODUCTION, snapshot=snapshot.output, deferrable=True
    )

    review = OACReviewRestoreOperator(
        task_id="review",
        oac_conn_id=PRODUCTION,
        expected_host=PRODUCTION_HOST,
        snapshot=register.output,
        source_oac_conn_id=DEVELOPMENT,
    )

    if WITH_APPROVALS:
        approve = ApprovalOperator(
            task_id="approve",
            subject=f"Replace the whole content of {PRODUCTION_HOST}?",
            body="{{ ti.xcom_pull(task_ids='review') }}",
            response_timeout=timedelta(days=2),
            fail_on_reject=True,
        )
        approval = "{{ ti.xcom_pull(task_ids='approve')['responded_at'] }}"
    else:
        approve = PythonSensor(
            task_id="approve",
            python_callable=approved,
            op_args=["{{ run_id }}", PRODUCTION_HOST],
            mode="reschedule",
            poke_interval=30,
            timeout=timedelta(days=2).total_seconds(),
        )
        approval = None

    # Takes a safety snapshot of production first, and never sends the restore twice. See docs/restore.md.
    restore = OACRestoreSnapshotOperator(
        task_id="restore",
        oac_conn_id=PRODUCTION,
        expected_host=PRODUCTION_HOST,
        snapshot=register.output,
        safety_bucket=BUCKET,
        safety_seal_conn_id="oac_seal",
        approval=approval,
        deferrable=True,
    )

    connections = OACUpdateConnectionOperator.partial(
        task_id="connections",
        oac_conn_id=PRODUCTION,
        map_index_template="{{ task.connection }}",
    ).expand_kwargs(CONNECTIONS)

    roles = OACCheckRolesOperator(task_id="roles", oac_conn_id=PRODUCTION)

    # Removes the entry from production's list. The file stays in the bucket until development prunes it or a person
    # removes it.
    unregister = OACDeleteSnapshotOperator(
        task_id="unregister",
        oac_conn_id=PRODUCTION,
        snapshot_id="{{ ti.xcom_pull(task_ids='register')['snapshot_id'] }}",
        missing_ok=True,
    )

    by_hand = PythonOperator(task_id="by_hand", python_callable=say_what_is_left, op_args=[restore.output])

    review >> approve >> restore >> roles >> connections >> by_hand
    restore >> unregister
