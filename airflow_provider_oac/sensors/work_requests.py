"""Waiting for a work request that another task started."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_oac._compat import BaseSensorOperator, default_deferrable
from airflow_provider_oac.exceptions import OACConfigurationError, OACError, OACWaitTimeoutError

if TYPE_CHECKING:
    from airflow_provider_oac._compat import Context


class OACWorkRequestSensor(BaseSensorOperator):
    """Waits until a work request succeeds; fails as soon as it fails, with OAC's own errors.

    :param work_request_id: id of the work request, for example
        ``{{ ti.xcom_pull(task_ids='backup')['work_request_id'] }}``.
    :param oac_conn_id: the Airflow Connection of the type ``oac``.
    :param deferrable: whether to wait in the triggerer; by default what the deployment says. If not, ``mode`` decides.
    """

    template_fields: Sequence[str] = ("oac_conn_id", "work_request_id")
    ui_color = "#f3e8e6"

    def __init__(
        self,
        *,
        work_request_id: str,
        oac_conn_id: str = "oac_default",
        deferrable: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.work_request_id = work_request_id
        self.oac_conn_id = oac_conn_id
        self.deferrable = default_deferrable() if deferrable is None else deferrable

    def execute(self, context: Context) -> Any:
        """Wait, in the triggerer or as every sensor does."""
        self._checked_id()
        if not self.deferrable:
            return super().execute(context)
        from airflow_provider_oac.triggers.work_requests import OACWorkRequestTrigger

        now = time.time()
        self.defer(
            trigger=OACWorkRequestTrigger(
                self.oac_conn_id, self._checked_id(), now, now + self.timeout, float(self.poke_interval)
            ),
            method_name="resume",
        )

    def poke(self, context: Context) -> bool:
        """Look once."""
        from airflow_provider_oac.client import work_requests
        from airflow_provider_oac.client.waiting import Poller, WaitPlan
        from airflow_provider_oac.hooks.oac import OACHook

        work = OACHook(self.oac_conn_id).run(work_requests.get(self._checked_id()))
        percent = "" if work.percent is None else f", {work.percent:.0f} %"
        self.log.info("Work request %s (%s): %s%s.", work.id, work.operation, work.status, percent)
        now = time.time()
        return Poller(work.id, now, WaitPlan()).seen(work, now) is None

    def resume(self, context: Context, event: dict[str, Any] | None) -> None:
        """Judge what the triggerer found, by a look of our own."""
        outcome = event.get("outcome") if isinstance(event, dict) else None
        message = event.get("message") if isinstance(event, dict) else None
        if outcome == "timeout":
            raise OACWaitTimeoutError(str(message), work_request_id=self.work_request_id)
        if outcome == "error":
            raise OACError(f"Waiting in the triggerer failed: {message}")
        if outcome != "ended":
            raise OACError(f"The trigger's event is not one of ours: {event!r}.")
        if not self.poke(context):
            raise OACError(f"The trigger saw work request {self.work_request_id} end, but it has not.")

    def _checked_id(self) -> str:
        if not self.work_request_id or self.work_request_id == "None":
            raise OACConfigurationError(
                "work_request_id is empty. If it comes from a task's XCom: that task found its work by its "
                "traces in OAC only, without a work request to wait for (its result says verified: false), or pushed "
                "no result."
            )
        return self.work_request_id
