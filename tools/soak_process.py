"""A long-lived process of tools/soak.py: a triggerer's event loop, or a worker that runs one task after the other.

At its end it prints a line of JSON with the numbers of successes and of errors of the provider. Any other error ends
it.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from airflow_provider_oac.exceptions import OACError
from airflow_provider_oac.hooks.oac import OACHook
from airflow_provider_oac.operators.runs import OACReloadDatasetOperator
from airflow_provider_oac.operators.workbooks import OACExportWorkbookOperator
from airflow_provider_oac.triggers.oac import OACWorkRequestTrigger
from oac_simulator.control import Control
from tests.tasks import Task, backup_operator, first_event

SIDE_BY_SIDE = 20
ended: Counter[str] = Counter()


async def waits(control: Control, until: float) -> None:
    """Wait for one work request after the other, as a task's trigger does."""
    while time.time() < until:
        (work,) = await asyncio.to_thread(control.start_work, "dev", 1.5)
        trigger = OACWorkRequestTrigger(
            oac_conn_id="oac_default",
            work_request_id=work,
            submitted_at=time.time(),
            deadline=time.time() + 60,
            poll_interval=0.5,
        )
        async for event in trigger.run():
            ended[event.payload["outcome"]] += 1
            if event.payload["outcome"] != "ended":
                print(event.payload["outcome"], event.payload["message"], file=sys.stderr)


async def triggerer(control: Control, until: float) -> None:
    """Run many triggers concurrently in one loop."""
    async with asyncio.TaskGroup() as group:
        for _ in range(SIDE_BY_SIDE):
            group.create_task(waits(control, until))


def attempt(task: Task, loop: asyncio.Runner) -> Any:
    """Run one try. The triggers of all tries run in one loop, as in a triggerer, and share its per-loop state."""
    task.start()
    while (waited := task.deferred) is not None:
        result = task.execute_complete(loop.run(first_event(waited.trigger)))
        if task.deferred is waited:
            return result
    return task.result


def worker(folder: Path, until: float) -> None:
    """Run one task after the other, each with retries, waiting alternately in the worker and in a trigger."""
    with asyncio.Runner() as loop:
        tasks(folder, until, loop)


def tasks(folder: Path, until: float, loop: asyncio.Runner) -> None:
    """Run the tasks of a worker."""
    makes: list[Any] = [
        lambda: backup_operator(deferrable=False),
        lambda: OACExportWorkbookOperator(
            task_id="export", workbook_path="/@Catalog/shared/Sales/Revenue by Region",
            destination=f"file://{folder}/x.pdf", deferrable=False, poll_interval=0.1,
        ),
        lambda: OACReloadDatasetOperator(
            task_id="reload", dataset="'admin'.'Orders'", deferrable=True, poll_interval=0.1
        ),
    ]  # fmt: skip
    number = 0
    while time.time() < until:
        number += 1
        task = Task(makes[number % len(makes)], run_id=f"run-{number}")
        for _try in range(3):
            try:
                result = attempt(task, loop)
            except OACError as error:
                ended["error"] += 1
                print(type(error).__name__, error, file=sys.stderr)
                continue
            ended["ended"] += 1
            if isinstance(result, dict) and (snapshot := result.get("snapshot_id")):
                _forget(snapshot)
            break
        # In Airflow the task's process ends here. Anything that survives the collection is a leak.
        gc.collect()


def _forget(snapshot: str) -> None:
    from airflow_provider_oac.client.rest import snapshots

    try:
        OACHook().run(snapshots.delete(snapshot, delete_storage=True))
    except OACError:
        ended["error"] += 1


def main() -> None:
    role, control_url, folder, until = sys.argv[1:]
    control = Control({"control_url": control_url})
    if role == "triggerer":
        asyncio.run(triggerer(control, float(until)))
    else:
        worker(Path(folder), float(until))
    print(json.dumps(ended))


if __name__ == "__main__":
    main()
