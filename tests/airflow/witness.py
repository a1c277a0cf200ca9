"""What is there only while an Airflow runs: command lines of its processes, arguments of triggers and of tasks."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from cryptography.fernet import Fernet

_PROCESSES_EVERY, _ROWS_EVERY = 0.2, 1.0


class Witness:
    """Looks again and again, in a thread, and remembers all that it saw.

    :param home: AIRFLOW_HOME of the Airflow to watch. It may not be there yet.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._mark = f"AIRFLOW_HOME={home}".encode()
        self._stop = threading.Event()
        self._ours: dict[tuple[int, str], bool] = {}
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
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                began = (folder / "stat").read_text().rpartition(")")[2].split()[19]
                process = (int(folder.name), began)
                if process not in self._ours or not self._ours[process]:
                    # Asked again while the answer is no: a process has the old environment before it executes.
                    self._ours[process] = self._mark in (folder / "environ").read_bytes().split(b"\0")
                if self._ours[process]:
                    self.command_lines.add((folder / "cmdline").read_bytes().replace(b"\0", b" "))

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


@contextmanager
def watching(home: Path) -> Iterator[Witness]:
    """Watch for the length of a `with`."""
    witness = Witness(home)
    thread = threading.Thread(target=witness.watch, name="witness", daemon=True)
    thread.start()
    try:
        yield witness
    finally:
        witness.end()
        thread.join()
