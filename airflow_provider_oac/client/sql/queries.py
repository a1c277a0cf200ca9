"""Run queries, as a whole or page by page, and check how recent their data is."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import eq
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from airflow_provider_oac.client.api import Api, flow
from airflow_provider_oac.client.flows.catalog_watch import Sighting
from airflow_provider_oac.client.paging import PagePlan
from airflow_provider_oac.client.sql.session import McpSession
from airflow_provider_oac.client.sql.statement import Column, Statement, literal, read_statement
from airflow_provider_oac.exceptions import OACConfigurationError, OACQueryError, OACResponseError

MAX_ROWS = 10_000
# The form in which OAC writes dates and times (observed). They are in the source's time zone, which they do not name.
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{1,6}")


@dataclass(frozen=True)
class Rows:
    """The rows of a query, or a page of them.

    Numbers are ``int`` or ``Decimal``, dates and times are ``datetime`` without zone, NULL is ``None``.

    :param columns: names of the columns.
    :param data: the values of each column.
    :param truncated: whether OAC has more rows.
    """

    columns: tuple[str, ...]
    data: tuple[list[Any], ...]
    truncated: bool = False

    def __len__(self) -> int:
        return len(self.data[0])

    @property
    def rows(self) -> list[tuple[Any, ...]]:
        """The data by row."""
        return list(zip(*self.data, strict=True))


@flow
async def query(
    api: Api,
    text: str,
    parameters: Sequence[Any] | None = None,
    *,
    max_rows: int = MAX_ROWS,
    allow_truncated: bool = False,
    session: McpSession | None = None,
) -> Rows:
    """Run a query of Logical SQL and return its rows.

    Tool ``execute_logical_sql`` (documented).

    :param text: one SELECT. Columns without an alias get one.
    :param parameters: values for its question marks, in order: texts, numbers, dates, times without zone, None.
    :param max_rows: most rows to return.
    :param allow_truncated: whether to return the first rows if there are more. If not, that is an error.
    :param session: the session to use; by default a new one.
    :raises OACQueryError: if OAC refuses the query, the provider refuses it before it is sent, or there are more rows.
    """
    made = read_statement(text, parameters)
    # One extra row shows whether there are more.
    found = await _run(api, session or McpSession(), made, made.text, max_rows + 1)
    if not found.truncated and len(found) <= max_rows:
        return found
    if not allow_truncated:
        count = min(len(found), max_rows)
        raise OACQueryError(
            f"Could not {made.doing.text}: OAC has more than the first {count} rows. Next step: narrow the query, "
            "raise max_rows, read pages, or set allow_truncated=True."
        )
    return Rows(found.columns, tuple(values[:max_rows] for values in found.data), True)


async def pages(
    api: Api,
    text: str,
    parameters: Sequence[Any] | None = None,
    *,
    page_rows: int | None = MAX_ROWS,
    key: str | None = None,
    max_rows: int = MAX_ROWS,
    session: McpSession | None = None,
) -> AsyncGenerator[Rows, None]:
    """Yield the rows of a query page by page, at least one page: ``async for page in pages(api, …)``.

    Each page is a query. With a key, a page begins after the last key of the previous page, so rows that change
    meanwhile do not shift others. Without a key, a page skips rows with ``OFFSET``. A page may have fewer rows than
    requested, because OAC's own limit is not documented; a page without rows is the end.

    :param text: one SELECT without ``FETCH`` and ``OFFSET``; without a key it needs ORDER BY with columns that identify
        each row.
    :param parameters: values for its question marks, in order.
    :param page_rows: most rows of a page; ``None`` for one page, as :func:`query` returns it.
    :param key: name of a column that has a different value in each row and no NULL: an attribute, not a measure.
    :param max_rows: most rows of the page if ``page_rows`` is ``None``.
    :param session: the session to use; by default a new one.
    :raises OACQueryError: as :func:`query` does; also if the key has NULL, or a value twice.
    """
    if page_rows is None:
        yield await api.run(query(text, parameters, max_rows=max_rows, session=session))
        return
    made, session = read_statement(text, parameters), session or McpSession()
    column = next((one for one in made.columns if key and one.name.casefold() == key.casefold()), None)
    if key and column is None:
        names = ", ".join(one.name for one in made.columns)
        raise made.doing.unsent(f"the key {key} is not one of its columns: {names}", "Add it after SELECT.")
    count, last = 0, None
    while True:
        after = {"offset": count} if column is None else {"condition": "" if last is None else f"> {literal(last)}"}
        page = await _run(api, session, made, made.page(page_rows, key=column, **after), page_rows + 1)
        if column is not None:
            values = page.data[made.columns.index(column)]
            if None in values:
                raise _bad_key(made, column, "NULL")
            if any(map(eq, [last, *values], values)):
                raise _bad_key(made, column, "duplicate values, or a sort order that differs from its comparison")
            last = values[-1] if values else last
        if len(page) or not count:
            yield page
        if not len(page):
            break
        count += len(page)
        api.report(f"Read {count} rows of {', '.join(made.sources)}.")
    # A comparison never matches NULL, wherever NULL is in the order, so this query looks for it.
    if column and len(await _run(api, session, made, made.page(1, key=column, condition="IS NULL"), 1)):
        raise _bad_key(made, column, "NULL")


def _bad_key(made: Statement, key: Column, what: str) -> OACQueryError:
    return OACQueryError(
        f"Could not {made.doing.text} page by page: its key {key.name} has {what}, so rows could be lost. Next step: "
        "choose a key that is unique and never NULL, or leave the key out and order by several columns."
    )


async def _run(api: Api, session: McpSession, made: Statement, text: str, max_rows: int) -> Rows:
    """Send a query and read its result."""
    arguments = {"query": text, "maxRows": max_rows}
    content = await session.tool(api, "execute_logical_sql", arguments, made.doing)
    status = content.get("status")
    if isinstance(status, dict) and status.get("error"):
        raise made.doing.refused(str(status.get("message")))
    batches = content.get("batches")
    if not isinstance(batches, list) or not all(isinstance(batch, dict) for batch in batches):
        raise _unreadable(made, "it has no list of batches")
    records = [record for batch in batches for record in batch.get("data") or ()]
    summary = content.get("summary")
    total = summary.get("totalRecords") if isinstance(summary, dict) else None
    if total is not None and total != len(records):
        raise _unreadable(made, f"it has {len(records)} rows, but reports {total}")
    truncated = bool(batches and batches[-1].get("hasMore")) or len(records) >= max_rows
    data = tuple(_with_moments(values) for values in _by_column(made, records))
    return Rows(tuple(column.name for column in made.columns), data, truncated)


def _by_column(made: Statement, records: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
    """Group the values by column; a column that is NULL may be missing from a row (observed on another channel)."""
    found = set().union(*records)
    returned = {name.casefold(): name for name in found}
    keys = [column.key.casefold() for column in made.columns]
    if len(returned) < len(found) or not returned.keys() <= set(keys):
        raise _unreadable(made, f"it has {len(found)} columns, not the {len(keys)} of the query")
    names = [returned.get(key, key) for key in keys]
    return [[record.get(name) for record in records] for name in names]


def _with_moments(values: list[Any]) -> list[Any]:
    first = next((value for value in values if value is not None), None)
    if not isinstance(first, str) or not _MOMENT.fullmatch(first):
        return values
    try:
        return [value if value is None else datetime.fromisoformat(value) for value in values]
    except (TypeError, ValueError):
        return values


def _unreadable(made: Statement, problem: str) -> OACResponseError:
    return OACResponseError(
        f"Could not {made.doing.text}: the result is invalid: {problem}. Likely cause: OAC changed its MCP server, "
        "which is a preview. Next step: check for a newer version of this provider."
    )


@dataclass(frozen=True)
class FreshData:
    """A source whose newest date a sensor waits for.

    :param sql: a query that returns one row with a date in its first column.
    :param max_age: maximum age of the date, in seconds.
    :param timezone: the time zone of the source: OAC's dates have none.
    """

    sql: str
    max_age: float
    timezone: str = "UTC"

    hint: ClassVar[str] = "Check whether the source was loaded, and its time zone."

    def text(self) -> str:
        """Describe the condition for people."""
        sources = ", ".join(read_statement(self.sql).sources) or "the query"
        return f"A date of {sources}, at most {timedelta(seconds=self.max_age)} old"

    async def poll(self, api: Api, plan: PagePlan = PagePlan()) -> Sighting:
        """Query the date once; a flow.

        :param plan: not used.
        :raises OACConfigurationError: if the value is not a date, or the time zone is unknown.
        """
        found = await api.run(query(self.sql, max_rows=1))
        value: Any = found.data[0][0] if len(found) else None
        if value is None:
            return Sighting(None, f"{self.text()}: the query returned no date.")
        try:
            zone = UTC if self.timezone == "UTC" else ZoneInfo(self.timezone)
        except (ValueError, LookupError):
            raise OACConfigurationError(
                f"There is no time zone {self.timezone!r}. Next step: set timezone to a name such as Europe/Berlin."
            ) from None
        newest = value if isinstance(value, datetime) else None
        with suppress(TypeError, ValueError):
            newest = newest or datetime.fromisoformat(value)
        if newest is None:
            # Raised outside an except block, because that exception contains the value.
            raise OACConfigurationError(
                f"{self.text()}: the first column is not a date. Next step: select one, such as MAX of a date."
            )
        newest = newest if newest.tzinfo else newest.replace(tzinfo=zone)
        fresh = api.now() - newest.timestamp() <= self.max_age
        return Sighting(newest if fresh else None, f"{self.text()}: the newest is {newest.isoformat()}.")
