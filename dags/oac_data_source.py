"""Create a connection of Oracle Analytics Cloud to a new data source, check it, and delete the previous connection.

Needs the Connection ``oac_default`` (type ``oac``) of a user who may create OAC's connections (DV Content Author), and
the Connection ``oac_warehouse`` (any type), with the login and password of the data source. This file, the logs and
XComs contain no password.

OAC does not report whether the credentials work: build a dataset on the connection, and reload it. Datasets that still
use the deleted connection stop working. Start the DAG by hand; if there is no previous connection, do not change the
param ``retired``.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pendulum

try:
    from airflow.sdk import DAG
except ImportError:  # Airflow 2.11
    from airflow import DAG

from airflow_provider_oac.operators.api import OACApiOperator
from airflow_provider_oac.operators.connections import OACCreateConnectionOperator, OACDeleteConnectionOperator

KIND = "oracle-autonomous-data-warehouse"


def is_as_wanted(found: Any) -> bool:
    """Whether the connection in OAC has the wanted type."""
    from airflow_provider_oac.client.rest.connections import type_of

    return type_of(found) == KIND


with DAG(
    dag_id="oac_data_source",
    description="A connection of OAC to a new data source, in the place of another one",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["oac", "connections"],
    params={
        "name": "Warehouse 2026",
        "connect_string": "tcps://adw.example.com:1521/sales_high.adb.example.com",
        "retired": "'admin'.'Warehouse 2025'",
    },
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
):
    # If the user has a connection of this name, the task updates it. OCI's Console shows the connect string of an
    # Autonomous Database (TLS). For a wallet (mutual TLS), use wallet= and serviceName instead.
    create = OACCreateConnectionOperator(
        task_id="create",
        connection_name="{{ params.name }}",
        connection_type=KIND,
        connection_params={"sslType": "ServerAuthentication", "connectionString": "{{ params.connect_string }}"},
        data_source_conn_id="oac_warehouse",
        if_exists="update",
    )

    # Any call of the client, by its name. The task fails unless result_check returns True.
    look = OACApiOperator(
        task_id="look",
        call="connections.get",
        arguments={
            "connection_id": "{{ ti.xcom_pull('create')['connection_id'] }}",
            "fields": ["name", "owner", "content"],
        },
        result_check=is_as_wanted,
    )

    retire = OACDeleteConnectionOperator(task_id="retire", connection="{{ params.retired }}", missing_ok=True)

    create >> look >> retire
