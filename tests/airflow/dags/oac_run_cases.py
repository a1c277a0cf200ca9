"""DAGs for the tests of runs in a real Airflow: a load that updates an asset, and workers that get killed."""

from __future__ import annotations

import os
import signal
from datetime import datetime, timedelta

try:
    from airflow.sdk import DAG, Asset, task
except ImportError:
    from airflow.datasets import Dataset as Asset
    from airflow.decorators import task
    from airflow.models.dag import DAG

from airflow_provider_oac.operators.runs import OACRunDataFlowOperator, OACRunSequenceOperator


def kill_this_worker() -> None:
    """End this task's process and the one that supervises it, without a warning, as the kernel does."""
    os.kill(os.getppid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


class RunKilledAfterSubmit(OACRunDataFlowOperator):
    """Its first try dies between OAC's answer and the next line."""

    def start(self, state, context):
        started = super().start(state, context)
        if state.key.try_number == 1:
            kill_this_worker()
        return started


class RunKilledWhileWaiting(OACRunSequenceOperator):
    """Its first try dies after it remembered what it started."""

    def _push_link(self, context):
        super()._push_link(context)
        if context["ti"].try_number == 1:
            kill_this_worker()


COMMON = {"task_id": "run", "retries": 2, "retry_delay": timedelta(seconds=1), "confirmation_timeout": 8}
START = datetime(2024, 1, 1)

with DAG("case_warehouse_load", schedule=None, start_date=START):

    @task(outlets=[Asset("warehouse://adw/sales")])
    def load() -> None:
        """Load the warehouse."""

    load()

# Each on its own instance: OAC runs one of a kind at a time.
for first, mode in ((1, "blocking"), (3, "deferred")):
    WAIT = {"deferrable": mode == "deferred", **COMMON}
    with DAG(f"case_run_killed_after_submit_{mode}", schedule=None, start_date=START) as dag:
        RunKilledAfterSubmit(data_flow="'admin'.'Score Customers'", oac_conn_id=f"oac_spare_{first}", **WAIT)
    globals()[dag.dag_id] = dag
    with DAG(f"case_run_killed_while_waiting_{mode}", schedule=None, start_date=START) as dag:
        RunKilledWhileWaiting(sequence="'admin'.'Nightly'", oac_conn_id=f"oac_spare_{first + 1}", **WAIT)
    globals()[dag.dag_id] = dag
