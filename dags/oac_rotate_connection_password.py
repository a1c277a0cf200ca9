"""After a change of the warehouse's password, update the connections of Oracle Analytics Cloud, and test them.

Needs the Connection ``oac_default`` (type ``oac``) of a user who may change OAC's connections (DV Content Author), and
the Connection ``oac_warehouse`` (any type) with the login and password of the warehouse. Change the password there or
in your secrets backend, then run this DAG; the job that rotates the password can trigger it. This file, the logs and
XComs contain no password.

OAC does not report whether the credentials work, so the DAG reloads a dataset of the connection at the end.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum

try:
    from airflow.sdk import DAG
except ImportError:  # Airflow 2.11
    from airflow import DAG

from airflow_provider_oac.operators.connections import OACUpdateConnectionOperator
from airflow_provider_oac.operators.runs import OACReloadDatasetOperator

with DAG(
    dag_id="oac_rotate_connection_password",
    description="Put the warehouse's new password into OAC's connections",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["oac", "connections"],
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
):
    # Safe to repeat. For further connections with the same credentials, add further tasks like this one.
    rotate = OACUpdateConnectionOperator(
        task_id="rotate",
        connection="'admin'.'ADW'",
        data_source_conn_id="oac_warehouse",
    )

    # A reload reads from the warehouse with the new password.
    prove = OACReloadDatasetOperator(
        task_id="prove",
        dataset="'admin'.'Orders'",
        if_running="wait",
        deferrable=True,
        timeout=timedelta(minutes=30),
    )

    rotate >> prove
