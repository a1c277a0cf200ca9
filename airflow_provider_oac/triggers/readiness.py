"""Waiting in the triggerer until an instance answers again after a restore."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import TriggerEvent

from airflow_provider_oac.exceptions import OACError, OACWaitTimeoutError
from airflow_provider_oac.triggers.base import OACTrigger

if TYPE_CHECKING:
    from airflow_provider_oac.client.restoring import ReadyWatch


class OACReadyTrigger(OACTrigger):
    """Waits until an instance answers and its search index is ready, or the deadline comes.

    Its one event has the form of that of :class:`~airflow_provider_oac.triggers.work_requests.OACWorkRequestTrigger`,
    without a work request. Who gets it looks again and judges.

    :param oac_conn_id: the Airflow Connection.
    :param deadline: when to give up, in seconds since the epoch.
    :param poll_interval: most seconds between two looks.
    :param carried: what the event shall carry, as ``carried``, to the method that goes on; JSON without secrets.
    """

    imports = ("airflow_provider_oac.client.restoring",)

    def __init__(self, oac_conn_id: str, deadline: float, poll_interval: float, carried: dict[str, Any]) -> None:
        super().__init__(oac_conn_id)
        self.deadline = deadline
        self.poll_interval = poll_interval
        self.carried = carried

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, for the database."""
        return (
            "airflow_provider_oac.triggers.readiness.OACReadyTrigger",
            {
                "oac_conn_id": self.oac_conn_id,
                "deadline": self.deadline,
                "poll_interval": self.poll_interval,
                "carried": self.carried,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then yield the one event."""
        outcome, message = "ended", ""
        try:
            await self.begun()
            await self.ended()
        except OACWaitTimeoutError as error:
            outcome, message = "timeout", str(error)
        except OACError as error:
            # Whoever goes on looks once more, and fails with the error itself.
            message = str(error)
        yield TriggerEvent(  # type: ignore[no-untyped-call]
            {"outcome": outcome, "message": message, "carried": self.carried}
        )

    def watch(self) -> ReadyWatch:
        """The watch of the instance."""
        from airflow_provider_oac.client.restoring import ReadyWatch

        return ReadyWatch(self.deadline, longest_pause=self.poll_interval, report=self.report)
