"""Base classes of the sensors, which wait in a worker as every Airflow sensor does, or in the triggerer."""

from __future__ import annotations

import time
from abc import abstractmethod
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_oac import _compat, lazy
from airflow_provider_oac._compat import AirflowSensorTimeout, BaseSensorOperator, Context, PokeReturnValue
from airflow_provider_oac.arguments import Template
from airflow_provider_oac.exceptions import OACError, OACKilledError
from airflow_provider_oac.tasks import CheckedOperator
from airflow_provider_oac.triggers.oac import TRIGGER_GRACE, OACTrigger, _WatchTrigger, outcome_of


class OACBaseSensor(BaseSensorOperator, CheckedOperator):
    """Base class of all sensors for OAC.

    ``timeout``, ``soft_fail``, ``never_fail`` and ``silent_fail`` mean the same in the triggerer as in a worker.

    :param oac_conn_id: the Airflow Connection of the type ``oac``.
    :param deferrable: whether to wait in the triggerer; by default Airflow's ``[operators] default_deferrable``.
        If not, ``mode`` decides.
    """

    oac_conn_id: Template[str] = "oac_default"
    deferrable: bool | None = None
    if TYPE_CHECKING:
        # The arguments of every sensor. Airflow's attributes have other types for the first three.
        max_wait: Any = None
        poke_interval: Any = None
        timeout: Any = None
        exponential_backoff: bool = False
        mode: str = "poke"
        never_fail: bool = False
        silent_fail: bool = False
        soft_fail: bool = False

    ui_color = CheckedOperator.ui_color
    _problem: OACError | None = None

    def __post_init__(self) -> None:
        """Take the deployment's default for ``deferrable``."""
        if self.deferrable is None:
            self.deferrable = _compat.default_deferrable()

    @abstractmethod
    def trigger(self, deadline: float) -> OACTrigger:
        """Make the trigger that waits in place of this sensor.

        :param deadline: when to give up, in seconds since the epoch.
        """

    @abstractmethod
    def poll(self) -> PokeReturnValue | bool:
        """Poll once. A temporary failure of the poll itself counts as "not yet"."""

    def execute(self, context: Context) -> Any:
        """Wait in the triggerer, or in the worker as every sensor does."""
        if self.deferrable and (trigger := self._worth_deferring()) is not None:
            self.defer(
                trigger=trigger, method_name="execute_complete", timeout=timedelta(seconds=self.timeout) + TRIGGER_GRACE
            )
        return super().execute(context)

    def poke(self, context: Context) -> PokeReturnValue | bool:
        """Poll once. Airflow calls this."""
        if problem := self._problem:
            self._problem = None
            raise problem
        return self.poll()

    def execute_complete(self, context: Context, event: dict[str, Any] | None) -> Any:
        """Resume after the wait in the triggerer: poll in the worker, which decides the outcome."""
        try:
            outcome, message = outcome_of(event)
        except OACError as problem:
            # The next poke raises it, so never_fail and silent_fail apply to it as well.
            self._problem = problem
        else:
            if outcome == "timeout":
                raise AirflowSensorTimeout(message)
        return super().execute(context)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume after a deferral. Airflow calls this. If the trigger itself failed, wait in the worker."""
        error = _compat.deferral_error(next_method, next_kwargs)
        if error is None or error.endswith("timeout"):
            return super().resume_execution(next_method, next_kwargs, context)
        self.log.warning("The trigger failed, so this sensor polls in the worker: %s", error)
        return super().execute(context)

    def _trigger_arguments(self, deadline: float) -> dict[str, Any]:
        """The arguments that all triggers take."""
        interval = float(self.poke_interval)
        return {"oac_conn_id": self.oac_conn_id, "deadline": deadline, "poll_interval": interval}

    def _worth_deferring(self) -> OACTrigger | None:
        """The trigger; ``None`` if the wait ends within seconds, or if a poll fails.

        The sensor then polls in the worker, and raises errors where ``never_fail`` and ``silent_fail`` apply to them.
        """
        try:
            trigger, hook = self.trigger(time.time() + self.timeout), lazy.oac.OACHook(self.oac_conn_id)
            return None if lazy.defer_decision.over_soon(hook, trigger.target(lambda _line: None)) else trigger
        except OACKilledError:
            raise
        except Exception as problem:
            # The text of any other error, such as Airflow's for a missing Connection, may contain a secret.
            why = problem if isinstance(problem, OACError) else type(problem).__name__
            self.log.warning("The first poll failed, so this sensor polls in the worker: %s", why)
            return None


class OACWatchingSensor(OACBaseSensor):
    """Base class of the sensors that poll for an item, a snapshot or fresh data."""

    # The trigger that waits in place of this sensor.
    watched_by: ClassVar[type[_WatchTrigger]]

    @abstractmethod
    def wanted(self) -> lazy.catalog_watch.Wanted:
        """The condition to wait for.

        :raises OACConfigurationError: if the arguments cannot work.
        """

    def result(self, item: Any) -> Any:
        """Make the sensor's result from the found item."""

    def trigger(self, deadline: float) -> _WatchTrigger:
        """The trigger that waits."""
        wanted: Any = self.wanted()
        return self.watched_by(**self._trigger_arguments(deadline), wanted=asdict(wanted))

    def poll(self) -> PokeReturnValue:
        """Check the condition once."""
        wanted = self.wanted()
        try:
            sighting = lazy.oac.OACHook(self.oac_conn_id).run(wanted.poll)
        except OACError as error:
            if not lazy.errors.passing(error):
                raise
            self.log.warning("%s could not be read; trying again: %s", wanted.text(), error)
            return PokeReturnValue(False)
        self.log.info("%s", sighting.text)
        found = sighting.item is not None
        return PokeReturnValue(found, self.result(sighting.item) if found else None)
