"""Processes of tasks, forked from one that has loaded Airflow: as Airflow does it, and in no time."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Workers:
    """Starts one process after the other. It ends with this process, however that ends."""

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.task_process"],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=False,
        )  # fmt: skip
        while self._line() != "ready":
            pass

    def _line(self) -> str:
        assert self._server.stdout is not None
        line = self._server.stdout.readline()
        assert line, "the process that starts tasks has ended"
        return line.decode().strip()

    def start(self, folder: Path, env: Mapping[str, str], log: Path) -> Worker:
        """Start a process that does what is ordered in a folder."""
        assert self._server.stdin is not None
        order = {"folder": str(folder), "env": dict(env), "log": str(log)}
        self._server.stdin.write(json.dumps(order).encode() + b"\n")
        self._server.stdin.flush()
        return Worker(self, int(self._line()))

    def code_within(self, seconds: float) -> int | None:
        """The exit code of the process that runs, if it ends in time."""
        assert self._server.stdout is not None
        if not select.select([self._server.stdout], [], [], seconds)[0]:
            return None
        return int(self._line())

    def close(self) -> None:
        """End it."""
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait(60)


class Worker:
    """One process."""

    def __init__(self, workers: Workers, pid: int) -> None:
        self._workers = workers
        self.pid = pid
        self._code: int | None = None

    def ended_within(self, seconds: float) -> int | None:
        """Its exit code, if it ends in time: negative for a signal."""
        if self._code is None:
            self._code = self._workers.code_within(seconds)
        return self._code

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.ended_within(0.0) is None

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self.alive
        os.kill(self.pid, number)
