"""Waiting, in the triggerer, for a job that is known by the job history only."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from airflow_provider_oac.triggers.base import OACTrigger

if TYPE_CHECKING:
    from airflow_provider_oac.client.flows.polling import WorkRequestTarget


class OACJobTrigger(OACTrigger):
    """Waits until a job ends or the deadline comes.

    :param oac_conn_id: the Airflow Connection.
    :param kind: type in the catalog of what runs, such as ``datasets``.
    :param noun: the same for messages, such as ``dataset``.
    :param object_id: its id, encoded.
    :param job_id: what to wait for.
    :param submitted_at: since when it is waited for, in seconds since the epoch.
    :param deadline: when to give up, in seconds since the epoch; ``None`` for never.
    :param poll_interval: longest pause between two polls, in seconds.
    :param carried: what the event carries to the method that resumes the task.
    """

    imports = ("airflow_provider_oac.client.flows.start_run",)
    continues = True

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
        super().__init__(oac_conn_id, deadline, poll_interval, carried)
        self.kind = kind
        self.noun = noun
        self.object_id = object_id
        self.job_id = job_id
        self.submitted_at = submitted_at

    @property
    def subject(self) -> str:
        """The job."""
        return f"job {self.job_id}"

    def watch(self, report: Callable[[str], None]) -> WorkRequestTarget:
        """The watch of the job."""
        from airflow_provider_oac.client.flows.polling import WaitPlan
        from airflow_provider_oac.client.flows.start_run import job_watch
        from airflow_provider_oac.client.rest.jobs import Runnable

        of = Runnable(self.kind, self.noun, self.object_id)
        plan = WaitPlan(deadline=self.deadline, longest_pause=self.poll_interval)
        return job_watch(of, self.job_id, plan, started_at=self.submitted_at, report=report)
