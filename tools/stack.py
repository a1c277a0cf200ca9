"""A real Airflow, started from a virtual environment, for tests and the demo.

    with AirflowStack(venv=".venv", home=folder, dags_folder=dags, env={"AIRFLOW_CONN_X": ...}) as stack:
        run_id = stack.trigger("my_dag")
        assert stack.wait_run("my_dag", run_id, timeout=120) == "success"

Scheduler, triggerer, and on Airflow 3 API server and DAG processor run as separate processes, each under
tools/guard.py, with SQLite and the LocalExecutor. Standard library only. AirflowStack reads state from the database
file (read-only) and logs from their files, which works on every line. Commands go over REST to Airflow 3 and through
tools/airflow2_control.py to Airflow 2.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import secrets
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import quote

from tools.airflow_env import airflow_environment, free_port

TOOLS = Path(__file__).resolve().parent
FINISHED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})
T = TypeVar("T")


class StackError(RuntimeError):
    """Airflow did not start, ended early, or did not reach a state in time."""


def tail(path: Path, lines: int = 40) -> str:
    """Return the last lines of a log file, for an error message."""
    if not path.exists():
        return f"({path.name} was never written)"
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])


def until(check: Callable[[], T | None], timeout: float, failure: Callable[[], str], pause: float = 0.25) -> T:
    """Call `check` until it returns a value that is not None.

    Raises StackError with `failure()` as its text after `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while True:
        answer = check()
        if answer is not None:
            return answer
        if time.monotonic() >= deadline:
            raise StackError(f"after {timeout:.0f} s: {failure()}")
        time.sleep(pause)


class AirflowStack:
    """One Airflow with its own home.

    :param venv: the virtual environment whose Airflow is started.
    :param home: AIRFLOW_HOME, created if it does not exist. Logs stay in `home/logs`, those of the processes in
        `home/processes`.
    :param dags_folder: the folder that Airflow parses.
    :param env: further environment variables, such as AIRFLOW_CONN_*. The Airflow settings (AIRFLOW_*) of the
        caller's environment are removed.
    :param webserver: whether to start the web server on Airflow 2 (user `admin`, password `admin`). The API server of
        Airflow 3 always runs.
    :param port: port of the API or web server on 127.0.0.1; 0 for a free port.
    :param parallelism: number of tasks that run at a time.
    :param task_heartbeat_timeout: seconds after which a task whose processes were killed counts as dead.
        Airflow's default is 300. Low values fail living tasks on a loaded machine.
    """

    def __init__(
        self,
        venv: Path | str,
        home: Path | str,
        dags_folder: Path | str,
        env: Mapping[str, str] | None = None,
        *,
        webserver: bool = False,
        port: int = 0,
        parallelism: int = 4,
        task_heartbeat_timeout: int = 20,
    ) -> None:
        self.venv = Path(venv).absolute()
        self.home = Path(home).absolute()
        self.dags_folder = Path(dags_folder).absolute()
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.version = self._installed_version()
        self.is_airflow_2 = self.version.startswith("2.")
        self._webserver = webserver
        self._token: str | None = None
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._started: dict[str, float] = {}
        self.database = self.home / "airflow.db"
        self.home.mkdir(parents=True, exist_ok=True)
        (self.home / "processes").mkdir(exist_ok=True)
        self.env = airflow_environment(
            self.venv,
            self.home,
            self.dags_folder,
            self.port,
            parallelism=parallelism,
            heartbeat_timeout=task_heartbeat_timeout,
            extra=env or {},
        )

    def _installed_version(self) -> str:
        code = "from importlib.metadata import version; print(version('apache-airflow'))"
        python = self.venv / "bin" / "python"
        done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=False)
        if done.returncode:
            raise StackError(f"there is no Airflow in {self.venv}: {done.stderr.strip()[-300:]}")
        return done.stdout.strip()

    # -- life

    @property
    def components(self) -> dict[str, list[str]]:
        """Return the processes of this Airflow and their command lines."""
        if not self.is_airflow_2:
            server = ["api-server", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
            names = {n: [n] for n in ("scheduler", "dag-processor", "triggerer")}
            return {"api-server": server, **names}
        web = {"webserver": ["webserver", "--port", str(self.port)]} if self._webserver else {}
        return {"scheduler": ["scheduler"], "triggerer": ["triggerer"], **web}

    def airflow(self, *arguments: str) -> str:
        """Run the `airflow` command in this home and return its output. Raises StackError if it fails."""
        command = [str(self.venv / "bin" / "airflow"), *arguments]
        done = subprocess.run(
            command,
            env=self.env,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise StackError(f"`airflow {' '.join(arguments)}` failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
        return done.stdout

    def start(self) -> AirflowStack:
        """Create the database if necessary and start all processes, without waiting for them (see wait_ready)."""
        self.prepare_database()
        if self.is_airflow_2 and self._webserver:
            who = [
                "--username",
                "admin",
                "--password",
                "admin",
                "--role",
                "Admin",
                "--email",
                "admin@localhost",
            ]
            self.airflow("users", "create", *who, "--firstname", "Demo", "--lastname", "Admin")
        for name in self.components:
            self.start_component(name)
        return self

    def prepare_database(self) -> None:
        """Migrate the database."""
        self.airflow("db", "migrate")
        with contextlib.closing(sqlite3.connect(self.database)) as db:
            db.execute("PRAGMA journal_mode=WAL")

    def component_environment(self, name: str) -> dict[str, str]:
        """Return the environment variables of one of `components`."""
        return self.env

    def start_component(self, name: str) -> None:
        """Start one of `components`, for example again after kill_component."""
        command = [sys.executable, "-I", str(TOOLS / "guard.py"), "--grace", "5", "--"]
        command += [str(self.venv / "bin" / "airflow"), *self.components[name]]
        self._started[name] = time.time()
        with self.process_log(name).open("ab") as log:
            self._running[name] = subprocess.Popen(
                command,
                env=self.component_environment(name),
                cwd=self.home,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def process_log(self, name: str) -> Path:
        """Return the path of the log of one of `components`."""
        return self.home / "processes" / f"{name}.log"

    def process_id(self, name: str) -> int:
        """Return the ID of the root process of one of `components`."""
        return self._running[name].pid

    def kill_component(self, name: str) -> None:
        """End one component with all its descendants, including tasks, and wait until it is gone."""
        process = self._running.pop(name)
        if process.stdin:
            process.stdin.close()
        process.wait()

    def stop(self) -> None:
        """End all processes and wait for them; the home and its logs stay."""
        for process in self._running.values():
            if process.stdin:
                process.stdin.close()
        for process in self._running.values():
            process.wait()
        self._running.clear()
        self._token = None

    def __enter__(self) -> AirflowStack:
        try:
            # Starting takes all cores, so parallel tests start one after the other.
            with open(self.home.parent / "starting.lock", "w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                self.start()
                self.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    # -- health

    def _check_alive(self) -> None:
        for name, process in self._running.items():
            if process.poll() is not None:
                log = tail(self.process_log(name))
                raise StackError(f"Airflow {self.version}: {name} ended with exit code {process.returncode}:\n{log}")

    def _unhealthy(self) -> list[str]:
        """Return the components that do not respond or have not written a heartbeat since their start."""
        self._check_alive()
        return [name for name in self._running if not self.is_healthy(name)]

    def is_healthy(self, name: str) -> bool:
        """Return whether one of `components` responds, or has written a heartbeat since its start."""
        jobs = {"scheduler": "SchedulerJob", "triggerer": "TriggererJob", "dag-processor": "DagProcessorJob"}
        if name in jobs:
            sql = (
                "SELECT 1 FROM job WHERE job_type = ? AND state = 'running'"
                " AND latest_heartbeat > datetime(?, 'unixepoch')"
            )
            return bool(self._rows(sql, jobs[name], self._started[name]))
        return self._answers("/health" if self.is_airflow_2 else "/api/v2/monitor/health")

    def _answers(self, path: str) -> bool:
        try:
            self._http("GET", path, token=False)
        except (OSError, StackError):
            return False
        return True

    def wait_ready(self, timeout: float = 180) -> None:
        """Wait until every component is healthy.

        Raises StackError, with the ends of the logs of missing components, if a component ends or the time is up.
        """

        def failure() -> str:
            logs = "\n".join(f"--- {name}\n{tail(self.process_log(name))}" for name in self._unhealthy())
            return f"Airflow {self.version} is not healthy:\n{logs}"

        until(lambda: None if self._unhealthy() else True, timeout, failure)

    # -- reading

    def _rows(self, sql: str, *values: Any) -> list[dict[str, Any]]:
        uri = f"file:{quote(str(self.database))}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=60)) as db:
            db.row_factory = sqlite3.Row
            return [dict(row) for row in db.execute(sql, values)]

    def dag_import_errors(self) -> dict[str, str]:
        """Return file name -> traceback for every DAG file that Airflow could not import."""
        return {r["filename"]: r["stacktrace"] for r in self._rows("SELECT filename, stacktrace FROM import_error")}

    def wait_dag(self, dag_id: str, timeout: float = 90) -> None:
        """Wait until Airflow has parsed a DAG. Raises StackError, with the import errors, if it does not."""
        sql = "SELECT 1 FROM dag JOIN serialized_dag USING (dag_id) WHERE dag_id = ?"

        def check() -> bool | None:
            self._check_alive()
            return True if self._rows(sql, dag_id) else None

        def failure() -> str:
            errors = "\n".join(f"{name}:\n{text}" for name, text in self.dag_import_errors().items())
            return f"Airflow knows no DAG {dag_id}. Import errors:\n{errors or 'none'}"

        until(check, timeout, failure)

    def run_state(self, dag_id: str, run_id: str) -> str:
        """Return the state of a run. Raises StackError if the run does not exist."""
        rows = self._rows("SELECT state FROM dag_run WHERE dag_id = ? AND run_id = ?", dag_id, run_id)
        if not rows:
            raise StackError(f"there is no run {run_id} of {dag_id}")
        return str(rows[0]["state"])

    def runs(self, dag_id: str) -> list[tuple[str, str]]:
        """Return ID and state of each run of a DAG, the oldest first."""
        rows = self._rows("SELECT run_id, state FROM dag_run WHERE dag_id = ? ORDER BY id", dag_id)
        return [(row["run_id"], row["state"]) for row in rows]

    def queued_by_assets(self) -> list[str]:
        """Return the DAGs that a scheduler with schedules would run because of an updated asset."""
        table = "dataset_dag_run_queue" if self.is_airflow_2 else "asset_dag_run_queue"
        return [row["target_dag_id"] for row in self._rows(f"SELECT target_dag_id FROM {table}")]  # noqa: S608

    def asset_events(self, dag_id: str, run_id: str) -> list[str]:
        """Return the extras, as JSON, of the asset events of a run's tasks."""
        table = "dataset_event" if self.is_airflow_2 else "asset_event"
        sql = f"SELECT extra FROM {table} WHERE source_dag_id = ? AND source_run_id = ?"  # noqa: S608
        return [str(row["extra"]) for row in self._rows(sql, dag_id, run_id)]

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return the tasks of a run: task_id, map_index, state (None: not scheduled yet), try_number and so on."""
        sql = (
            "SELECT task_id, map_index, state, try_number, max_tries, start_date, end_date, hostname, pid,"
            " next_method FROM task_instance WHERE dag_id = ? AND run_id = ? ORDER BY task_id, map_index"
        )
        return self._rows(sql, dag_id, run_id)

    def task(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> dict[str, Any]:
        """Return one of task_instances. Raises StackError if it does not exist."""
        for row in self.task_instances(dag_id, run_id):
            if row["task_id"] == task_id and row["map_index"] == map_index:
                return row
        raise StackError(f"run {run_id} of {dag_id} has no task {task_id} with map index {map_index}")

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
        """Return a value that a task pushed, decoded from JSON; None if there is none."""
        sql = "SELECT value FROM xcom WHERE dag_id = ? AND run_id = ? AND task_id = ? AND key = ? AND map_index = ?"
        rows = self._rows(sql, dag_id, run_id, task_id, key, map_index)
        value = rows[0]["value"] if rows else None
        # SQLite converts a string that looks like a number.
        return json.loads(value) if isinstance(value, str | bytes) else value

    def log(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1, map_index: int = -1) -> str:
        """Return the log of one try, including the triggerer's part, as in the files (Airflow 3: JSON lines)."""
        mapped = f"map_index={map_index}/" if map_index >= 0 else ""
        folder = self.home / "logs" / f"dag_id={dag_id}" / f"run_id={run_id}" / f"task_id={task_id}" / mapped
        return "\n".join(p.read_text(errors="replace") for p in sorted(folder.glob(f"attempt={try_number}.log*")))

    def all_logs(self) -> Iterator[tuple[Path, str]]:
        """Return every log file with its text: tasks, DAG processing and processes."""
        for folder in (self.home / "logs", self.home / "processes"):
            for path in sorted(folder.rglob("*.log*")):
                yield path, path.read_text(errors="replace")

    # -- waiting

    def report(self, dag_id: str, run_id: str) -> str:
        """Report the states of a run's tasks, with the end of the log of those that did not succeed."""
        parts = [f"run {run_id} of {dag_id} is {self.run_state(dag_id, run_id)}"]
        for row in self.task_instances(dag_id, run_id):
            parts.append(f"  {row['task_id']}[{row['map_index']}]: {row['state']}, try {row['try_number']}")
            if row["state"] not in {"success", "skipped", None}:
                text = self.log(dag_id, run_id, row["task_id"], row["try_number"], row["map_index"])
                parts.append("\n".join(text.splitlines()[-30:]))
        return "\n".join(parts)

    def wait_run(self, dag_id: str, run_id: str, timeout: float = 120) -> str:
        """Wait until a run is over and return `success` or `failed`.

        Raises StackError, with the state and logs of the tasks, after `timeout` seconds.
        """

        def check() -> str | None:
            self._check_alive()
            state = self.run_state(dag_id, run_id)
            return state if state in FINISHED else None

        return until(check, timeout, lambda: self.report(dag_id, run_id))

    def wait_task_state(
        self, dag_id: str, run_id: str, task_id: str, *states: str, map_index: int = -1, timeout: float = 90
    ) -> dict[str, Any]:
        """Wait until a task is in one of `states` (by default, any final state) and return its row."""
        wanted = states or tuple(FINISHED)

        def check() -> dict[str, Any] | None:
            self._check_alive()
            row = self.task(dag_id, run_id, task_id, map_index)
            return row if row["state"] in wanted else None

        return until(check, timeout, lambda: f"waiting for {task_id} to be {wanted}: {self.report(dag_id, run_id)}")

    def wait_noticed(self, dag_id: str, run_id: str, task_id: str, timeout: float = 90) -> None:
        """Wait until the scheduler of Airflow 3 knows that the process of a deferred task has ended.

        Resuming the task before that may fail it ("the task instance's state attribute is queued").
        """
        number = self.task(dag_id, run_id, task_id)["try_number"]
        key = f"TaskInstanceKey(dag_id='{dag_id}', task_id='{task_id}', run_id='{run_id}', try_number={number},"

        def check() -> bool | None:
            self._check_alive()
            said = self.process_log("scheduler").read_text(errors="replace")
            return True if f"Received executor event with state success for task instance {key}" in said else None

        until(check, timeout, lambda: f"the scheduler has not noticed {key} ...)")

    # -- orders

    def wait_connection_test(self, path: str, token: str, timeout: float = 60) -> dict[str, Any]:
        """Wait until a worker has tested a Connection (Airflow 3.3) and return the response, with its state."""

        def check() -> dict[str, Any] | None:
            found: dict[str, Any] = self._http("GET", path, headers={"Airflow-Connection-Test-Token": token})
            return found if found["state"] in ("success", "failed") else None

        return until(check, timeout, lambda: f"the test of a Connection did not end; see {self.home / 'logs'}")

    def _http(
        self, method: str, path: str, body: Any = None, token: bool = True, headers: Mapping[str, str] = {}
    ) -> Any:
        """Call Airflow 3's REST API, never through a proxy. Raises StackError for an error status."""
        headers = {"Accept": "application/json", "Content-Type": "application/json", **headers}
        if token:
            if self._token is None:
                self._token = self.sign_in()
            headers["Authorization"] = f"Bearer {self._token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, dict(headers), method=method)  # noqa: S310
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
                text = answer.read().decode()
        except urllib.error.HTTPError as error:
            detail = error.read().decode(errors="replace")[:1000]
            raise StackError(f"Airflow answered {error.code} to {method} {path}: {detail}") from error
        return json.loads(text) if text else None

    def sign_in(self) -> str:
        """Return a token for Airflow 3's REST API."""
        return str(self._http("GET", "/auth/token", token=False)["access_token"])

    def _control(self, command: str, **arguments: Any) -> Any:
        """Send a command to Airflow 2, in a separate process with its interpreter."""
        done = subprocess.run(
            [str(self.venv / "bin" / "python"), str(TOOLS / "airflow2_control.py"), command],
            input=json.dumps(arguments),
            env=self.env,
            cwd=self.home,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise StackError(f"{command} {arguments} failed:\n{done.stderr[-3000:]}")
        return json.loads(done.stdout.splitlines()[-1])

    def trigger(self, dag_id: str, conf: dict[str, Any] | None = None, run_id: str | None = None) -> str:
        """Start a run as soon as the DAG is known and return its run ID."""
        self.wait_dag(dag_id)
        run_id = run_id or f"run-{dag_id}-{secrets.token_hex(4)}"
        if self.is_airflow_2:
            return str(self._control("trigger", dag_id=dag_id, run_id=run_id, conf=conf))
        body = {"dag_run_id": run_id, "conf": conf or {}, "logical_date": None}
        return str(self._http("POST", f"/api/v2/dags/{dag_id}/dagRuns", body)["dag_run_id"])

    def clear(self, dag_id: str, run_id: str, task_ids: list[str]) -> None:
        """Clear tasks of a run, as a user does in the web interface, so they run again."""
        if self.is_airflow_2:
            self._control("clear", dag_id=dag_id, run_id=run_id, task_ids=task_ids)
            return
        body = {"dry_run": False, "dag_run_id": run_id, "task_ids": task_ids, "only_failed": False}
        self._http("POST", f"/api/v2/dags/{dag_id}/clearTaskInstances", body | {"reset_dag_runs": True})

    def set_task_state(self, dag_id: str, run_id: str, task_id: str, state: str) -> None:
        """Mark a task `failed` or `success`, as a user does in the web interface."""
        if self.is_airflow_2:
            self._control("set_state", dag_id=dag_id, run_id=run_id, task_id=task_id, state=state)
            return
        path = f"/api/v2/dags/{dag_id}/dagRuns/{quote(run_id)}/taskInstances/{task_id}"
        self._http("PATCH", path, {"new_state": state})
