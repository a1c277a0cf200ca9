"""Waiting in the triggerer until an instance answers again after a restore."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_oac.exceptions import OACError, OACWaitTimeoutError

# Seconds before the first look. The task has just looked itself, and Airflow's scheduler fails a task whose trigger
# fires before it has noticed the deferral.
_FIRST_PAUSE = 5.0


class OACReadyTrigger(BaseTrigger):
    """Waits until an instance answers and its search index is ready, or the deadline comes.

    Its one event has the form of that of :class:`~airflow_provider_oac.triggers.work_requests.OACWorkRequestTrigger`,
    without a work request. Who gets it looks again and judges.

    :param oac_conn_id: the Airflow Connection.
    :param deadline: when to give up, in seconds since the epoch.
    :param poll_interval: most seconds between two looks.
    :param carried: what the event shall carry, as ``carried``, to the method that goes on; JSON without secrets.
    """

    def __init__(self, oac_conn_id: str, deadline: float, poll_interval: float, carried: dict[str, Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.oac_conn_id = oac_conn_id
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
        from airflow_provider_oac.client.restoring import ready_again
        from airflow_provider_oac.hooks.oac import OACHook

        pause = min(_FIRST_PAUSE, self.poll_interval)
        flow = ready_again(self.deadline, longest_pause=self.poll_interval, first_pause=pause, report=self.log.info)
        outcome, message = "ended", ""
        try:
            await OACHook(self.oac_conn_id).arun(flow)
        except OACWaitTimeoutError as error:
            outcome, message = "timeout", str(error)
        except OACError as error:
            # Whoever goes on looks once more, and fails with the error itself.
            message = str(error)
        yield TriggerEvent(  # type: ignore[no-untyped-call]
            {"outcome": outcome, "message": message, "carried": self.carried}
        )
