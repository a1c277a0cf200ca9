"""Start Airflow in the container of docker-compose.yml, with Connections to the simulator next to it.

container_airflow.py READY_FILE
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tools.oac_connections import connection_environment


def main(ready_file: str) -> None:
    """Become `airflow standalone`; returns only by an exception."""
    ready = json.loads(Path(ready_file).read_text())
    airflow = shutil.which("airflow")
    if airflow is None:
        raise SystemExit("the program `airflow` is not on PATH: is Airflow installed in this image?")
    os.execve(airflow, [airflow, "standalone"], {**os.environ, **connection_environment(ready)})  # noqa: S606 (no shell is the point)


if __name__ == "__main__":
    main(sys.argv[1])
