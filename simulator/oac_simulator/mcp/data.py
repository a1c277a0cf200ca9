"""The rows behind the semantic model: one SQLite file per instance, in the state folder."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from oac_simulator.mcp.model import BUDGET, ORDERS, SALES, SOURCES, TARGETS
from oac_simulator.world import World

Row = tuple[Any, ...]
_BEGIN = datetime(2026, 1, 1)
_REGIONS = ("Americas", "Asia", "Europe", None)
_STATUS = ("Delivered", "Open", "Returned")
#: Beyond 2^53, so a client that reads numbers as floats corrupts it.
FIRST_ORDER = 9_007_199_254_740_993
#: The first queries of an instance may come at the same time, each in its own thread.
_SEEDING = threading.Lock()
_AFFINITY = {"NUMERIC": "NUMERIC", "VARCHAR": "TEXT", "DATE": "TEXT", "TIMESTAMP": "TEXT"}


def stamp(moment: datetime) -> str:
    """Format a date or time as in results (observed) and in the data: `2026-01-31 00:00:00.0`."""
    return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 100_000}"


def _sales() -> Iterator[Row]:
    for n in range(1200):
        day = _BEGIN + timedelta(days=n * 7 % 181)
        product, customer = n * 13 % 12, n * 17 % 40
        price, quantity = 500 + n * 37 % 9500, 1 + n % 7
        discount = None if n % 5 == 0 else n % 4 * 25
        yield (
            stamp(day), f"{day:%Y-%m}", f"Product {product:02d}", f"Category {product % 4}",
            f"Customer {customer:02d}", _REGIONS[customer % 4], FIRST_ORDER + n, _STATUS[n % 3],
            None if n % 3 == 1 else stamp(day + timedelta(days=2, hours=n % 24, milliseconds=500)),
            price * quantity / 100, quantity, discount, price / 100, price / 100, price / 100, 1,
        )  # fmt: skip


def _orders() -> Iterator[Row]:
    for n in range(2500):
        amount = None if n % 50 == 49 else (1000 + n * 7919 % 100_000) / 100
        # Trailing spaces, as in columns of the type CHAR; results omit them (observed).
        customer = None if n % 90 == 7 else f"Customer {n % 40:02d}  "
        yield n + 1, stamp(_BEGIN + timedelta(minutes=97 * n)), customer, _STATUS[n % 3], amount, 1 + n % 9


def _budget() -> Iterator[Row]:
    for n in range(480):
        month = datetime(2026, 1 + n % 12, 1)
        manager = None if n // 12 % 8 == 3 else f"Manager {n // 12 % 8}"
        yield n + 1, stamp(month), f"Cost Centre {n // 12:02d}", manager, 1000 + n * 31 % 700


def _targets() -> Iterator[Row]:
    yield from (("Hà Nội", 120), ("Đà Nẵng", 80), ("Köln", 60.5), ("Zürich", 40))


_ROWS = {SALES: _sales, ORDERS: _orders, BUDGET: _budget, TARGETS: _targets}


def path_of(world: World, instance: str) -> Path:
    """Return the path of an instance's SQLite file: each source is a table, each column is named `Table.Column`."""
    return world.store.directory / f"data-{instance}.sqlite"


def _seeded(path: Path) -> Path:
    """Create the file with the first rows if it does not exist, and return its path."""
    with _SEEDING:
        if path.exists():
            return path
        draft = path.with_suffix(".draft")
        draft.unlink(missing_ok=True)
        os.close(os.open(draft, os.O_CREAT | os.O_RDWR, 0o600))
        with closing(sqlite3.connect(draft)) as database, database:
            for source in SOURCES:
                columns = ", ".join(f'"{column.stored}" {_AFFINITY[column.type]}' for column in source.columns)
                database.execute(f'CREATE TABLE "{source.reference}" ({columns})')
                marks = ", ".join("?" * len(source.columns))
                database.executemany(
                    f'INSERT INTO "{source.reference}" VALUES ({marks})',  # noqa: S608 - names of the model
                    _ROWS[source](),
                )
        return draft.replace(path)


def change(world: World, instance: str, sql: str, parameters: Sequence[Any] = ()) -> list[list[Any]]:
    """Run a SQLite statement behind the client's back.

    :returns: the rows, if any.
    :raises sqlite3.Error: if SQLite refuses it.
    """
    with closing(sqlite3.connect(_seeded(path_of(world, instance)))) as database, database:
        rows = [list(row) for row in database.execute(sql, parameters)]
        if database.total_changes:
            database.execute("PRAGMA user_version = 1")
        return rows


def reset(world: World) -> None:
    """Restore the first rows where they were changed."""
    for instance in world.instances:
        path = path_of(world, instance)
        if path.exists() and change(world, instance, "PRAGMA user_version") != [[0]]:
            path.unlink()


def _divide(left: Any, right: Any) -> float | None:
    return None if left is None or right is None else left / right


def read(world: World, instance: str, sql: str, limit: int) -> list[Row]:
    """Run a query and return its first rows.

    :raises sqlite3.Error: if SQLite refuses the query, or for a division by zero.
    """
    with closing(sqlite3.connect(f"{_seeded(path_of(world, instance)).as_uri()}?mode=ro", uri=True)) as database:
        database.execute("PRAGMA case_sensitive_like = ON")
        database.create_function("oac_divide", 2, _divide, deterministic=True)
        return database.execute(sql).fetchmany(limit)
