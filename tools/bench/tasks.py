"""Benchmark of a blocking task that starts work and waits for it, and of a script that does the same.

The work ends at once, so the figures contain only the cost of the process: imports, key, token, requests.
"""

from __future__ import annotations

import base64
import json
import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tools.bench.waiting import environment

FURTHER = 20


class _State:
    """A task state store, and the XComs of one task."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}

    def get(self, key: str) -> Any:
        return json.loads(self._texts[key]) if key in self._texts else None

    def set(self, key: str, value: Any) -> None:
        self._texts[key] = json.dumps(value)


def _executed(operator: Any) -> Any:
    """Execute an operator as the first try of a new task."""
    ti = SimpleNamespace(
        dag_id="d", run_id="r", task_id="t", map_index=-1, try_number=1, max_tries=0, start_date=None, stats_tags={},
        xcom_push=lambda key, value: json.dumps(value), xcom_pull=lambda **_which: None,
    )  # fmt: skip
    return operator.execute({
        "ti": ti, "dag_run": SimpleNamespace(run_type="manual", start_date=None), "task_state_store": _State(),
    })  # fmt: skip


def _ours() -> None:
    from airflow_provider_oac.operators.api import OACApiOperator

    operator = OACApiOperator(task_id="t", method="POST", path="/work", body={}, wait_for_completion=True)
    if _executed(operator)["status"] != "SUCCEEDED":
        raise RuntimeError("the work did not succeed")


def _databricks() -> None:
    from airflow.providers.databricks.operators.databricks import DatabricksRunNowOperator

    _executed(DatabricksRunNowOperator(task_id="t", databricks_conn_id="databricks", job_id=1))


def _airbyte() -> None:
    from airflow.providers.airbyte.operators.airbyte import AirbyteTriggerSyncOperator

    _executed(AirbyteTriggerSyncOperator(
        task_id="t", airbyte_conn_id="airbyte", connection_id="c", wait_seconds=0, deferrable=False
    ))  # fmt: skip


def _script(port: int, folder: Path) -> None:
    """A typical script: it gets a token, starts the work and polls until the end, without state and without checks."""
    import jwt
    import requests

    url = f"https://localhost:{port}"
    pem, now = (folder / "key.pem").read_text(), int(time.time())
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "scope": "oac",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}  # fmt: skip
    for name, subject in (("client_assertion", "bench"), ("assertion", "user")):
        claims = {"iss": "bench", "sub": subject, "aud": url, "iat": now, "exp": now + 300}
        form[name] = jwt.encode(claims, pem, "RS256", headers={"kid": "bench"})
    with requests.Session() as session:
        token = session.post(f"{url}/oauth2/v1/token", data=form, timeout=30).json()["access_token"]
        session.headers["Authorization"] = f"Bearer {token}"
        work = session.post(f"{url}/api/20210901/work", json={}, timeout=30).json()["workRequestId"]
        while session.get(f"{url}/api/20210901/workRequests/{work}", timeout=30).json()["status"] != "SUCCEEDED":
            time.sleep(1.0)


def task(kind: str, port: int, folder: Path) -> dict[str, Any]:
    """Measure the CPU milliseconds of the first task of a process and of each further task.

    The first includes all imports on top of Airflow's SDK.

    :param kind: ``ours``, ``script``, ``databricks`` or ``airbyte``.
    """
    environment(port, folder)
    os.environ["AIRFLOW__OAC__STORE"] = "file"
    os.environ["AIRFLOW__CORE__FERNET_KEY"] = base64.urlsafe_b64encode(b"only of this bench, and not kept").decode()
    from airflow.sdk import DAG, BaseHook, BaseOperator, BaseSensorOperator, Connection  # noqa: F401

    kinds: dict[str, Callable[[], None]] = {
        "ours": _ours, "script": partial(_script, port, folder), "databricks": _databricks, "airbyte": _airbyte,
    }  # fmt: skip
    taken = []
    for _ in range(1 + FURTHER):
        began = time.process_time()
        kinds[kind]()
        taken.append(1000 * (time.process_time() - began))
    return {"first": taken[0], "further": statistics.median(taken[1:])}
