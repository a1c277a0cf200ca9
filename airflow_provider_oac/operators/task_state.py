"""What a task remembers from try to try."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_oac import lazy
from airflow_provider_oac._compat import task_state_store
from airflow_provider_oac.exceptions import OACSupersededError
from airflow_provider_oac.records import Record

if TYPE_CHECKING:
    from airflow_provider_oac._compat import Context
    from airflow_provider_oac.client.flows.submit import Attempts

_KEY = "oac_work"
# Which try of the task is the current one.
_CURRENT = "oac_current_try"
# By process: the parent that it had when its try began.
_parents: dict[int, int] = {}


class TaskKey(NamedTuple):
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
    def of(cls, context: Context) -> TaskKey:
        """Read it from a task's context."""
        ti: Any = context["ti"]
        map_index = getattr(ti, "map_index", None)
        map_index = -1 if map_index is None else map_index
        return cls(ti.dag_id, ti.run_id, ti.task_id, map_index, ti.max_tries, ti.try_number)

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


@dataclass(frozen=True)
class TaskRecord(Record):
    """What a logical task remembers. Ids and names only, never a secret.

    :param max_tries: tells the order: it grows with a Clear and not with a retry.
    :param fingerprint: of the order: what decides the outcome, rendered.
    :param sending: whether something may have been sent of which no id is known.
    :param work_request_id: the work that OAC accepted.
    :param submitted_at: when it was submitted, in seconds since the epoch.
    :param facts: a record of the operator's own kind, as JSON.
    :param name: the last name that was used for a snapshot.
    :param failed: names of snapshots that failed or do not count.
    :param exported: what an export has made.
    :param safety: the safety snapshot of a restore, as its result.
    :param safety_of: address of its instance.
    :param way_back: the safety snapshot of a restore that failed, with the address of its instance.
    :param checked: whether the instance was seen to be well after a restore.
    """

    max_tries: int = -1
    fingerprint: str = ""
    sending: bool = False
    work_request_id: str | None = None
    submitted_at: float = 0.0
    facts: dict[str, Any] | None = None
    name: str | None = None
    failed: tuple[str, ...] = ()
    exported: dict[str, Any] = field(default_factory=dict)
    safety: dict[str, Any] | None = None
    safety_of: str | None = None
    way_back: dict[str, Any] | None = None
    checked: bool = False


class TaskState:
    """Keeps what was submitted in Airflow's task state store, where there is one (3.3 and later).

    It outlives a try, a Clear and a lost worker, as XCom does not. Without a store it remembers nothing, and the
    operator goes by what OAC lists.

    :param context: the task's context.
    :param used: ``False`` switches it off.
    :param fingerprint: makes the fingerprint of the order.
    :param interrupted: whether this very try has submitted something of which nothing is known any more.
    """

    def __init__(
        self,
        context: Context,
        used: bool = True,
        fingerprint: Callable[[], str] = lambda: "",
        interrupted: bool = False,
    ) -> None:
        self._store = task_state_store(context) if used else None
        self._used = used
        self._fingerprint = fingerprint
        self.interrupted = interrupted
        self.key = TaskKey.of(context)

    @property
    def available(self) -> bool:
        """Whether there is a store; then an empty record means that nothing was sent."""
        return self._store is not None

    @property
    def _kept(self) -> Any:
        return None if self._store is None else self._store.get(_KEY)

    @property
    def unreadable(self) -> bool:
        """Whether the store holds something that another version of this package has written."""
        return self._kept is not None and TaskRecord.from_json(self._kept) is None

    def recall(self) -> TaskRecord:
        """What is remembered, maybe of an order before the last Clear; an empty record if nothing is."""
        return TaskRecord.from_json(self._kept) or TaskRecord()

    def of_this_order(self) -> TaskRecord:
        """What earlier tries of this very order remembered; an empty record on the first try and after a Clear."""
        record = self.recall()
        return record if record.max_tries == self.key.max_tries else TaskRecord()

    @property
    def repeated(self) -> bool:
        """Whether what is remembered is of this very order, and not of one before a Clear."""
        return self.recall().max_tries == self.key.max_tries

    @property
    def differs(self) -> bool:
        """Whether what is remembered is of an order for something else, before a Clear."""
        return not self.repeated and self.recall().fingerprint != self._fingerprint()

    def suspect(self, retries: int | None = None) -> bool:
        """Whether an earlier try of this order may have sent something of which no id is known.

        :param retries: those of the task, where a search after a Clear would find what was done before it.
        """
        if not self._used:
            return self.interrupted
        if self.available:
            return self.unreadable or self.of_this_order().sending
        later = self.key.try_number > 1 if retries is None else self.key.repeats(retries)
        return later or self.interrupted

    def claim(self) -> None:
        """Make this try the current one. An earlier try whose process is still alive sends nothing from now on."""
        _parents.setdefault(os.getpid(), os.getppid())
        if self._store is not None:
            self._store.set(_CURRENT, {"try_number": self.key.try_number})

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
            current = claim == {"try_number": self.key.try_number}
        if not current:
            raise OACSupersededError(
                f"Try {self.key.try_number} of task {self.key.task_id!r} sends nothing any more: {why}. "
                "Another try could send the same. Next step: see the log of the latest try."
            )

    def attempts(self, intent: Callable[[Any], dict[str, Any]] = lambda _clue: {}) -> Attempts:
        """What this task does around the attempts to send a request.

        :param intent: what to remember before an attempt, by its clue.
        """
        before = self._kept

        def remember(clue: Any) -> None:
            self.remember(sending=True, work_request_id=None, **intent(clue))

        def take_back() -> None:
            if self._store is not None:
                self._store.set(_KEY, TaskRecord().to_json() if before is None else before)

        return lazy.submit.Attempts(remember, take_back, self.check_current)

    def remember(self, **changes: Any) -> None:
        """Keep facts, beside what is remembered of this order; what was of a former order goes.

        :param changes: members of the record.
        """
        if self._store is not None:
            record = self.of_this_order()
            # A retry attaches to what was ordered first, whatever its templates render to.
            fingerprint = record.fingerprint or self._fingerprint()
            record = replace(record, max_tries=self.key.max_tries, fingerprint=fingerprint, **changes)
            self._store.set(_KEY, record.to_json())
