"""After each load of the warehouse, reload the datasets of Oracle Analytics Cloud that are built on it.

Runs whenever the asset below is updated: add it as an outlet to the last task of your load. Needs the Connection
``oac_default`` (type ``oac``) of a user with the application role DV Content Author. Replace the datasets below with
yours; OAC reloads those that are built on a connection and cached, not those made from files.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pendulum

try:
    from airflow.sdk import DAG, Asset, task
except ImportError:  # Airflow 2.11
    from airflow import DAG
    from airflow.datasets import Dataset as Asset
    from airflow.decorators import task

from airflow_provider_oac.operators.runs import OACReloadDatasetOperator

WAREHOUSE = Asset("warehouse://adw/sales")
DATASETS = ["'admin'.'Orders'", "'admin'.'Budget Lines'"]

with DAG(
    dag_id="oac_reload_after_load",
    description="Reload cached datasets as soon as the warehouse is loaded",
    schedule=[WAREHOUSE],
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["oac", "runs"],
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
):
    # One task for each dataset, all waiting in the triggerer. A reload that is already running began before the load
    # ended, so the task waits for it and then reloads the dataset once more.
    reload = OACReloadDatasetOperator.partial(
        task_id="reload",
        if_running="wait",
        deferrable=True,
        timeout=timedelta(hours=2),
        map_index_template="{{ task.dataset }}",
    ).expand(dataset=DATASETS)

    @task
    def no_empty_dataset(results: Any) -> dict[str, int | None]:
        """Fail if a dataset was reloaded without rows, which users would see as an empty dashboard."""
        rows = {name: result["rows"] for name, result in zip(DATASETS, results, strict=True)}
        if empty := [name for name, count in rows.items() if count == 0]:
            raise ValueError(f"Reloaded without any rows: {', '.join(empty)}")
        return rows

    no_empty_dataset(reload.output)
