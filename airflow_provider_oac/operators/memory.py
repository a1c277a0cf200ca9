"""What a task remembers from try to try."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_oac._compat import task_state_store
from airflow_provider_oac.exceptions import OACSupersededError

if TYPE_CHECKING:
    from airflow_provider_oac._compat import Context
    from airflow_provider_oac.client.submit import Attempts

_KEY = "oac_work"
# Which try of the task is the current one.
_CURRENT = "oac_current_try"
# By process: the parent that it had when its try began.
_parents: dict[int, int] = {}


class Identity(NamedTuple):
    """Who a task instance is.

    :param max_tries: grows with a Clear and not with a retry, so it tells a repetition from a new order.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    max_tries: int
    try_number: int

    @classmethod
    def of(cls, context: Context) -> Identity:
        """Read it from a task's context."""
        ti: Any = context["ti"]
        map_index = getattr(ti, "map_index", -1)
        return cls(
            dag_id=ti.dag_id,
            run_id=ti.run_id,
            task_id=ti.task_id,
            map_index=-1 if map_index is None else map_index,
            max_tries=ti.max_tries,
            try_number=ti.try_number,
        )

    def repeats(self, retries: int) -> bool:
        """Whether this is a retry, and not the first try of an order: after a Clear, tries are counted on.

        :param retries: those of the task. A Clear sets ``max_tries`` to the last try's number plus these.
        """
        return self.try_number > self.first_try(retries)

    def first_try(self, retries: int) -> int:
        """Number of the first try of this order.

        :param retries: those of the task.
        """
        return self.max_tries - retries + 1


class TaskMemory:
    """Keeps what was submitted in Airflow's task state store, where there is one (3.3 and later).

    It outlives a try, a Clear and a lost worker, as XCom does not. Without a store it remembers nothing, and the
    operator goes by what OAC lists. A record holds ids and names only, never a secret.

    :param context: the task's context.
    :param used: ``False`` switches it off.
    """

    def __init__(self, context: Context, used: bool = True) -> None:
        self._store = task_state_store(context) if used else None
        self.identity = Identity.of(context)

    @property
    def available(self) -> bool:
        """Whether there is a store, so that remembering nothing means that there was nothing."""
        return self._store is not None

    def recall(self) -> dict[str, Any]:
        """What is remembered, maybe of an order before the last Clear; empty if nothing is."""
        record = self._store.get(_KEY) if self._store is not None else None
        return record if isinstance(record, dict) else {}

    def of_this_order(self) -> dict[str, Any]:
        """What earlier tries of this very order remembered; empty on the first try and after a Clear."""
        record = self.recall()
        return record if record.get("max_tries") == self.identity.max_tries else {}

    def claim(self) -> None:
        """Make this try the current one. An earlier try whose process is still alive sends nothing from now on."""
        _parents.setdefault(os.getpid(), os.getppid())
        if self._store is not None:
            self._store.set(_CURRENT, {"try_number": self.identity.try_number})

    def check_current(self) -> None:
        """Make sure that this still is the current try.

        :raises OACSupersededError: if it is not, or if that cannot be found out.
        """
        if self._store is None:
            # Before Airflow 3.3 nothing is kept from try to try. But a try whose supervisor is gone is replaced.
            parent = _parents.setdefault(os.getpid(), os.getppid())
            current, why = os.getppid() == parent, f"the process that supervised it ({parent}) is gone"
        else:
            try:
                claim = self._store.get(_CURRENT)
            # Whatever Airflow raises when the supervisor is gone.
            except Exception as error:
                claim, why = None, f"Airflow cannot be asked which try is the current one ({error})"
            else:
                why = f"another try has taken over ({claim})"
            current = claim == {"try_number": self.identity.try_number}
        if not current:
            raise OACSupersededError(
                f"Try {self.identity.try_number} of task {self.identity.task_id!r} sends nothing any more: {why}. "
                "Another try could send the same. Next step: see the log of the latest try."
            )

    def attempts(self, intent: Callable[[Any], dict[str, Any]]) -> Attempts:
        """What this task does around the attempts to send a request.

        :param intent: the facts to remember before an attempt, by its clue.
        """
        from airflow_provider_oac.client.submit import Attempts

        before = self.recall()

        def take_back() -> None:
            if self._store is not None:
                self._store.set(_KEY, before)

        return Attempts(lambda clue: self.remember(**intent(clue)), take_back, self.check_current)

    def remember(self, **facts: Any) -> None:
        """Keep facts, beside what is remembered of this order; what was of a former order goes."""
        if self._store is not None:
            self._store.set(_KEY, {**self.of_this_order(), **facts, "max_tries": self.identity.max_tries})
