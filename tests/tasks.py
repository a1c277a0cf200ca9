"""Run operators and sensors as Airflow does, without Airflow's processes.

Every try and every resumption is a new object, and data passes between them as JSON.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.models.trigger import Trigger

from airflow_provider_oac.operators.snapshots import OACCreateSnapshotOperator
from oac_simulator.launch import Simulator

try:
    from airflow.sdk.exceptions import TaskDeferred
except ImportError:  # before Airflow 3.2
    from airflow.exceptions import TaskDeferred

SEAL_PASSWORD = "Correct-Horse-7-Battery"
ADMIN = "oac.admin@example.com"
AUTHOR = "oac.author@example.com"


def oac_connection(ready: dict[str, Any], instance: str = "dev", **extra: Any) -> dict[str, Any]:
    """Return a Connection that signs in at the simulator, as JSON; `extra` changes fields of its extra."""
    target = ready["instances"][instance]
    return {
        "conn_type": "oac",
        "host": target["url"],
        "login": ready["client_id"],
        "extra": {
            "identity_url": ready["identity_url"],
            "scope": target["scope"],
            "user": ADMIN,
            "certificate_alias": ready["certificate_alias"],
            "private_key": Path(ready["private_key_file"]).read_text(),
            "instance": instance,
            **extra,
        },
    }


class Connections:
    """The Connections of a test, as environment variables."""

    def __init__(self, ready: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
        self.ready = ready
        self._monkeypatch = monkeypatch

    def set(self, conn_id: str, connection: dict[str, Any] | str) -> None:
        """Set a Connection, as JSON or as a URI."""
        value = connection if isinstance(connection, str) else json.dumps(connection)
        self._monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", value)

    def oac(self, conn_id: str = "oac_default", instance: str = "dev", host: str | None = None, **extra: Any) -> None:
        """Set a Connection to the simulator, with changes."""
        connection = oac_connection(self.ready, instance, **extra)
        self.set(conn_id, {**connection, **({"host": host} if host else {})})

    def seal(self, conn_id: str = "oac_seal", password: str = SEAL_PASSWORD) -> None:
        """Set a Connection with a password for snapshots."""
        self.set(conn_id, {"conn_type": "generic", "password": password})


class TaskInstance:
    """An operator's view of its task instance."""

    def __init__(self, task_id: str, try_number: int, max_tries: int, map_index: int = -1) -> None:
        self.dag_id, self.run_id, self.task_id = "a_dag", "a_run", task_id
        self.try_number, self.max_tries, self.map_index = try_number, max_tries, map_index
        self.start_date = datetime.now(UTC)
        self.xcoms: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = json.loads(json.dumps(value))

    def get_first_reschedule_date(self, context: Any) -> datetime | None:
        return None


class StateStore:
    """The task state store of Airflow 3.3: JSON by key, kept across tries and Clears."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def get(self, key: str) -> Any:
        return json.loads(self.texts[key]) if key in self.texts else None

    def set(self, key: str, value: Any) -> None:
        self.texts[key] = json.dumps(value)
        assert json.loads(self.texts[key]) == value, "the real one takes JSON only, and no tuples"


class Task:
    """One logical task, with its tries and Clears.

    :param make: creates a new operator for each try and each resumption.
    :param store: whether there is a state store, as in Airflow 3.3.
    :param run_type: type of the DAG run.
    :param run_id: ID of the DAG run.
    """

    def __init__(
        self,
        make: Callable[[], Any],
        *,
        store: bool = True,
        retries: int = 2,
        run_type: str = "manual",
        run_id: str = "a_run",
    ) -> None:
        self._make = make
        self.run_type, self.run_id = run_type, run_id
        self.began = datetime.now(UTC)
        self._retries = retries
        self.store = StateStore() if store else None
        self.try_number, self.max_tries = 0, retries
        self.ti: TaskInstance
        self.deferred: TaskDeferred | None = None
        self.event: dict[str, Any] | None = None

    def clear(self) -> None:
        """Change the counters as Airflow does when a user clears the task."""
        self.max_tries = self.try_number + self._retries

    def context(self, task_id: str = "a_task") -> dict[str, Any]:
        """Return the context of the current try."""
        self.ti = TaskInstance(task_id, self.try_number, self.max_tries)
        self.ti.run_id = self.run_id
        context: dict[str, Any] = {
            "ti": self.ti,
            "dag_run": SimpleNamespace(run_type=self.run_type, start_date=self.began),
        }
        return {**context, "task_state_store": self.store} if self.store else context

    def attempt(self) -> Any:
        """Run one try, including the trigger after each deferral."""
        self.start()
        while (waited := self.deferred) is not None:
            result = self.execute_complete(asyncio.run(first_event(waited.trigger)))
            if self.deferred is waited:
                return result
        return self.result

    def start(self) -> None:
        """Run one try until it ends or defers."""
        self.try_number += 1
        operator = self._make()
        self.deferred, context = None, self.context(operator.task_id)
        try:
            self.result = operator.execute(context)
        except TaskDeferred as deferred:
            self.deferred = deferred

    def execute_complete(self, event: Any) -> Any:
        """Resume after a deferral, with a new operator."""
        assert self.deferred is not None
        self.event = event
        kwargs = {**json.loads(json.dumps(self.deferred.kwargs or {})), "event": event}
        return self.resume_by(self.deferred.method_name, kwargs)

    def resume_by(self, method: str, kwargs: dict[str, Any]) -> Any:
        """Resume by the given method, with a new operator."""
        operator = self._make()
        try:
            return operator.resume_execution(method, kwargs, self.context(operator.task_id))
        except TaskDeferred as again:
            self.deferred = again


def backup_operator(**changes: Any) -> OACCreateSnapshotOperator:
    """Return a backup operator with short intervals; `changes` are arguments of the operator."""
    arguments: dict[str, Any] = {
        "task_id": "backup",
        "snapshot_label": "nightly",
        "bucket": "oac-backups",
        "seal_conn_id": "oac_seal",
        "poll_interval": 0.05,
        "confirmation_timeout": 0.4,
    }
    return OACCreateSnapshotOperator(**{**arguments, **changes})


def forget_work(task: Task, simulator: Simulator) -> None:
    """Let OAC no longer know the work request that a task started an hour ago."""
    assert task.store is not None
    record = task.store.get("oac_work")
    task.store.set("oac_work", {**record, "submitted_at": record["submitted_at"] - 3600})
    simulator.control.fault("GET /workRequests/{id}", "status", status=404, times=None)


def through_the_database(trigger: Any) -> Any:
    """Return a trigger as the triggerer recreates it from Airflow's database."""
    row = Trigger.from_object(trigger)
    return type(trigger)(**row.kwargs)


async def first_event(trigger: Any) -> dict[str, Any]:
    """Run a trigger until its first event and return the payload."""
    async for event in through_the_database(trigger).run():
        payload: dict[str, Any] = json.loads(json.dumps(event.payload))
        return payload
    raise AssertionError("the trigger ended without an event")


def names(simulator: Simulator, instance: str = "dev") -> list[str]:
    """Return the names of all snapshots in the simulator, in any state."""
    return [item["name"] for item in simulator.control.snapshots(instance)]
