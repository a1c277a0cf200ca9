"""Waiting, in the triggerer, for a job that is known by the job history only."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import TriggerEvent

from airflow_provider_oac.triggers.base import OACTrigger
from airflow_provider_oac.triggers.work_requests import goes_on, outcome_event

if TYPE_CHECKING:
    from airflow_provider_oac.client.waiting import Watch


class OACJobTrigger(OACTrigger):
    """Waits until a job ends or the deadline comes. Carries ids only, never a secret.

    Its one event is that of :class:`~airflow_provider_oac.triggers.work_requests.OACWorkRequestTrigger`, with the id
    of the job in place of that of a work request.

    :param oac_conn_id: the Airflow Connection.
    :param kind: type in the catalog of what runs, such as ``datasets``.
    :param noun: the same for messages, such as ``dataset``.
    :param object_id: its id, encoded.
    :param job_id: what to wait for.
    :param submitted_at: since when it is waited for, in seconds since the epoch.
    :param deadline: when to give up, in seconds since the epoch; ``None`` for never.
    :param poll_interval: most seconds between two looks.
    :param carried: what the event shall carry, as ``carried``, to the method that goes on; JSON without secrets.
    """

    imports = ("airflow_provider_oac.client.running",)

    def __init__(
        self,
        oac_conn_id: str,
        kind: str,
        noun: str,
        object_id: str,
        job_id: str,
        submitted_at: float,
        deadline: float | None,
        poll_interval: float,
        carried: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(oac_conn_id)
        self.kind = kind
        self.noun = noun
        self.object_id = object_id
        self.job_id = job_id
        self.submitted_at = submitted_at
        self.deadline = deadline
        self.poll_interval = poll_interval
        self.carried = carried

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, for the database."""
        return (
            "airflow_provider_oac.triggers.jobs.OACJobTrigger",
            {
                "oac_conn_id": self.oac_conn_id,
                "kind": self.kind,
                "noun": self.noun,
                "object_id": self.object_id,
                "job_id": self.job_id,
                "submitted_at": self.submitted_at,
                "deadline": self.deadline,
                "poll_interval": self.poll_interval,
                "carried": self.carried,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then yield the one event."""
        yield await outcome_event(self, self.job_id, self.carried, "Job")

    def watch(self) -> Watch[Any]:
        """The watch of the job."""
        from airflow_provider_oac.client.jobs import Runnable
        from airflow_provider_oac.client.running import job_watch
        from airflow_provider_oac.client.waiting import WaitPlan

        of = Runnable(self.kind, self.noun, self.object_id)
        plan = WaitPlan(deadline=self.deadline, longest_pause=self.poll_interval)
        return job_watch(of, self.job_id, plan, started_at=self.submitted_at, report=self.report)

    async def on_kill(self) -> None:
        """Somebody ended or cleared the task (Airflow 3.3 and later): say what goes on, and ask nobody."""
        self.log.warning("The task was ended. %s", goes_on(f"Job {self.job_id}"))
