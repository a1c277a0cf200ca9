"""What is there only while an Airflow runs: command lines of its processes, arguments of triggers and of tasks."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from cryptography.fernet import Fernet

_PROCESSES_EVERY, _ROWS_EVERY = 0.2, 1.0
# A process has the environment of the one that made it before it executes: who says no is asked so often.
_ASKED_AGAIN = 25


class Witness:
    """Looks again and again, in a thread, and remembers all that it saw.

    :param home: AIRFLOW_HOME of the Airflow to watch. It may not be there yet.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._mark = f"AIRFLOW_HOME={home}".encode()
        self._stop = threading.Event()
        # Whether a process is ours; if not, how often it said so.
        self._ours: set[tuple[str, bytes]] = set()
        self._others: Counter[tuple[str, bytes]] = Counter()
        self.command_lines: set[bytes] = set()
        self.trigger_rows: set[bytes] = set()
        self.next_kwargs: set[bytes] = set()
        self.failure: BaseException | None = None

    def watch(self) -> None:
        """Go on until :meth:`end`."""
        looked_at_rows = 0
        rounds_per_look = round(_ROWS_EVERY / _PROCESSES_EVERY)
        try:
            while not self._stop.wait(_PROCESSES_EVERY):
                self._look_at_processes()
                looked_at_rows += 1
                if looked_at_rows % rounds_per_look == 0:
                    self._look_at_rows()
        except BaseException as failure:
            self.failure = failure

    def end(self) -> None:
        """Look no longer."""
        self._stop.set()

    def _look_at_processes(self) -> None:
        for number in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                process = number, _read(number, "stat").rpartition(b")")[2].split()[19]
                if process not in self._ours and self._others[process] < _ASKED_AGAIN:
                    if self._mark in _read(number, "environ").split(b"\0"):
                        self._ours.add(process)
                    else:
                        self._others[process] += 1
                if process in self._ours:
                    self.command_lines.add(_read(number, "cmdline").replace(b"\0", b" "))

    def _look_at_rows(self) -> None:
        database = self._home / "airflow.db"
        if not database.exists():
            return
        # Locked for a moment, or not migrated yet: there is a next time.
        with (
            contextlib.suppress(sqlite3.OperationalError),
            contextlib.closing(sqlite3.connect(f"file:{quote(str(database))}?mode=ro", uri=True, timeout=5)) as db,
        ):
            self.trigger_rows |= {row[0].encode() for row in db.execute("SELECT kwargs FROM trigger")}
            rows = db.execute("SELECT next_kwargs FROM task_instance WHERE next_kwargs IS NOT NULL")
            self.next_kwargs |= {row[0].encode() for row in rows}

    def trigger_arguments(self) -> list[bytes]:
        """The arguments of all triggers that there were; where Airflow encrypted them, decrypted with its key."""
        fernet = Fernet(json.loads((self._home / "keys.json").read_text())["fernet"])
        return [fernet.decrypt(row) if row.startswith(b"gAAAA") else row for row in sorted(self.trigger_rows)]


def _read(process: str, what: str) -> bytes:
    with open(f"/proc/{process}/{what}", "rb") as file:
        return file.read()


@contextmanager
def watching(home: Path) -> Iterator[Witness]:
    """PollTarget for the length of a `with`."""
    witness = Witness(home)
    thread = threading.Thread(target=witness.watch, name="witness", daemon=True)
    thread.start()
    try:
        yield witness
    finally:
        witness.end()
        thread.join()
