"""Waiting for a snapshot in the triggerer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from airflow_provider_oac.triggers.base import OACTrigger

if TYPE_CHECKING:
    from airflow_provider_oac.client.flows.catalog_watch import CatalogTarget
    from airflow_provider_oac.client.flows.snapshot_watch import WantedSnapshot


class OACSnapshotTrigger(OACTrigger):
    """Waits until a snapshot is listed, or the newest of a series is young enough, or the deadline comes.

    :param oac_conn_id: the Airflow Connection.
    :param wanted: what is waited for, as
        :meth:`airflow_provider_oac.client.flows.snapshot_watch.WantedSnapshot.record` has it.
    :param deadline: when to give up, in seconds since the epoch; ``None`` for never.
    :param poll_interval: pause between two polls, in seconds.
    """

    imports = ("airflow_provider_oac.client.flows.snapshot_watch", "airflow_provider_oac.client.flows.catalog_watch")

    def __init__(self, oac_conn_id: str, wanted: dict[str, Any], deadline: float | None, poll_interval: float) -> None:
        super().__init__(oac_conn_id, deadline, poll_interval)
        self.wanted = wanted

    @property
    def subject(self) -> str:
        """The snapshot."""
        return self._wanted().text()

    def watch(self, report: Callable[[str], None]) -> CatalogTarget:
        """The watch of the snapshot."""
        from airflow_provider_oac.client.flows.catalog_watch import CatalogTarget
        from airflow_provider_oac.client.flows.polling import WaitPlan

        plan = WaitPlan(deadline=self.deadline, longest_pause=self.poll_interval)
        return CatalogTarget(self._wanted(), plan, report=report)

    def _wanted(self) -> WantedSnapshot:
        from airflow_provider_oac.client.flows.snapshot_watch import WantedSnapshot

        return WantedSnapshot(**self.wanted)
