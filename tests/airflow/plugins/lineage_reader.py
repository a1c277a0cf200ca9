"""Reads the hook lineage of each task that succeeds, as OpenLineage's plugin does, and writes it to a file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import ClassVar

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin

try:
    from airflow.sdk.lineage import HookLineageReader
except ImportError:  # before Airflow 3.2
    from airflow.lineage.hook import HookLineageReader


def described(found):
    """What reported an asset, and its URI."""
    # Airflow 2.11 calls an asset a dataset.
    return [type(found.context).__name__, (getattr(found, "asset", None) or found.dataset).uri]


class Listener:
    """What Airflow tells of tasks, in the process of the task."""

    @hookimpl
    def on_task_instance_success(self, previous_state, task_instance):
        lineage = HookLineageReader().retrieve_hook_lineage()
        seen = {
            "inputs": [described(found) for found in lineage.inputs],
            "outputs": [described(found) for found in lineage.outputs],
            # Airflow 3.2 and newer.
            "extra": [[type(one.context).__name__, one.key, one.value] for one in getattr(lineage, "extra", ())],
        }
        path = Path(os.environ["AIRFLOW_HOME"], "lineage", f"{task_instance.dag_id}.{task_instance.task_id}.json")
        path.parent.mkdir(exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps(seen, default=str))
        part.replace(path)


class LineagePlugin(AirflowPlugin):
    """Airflow collects hook lineage only if a plugin reads it."""

    name = "lineage_reader"
    hook_lineage_readers: ClassVar = [HookLineageReader]
    listeners: ClassVar = [Listener()]
