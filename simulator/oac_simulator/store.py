"""What the simulator remembers: tables of JSON records, kept in memory and written through to SQLite."""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Record = dict[str, Any]


class StateInUse(RuntimeError):
    """Another simulator runs on the same state directory."""


class Table:
    """One kind of record. Reads cost a dictionary lookup; every `put` is on disk when it returns."""

    def __init__(self, database: sqlite3.Connection, name: str) -> None:
        self._database = database
        self._name = name
        rows = database.execute("SELECT key, value FROM records WHERE kind = ? ORDER BY rowid", (name,))
        self._records: dict[str, Record] = {key: json.loads(value) for key, value in rows}

    def get(self, key: str) -> Record | None:
        """The record, or None."""
        return self._records.get(key)

    def put(self, key: str, record: Record) -> None:
        """Keep a record under a key, replacing what was there."""
        self._database.execute(
            "INSERT INTO records (kind, key, value) VALUES (?, ?, ?) "
            "ON CONFLICT (kind, key) DO UPDATE SET value = excluded.value",
            (self._name, key, json.dumps(record)),
        )
        self._records[key] = record

    def delete(self, key: str) -> None:
        """Forget a record; nothing happens if there is none."""
        self._database.execute("DELETE FROM records WHERE kind = ? AND key = ?", (self._name, key))
        self._records.pop(key, None)

    def clear(self) -> None:
        """Forget all records of this kind."""
        self._database.execute("DELETE FROM records WHERE kind = ?", (self._name,))
        self._records.clear()

    def items(self) -> list[tuple[str, Record]]:
        """All records with their keys, oldest key first."""
        return list(self._records.items())

    def __iter__(self) -> Iterator[Record]:
        return iter(list(self._records.values()))

    def __len__(self) -> int:
        return len(self._records)


class Store:
    """The state directory: one database, one lock so that no two simulators write it."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)
        self.directory = directory
        self._lock = os.open(directory / "lock", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise StateInUse(f"Another simulator is running on {directory}; stop it first.") from error
        path = directory / "state.sqlite"
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        self._database = sqlite3.connect(path, isolation_level=None)
        # Write-ahead without fsync survives the death of the process, which is what a simulator can meet.
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = OFF")
        # What is overwritten (the password of a snapshot that is done) must not linger in the file.
        self._database.execute("PRAGMA secure_delete = ON")
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS records "
            "(kind TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (kind, key))"
        )

    def table(self, name: str) -> Table:
        """The table of one kind of record."""
        return Table(self._database, name)

    def close(self) -> None:
        """Close the database and give the lock back."""
        self._database.close()
        os.close(self._lock)
