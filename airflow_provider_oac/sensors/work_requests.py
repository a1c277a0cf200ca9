"""Sensor for a work request that another task started."""

from __future__ import annotations

import time
from functools import cached_property
from typing import Annotated

from airflow_provider_oac import lazy
from airflow_provider_oac.arguments import Hint, Template
from airflow_provider_oac.exceptions import OACError
from airflow_provider_oac.sensors.base import OACBaseSensor
from airflow_provider_oac.triggers.oac import OACWorkRequestTrigger

_NO_ID = Hint(
    "A task that recovered its work from OAC's lists has no work request to wait for: its result has verified: false."
)


class OACWorkRequestSensor(OACBaseSensor):
    """Waits until a work request succeeds. If the work request fails, the sensor fails at once, with OAC's errors.

    ``timeout``, ``soft_fail``, ``never_fail`` and ``silent_fail`` mean the same in the triggerer as in a worker.

    :param work_request_id: id of the work request, for example
        ``{{ ti.xcom_pull(task_ids='backup')['work_request_id'] }}``.
    :param oac_conn_id: the Airflow Connection of the type ``oac``.
    :param deferrable: whether to wait in the triggerer; by default Airflow's ``[operators] default_deferrable``.
        If not, ``mode`` decides.
    """

    work_request_id: Template[Annotated[str, _NO_ID]]

    def trigger(self, deadline: float) -> OACWorkRequestTrigger:
        """The trigger that waits for the work request."""
        return OACWorkRequestTrigger(
            **self._trigger_arguments(deadline), work_request_id=self.work_request_id, submitted_at=time.time()
        )

    def poll(self) -> bool:
        """Read the state of the work request once."""
        work_request_id, hook = self.work_request_id, lazy.oac.OACHook(self.oac_conn_id)
        try:
            work = hook.run(lazy.work_requests.get(work_request_id))
        except OACError as error:
            self._target.on_error(error, time.time())
            self.log.warning("Work request %s could not be read; trying again: %s", work_request_id, error)
            return False
        percent = "" if work.percent is None else f", {work.percent:.0f} %"
        self.log.info("Work request %s (%s): %s%s.", work.id, work.operation, work.status, percent)
        return self._target.on_result(work, time.time()) is None

    @cached_property
    def _target(self) -> lazy.polling.WorkRequestTarget:
        """The poll target, which all polls of this process share."""
        # With mode="reschedule" every poll runs in a new process, which does not know when the wait began. The polls
        # count as late ones, so an unknown id is an error at once and not only at the timeout.
        target = lazy.polling.WorkRequestTarget(self.work_request_id, started_at=0.0 if self.reschedule else None)
        target.begin(time.time())
        return target
