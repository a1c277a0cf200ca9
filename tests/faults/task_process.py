"""One step of a task in a process of its own, forked from one that has loaded Airflow, as Airflow does it.

An order has the operator, its arguments and the step: a try, the triggerer's part, or what comes after that. The
process writes ``outcome.json`` into its folder, unless it is killed. What Airflow 3.3 keeps in its task state store is
in ``state.json``, so it outlives the process. The operator and everything below it are the real ones; a process that
is to die at a point is killed there with SIGKILL.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
from datetime import UTC, datetime
from pathlib import Path
from pkgutil import resolve_name
from types import SimpleNamespace
from typing import Any

from airflow_provider_oac._compat import AirflowFailException
from airflow_provider_oac.client.rest import system
from airflow_provider_oac.hooks.oac import OACHook
from airflow_provider_oac.operators.task_state import TaskState
from tests.tasks import TaskDeferred, TaskInstance

OPERATORS = {
    "backup": "airflow_provider_oac.operators.snapshots.OACCreateSnapshotOperator",
    "restore": "airflow_provider_oac.operators.restore.OACRestoreSnapshotOperator",
    "export": "airflow_provider_oac.operators.workbooks.OACExportWorkbookOperator",
}


def kept(path: Path, value: Any) -> None:
    """Write a file as a whole or not at all."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps(value))
    new.replace(path)


def die(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class FileStore:
    """Airflow 3.3's store of task state, in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def _all(self) -> dict[str, Any]:
        return json.loads(self._path.read_text()) if self._path.exists() else {}

    def get(self, key: str) -> Any:
        return self._all().get(key)

    def set(self, key: str, value: Any) -> None:
        kept(self._path, {**self._all(), key: value})


def context_of(order: dict[str, Any], folder: Path) -> dict[str, Any]:
    ti = TaskInstance(order["kind"], order["try_number"], max_tries=2)
    run = SimpleNamespace(run_type="manual", start_date=datetime.fromtimestamp(order["began"], UTC))
    store = {"task_state_store": FileStore(folder / "state.json")} if order["store"] else {}
    return {"ti": ti, "dag_run": run, **store}


def operator_of(order: dict[str, Any]) -> Any:
    operator = resolve_name(OPERATORS[order["kind"]])(task_id=order["kind"], retries=2, **order["arguments"])
    signal.signal(signal.SIGTERM, lambda *_: operator.on_kill())
    match order["die"]:
        case None:
            pass
        case "before submit":
            _die_on_the_note_that_it_is_sent()
        case "between submit and persist":
            _die_after(operator, "start")
        case "after persist":
            operator._push_link = die
        case "before the result is kept":
            _die_after(operator, "complete")
        case point:
            raise ValueError(f"There is no point {point!r}.")
    return operator


def _die_after(operator: Any, name: str) -> None:
    call = getattr(operator, name)
    setattr(operator, name, lambda *args: die(call(*args)))


def _die_on_the_note_that_it_is_sent() -> None:
    remember = TaskState.remember

    def noted(self: TaskState, **facts: Any) -> None:
        remember(self, **facts)
        if facts.get("work_request_id", "") is None:
            die()

    TaskState.remember = noted  # type: ignore[method-assign]


def failed(error: Exception) -> dict[str, Any]:
    return {"state": "failed", "error": f"{type(error).__name__}: {error}"}


def step(order: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Do what is ordered; returns what came of it."""
    if order["step"] == "triggerer":
        return {"state": "event", "event": asyncio.run(_event(order["deferral"]))}
    operator = operator_of(order)
    context = context_of(order, folder)
    try:
        if order["step"] == "try":
            result = operator.execute(context)
        else:
            deferral = order["deferral"]
            kwargs = {**deferral["kwargs"], "event": order["event"]}
            result = operator.resume_execution(deferral["method"], kwargs, context)
    except TaskDeferred as deferred:
        path, arguments = deferred.trigger.serialize()
        made = {"trigger": path, "arguments": arguments, "method": deferred.method_name}
        return {"state": "deferred", "deferral": {**made, "kwargs": deferred.kwargs or {}}}
    except Exception as error:
        return {**failed(error), "final": isinstance(error, AirflowFailException)}
    return {"state": "success", "result": result}


async def _event(deferral: dict[str, Any]) -> Any:
    """The triggerer's part: the trigger as it is made from what the database holds, until its event."""
    async for event in resolve_name(deferral["trigger"])(**deferral["arguments"]).run():
        return event.payload
    raise AssertionError("the trigger ended without an event")


def signed_in_again() -> dict[str, Any]:
    """Whether the sign-in still works: a call after the token that is kept has been refused."""
    try:
        OACHook("oac_default").run(system.get())
    except Exception as error:
        return failed(error)
    return {"state": "success"}


def run(folder: Path, env: dict[str, str], log: Path, order: dict[str, Any]) -> None:
    """Do what is ordered, in this process."""
    os.environ.clear()
    os.environ.update(env)
    with log.open("wb") as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
    if order.get("largest_file"):
        # A full disk has the same effect on a process that writes: an error of the operating system within a file.
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["largest_file"], resource.RLIM_INFINITY))
    kept(folder / "outcome.json", signed_in_again() if order["step"] == "sign in" else step(order, folder))
