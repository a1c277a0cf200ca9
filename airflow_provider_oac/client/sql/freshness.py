"""Waiting until the newest date of a source is young enough."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from airflow_provider_oac.client.api import Api, Flow
from airflow_provider_oac.client.paging import PagePlan
from airflow_provider_oac.client.sql.queries import query
from airflow_provider_oac.client.sql.statement import statement
from airflow_provider_oac.exceptions import OACConfigurationError


@dataclass(frozen=True)
class FreshData:
    """What is waited for.

    :param sql: a query whose first column of its one row is a date.
    :param max_age: how old it may be, in seconds.
    :param timezone: the zone of the source: OAC's dates have none.
    """

    sql: str
    max_age: float
    timezone: str = "UTC"

    hint: ClassVar[str] = "Check whether what loads the source has run, and the time zone of the source."

    def text(self) -> str:
        """For people."""
        sources = ", ".join(statement(self.sql).sources) or "the query"
        return f"A date of {sources}, at most {timedelta(seconds=self.max_age)} old"

    def seen(
        self, report: Callable[[str], None] = lambda _line: None, _plan: PagePlan = PagePlan()
    ) -> Flow[datetime | None]:
        """The date, if it is young enough. Flow."""

        async def look(api: Api) -> datetime | None:
            found = await api.run(query(self.sql, max_rows=1))
            newest = self._moment(found.data[0][0]) if len(found) else None
            if newest is None:
                report(f"{self.text()}: there is no date.")
                return None
            report(f"{self.text()}: the newest is {newest.isoformat()}.")
            return newest if api.now() - newest.timestamp() <= self.max_age else None

        return look

    def _moment(self, value: Any) -> datetime | None:
        if isinstance(value, str):
            with suppress(ValueError):
                value = datetime.fromisoformat(value)
        if value is not None and not isinstance(value, datetime):
            raise OACConfigurationError(
                f"{self.text()}: the first column of the query is no date. Select one, such as MAX of a date."
            )
        return value and (value if value.tzinfo else value.replace(tzinfo=self._zone()))

    def _zone(self) -> tzinfo:
        try:
            return UTC if self.timezone == "UTC" else ZoneInfo(self.timezone)
        except (ValueError, KeyError):
            raise OACConfigurationError(
                f"No time zone is called {self.timezone!r}. Give one such as Europe/Berlin."
            ) from None
