"""One step of a task in a process of its own, forked from one that has loaded Airflow, as Airflow does it.

A folder holds ``order.json``: the operator, its arguments and which step of it: a try, the triggerer's part, or what
comes after that. The process writes ``outcome.json`` there, unless it is killed. What Airflow 3.3 keeps in its task
state store lies in ``state.json``, so that it outlives the process. The operator and everything below it are the real
ones; a process that is to die at a point is killed there with SIGKILL.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

BEFORE_SUBMIT, BEFORE_PERSIST = "before submit", "between submit and persist"
AFTER_PERSIST, BEFORE_RESULT = "after persist", "before the result is kept"

OPERATORS = {
    "backup": "airflow_provider_oac.operators.snapshots.OACCreateSnapshotOperator",
    "register": "airflow_provider_oac.operators.snapshots.OACRegisterSnapshotOperator",
    "restore": "airflow_provider_oac.operators.restore.OACRestoreSnapshotOperator",
    "reload": "airflow_provider_oac.operators.runs.OACReloadDatasetOperator",
    "export": "airflow_provider_oac.operators.workbooks.OACExportWorkbookOperator",
}
# What a worker has loaded before a task runs, and what every task of ours loads then.
PRELOADED = [
    "airflow.models.dag",
    "airflow_provider_oac.hooks.oac",
    "airflow_provider_oac.operators.snapshots",
    "airflow_provider_oac.transport.blocking",
    "airflow_provider_oac.transport.asynchronous",
]


def loaded(path: str) -> Any:
    """What a dotted path names."""
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)


def kept(path: Path, value: Any) -> None:
    """Write a file as a whole or not at all."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps(value))
    new.replace(path)


def die() -> None:
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


class TaskInstance(SimpleNamespace):
    def xcom_push(self, key: str, value: Any) -> None:
        json.dumps(value)


def context_of(order: dict[str, Any], folder: Path) -> dict[str, Any]:
    ti = TaskInstance(
        dag_id="faults", run_id=order["run_id"], task_id=order["kind"], map_index=-1,
        try_number=order["try_number"], max_tries=order["max_tries"], start_date=datetime.now(UTC),
    )  # fmt: skip
    run = SimpleNamespace(run_type="manual", start_date=datetime.fromtimestamp(order["began"], UTC))
    store = {"task_state_store": FileStore(folder / "state.json")} if order["store"] else {}
    return {"ti": ti, "dag_run": run, **store}


def operator_of(order: dict[str, Any]) -> Any:
    operator = loaded(OPERATORS[order["kind"]])(task_id=order["kind"], retries=2, **order["arguments"])
    signal.signal(signal.SIGTERM, lambda *_: operator.on_kill())
    point = order.get("die")
    if point == BEFORE_SUBMIT:
        _die_on_the_note_that_it_is_sent()
    elif point == BEFORE_PERSIST:
        _wrap(operator, "start", lambda call, *args: (call(*args), die()))
    elif point == AFTER_PERSIST:
        _wrap(operator, "_push_link", lambda call, *args: die())
    elif point == BEFORE_RESULT:
        _wrap(operator, "complete", lambda call, *args: (call(*args), die()))
    elif point:
        raise ValueError(f"There is no point {point!r}.")
    return operator


def _wrap(operator: Any, name: str, around: Callable[..., Any]) -> None:
    call = getattr(operator, name)
    setattr(operator, name, lambda *args: around(call, *args))


def _die_on_the_note_that_it_is_sent() -> None:
    from airflow_provider_oac.operators.task_state import TaskState

    remember = TaskState.remember

    def noted(self: TaskState, **facts: Any) -> None:
        remember(self, **facts)
        if facts.get("work_request_id", "") is None:
            die()

    TaskState.remember = noted  # type: ignore[method-assign]


def step(order: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Do what is ordered; returns what came of it."""
    try:
        from airflow.sdk.exceptions import AirflowFailException, TaskDeferred
    except ImportError:  # before Airflow 3.2
        from airflow.exceptions import AirflowFailException, TaskDeferred

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
        made = {"trigger": path, "arguments": arguments}
        return {
            "state": "deferred",
            "deferral": {**made, "method": deferred.method_name, "kwargs": deferred.kwargs or {}},
        }
    except Exception as error:
        final = isinstance(error, AirflowFailException)
        return {"state": "failed", "error": f"{type(error).__name__}: {error}", "final": final}
    return {"state": "success", "result": result}


async def _event(deferral: dict[str, Any]) -> Any:
    """The triggerer's part: the trigger as it is made from what the database holds, until its event."""
    async for event in loaded(deferral["trigger"])(**deferral["arguments"]).run():
        return event.payload
    raise AssertionError("the trigger ended without an event")


def signed_in_again() -> dict[str, Any]:
    """Whether the sign-in still works: a call after the token that is kept has been refused."""
    from airflow_provider_oac.client.rest import system
    from airflow_provider_oac.hooks.oac import OACHook

    try:
        OACHook("oac_default").run(system.get())
    except Exception as error:
        return {"state": "failed", "error": f"{type(error).__name__}: {error}"}
    return {"state": "success"}


def run(folder: Path, env: dict[str, str], log: Path) -> None:
    """Do what is ordered in a folder, in this process."""
    os.environ.clear()
    os.environ.update(env)
    with log.open("wb") as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
    order = json.loads((folder / "order.json").read_text())
    if order.get("largest_file"):
        # What a full disk is to a process that writes: an error of the operating system in the middle of a file.
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["largest_file"], resource.RLIM_INFINITY))
    outcome = signed_in_again() if order["step"] == "sign in" else step(order, folder)
    kept(folder / "outcome.json", outcome)


def serve() -> None:
    """Load Airflow, then fork a process for each line of the standard input; say its id, and how it ended."""
    for module in PRELOADED:
        import_module(module)
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if not pid:
            code = 1
            try:
                run(Path(order["folder"]), order["env"], Path(order["log"]))
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    serve()
