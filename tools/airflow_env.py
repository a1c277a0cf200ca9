"""The environment variables of an Airflow of tools.stack: separate home, SQLite, loopback only."""

from __future__ import annotations

import base64
import json
import os
import secrets
import socket
from collections.abc import Mapping
from pathlib import Path


def free_port() -> int:
    """Return a free TCP port of the loopback interface, for a program that will listen on it later.

    It is below the ephemeral ports, which the system could assign to another program before then.
    """
    while True:
        port = 20_000 + secrets.randbelow(10_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def home_keys(home: Path) -> dict[str, str]:
    """Return the keys of a home, created once, so a second start can decrypt what the first one encrypted."""
    path = home / "keys.json"
    if not path.exists():
        keys = {
            "fernet": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "secret": secrets.token_hex(32),
            "jwt": secrets.token_hex(64),
        }
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            json.dump(keys, out)
    found: dict[str, str] = json.loads(path.read_text())
    return found


def caller_environment(venv: Path) -> dict[str, str]:
    """Return the caller's environment without Airflow settings, with the programs of `venv` on PATH."""
    dropped = ("AIRFLOW", "_AIRFLOW", "PYTHONHOME", "PYTHONPATH")
    env = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
    no_proxy = [env.get("NO_PROXY") or env.get("no_proxy") or "", "127.0.0.1", "localhost"]
    bypass = ",".join(part for part in no_proxy if part)
    return env | {
        # Executors start `airflow` by name.
        "PATH": f"{venv / 'bin'}{os.pathsep}{env.get('PATH', os.defpath)}",
        "VIRTUAL_ENV": str(venv),
        # Airflow's processes talk over loopback, so they must bypass any proxy.
        "NO_PROXY": bypass,
        "no_proxy": bypass,
        "PYTHONUNBUFFERED": "1",
    }


def airflow_settings(
    home: Path, dags_folder: Path, port: int, parallelism: int, heartbeat_timeout: int
) -> dict[str, object]:
    """Return Airflow's settings as `section.option` -> value. Each Airflow line ignores unknown options."""
    keys = home_keys(home)
    url = f"http://127.0.0.1:{port}"
    return {
        "core.dags_folder": dags_folder,
        "core.executor": "LocalExecutor",
        "core.parallelism": parallelism,
        "core.load_examples": False,
        "core.dags_are_paused_at_creation": False,
        "core.fernet_key": keys["fernet"],
        "core.test_connection": "Enabled",
        "core.simple_auth_manager_all_admins": True,
        "core.execution_api_server_url": f"{url}/execution/",
        # SQLite supports several processes if they wait for its lock; tools.stack also enables the write-ahead log.
        "database.sql_alchemy_conn": f"sqlite:///{home / 'airflow.db'}?timeout=60",
        "api.host": "127.0.0.1",
        "api.port": port,
        "api.base_url": url,
        "api.workers": 1,
        "api.secret_key": keys["secret"],
        "api_auth.jwt_secret": keys["jwt"],
        "webserver.secret_key": keys["secret"],
        "webserver.web_server_host": "127.0.0.1",
        "webserver.web_server_port": port,
        "webserver.workers": 1,
        "logging.base_log_folder": home / "logs",
        "logging.worker_log_server_port": free_port(),
        "logging.trigger_log_server_port": free_port(),
        "dag_processor.refresh_interval": 2,
        "dag_processor.min_file_process_interval": 300,
        "scheduler.dag_dir_list_interval": 2,
        "scheduler.min_file_process_interval": 300,
        # Runs start when a test or the demo triggers them, not on schedule.
        "scheduler.use_job_schedule": False,
        "scheduler.job_heartbeat_sec": 2,
        "scheduler.scheduler_heartbeat_sec": 2,
        "scheduler.trigger_timeout_check_interval": 2,
        # The scheduler must learn that a task's process ended in a deferral before its trigger fires, else it
        # fails the task ("finished with state success, but the task instance's state attribute is queued").
        "scheduler.scheduler_idle_sleep_time": 0.3,
        # On Airflow 2 a task's process also schedules the next tasks. SQLite has no row locks: if the scheduler does so
        # at the same moment, the task starts as try 2 (observed for one task in three on two cores).
        "scheduler.schedule_after_task_execution": False,
        "triggerer.job_heartbeat_sec": 2,
        # How soon Airflow notices a task whose processes were killed: on Airflow 3 ...
        "scheduler.task_instance_heartbeat_timeout": heartbeat_timeout,
        "scheduler.task_instance_heartbeat_timeout_detection_interval": 2,
        # Also bounds the delay in noticing the end of a task's process, which matters for the race described above.
        "workers.min_heartbeat_interval": 1,
        # On a busy machine, the default of 5 s fails healthy tasks.
        "workers.execution_api_timeout": 60,
        # ... and on Airflow 2.
        "scheduler.scheduler_zombie_task_threshold": heartbeat_timeout,
        "scheduler.zombie_detection_interval": 2,
        "scheduler.local_task_job_heartbeat_sec": 2,
        "usage_data_collection.enabled": False,
    }


def airflow_environment(
    venv: Path,
    home: Path,
    dags_folder: Path,
    port: int,
    *,
    parallelism: int,
    heartbeat_timeout: int,
    extra: Mapping[str, str],
) -> dict[str, str]:
    """Return the environment of all processes of one Airflow; `extra` takes precedence."""
    env = caller_environment(venv)
    env["AIRFLOW_HOME"] = str(home)
    # Airflow 2 refuses the LocalExecutor on SQLite unless this switch, meant for its own tests, is set.
    env["_AIRFLOW__SKIP_DATABASE_EXECUTOR_COMPATIBILITY_CHECK"] = "1"
    settings = airflow_settings(home, dags_folder, port, parallelism, heartbeat_timeout)
    for name, value in settings.items():
        section, option = name.split(".")
        env[f"AIRFLOW__{section.upper()}__{option.upper()}"] = str(value)
    return env | dict(extra)
