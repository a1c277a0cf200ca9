"""How long the work of a task took in earlier runs, so that it is looked at when it should be done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_oac._compat import newest_xcom

if TYPE_CHECKING:
    from airflow_provider_oac._compat import Context
    from airflow_provider_oac.operators.base import Started

KEY = "oac_seconds"
# As many runs as a forecast needs; each run hands them on to the next.
_RUNS = 10


class History:
    """The seconds that the last runs took, the newest first, in the XCom ``oac_seconds`` of the task.

    Each run writes its own and those before it, so that one reading of the newest XCom brings them all. It is a
    convenience: where it cannot be read or written, the log says so and the task goes on.

    :param context: the task's context.
    :param task_id: the task.
    :param log: the task's log.
    """

    def __init__(self, context: Context, task_id: str, log: Any) -> None:
        self.ti: Any = context["ti"]
        self._task_id = task_id
        self._log = log
        self._read: dict[str, list[float]] | None = None

    def of(self, started: Started) -> list[float]:
        """What earlier runs of this work took; empty if nobody knows."""
        return self._all().get(_kind(started), [])

    def add(self, started: Started, seconds: float | None) -> None:
        """Keep what this run took.

        :param seconds: by OAC's own clock; ``None`` if OAC does not tell.
        """
        if seconds is None:
            return
        everything = {**self._all(), _kind(started): [round(seconds, 1), *self.of(started)][:_RUNS]}
        self._read = everything
        try:
            self.ti.xcom_push(key=KEY, value=everything)
        except Exception as problem:
            # Whatever Airflow raises: the work is done, and this is no reason to fail.
            self._log.info("Could not store the duration of this run for later runs: %s", problem)

    def _all(self) -> dict[str, list[float]]:
        if self._read is None:
            try:
                found = newest_xcom(self.ti, self._task_id, KEY)
            except Exception as problem:
                self._log.info("Could not read the durations of earlier runs: %s", problem)
                found = None
            self._read = {}
            if isinstance(found, dict):
                self._read = {str(kind): _numbers(values) for kind, values in found.items()}
        return self._read


def _kind(started: Started) -> str:
    """Of an operator that does several things one after the other, which one."""
    return str(started.facts.get("work") or "work")


def _numbers(values: Any) -> list[float]:
    found = values if isinstance(values, list) else []
    return [float(value) for value in found if isinstance(value, int | float) and value >= 0][:_RUNS]
