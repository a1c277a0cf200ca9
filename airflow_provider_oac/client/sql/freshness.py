"""Wait until the newest date of a source is recent enough."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from airflow_provider_oac.client.api import Api
from airflow_provider_oac.client.flows.catalog_watch import Sighting
from airflow_provider_oac.client.paging import PagePlan
from airflow_provider_oac.client.sql.queries import query
from airflow_provider_oac.client.sql.statement import read_statement
from airflow_provider_oac.exceptions import OACConfigurationError


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

    hint: ClassVar[str] = "Check whether what loads the source has run, and the time zone of the source."

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
            return Sighting(None, f"{self.text()}: there is no date.")
        try:
            newest = value if isinstance(value, datetime) else datetime.fromisoformat(value)
            newest = newest if newest.tzinfo else newest.replace(tzinfo=_zone(self.timezone))
        except (TypeError, ValueError):
            raise OACConfigurationError(
                f"{self.text()}: the first column of the query is no date. Select one, such as MAX of a date."
            ) from None
        fresh = api.now() - newest.timestamp() <= self.max_age
        return Sighting(newest if fresh else None, f"{self.text()}: the newest is {newest.isoformat()}.")


def _zone(name: str) -> tzinfo:
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (ValueError, LookupError):
        raise OACConfigurationError(f"No time zone is called {name!r}. Give one such as Europe/Berlin.") from None
