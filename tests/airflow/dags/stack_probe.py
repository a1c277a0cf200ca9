"""DAGs that say whether the Airflow of these tests does what the other tests count on."""

from __future__ import annotations

import os
import signal
from datetime import datetime, timedelta

try:
    from airflow.sdk import DAG, BaseOperator, Param
except ImportError:
    from airflow.models.baseoperator import BaseOperator
    from airflow.models.dag import DAG
    from airflow.models.param import Param

from airflow.triggers.temporal import TimeDeltaTrigger


class Killed(BaseOperator):
    """On its first try, SIGKILLs its own process, and first the process that supervises it, when told to."""

    template_fields = ("supervisor_too",)

    def __init__(self, *, supervisor_too: str, **kwargs):
        super().__init__(**kwargs)
        self.supervisor_too = supervisor_too

    def execute(self, context):
        if context["ti"].try_number == 1:
            if self.supervisor_too == "True":
                os.kill(os.getppid(), signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)
        return {"try_number": context["ti"].try_number, "what": ["survived", 1, None]}


class Deferred(BaseOperator):
    """Waits in the triggerer, then comes back."""

    def execute(self, context):
        delay = timedelta(seconds=context["params"]["seconds"])
        self.log.info("deferring")
        self.defer(trigger=TimeDeltaTrigger(delay), method_name="resume")

    def resume(self, context, event):
        self.log.info("resumed")
        return f"resumed after {event is not None}"


# The deferred task does not wait for less than 5 seconds: Airflow's scheduler fails a task whose trigger fires before
# the scheduler has heard from its executor that the task's process ended.
START = datetime(2024, 1, 1)

with DAG("stack_killed", schedule=None, start_date=START, params={"supervisor_too": Param(True)}):
    Killed(
        task_id="killed",
        supervisor_too="{{ params.supervisor_too }}",
        retries=1,
        retry_delay=timedelta(seconds=1),
    )

with DAG("stack_deferred", schedule=None, start_date=START, params={"seconds": Param(5)}):
    Deferred(task_id="deferred")
