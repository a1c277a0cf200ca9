"""Waiting for an item of the catalog in the triggerer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from airflow_provider_oac.triggers.base import OACTrigger

if TYPE_CHECKING:
    from airflow_provider_oac.client.flows.catalog_watch import CatalogTarget, Wanted


class OACCatalogItemTrigger(OACTrigger):
    """Waits until an item is there, or was modified since a moment, or the deadline comes.

    :param oac_conn_id: the Airflow Connection.
    :param catalog_type: type of the item.
    :param item_id: its id, encoded.
    :param modified_since: only if it was modified then or later, in ISO 8601; ``None`` if its existence is enough.
    :param deadline: when to give up, in seconds since the epoch; ``None`` for never.
    :param poll_interval: pause between two polls, in seconds.
    """

    imports = ("airflow_provider_oac.client.flows.catalog_watch",)

    def __init__(
        self,
        oac_conn_id: str,
        catalog_type: str,
        item_id: str,
        modified_since: str | None,
        deadline: float | None,
        poll_interval: float,
    ) -> None:
        super().__init__(oac_conn_id, deadline, poll_interval)
        self.catalog_type = catalog_type
        self.item_id = item_id
        self.modified_since = modified_since

    @property
    def subject(self) -> str:
        """The item."""
        return self._wanted().text()

    def watch(self, report: Callable[[str], None]) -> CatalogTarget:
        """The watch of the item."""
        from airflow_provider_oac.client.flows.catalog_watch import CatalogTarget
        from airflow_provider_oac.client.flows.polling import WaitPlan

        plan = WaitPlan(deadline=self.deadline, longest_pause=self.poll_interval)
        return CatalogTarget(self._wanted(), plan, report=report)

    def _wanted(self) -> Wanted:
        from airflow_provider_oac.client.flows.catalog_watch import Wanted

        return Wanted(self.catalog_type, self.item_id, self.modified_since)
