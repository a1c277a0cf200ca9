"""Run the services of docker-compose.yml without containers: Celery workers, PostgreSQL, Redis.

The program reads commands, settings and health checks from that file. It replaces only names of hosts and folders,
gives each process separate ports, and shortens Airflow's intervals as tools.stack does. It does not test images,
volumes and users.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tools import make_env
from tools.airflow_env import free_port
from tools.postgres import Postgres
from tools.stack import TOOLS, AirflowStack, StackError

COMPOSE = TOOLS.parent / "docker-compose.yml"
#: Services that run all the time, with one or several replicas.
LONG_RUNNING = ("api-server", "scheduler", "dag-processor", "triggerer", "worker")
_JOBS = {"scheduler": "SchedulerJob", "triggerer": "TriggererJob", "dag-processor": "DagProcessorJob"}


def compose_file() -> dict[str, Any]:
    """Read docker-compose.yml."""
    content: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return content


def interpolated(text: str, values: Mapping[str, str]) -> str:
    """Replace `${NAME}` and `${NAME:?message}` as Compose does. Raises KeyError for a name without a value."""
    pattern = r"\$\$|\$\{(\w+)(?::\?[^}]*)?\}"
    return re.sub(pattern, lambda found: "$" if found[1] is None else values[found[1]], text)


class Cluster(AirflowStack):
    """An Airflow with the processes and settings of docker-compose.yml.

    :param secrets: the values of `.env` by name: see :func:`tools.make_env.generated`.
    :param postgres: the database server; its password is `POSTGRES_PASSWORD` of `secrets`.
    :param redis_port: port of a Redis whose password is `REDIS_PASSWORD` of `secrets`.

    The other parameters are those of :class:`tools.stack.AirflowStack`.
    """

    def __init__(
        self,
        venv: Path | str,
        home: Path | str,
        dags_folder: Path | str,
        env: Mapping[str, str],
        *,
        secrets: Mapping[str, str],
        postgres: Postgres,
        redis_port: int,
    ) -> None:
        super().__init__(venv, home, dags_folder, parallelism=8)
        self._services = compose_file()["services"]
        self._secrets = secrets
        self._postgres = postgres
        self._places = {
            "@postgres:5432": f"@127.0.0.1:{postgres.port}",
            "@redis:6379": f"@127.0.0.1:{redis_port}",
            "http://api-server:8080": self.url,
            "http://127.0.0.1:8080": self.url,
            "/app/dags": str(self.dags_folder),
            "/airflow/": f"{self.home}/",
        }
        for setting in ("CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS", "CORE__PARALLELISM"):
            del self.env[f"AIRFLOW__{setting}"]
        self.env |= self._environment("init") | dict(env)
        self._ports = {name: free_port() for name in self.components}

    def _environment(self, service: str) -> dict[str, str]:
        environment = self._services[service]["environment"]
        return {name: self._here(interpolated(str(text), self._secrets)) for name, text in environment.items()}

    def _here(self, text: str) -> str:
        """Replace the hosts and folders of the Compose file with those of this machine."""
        for there, here in self._places.items():
            text = text.replace(there, here)
        return text

    # -- life

    @property
    def components(self) -> dict[str, list[str]]:
        """One process per replica of each long-running service: `worker-1`, `worker-2`."""
        found = {}
        for service in LONG_RUNNING:
            command = list(self._services[service]["command"])
            assert command.pop(0) == "airflow", service  # noqa: S101 (what these services are)
            replicas = self._services[service].get("deploy", {}).get("replicas", 1)
            for number in range(1, replicas + 1):
                name = f"{service}-{number}" if replicas > 1 else service
                found[name] = [*command, *self._distinct(service, name)]
        return found

    def _distinct(self, service: str, name: str) -> list[str]:
        """Return the options that let replicas share a machine."""
        if service == "api-server":
            return ["--host", "127.0.0.1", "--port", str(self.port)]
        if service == "worker":
            return ["--celery-hostname", f"{name}@%h", "--pid", str(self.home / f"{name}.pid")]
        return []

    def component_environment(self, name: str) -> dict[str, str]:
        """Return the environment variables of one of `components`."""
        own = {"worker": "WORKER_LOG_SERVER_PORT", "triggerer": "TRIGGER_LOG_SERVER_PORT"}.get(_service(name))
        return self.env | ({f"AIRFLOW__LOGGING__{own}": str(self._ports[name])} if own else {})

    def prepare_database(self) -> None:
        """Do what the service `init` does."""
        self._run(self._services["init"]["command"])

    def store_connections(self, ready_file: Path) -> None:
        """Do what the service `connections` of the profile `demo` does."""
        *command, _ = self._services["connections"]["command"]
        self._run([*command, str(ready_file)])

    def _run(self, command: list[str]) -> None:
        done = subprocess.run(command, cwd=TOOLS.parent, env=self.env, capture_output=True, text=True, check=False)
        if done.returncode:
            raise StackError(f"`{' '.join(command)}` failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")

    # -- health

    def wait_ready(self, timeout: float = 480) -> None:
        """Wait until all seven components are healthy; each check of the workers takes seconds."""
        super().wait_ready(timeout)

    def _unhealthy(self) -> list[str]:
        """Return the unhealthy components.

        The workers are checked last and together, because the check uses a core for seconds.
        """
        self._check_alive()
        workers = [name for name in self._running if _service(name) == "worker"]
        others = [name for name in self._running if name not in workers and not self.is_healthy(name)]
        return others or ([] if self.workers() else workers)

    def is_healthy(self, name: str) -> bool:
        """Return whether all replicas have a heartbeat or, for workers, respond."""
        if _service(name) == "worker":
            return bool(self.workers())
        if _service(name) not in _JOBS:
            return super().is_healthy(name)
        alike = [other for other in self._running if _service(other) == _service(name)]
        sql = (
            "SELECT count(*) AS living FROM job WHERE job_type = ? AND state = 'running'"
            " AND latest_heartbeat > to_timestamp(?)"
        )
        since = max(self._started[other] for other in alike)
        return int(self._rows(sql, _JOBS[_service(name)], since)[0]["living"]) >= len(alike)

    def workers(self) -> list[str]:
        """Return the names of the workers that respond to the health check of docker-compose.yml."""
        *_, check = self._services["worker"]["healthcheck"]["test"]
        program = check.replace("$$", "$").partition(" --destination ")[0].split()
        done = subprocess.run(program, cwd=self.home, env=self.env, capture_output=True, text=True, check=False)
        return sorted(set(re.findall(r"->\s+(\S+?)@\S+: OK", done.stdout)))

    def health_check(self, service: str) -> None:
        """Run the health check of a service as its container does. Raises StackError if it fails."""
        kind, *command = self._services[service]["healthcheck"]["test"]
        assert kind == "CMD", service  # noqa: S101 (the others are run by `workers` or need a container)
        self._run([self._here(part) for part in command])

    # -- reading, orders

    def _rows(self, sql: str, *values: Any) -> list[dict[str, Any]]:
        import psycopg2
        import psycopg2.extras

        server = self._postgres
        connection = psycopg2.connect(
            host="127.0.0.1", port=server.port, user=server.user, password=server.password, dbname=server.user
        )
        try:
            # Return JSON as text, as SQLite does.
            psycopg2.extras.register_default_json(connection, loads=lambda text: text)
            psycopg2.extras.register_default_jsonb(connection, loads=lambda text: text)
            with connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
                cursor.execute(sql.replace("%", "%%").replace("?", "%s"), values)
                return [dict(row) for row in cursor.fetchall()]
        finally:
            connection.close()

    def sign_in(self) -> str:
        """Sign in as `admin` with the password of `.env` and return the token."""
        body = {"username": "admin", "password": self._secrets["ADMIN_PASSWORD"]}
        return str(self._http("POST", "/auth/token", body, token=False)["access_token"])


def _service(name: str) -> str:
    return name.rstrip("0123456789").rstrip("-")


def new_secrets() -> dict[str, str]:
    """Generate secrets with tools/make_env.py, through a temporary `.env` file."""
    with tempfile.TemporaryDirectory(prefix="oac-env-") as folder:
        path = Path(folder) / ".env"
        make_env.write(path)
        mode = os.stat(path).st_mode & 0o777
        assert mode == 0o600, oct(mode)  # noqa: S101 (what that program promises)
        return make_env.read(path)
