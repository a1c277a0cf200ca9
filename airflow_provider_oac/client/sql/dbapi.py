"""Python's database API (PEP 249) for queries of Logical SQL; it only reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from airflow_provider_oac.client.api import Work
from airflow_provider_oac.client.sql.errors import Doing
from airflow_provider_oac.client.sql.queries import MAX_ROWS, Rows, query
from airflow_provider_oac.client.sql.session import McpSession
from airflow_provider_oac.client.sql.statement import read_statement
from airflow_provider_oac.exceptions import OACConfigurationError, OACError, OACQueryError

apilevel, threadsafety, paramstyle = "2.0", 1, "qmark"
Error, InterfaceError, DatabaseError, Warning = OACError, OACConfigurationError, OACQueryError, UserWarning
DataError = OperationalError = IntegrityError = InternalError = ProgrammingError = NotSupportedError = OACQueryError


class Connection:
    """One MCP session.

    :param run: runs calls and flows, such as ``OACHook().run``.
    :param max_rows: most rows of a query.
    :param allow_truncated: whether to return the first rows if there are more.
    """

    def __init__(
        self, run: Callable[[Work[Any]], Any], *, max_rows: int = MAX_ROWS, allow_truncated: bool = False
    ) -> None:
        self._run = run
        self._query = partial(query, max_rows=max_rows, allow_truncated=allow_truncated, session=McpSession())

    def cursor(self) -> Cursor:
        """Open a cursor."""
        return Cursor(lambda text, parameters: self._run(self._query(text, parameters)))

    def close(self) -> None:
        """Do nothing: OAC ends the session by itself."""

    def commit(self) -> None:
        """Do nothing: queries change nothing."""

    rollback = commit


class Cursor:
    """A query and its remaining rows.

    :param run: runs a query with values.
    """

    arraysize = 1000

    def __init__(self, run: Callable[[str, Sequence[Any] | None], Rows]) -> None:
        self._run = run
        self._rows: list[tuple[Any, ...]] = []
        self._next = 0
        self.description: list[tuple[Any, ...]] | None = None
        self.rowcount = -1
        self.sources: tuple[str, ...] = ()

    def execute(self, operation: str, parameters: Sequence[Any] | None = None) -> Cursor:
        """Run a query; see :func:`airflow_provider_oac.client.sql.query`."""
        self.sources = read_statement(operation, parameters).sources
        found = self._run(operation, parameters)
        self._rows, self._next, self.rowcount = found.rows, 0, len(found)
        self.description = [(name, None, None, None, None, None, None) for name in found.columns]
        return self

    def executemany(self, operation: str, _parameters: Sequence[Sequence[Any]]) -> None:
        """Refuse the query: this method is for statements that change data."""
        raise Doing("run it for several sets of values").unsent("OAC only answers queries", "Run each query alone.")

    def fetchone(self) -> tuple[Any, ...] | None:
        """Return the next row; ``None`` after the last one."""
        return next(iter(self.fetchmany(1)), None)

    def fetchmany(self, size: int | None = None) -> list[tuple[Any, ...]]:
        """Return the next rows."""
        begin = self._next
        self._next = min(len(self._rows), begin + (self.arraysize if size is None else size))
        return self._rows[begin : self._next]

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Return all remaining rows."""
        return self.fetchmany(len(self._rows))

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return iter(self.fetchone, None)

    def close(self) -> None:
        """Drop the rows."""
        self._rows = []

    def setinputsizes(self, _sizes: Any) -> None:
        """Do nothing."""

    def setoutputsize(self, _size: int, _column: int | None = None) -> None:
        """Do nothing."""


connect = Connection
