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
from typing import Any
from urllib.parse import quote

from cryptography.fernet import Fernet

#: Seconds between two looks at the processes, and how many of these there are for each look at the database.
_PAUSE, _LOOKS = 0.2, 5
# A process has the environment of the one that made it before it executes: who says no is asked so often.
_ASKED_AGAIN = 25


def rows(database: Path, sql: str) -> list[tuple[Any, ...]]:
    """What a query finds in a database that others write to."""
    with contextlib.closing(sqlite3.connect(f"file:{quote(str(database))}?mode=ro", uri=True, timeout=60)) as db:
        return db.execute(sql).fetchall()


class Witness:
    """Looks again and again, in a thread, and remembers all that it saw.

    :param home: AIRFLOW_HOME of the Airflow to watch. It may not be there yet.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._mark = f"AIRFLOW_HOME={home}".encode()
        self.stop = threading.Event()
        # Whether a process is ours; if not, how often it said so.
        self._ours: set[tuple[str, bytes]] = set()
        self._others: Counter[tuple[str, bytes]] = Counter()
        self.command_lines: set[bytes] = set()
        self._trigger_rows: set[bytes] = set()
        self.next_kwargs: set[bytes] = set()
        self.failure: BaseException | None = None

    def watch(self) -> None:
        """Go on until `stop` is set."""
        try:
            while not self.stop.wait(_PAUSE):
                for _ in range(_LOOKS):
                    self._look_at_processes()
                    self.stop.wait(_PAUSE)
                if (self._home / "airflow.db").exists():
                    # Locked for a moment, or not migrated yet: there is a next time.
                    with contextlib.suppress(sqlite3.OperationalError):
                        self._look_at_rows()
        except BaseException as failure:
            self.failure = failure

    def _look_at_processes(self) -> None:
        for number in filter(str.isdigit, os.listdir("/proc")):
            folder = Path("/proc", number)
            with contextlib.suppress(OSError):
                process = number, (folder / "stat").read_bytes().rpartition(b")")[2].split()[19]
                if process not in self._ours and self._others[process] < _ASKED_AGAIN:
                    if self._mark in (folder / "environ").read_bytes().split(b"\0"):
                        self._ours.add(process)
                    else:
                        self._others[process] += 1
                if process in self._ours:
                    self.command_lines.add((folder / "cmdline").read_bytes().replace(b"\0", b" "))

    def _look_at_rows(self) -> None:
        for seen, column, table in (
            (self._trigger_rows, "kwargs", "trigger"),
            (self.next_kwargs, "next_kwargs", "task_instance"),
        ):
            sql = f"SELECT CAST({column} AS BLOB) FROM {table} WHERE {column} IS NOT NULL"
            seen |= {row[0] for row in rows(self._home / "airflow.db", sql)}

    def trigger_arguments(self) -> list[bytes]:
        """The arguments of all triggers that there were; where Airflow encrypted them, decrypted with its key."""
        fernet = Fernet(json.loads((self._home / "keys.json").read_text())["fernet"])
        return [fernet.decrypt(row) if row.startswith(b"gAAAA") else row for row in sorted(self._trigger_rows)]


@contextmanager
def watching(home: Path) -> Iterator[Witness]:
    """Watch for the length of a `with`."""
    witness = Witness(home)
    thread = threading.Thread(target=witness.watch, name="witness", daemon=True)
    thread.start()
    try:
        yield witness
    finally:
        witness.stop.set()
        thread.join()
