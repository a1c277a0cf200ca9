"""The state that a task keeps from one try to the next."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeAlias

from airflow_provider_oac import lazy
from airflow_provider_oac._compat import Context, task_state_store
from airflow_provider_oac.exceptions import OACSupersededError
from airflow_provider_oac.records import Record

_KEY = "oac_work"
# Key of the number of the current try.
_CURRENT = "oac_current_try"
# Process id to the id of its parent when its try began.
_parents: dict[int, int] = {}


class TaskKey(NamedTuple):
    """Identifies a task instance.

    :param max_tries: identifies the order: it grows with a Clear, and not with a retry.
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
        """Whether this is a retry and not the first try of an order. Airflow continues to count tries after a Clear.

        :param retries: the task's ``retries``. A Clear sets ``max_tries`` to the number of the last try plus these.
        """
        return self.try_number > self.first_try(retries)

    def first_try(self, retries: int) -> int:
        """Number of the first try of this order.

        :param retries: the task's ``retries``.
        """
        return self.max_tries - retries + 1


@dataclass(frozen=True)
class TaskRecord(Record):
    """The stored state of a task: ids and names only, never a secret.

    :param max_tries: identifies the order: it grows with a Clear, and not with a retry.
    :param fingerprint: digest of the order: the instance and the rendered template fields.
    :param sending: whether a request may have been sent whose id is unknown.
    :param work_request_id: the work that OAC accepted.
    :param submitted_at: when it was submitted, in seconds since the epoch.
    :param facts: the operator's own record, as JSON.
    :param name: the last name that was used for a snapshot.
    :param failed: names of snapshots that failed or do not count.
    :param exported: the files that an export has made.
    :param safety: the safety snapshot of a restore, as its result.
    :param safety_of: address of the instance of ``safety``.
    :param way_back: the safety snapshot of a restore that failed, with the address of its instance.
    :param checked: whether the task saw the instance ready after a restore.
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


@dataclass(frozen=True)
class NoFacts(Record):
    """No facts: the operator completes this work without any."""


class Started(NamedTuple):
    """Work that OAC has accepted.

    :param work_request_id: id of its work request; ``None`` if only traces of the work were found in OAC.
    :param submitted_at: when it was submitted, in seconds since the epoch.
    :param facts: what the operator needs to complete the work. Templates may render differently at that time.
    """

    work_request_id: str | None
    submitted_at: float
    facts: Any

    def record(self) -> dict[str, Any]:
        """The members that a :class:`TaskRecord` or :class:`Deferred` stores."""
        return {**self._asdict(), "facts": self.facts.to_json()}


Succeeded: TypeAlias = "lazy.work_requests.WorkRequest | None"
"""The work request of work that succeeded; ``None`` if the task does not wait, or if OAC shows only traces of it."""


@dataclass(frozen=True)
class Deferred(Record):
    """The state that a trigger carries for the task during a deferral.

    :param deadline: when the wait ends, in seconds since the epoch.
    :param latest: when ``execution_timeout`` ends the try, in seconds since the epoch; ``None`` for never.
    """

    work_request_id: str | None
    submitted_at: float
    facts: dict[str, Any]
    deadline: float
    latest: float | None


class TaskState:
    """Records in Airflow's task state store (3.3 and later) what the task submitted.

    Unlike XCom, the store survives a retry, a Clear and a lost worker. Without a store nothing is recorded, and the
    operator searches OAC's lists instead.

    :param context: the task's context.
    :param used: ``False`` switches the store off.
    :param fingerprint: makes the fingerprint of the order.
    :param interrupted: whether this try itself may have submitted something and lost track of it.
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
        """Whether there is a store. If so, an empty record means that nothing was sent."""
        return self._store is not None

    @property
    def _stored(self) -> Any:
        return None if self._store is None else self._store.get(_KEY)

    @property
    def unreadable(self) -> bool:
        """Whether the store holds a record that another version of this package wrote."""
        return self._stored is not None and TaskRecord.from_json(self._stored) is None

    def recall(self) -> TaskRecord:
        """The stored record, possibly of an order before the last Clear; an empty record if there is none."""
        return TaskRecord.from_json(self._stored) or TaskRecord()

    def of_this_order(self) -> TaskRecord:
        """The record of this order; an empty one on the first try and after a Clear."""
        record = self.recall()
        return record if record.max_tries == self.key.max_tries else TaskRecord()

    @property
    def repeated(self) -> bool:
        """Whether the stored record belongs to this order, and not to one before a Clear."""
        return self.recall().max_tries == self.key.max_tries

    @property
    def differs(self) -> bool:
        """Whether the stored record belongs to an order before a Clear whose fingerprint differs from this one's."""
        return not self.repeated and self.recall().fingerprint != self._fingerprint()

    def suspect(self, retries: int | None = None) -> bool:
        """Whether an earlier try of this order may have sent a request whose id is unknown.

        :param retries: the task's ``retries``; give it where a search after a Clear would find the work from before it.
        """
        if not self._used:
            return self.interrupted
        if self.available:
            return self.unreadable or self.of_this_order().sending
        later = self.key.try_number > 1 if retries is None else self.key.repeats(retries)
        return later or self.interrupted

    @property
    def _claim(self) -> dict[str, int]:
        return {"try_number": self.key.try_number}

    def _write(self, record: dict[str, Any]) -> None:
        """Store a record, unless another try has taken over: it must not lose what that one started."""
        if self._store is not None and self._store.get(_CURRENT) in (None, self._claim):
            self._store.set(_KEY, record)

    def claim(self) -> None:
        """Make this try the current one. An earlier try whose process is still alive then sends nothing more.

        :raises OACSupersededError: if a later try has begun, because this one froze before it came here.
        """
        _parents.setdefault(os.getpid(), os.getppid())
        if self._store is not None:
            claim = self._store.get(_CURRENT)
            if isinstance(claim, dict) and claim.get("try_number", 0) > self.key.try_number:
                raise self._superseded(f"another try has taken over ({claim})")
            self._store.set(_CURRENT, self._claim)

    def check_current(self) -> None:
        """Check that this is still the current try.

        :raises OACSupersededError: if it is not, or if Airflow cannot be asked.
        """
        if self._store is None:
            # Airflow before 3.3 has no store. But if the supervisor is gone, Airflow replaces this try with another.
            parent = _parents.setdefault(os.getpid(), os.getppid())
            current, why = os.getppid() == parent, f"the process that supervised it ({parent}) is gone"
        else:
            try:
                claim = self._store.get(_CURRENT)
            # Airflow raises various errors when the supervisor is gone.
            except Exception as error:
                claim, why = None, f"Airflow does not say which try is the current one ({error})"
            else:
                why = f"another try has taken over ({claim})"
            current = claim == self._claim
        if not current:
            raise self._superseded(why)

    def _superseded(self, why: str) -> OACSupersededError:
        return OACSupersededError(
            f"Try {self.key.try_number} of task {self.key.task_id!r} sends nothing more: {why}, so another try may "
            "send the same. Next step: read the log of the latest try."
        )

    def attempts(self, intent: Callable[[Any], dict[str, Any]] = lambda _clue: {}) -> lazy.submit.Attempts:
        """The callbacks of this task before and after each attempt to send a request.

        :param intent: makes the members to record from the attempt's clue, which helps a retry to find the work.
        """
        before = self._stored

        def remember(clue: Any) -> None:
            self.remember(sending=True, work_request_id=None, **intent(clue))

        def take_back() -> None:
            self._write(TaskRecord().to_json() if before is None else before)

        return lazy.submit.Attempts(remember, take_back, self.check_current)

    def remember(self, **changes: Any) -> None:
        """Change members of the stored record. Members of an earlier order are dropped.

        Does nothing if another try has taken over.

        :param changes: members of the record.
        """
        if self._store is not None:
            record = self.of_this_order()
            # A retry reattaches to the first try's work, even if its templates render to something else.
            fingerprint = record.fingerprint or self._fingerprint()
            record = replace(record, max_tries=self.key.max_tries, fingerprint=fingerprint, **changes)
            self._write(record.to_json())
