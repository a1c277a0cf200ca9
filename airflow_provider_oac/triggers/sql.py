"""Waiting for fresh data in the triggerer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from airflow_provider_oac.triggers.base import OACTrigger

if TYPE_CHECKING:
    from airflow_provider_oac.client.flows.catalog_watch import CatalogTarget
    from airflow_provider_oac.client.sql.freshness import FreshData


class OACFreshnessTrigger(OACTrigger):
    """Waits until the newest date of a source is young enough, or the deadline comes.

    :param oac_conn_id: the Airflow Connection.
    :param sql: a query whose first column of its one row is a date.
    :param max_age: how old it may be, in seconds.
    :param timezone: the zone of the source.
    :param deadline: when to give up, in seconds since the epoch; ``None`` for never.
    :param poll_interval: pause between two polls, in seconds.
    """

    imports = ("airflow_provider_oac.client.sql.freshness", "airflow_provider_oac.client.flows.catalog_watch")

    def __init__(
        self, oac_conn_id: str, sql: str, max_age: float, timezone: str, deadline: float | None, poll_interval: float
    ) -> None:
        super().__init__(oac_conn_id, deadline, poll_interval)
        self.sql = sql
        self.max_age = max_age
        self.timezone = timezone

    @property
    def subject(self) -> str:
        """The date."""
        return self._wanted().text()

    def watch(self, report: Callable[[str], None]) -> CatalogTarget:
        """What is polled."""
        from airflow_provider_oac.client.flows.catalog_watch import CatalogTarget
        from airflow_provider_oac.client.flows.polling import WaitPlan

        plan = WaitPlan(deadline=self.deadline, longest_pause=self.poll_interval)
        return CatalogTarget(self._wanted(), plan, report=report)

    def _wanted(self) -> FreshData:
        from airflow_provider_oac.client.sql.freshness import FreshData

        return FreshData(self.sql, self.max_age, self.timezone)
