"""A task whose trigger logs its token. `test_zz_secrets.py` starts it."""

from __future__ import annotations

from datetime import datetime

try:
    from airflow.sdk import DAG, BaseOperator
except ImportError:
    from airflow.models.baseoperator import BaseOperator
    from airflow.models.dag import DAG
from loud_trigger import LoudTrigger


class Loud(BaseOperator):
    """Waits for the trigger."""

    def execute(self, context):
        self.defer(trigger=LoudTrigger(), method_name="resume")

    def resume(self, context, event):
        return event


with DAG("loud", schedule=None, start_date=datetime(2024, 1, 1)):
    Loud(task_id="loud")
