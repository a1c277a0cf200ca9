"""A DAG that lets a canary out wherever a secret could get out. `test_zz_secrets.py` writes it with a real canary."""

from __future__ import annotations

import base64
import subprocess
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

try:
    from airflow.sdk import DAG, BaseOperator
except ImportError:
    from airflow.models.baseoperator import BaseOperator
    from airflow.models.dag import DAG
try:
    from airflow.providers.standard.triggers.file import FileTrigger
except ImportError:
    from airflow.triggers.file import FileTrigger

CANARY = "the canary"
FOLDER = "the folder"
BASE64 = base64.b64encode(f"user:{CANARY}".encode()).decode()
print("The DAG file says", CANARY)


class Canary(BaseOperator):
    """Logs, pushes, renders, starts a process, keeps state, and waits in the triggerer, all with the canary."""

    template_fields = ("rendered",)

    def __init__(self, *, rendered: str, **kwargs):
        super().__init__(**kwargs)
        self.rendered = rendered

    def execute(self, context):
        self.log.info("In a URL: %s", quote(CANARY, safe=""))
        context["ti"].xcom_push(key="canary", value={"authorization": BASE64})
        subprocess.run(["sh", "-c", "sleep 1", "sh", CANARY], check=True)
        if store := context.get("task_state_store"):
            store.set("canary", CANARY)
        # A file whose name holds what names of files may hold.
        trigger = FileTrigger(filepath=str(Path(FOLDER, quote(CANARY, safe=""))), poke_interval=1)
        self.defer(trigger=trigger, method_name="resume", kwargs={"carried": CANARY})

    def resume(self, context, event, carried):
        raise RuntimeError(f"It was said {carried}")


with DAG("canary", schedule=None, start_date=datetime(2024, 1, 1), description=f"Beside {CANARY}"):
    Canary(task_id="canary", rendered=BASE64)
