"""The complete Airflow of tools/soak.py: DAG runs, one after the other, until the time is over.

Each run backs up, exports and reloads, with deferred tasks that Airflow retries. The program samples the triggerer, and
at the end each run must have succeeded, with one snapshot and one complete file.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from oac_simulator.control import Control
from tools.guard import descendants
from tools.leaks import sample
from tools.stack import FINISHED, AirflowStack

LABEL = "whole-airflow"
DAGS = 3
#: Seconds to wait for the last runs: faults cause retries, and Airflow is slow on the busy machine.
PATIENCE = 300.0


class SoakedAirflow:
    """An Airflow with consecutive runs.

    :param home: its folder, which must not exist yet.
    :param variables: environment variables of the Connections and of the provider's configuration.
    """

    def __init__(self, venv: Path, home: Path, variables: Mapping[str, str]) -> None:
        self.exports = home / "exports"
        self.exports.mkdir(parents=True)
        self._dags = home / "dags"
        self._dags.mkdir()
        settings = {"SOAK_EXPORTS": str(self.exports), "SOAK_DAGS": str(DAGS)}
        settings["AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE"] = "True"
        self.stack = AirflowStack(venv, home, self._dags, {**variables, **settings}, task_heartbeat_timeout=60)
        self.samples: list[dict[str, float]] = []

    def begin(self, until: float) -> None:
        """Start the first runs.

        :param until: latest start of a run, in seconds since the epoch. (Pausing the DAGs would stop their tasks.)
        """
        (self._dags / "until").write_text(str(until))
        shutil.copy(Path(__file__).with_name("soak_dag.py"), self._dags)

    def look(self) -> None:
        """Take a sample of the triggerer."""
        total: Counter[str] = Counter()
        for pid in descendants(self.stack.process_id("triggerer")):
            # The process may have just ended.
            with suppress(OSError):
                total.update(sample(pid))
        if total:
            self.samples.append(dict(total))

    def end(self, control: Control) -> int:
        """Wait for the active runs, and check all runs.

        :returns: the number of failures.
        """
        until = time.time() + PATIENCE
        while any(state not in FINISHED for state in self._runs().values()) and time.time() < until:
            time.sleep(1.0)
        runs = self._runs()
        failed = [run for run, state in runs.items() if state != "success"]
        for run in failed:
            print(self.stack.report(*run))
        tasks = [task for run in runs for task in self.stack.task_instances(*run)]
        print(
            f"Airflow {self.stack.version}: {len(runs)} runs, {len(failed)} of them without success; {len(tasks)} "
            f"tasks, {sum(task['try_number'] for task in tasks)} tries"
        )
        return (not runs) + len(failed) + self._not_once(control, runs)

    def _not_once(self, control: Control, runs: Collection[tuple[str, str]]) -> int:
        """Count the snapshots and files that do not exist exactly once."""
        snapshots = [found for found in control.snapshots("dev") if found["name"].startswith(f"{LABEL}--")]
        files = sorted(path.name for path in self.exports.iterdir())
        whole = [path for path in self.exports.iterdir() if path.read_bytes().rstrip().endswith(b"%%EOF")]
        print(f"  {len(snapshots)} snapshots, {len(files)} files, {len(whole)} of them whole")
        expected = sorted(f"{dag_id}-{run_id}.pdf" for dag_id, run_id in runs)
        return (len(snapshots) != len(runs)) + (files != expected) + (len(whole) != len(files))

    def _runs(self) -> dict[tuple[str, str], str]:
        """Return the state of each run."""
        return {
            (f"soak_{number}", run_id): state
            for number in range(DAGS)
            for run_id, state in self.stack.runs(f"soak_{number}")
        }


def variables(settings: Mapping[str, Any], home: Path) -> dict[str, str]:
    """Select the variables that this Airflow needs; it has its own database and Fernet key."""
    kept = {name: value for name, value in settings.items() if name.startswith(("AIRFLOW_CONN_", "AIRFLOW__OAC__"))}
    return kept | {"AIRFLOW__OAC__STORE_FOLDER": str(home / "store")}
