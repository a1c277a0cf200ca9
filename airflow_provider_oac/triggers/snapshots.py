"""Waiting for a snapshot in the triggerer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_oac.triggers.base import SoughtTrigger

if TYPE_CHECKING:
    from airflow_provider_oac.client.flows.snapshot_watch import WantedSnapshot


class OACSnapshotTrigger(SoughtTrigger):
    """Waits until a snapshot is listed, or the newest of a series is young enough, or the deadline comes.

    Its parameter ``wanted`` has the members of
    :class:`airflow_provider_oac.client.flows.snapshot_watch.WantedSnapshot`.
    """

    imports = ("airflow_provider_oac.client.flows.snapshot_watch", "airflow_provider_oac.client.flows.catalog_watch")

    def sought(self) -> WantedSnapshot:
        """The snapshot."""
        from airflow_provider_oac.client.flows.snapshot_watch import WantedSnapshot

        return WantedSnapshot(**self.wanted)
