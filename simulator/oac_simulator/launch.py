"""Start a simulator from a test or a demo, and leave nothing behind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from oac_simulator.control import Control

_PACKAGE = __name__.rpartition(".")[0]
_START_SECONDS = 60.0
_STOP_SECONDS = 15.0


class SimulatorFailed(RuntimeError):
    """The simulator did not start; the message contains its output."""


class Simulator:
    """A simulator in a separate process.

    :ivar ready: content of the ready file.
    :ivar control: client of its control API.
    :ivar process: the process.
    :ivar state: the state directory.
    """

    def __init__(self, state: Path, options: dict[str, Any]) -> None:
        self.state = state
        self._options = options
        self._log = state / "simulator.log"
        self.process: subprocess.Popen[bytes]
        self.ready: dict[str, Any]
        self.control: Control
        self.start()

    def _command(self) -> list[str]:
        command = [sys.executable, "-m", _PACKAGE, "serve"]
        command += ["--until-stdin-closes", "--discard-when-orphaned"]
        command += ["--state", str(self.state), "--ready-file", str(self.state / "ready.json")]
        for name, value in self._options.items():
            flag = "--" + name.replace("_", "-")
            if isinstance(value, bool):
                command += [flag] if value else []
            elif value is not None:
                command += [flag, ",".join(value) if isinstance(value, list | tuple) else str(value)]
        return command

    def start(self) -> None:
        """Start the process and wait for the ready file.

        :raises SimulatorFailed: if the process ends, or is not ready within a minute.
        """
        ready_file = self.state / "ready.json"
        ready_file.unlink(missing_ok=True)
        # The child imports the package from the same place as this process, installed or not.
        root = str(Path(__file__).resolve().parents[_PACKAGE.count(".") + 1])
        path = os.pathsep.join(entry for entry in (root, os.environ.get("PYTHONPATH", "")) if entry)
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - our own program
                self._command(),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": path},
            )
        deadline = time.monotonic() + _START_SECONDS
        while not ready_file.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                said = self._log.read_text(errors="replace")[-2000:]
                raise SimulatorFailed(f"The simulator did not start. It said:\n{said}")
            time.sleep(0.02)
        self.ready = json.loads(ready_file.read_text())
        self.control = Control(self.ready)

    def stop(self) -> None:
        """Ask the process to stop, and wait until it has ended."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self._reap()

    def kill(self) -> None:
        """Kill the process, as a crash does."""
        if self.process.poll() is None:
            self.process.kill()
        self._reap()

    def _reap(self) -> None:
        self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()

    def restart(self, *, kill: bool = False) -> None:
        """Stop (or kill) and restart on the same state, at the same addresses if they are free."""
        if kill:
            self.kill()
        else:
            self.stop()
        self.start()


@contextmanager
def launch(*, basic_encoding: str = "form", **options: Any) -> Iterator[Simulator]:
    """Run a simulator for the duration of a `with` block.

    :param basic_encoding: `form` refuses clients that do not form-encode ID and secret for Basic (RFC 6749 section
        2.3.1), so tests find them; `either` is the default of `serve`.
    :param options: options of `serve` with underscores: `instances=["dev"]`, `access_token_ttl=100`,
        `work_seconds=0.2`, `listing="late"`, `tls=True`, `host=...`, `port_base=...`.
    :yields: the running simulator. When the `with` block ends, it stops and its state is removed. It also stops when
        this
        process dies.
    """
    state = Path(tempfile.mkdtemp(prefix="oac-simulator-"))
    simulator: Simulator | None = None
    try:
        simulator = Simulator(state, {"basic_encoding": basic_encoding, **options})
        yield simulator
    finally:
        if simulator is not None:
            simulator.stop()
        shutil.rmtree(state, ignore_errors=True)
