"""Waiting in the triggerer until an instance answers again after a restore."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from airflow_provider_oac.exceptions import OACError
from airflow_provider_oac.triggers.base import OACTrigger

if TYPE_CHECKING:
    from airflow_provider_oac.client.flows.restore import ReadinessTarget


class OACReadyTrigger(OACTrigger):
    """Waits until an instance answers and its search index is ready, or the deadline comes.

    Its event is never an error: the task looks once more, and fails with the error itself.

    :param oac_conn_id: the Airflow Connection.
    :param deadline: when to give up, in seconds since the epoch.
    :param poll_interval: longest pause between two polls, in seconds.
    :param carried: what the event carries to the method that resumes the task.
    """

    imports = ("airflow_provider_oac.client.flows.restore",)
    ends = (OACError,)
    deadline: float

    def __init__(self, oac_conn_id: str, deadline: float, poll_interval: float, carried: dict[str, Any]) -> None:
        super().__init__(oac_conn_id, deadline, poll_interval, carried)

    @property
    def subject(self) -> str:
        """The instance."""
        return "the instance"

    def watch(self, report: Callable[[str], None]) -> ReadinessTarget:
        """The watch of the instance."""
        from airflow_provider_oac.client.flows.restore import ReadinessTarget

        return ReadinessTarget(self.deadline, longest_pause=self.poll_interval, report=report)
