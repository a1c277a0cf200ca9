"""Waiting for a work request that another task started."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Unpack

from airflow_provider_oac._compat import AirflowSensorTimeout, BaseSensorOperator, default_deferrable
from airflow_provider_oac.arguments import Hint
from airflow_provider_oac.exceptions import OACError
from airflow_provider_oac.tasks import CheckedOperator, SensorArguments

if TYPE_CHECKING:
    from airflow_provider_oac._compat import Context
    from airflow_provider_oac.client.waiting import Poller


_NO_ID = Hint(
    "A task that recovered its work from OAC's lists has no work request to wait for: its result has verified: false."
)


class OACWorkRequestSensor(CheckedOperator, BaseSensorOperator):
    """Waits until a work request succeeds; fails as soon as it fails, with OAC's own errors.

    ``timeout``, ``soft_fail``, ``never_fail`` and ``silent_fail`` mean the same in the triggerer as in a worker.

    :param work_request_id: id of the work request, for example
        ``{{ ti.xcom_pull(task_ids='backup')['work_request_id'] }}``.
    :param oac_conn_id: the Airflow Connection of the type ``oac``.
    :param deferrable: whether to wait in the triggerer; by default what the deployment says. If not, ``mode`` decides.
    """

    template_fields: Sequence[str] = ("oac_conn_id", "work_request_id")
    _problem: OACError | None = None

    def __init__(
        self,
        *,
        work_request_id: Annotated[str, _NO_ID],
        oac_conn_id: str = "oac_default",
        deferrable: bool | None = None,
        **kwargs: Unpack[SensorArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.work_request_id = work_request_id
        self.oac_conn_id = oac_conn_id
        self.deferrable = default_deferrable() if deferrable is None else deferrable

    def execute(self, context: Context) -> Any:
        """Wait, in the triggerer or as every sensor does."""
        if not self.deferrable:
            return super().execute(context)
        from airflow_provider_oac.client.waiting import WaitPlan, WorkWatch
        from airflow_provider_oac.hooks.deferring import needs_no_trigger
        from airflow_provider_oac.triggers.work_requests import OACWorkRequestTrigger

        now = time.time()
        plan = WaitPlan(deadline=now + self.timeout, longest_pause=float(self.poke_interval))
        if needs_no_trigger(self.oac_conn_id, lambda: WorkWatch(self.work_request_id, plan, started_at=now)):
            return super().execute(context)
        self.defer(
            trigger=OACWorkRequestTrigger(
                self.oac_conn_id, self.work_request_id, now, now + self.timeout, float(self.poke_interval)
            ),
            method_name="resume",
        )

    def poke(self, context: Context) -> bool:
        """Look once. A passing failure of the look itself counts as "not yet"."""
        if problem := self._problem:
            self._problem = None
            raise problem
        from airflow_provider_oac.client import work_requests
        from airflow_provider_oac.hooks.oac import OACHook

        work_request_id, hook = self.work_request_id, OACHook(self.oac_conn_id)
        try:
            work = hook.run(work_requests.get(work_request_id))
        except OACError as error:
            self._poller.troubled(error, time.time())
            self.log.warning("Work request %s could not be read; trying again: %s", work_request_id, error)
            return False
        percent = "" if work.percent is None else f", {work.percent:.0f} %"
        self.log.info("Work request %s (%s): %s%s.", work.id, work.operation, work.status, percent)
        return self._poller.seen(work, time.time()) is None

    def resume(self, context: Context, event: dict[str, Any] | None) -> Any:
        """Go on after the triggerer waited: look as every sensor does, which judges what there is."""
        from airflow_provider_oac.triggers.work_requests import outcome_of

        try:
            outcome, message = outcome_of(event)
        except OACError as problem:
            # Raised where a look raises, so that never_fail and silent_fail apply to it as well.
            self._problem = problem
        else:
            if outcome == "timeout":
                raise AirflowSensorTimeout(message)
        return super().execute(context)

    @cached_property
    def _poller(self) -> Poller:
        """The rules of waiting, for all looks of this process."""
        from airflow_provider_oac.client.waiting import Poller, WaitPlan

        # With mode="reschedule" every look is a process of its own, and none knows when the first one was. They count
        # as late ones, so that an id that OAC does not know is an error and not waited for until the timeout.
        return Poller(self.work_request_id, 0.0 if self.reschedule else time.time(), WaitPlan())
