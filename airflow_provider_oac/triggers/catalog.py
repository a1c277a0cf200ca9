"""Waiting for an item of the catalog in the triggerer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_oac.triggers.base import SoughtTrigger

if TYPE_CHECKING:
    from airflow_provider_oac.client.flows.catalog_watch import Wanted


class OACCatalogItemTrigger(SoughtTrigger):
    """Waits until an item is there, or was modified since a moment, or the deadline comes.

    Its parameter ``wanted`` has the members of :class:`airflow_provider_oac.client.flows.catalog_watch.Wanted`.
    """

    imports = ("airflow_provider_oac.client.flows.catalog_watch",)

    def sought(self) -> Wanted:
        """The item."""
        from airflow_provider_oac.client.flows.catalog_watch import Wanted

        return Wanted(**self.wanted)
