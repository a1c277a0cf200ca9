"""Running the command line in processes of its own.

Loading Airflow takes seconds, so most commands run in a fork of one process that has loaded it: with their own
environment, streams and exit code. `real` starts `python -m airflow_provider_oac`, or anything else, anew.
"""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet

_PRELOADED = [
    "airflow_provider_oac.hooks.oac",
    *(f"airflow_provider_oac.cli.{name}" for name in ("sign_in", "inspect", "keygen", "conformance", "new")),
    "airflow_provider_oac.hooks.connection_test",
    "tests.chains",
    "tests.integration.commands",
]
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(_PRELOADED)


@dataclass
class Done:
    """What came of a command."""

    code: int | None
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as JSON: all of it."""
        return json.loads(self.out)


class Running:
    """A command under way in a fork."""

    def __init__(self, folder: Path, arguments: tuple[str, ...], environment: dict[str, str], stdin: str) -> None:
        self._folder = folder
        folder.mkdir()
        (folder / "in").write_text(stdin)
        self._process = _FORKS.Process(target=_run, args=(str(folder), arguments, environment))
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid
        return self._process.pid

    def said(self) -> str:
        """Standard error so far."""
        path = self._folder / "err"
        return path.read_text() if path.exists() else ""

    def until(self, word: str) -> str:
        """Wait until a line of standard error has a word, and return that line. The test's own limit ends this."""
        while True:
            lines = [line for line in self.said().split("\n")[:-1] if word in line]
            if lines:
                return lines[0]
            assert self._process.is_alive(), self.said()
            time.sleep(0.02)

    def done(self) -> Done:
        """Wait for the end."""
        self._process.join()
        return Done(self._process.exitcode, (self._folder / "out").read_text(), self.said())


class CommandLine:
    """A shell in which Connections and the store are set up by the environment.

    :param folder: of this test.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.fernet_key = Fernet.generate_key().decode()
        self.store = folder / "store"
        self.environment = {
            "AIRFLOW__OAC__STORE": "file",
            "AIRFLOW__OAC__STORE_FOLDER": str(self.store),
            "AIRFLOW__CORE__FERNET_KEY": self.fernet_key,
        }
        self.all_done: list[Done] = []
        self._count = 0

    def connection(self, conn_id: str, connection: dict[str, Any]) -> None:
        """Set a Connection."""
        self.environment[f"AIRFLOW_CONN_{conn_id.upper()}"] = json.dumps(connection)

    def start(self, *arguments: str, stdin: str = "") -> Running:
        """Begin a command in a fork."""
        self._count += 1
        return Running(self.folder / f"command-{self._count}", arguments, self.environment, stdin)

    def run(self, *arguments: str, stdin: str = "") -> Done:
        """Run a command in a fork."""
        done = self.start(*arguments, stdin=stdin).done()
        self.all_done.append(done)
        return done

    def popen(self, *command: str, **details: Any) -> subprocess.Popen[str]:
        """Begin a process anew: `python -m` with these arguments, in the folder of the test."""
        return subprocess.Popen(
            [sys.executable, "-m", *command], env=os.environ | self.environment, cwd=self.folder, text=True,
            stdin=subprocess.DEVNULL, **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **details},
        )  # fmt: skip

    def real(self, *command: str) -> Done:
        """Run a process anew."""
        process = self.popen(*command)
        out, err = process.communicate(timeout=600)
        done = Done(process.returncode, out, err)
        self.all_done.append(done)
        return done


def _run(folder: str, arguments: tuple[str, ...], environment: dict[str, str]) -> None:
    """What the fork does: like a process that was started with this environment and these streams."""
    from airflow_provider_oac.cli.parser import main

    for name in [name for name in os.environ if name.startswith(("AIRFLOW_CONN_", "AIRFLOW__OAC__"))]:
        del os.environ[name]
    os.environ.update(environment)
    # Whoever runs the tests in the background may have had it ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(folder)
    for descriptor, name, flags in ((0, "in", os.O_RDONLY), (1, "out", os.O_WRONLY), (2, "err", os.O_WRONLY)):
        os.dup2(os.open(name, flags | os.O_CREAT, 0o600), descriptor)
    sys.stdin = io.TextIOWrapper(io.FileIO(0), encoding="utf-8")
    sys.stdout = io.TextIOWrapper(io.BufferedWriter(io.FileIO(1, "w", closefd=False)), encoding="utf-8")
    sys.stderr = io.TextIOWrapper(io.FileIO(2, "w", closefd=False), encoding="utf-8", write_through=True)
    main(arguments)
