"""Commands of the containers of docker-compose.yml besides Airflow's own.

container.py init                     migrate the database, write the admin's password file
container.py connections READY_FILE   store the Connections and Variables for the simulator
container.py healthy URL              exit code 0 if the URL responds without an error
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tools.oac_connections import connection_environment, restore_environment

CONNECTION, VARIABLE = "AIRFLOW_CONN_", "AIRFLOW_VAR_"


def init() -> None:
    """Migrate the database, and write the password of `admin`, from `ADMIN_PASSWORD`, to Airflow's password file."""
    path = Path(os.environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"])
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        json.dump({"admin": os.environ["ADMIN_PASSWORD"]}, out)
    subprocess.run(["airflow", "db", "migrate"], check=True)


def imported(kind: str, content: dict[str, object]) -> None:
    """Import Connections or Variables into Airflow through a private temporary file."""
    options = ["--overwrite"] if kind == "connections" else []
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:  # has mode 0600
        json.dump(content, file)
        file.flush()
        subprocess.run(["airflow", kind, "import", *options, file.name], check=True)


def connections(ready_file: str) -> None:
    """Store the Connections and Variables for the simulator of a ready file."""
    ready = json.loads(Path(ready_file).read_text())
    environment = connection_environment(ready) | restore_environment(ready)
    environment[f"{VARIABLE}OAC_EXPORT_FOLDER"] = "file:///airflow/exports"
    environment[f"{VARIABLE}OAC_AUDIT_FOLDER"] = "file:///airflow/audits"

    def named(prefix: str) -> dict[str, str]:
        return {name[len(prefix) :].lower(): text for name, text in environment.items() if name.startswith(prefix)}

    imported("connections", {name: json.loads(text) for name, text in named(CONNECTION).items()})
    imported("variables", dict(named(VARIABLE)))


def healthy(url: str) -> None:
    """Raise an error unless the URL responds with a success status."""
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=5):
        pass


if __name__ == "__main__":
    {"init": init, "connections": connections, "healthy": healthy}[sys.argv[1]](*sys.argv[2:])
