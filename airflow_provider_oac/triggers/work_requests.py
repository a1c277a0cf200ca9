"""Waiting for a work request in the triggerer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_oac.triggers.base import OACTrigger

if TYPE_CHECKING:
    from airflow_provider_oac.client.flows.polling import WorkRequestTarget


class OACWorkRequestTrigger(OACTrigger):
    """Waits until a work request ends or the deadline comes.

    :param oac_conn_id: the Airflow Connection.
    :param work_request_id: what to wait for.
    :param submitted_at: when it was submitted, in seconds since the epoch.
    :param deadline: when to give up, in seconds since the epoch; ``None`` for never.
    :param poll_interval: longest pause between two polls, in seconds.
    :param carried: what the event carries to the method that resumes the task.
    :param tolerated: HTTP statuses that this very work brings about, to be waited out.
    """

    imports = ("airflow_provider_oac.client.flows.polling",)
    continues = True

    def __init__(
        self,
        oac_conn_id: str,
        work_request_id: str,
        submitted_at: float,
        deadline: float | None,
        poll_interval: float,
        carried: dict[str, Any] | None = None,
        tolerated: Sequence[int] = (),
    ) -> None:
        super().__init__(oac_conn_id, deadline, poll_interval, carried)
        self.work_request_id = work_request_id
        self.submitted_at = submitted_at
        self.tolerated = list(tolerated)

    @property
    def subject(self) -> str:
        """The work request."""
        return f"work request {self.work_request_id}"

    def watch(self, report: Callable[[str], None]) -> WorkRequestTarget:
        """The watch of the work request."""
        from airflow_provider_oac.client.flows.polling import WaitPlan, WorkRequestTarget

        plan = WaitPlan(deadline=self.deadline, longest_pause=self.poll_interval, tolerated=self.tolerated)
        return WorkRequestTarget(self.work_request_id, plan, started_at=self.submitted_at, report=report)
