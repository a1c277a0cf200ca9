"""After a promotion, compare the figures of development and production by query.

Needs the Connections ``oac_default`` (development) and ``oac_prod`` (type ``oac``) of users with the role DV Content
Author who may read the subject area. Replace the queries below with yours: use few, ordered rows, and sums instead of
details.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator

try:
    from airflow.sdk import DAG, task
except ImportError:  # Airflow 2.11
    from airflow import DAG
    from airflow.decorators import task

FIGURES = {
    "by_category": """
        SELECT "Sales History"."Products"."Category", "Sales History"."Facts"."Revenue"
        FROM "Sales History" ORDER BY 1
    """,
    "by_month": """
        SELECT "Sales History"."Time"."Month", "Sales History"."Facts"."Quantity"
        FROM "Sales History" ORDER BY 1
    """,
}
# The relative difference that two figures may have.
TOLERANCE = 0.001


@task
def compare(development: list, production: list) -> int:
    """Fail unless all figures are equal within the tolerance. Returns how many there are."""
    here, there = ({row[0]: float(row[1]) for row in rows} for rows in (development, production))
    different = [
        name
        for name in sorted(here.keys() | there.keys())
        if name not in here or name not in there or abs(here[name] - there[name]) > TOLERANCE * abs(here[name])
    ]
    if different:
        raise ValueError(f"{len(different)} of {len(here)} figures differ: {', '.join(different)}")
    return len(here)


with DAG(
    dag_id="oac_compare_figures",
    description="The figures of two instances, compared by query",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["oac", "sql"],
    default_args={"retries": 1, "retry_delay": timedelta(minutes=5)},
):
    for name, sql in FIGURES.items():
        development, production = (
            SQLExecuteQueryOperator(task_id=f"{place}_{name}", conn_id=conn_id, sql=sql)
            for place, conn_id in (("development", "oac_default"), ("production", "oac_prod"))
        )
        compare.override(task_id=f"compare_{name}")(development.output, production.output)
