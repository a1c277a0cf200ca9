"""The state of the simulator: tables of JSON records, kept in memory and written through to SQLite."""

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
    """Another simulator uses the same state directory."""


class Table:
    """One kind of record. A read is a dictionary lookup; a `put` is in the database when it returns."""

    def __init__(self, database: sqlite3.Connection, name: str) -> None:
        self._database = database
        self._name = name
        rows = database.execute("SELECT key, value FROM records WHERE kind = ? ORDER BY rowid", (name,))
        self._records: dict[str, Record] = {key: json.loads(value) for key, value in rows}

    def get(self, key: str) -> Record | None:
        """Return the record, or None."""
        return self._records.get(key)

    def put(self, key: str, record: Record) -> None:
        """Store a record under a key, replacing any previous one."""
        self._database.execute(
            "INSERT INTO records (kind, key, value) VALUES (?, ?, ?) "
            "ON CONFLICT (kind, key) DO UPDATE SET value = excluded.value",
            (self._name, key, json.dumps(record)),
        )
        self._records[key] = record

    def delete(self, key: str) -> None:
        """Delete a record if it exists."""
        self._database.execute("DELETE FROM records WHERE kind = ? AND key = ?", (self._name, key))
        self._records.pop(key, None)

    def clear(self) -> None:
        """Delete all records of this kind."""
        self._database.execute("DELETE FROM records WHERE kind = ?", (self._name,))
        self._records.clear()

    def items(self) -> list[tuple[str, Record]]:
        """Return all records with their keys, oldest key first."""
        return list(self._records.items())

    def __iter__(self) -> Iterator[Record]:
        return iter(list(self._records.values()))

    def __len__(self) -> int:
        return len(self._records)


class Store:
    """The state directory: a database, and a lock that keeps other simulators out."""

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
        # Write-ahead logging without fsync survives the death of the process; a simulator needs no more.
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = OFF")
        # Overwritten data (the password of a finished snapshot) must not remain in the file.
        self._database.execute("PRAGMA secure_delete = ON")
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS records "
            "(kind TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (kind, key))"
        )

    def table(self, name: str) -> Table:
        """Return the table of one kind of record."""
        return Table(self._database, name)

    def close(self) -> None:
        """Close the database and release the lock."""
        self._database.close()
        os.close(self._lock)
