"""The simulator as a process beside an Airflow, and the Connections that lead to it; for tests and the demo.

with SimulatedOAC(folder, "--work-seconds", "1") as oac:
    env = oac.connections()          # AIRFLOW_CONN_OAC_DEFAULT, AIRFLOW_CONN_OAC_SEAL
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from tools.stack import TOOLS, StackError, tail

#: Satisfies OAC's rules: 14 to 50 characters, lower and upper case letters, a digit, a special character.
SEAL_PASSWORD = "Simulated-Seal-2026!"  # noqa: S105 (protects simulated backups only)


class SimulatedOAC:
    """`python -m airflow_provider_oac.simulator serve` under tools/guard.py.

    :param folder: where the ready file, the log and, if asked for, the state go; made if it does not exist.
    :param arguments: further arguments of `serve`.
    :param python: the interpreter to run it with; by default the one that runs this.
    """

    def __init__(self, folder: Path | str, *arguments: str, python: Path | str = sys.executable) -> None:
        self.folder = Path(folder).absolute()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ready_file = self.folder / "ready.json"
        self.log = self.folder / "simulator.log"
        self._command = [str(python), "-m", "airflow_provider_oac.simulator", "serve", *arguments]
        self._process: subprocess.Popen[bytes] | None = None
        self.ready: dict[str, Any] = {}

    def start(self, timeout: float = 60) -> SimulatedOAC:
        """Start it and wait for its ready file. Raises StackError, with the end of its log, if none comes."""
        self.ready_file.unlink(missing_ok=True)
        guard = [sys.executable, "-I", str(TOOLS / "guard.py"), "--grace", "5", "--"]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*guard, *self._command, "--ready-file", str(self.ready_file)],
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                cwd=TOOLS.parent,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + timeout
        while True:
            try:
                self.ready = json.loads(self.ready_file.read_text())
                return self
            except (FileNotFoundError, json.JSONDecodeError):  # not there yet, or half written
                ended = self._process.poll()
            if ended is not None or time.monotonic() > deadline:
                self.stop()
                how = (
                    f"ended with exit code {ended}"
                    if ended is not None
                    else f"not ready after {timeout:.0f} s"
                )
                raise StackError(f"the simulator: {how}\n{tail(self.log)}")
            time.sleep(0.1)

    def stop(self) -> None:
        """End it; returns when it is gone."""
        if self._process and self._process.stdin:
            self._process.stdin.close()
            self._process.wait()
        self._process = None

    def __enter__(self) -> SimulatedOAC:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.stop()

    def connection(
        self, instance: str | None = None, *, user: str | None = None, **extra: str | None
    ) -> dict[str, Any]:
        """A Connection of type oac to one instance (by default the first), as Airflow's JSON form of it.

        :param user: who to act as; by default the first user.
        :param extra: members of the Connection's extra to add or replace; None removes one.
        """
        ready = self.ready
        name = instance or next(iter(ready["instances"]))
        who = user or next(iter(ready["users"]))
        members: dict[str, str | None] = {
            "identity_url": ready["identity_url"],
            "grant": "jwt_assertion",
            "scope": ready["instances"][name]["scope"],
            "user": who,
            "user_password": ready["users"][who],
            "certificate_alias": ready["certificate_alias"],
            "private_key": Path(ready["private_key_file"]).read_text(),
            "ca_file": ready.get("ca_file"),
            **extra,
        }
        return {
            "conn_type": "oac",
            "host": ready["instances"][name]["url"],
            "login": ready["client_id"],
            "password": ready["client_secret"],
            "extra": {key: value for key, value in members.items() if value is not None},
        }

    def connections(self) -> dict[str, str]:
        """Environment variables of the Connections `oac_default` and `oac_seal`."""
        return {
            "AIRFLOW_CONN_OAC_DEFAULT": json.dumps(self.connection()),
            "AIRFLOW_CONN_OAC_SEAL": json.dumps({"conn_type": "generic", "password": SEAL_PASSWORD}),
        }
