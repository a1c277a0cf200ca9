"""Waiting for fresh data in the triggerer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_oac.triggers.base import SoughtTrigger

if TYPE_CHECKING:
    from airflow_provider_oac.client.sql.freshness import FreshData


class OACFreshnessTrigger(SoughtTrigger):
    """Waits until the newest date of a source is young enough, or the deadline comes.

    Its parameter ``wanted`` has the members of :class:`airflow_provider_oac.client.sql.freshness.FreshData`.
    """

    imports = ("airflow_provider_oac.client.sql.freshness", "airflow_provider_oac.client.flows.catalog_watch")

    def sought(self) -> FreshData:
        """The date."""
        from airflow_provider_oac.client.sql.freshness import FreshData

        return FreshData(**self.wanted)
