"""Running the command line in processes of its own.

Loading Airflow takes seconds, so most commands run in a fork of one process that has loaded it: with their own
environment, streams and exit code. `real` starts `python -m airflow_provider_oac`, or anything else, anew.
"""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from oac_simulator.launch import Simulator
from tests.tasks import SEAL_PASSWORD, oac_connection

PERSON = "oac_person"

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
    """A command that runs in a fork, in its own folder.

    :param ended: is told what came of it.
    """

    def __init__(
        self, folder: Path, arguments: tuple[str, ...], environment: dict[str, str], ended: Callable[[Done], None]
    ) -> None:
        self._folder, self._ended = folder, ended
        self._process = _FORKS.Process(target=_run, args=(str(folder), arguments, environment))
        self._process.start()

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        assert self._process.pid
        os.kill(self._process.pid, signal.SIGINT)

    def until(self, word: str) -> str:
        """Wait until a line of standard error has a word, and return that line. The test's own limit ends this."""
        while True:
            said = (self._folder / "err").read_text()
            lines = [line for line in said.split("\n")[:-1] if word in line]
            if lines:
                return lines[0]
            assert self._process.is_alive(), said
            time.sleep(0.02)

    def done(self) -> Done:
        """Wait for the end."""
        self._process.join()
        done = Done(self._process.exitcode, *((self._folder / name).read_text() for name in ("out", "err")))
        self._ended(done)
        return done


class CommandLine:
    """A shell in which Connections and the store are set up by the environment.

    :param folder: of this test.
    :param simulator: what the Connections lead to.
    """

    def __init__(self, folder: Path, simulator: Simulator) -> None:
        self.folder, self.simulator = folder, simulator
        self.control = simulator.control
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
        folder = self.folder / f"command-{self._count}"
        folder.mkdir()
        for name, text in (("in", stdin), ("out", ""), ("err", "")):
            (folder / name).write_text(text)
        return Running(folder, arguments, self.environment, self.all_done.append)

    def run(self, *arguments: str, stdin: str = "") -> Done:
        """Run a command in a fork."""
        return self.start(*arguments, stdin=stdin).done()

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
        os.dup2(os.open(name, flags), descriptor)
    sys.stdin = io.TextIOWrapper(io.FileIO(0), encoding="utf-8")
    sys.stdout = io.TextIOWrapper(io.BufferedWriter(io.FileIO(1, "w", closefd=False)), encoding="utf-8")
    sys.stderr = io.TextIOWrapper(io.FileIO(2, "w", closefd=False), encoding="utf-8", write_through=True)
    main(arguments)


def person(simulator: Simulator, **extra: Any) -> dict[str, Any]:
    """A Connection for a device sign-in, whose application has a secret."""
    unset = {"user": None, "private_key": None, "certificate_alias": None}
    connection = oac_connection(simulator.ready, **{**unset, "grant": "device_code", **extra})
    return {**connection, "password": simulator.ready["client_secret"]}


@pytest.fixture(name="shell")
def a_shell(quick: Simulator, tmp_path: Path) -> Iterator[CommandLine]:
    """A shell with Connections: for a person, for an administrator by assertion, and for the password of snapshots.

    What its commands said is searched for secrets at the end.
    """
    commands = CommandLine(tmp_path, quick)
    commands.connection(PERSON, person(quick))
    commands.connection("oac_default", oac_connection(quick.ready))
    commands.connection("oac_seal", {"conn_type": "generic", "password": SEAL_PASSWORD})
    yield commands
    secrets = {quick.ready["client_secret"], *quick.ready["users"].values(), commands.fernet_key, SEAL_PASSWORD}
    secrets |= {line for line in Path(quick.ready["private_key_file"]).read_text().splitlines()[1:-1] if len(line) > 20}
    for done in commands.all_done:
        shown = done.out + done.err
        assert not [secret for secret in secrets if secret in shown]
        assert not re.search(r"eyJ[\w-]{10,}\.", shown)
        # Airflow 2.11 logs its own where it has no database.
        assert "cli/process.py" not in shown
