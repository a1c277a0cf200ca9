"""Triggers, which wait in the triggerer and fire one event each."""

from __future__ import annotations

import asyncio
import random
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from typing import Any, ClassVar, Literal

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_oac import lazy
from airflow_provider_oac.exceptions import OACError, OACWaitTimeoutError, OACWorkRequestError
from airflow_provider_oac.plain_text import plain

# A trigger first waits this long. If it fires before Airflow's scheduler has noticed the deferral, which takes about a
# second, the scheduler fails the task ("finished with state success, but the task instance's state attribute is
# queued"). The worker has just polled, so a later first poll loses nothing.
QUIET_SECONDS = 5.0
# A trigger ends by itself at its deadline. If no triggerer runs it, Airflow ends the task this much later.
TRIGGER_GRACE = timedelta(minutes=5)


@dataclass(kw_only=True, eq=False, repr=False)
class OACTrigger(BaseTrigger):
    """Base class of the triggers. All triggers of one Connection on an event loop share a poller.

    A trigger fires one event, ``{"outcome": "ended" | "timeout" | "error", "message": …, "carried": …}``: *ended* when
    the work has ended in any state (the task reads the state once more and decides), *timeout* at the deadline,
    *error* if the wait failed.

    The fields of a subclass are its arguments, which Airflow stores in its database as JSON. They contain ids only,
    never a secret.

    :param oac_conn_id: the Airflow Connection.
    :param deadline: when to give up, in seconds since the epoch; ``None`` for never.
    :param poll_interval: longest pause between two polls, in seconds.
    :param carried: state that the event carries to the method that resumes the task.
    """

    # Modules of `lazy` that the poll target needs besides `polling`. The trigger imports them in a thread.
    imports: ClassVar[tuple[str, ...]] = ()
    # Errors that end the wait with the outcome "ended": the task raises them itself when it reads the state.
    ends: ClassVar[tuple[type[OACError], ...]] = (OACWorkRequestError,)
    # Whether work continues in OAC if the wait ends early.
    continues: ClassVar[bool] = False

    oac_conn_id: str
    deadline: float | None
    poll_interval: float
    carried: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    @property
    @abstractmethod
    def subject(self) -> str:
        """What the trigger waits for, in messages."""

    @abstractmethod
    def target(self, report: Callable[[str], None]) -> lazy.polling.PollTarget[Any]:
        """Make the poll target.

        :param report: called with each log line.
        """

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, for the database."""
        kind = type(self)
        return f"{kind.__module__}.{kind.__qualname__}", {item.name: getattr(self, item.name) for item in fields(self)}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then yield the one event."""
        outcome, message = "ended", ""
        try:
            await self._wait()
        except asyncio.CancelledError:
            # Before Airflow 3.3 a trigger cannot detect that a user ended its task, so it always logs what continues.
            self._warn("This trigger stops: the task was ended or cleared, or another triggerer takes over")
            raise
        except OACWaitTimeoutError as error:
            outcome, message = "timeout", str(error)
        except self.ends as error:
            message = str(error)
        except OACError as error:
            outcome = "error"
            message = f"Waiting in the triggerer for {self.subject} failed: {error} {self._continuing()}".rstrip()
        event = {"outcome": outcome, "message": message, "carried": self.carried}
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]

    async def on_kill(self) -> None:
        """Log what continues in OAC. Airflow 3.3 and later call this if a user ends or clears the task."""
        self._warn("The task was ended")

    async def _wait(self) -> None:
        """Pause for some seconds, import the modules that the wait needs, and wait until the target is reached."""
        # The random part spreads triggers that begin at the same time over a second.
        await asyncio.sleep(QUIET_SECONDS + random.random() * min(1.0, QUIET_SECONDS))  # noqa: S311
        if missing := [name for name in ("shared_poller", "polling", *self.imports) if name not in vars(lazy)]:
            # In a thread, since an import on the event loop would block all triggers.
            await asyncio.to_thread(lambda: [getattr(lazy, name) for name in missing])
        await lazy.shared_poller.wait(self.oac_conn_id, self.target(self._report))

    @property
    def _plan(self) -> lazy.polling.WaitPlan:
        return lazy.polling.WaitPlan(deadline=self.deadline, longest_pause=self.poll_interval)

    def _report(self, line: str) -> None:
        # The first use of `self.log` makes a logger. Thousands of triggers may wait at a time, so do it only here.
        self.log.info(plain(line))

    def _warn(self, why: str) -> None:
        if self.continues:
            self.log.warning("%s. %s", why, self._continuing())

    def _continuing(self) -> str:
        if not self.continues:
            return ""
        subject = self.subject[0].upper() + self.subject[1:]
        return f"{subject} continues in OAC, which cannot cancel it. The next try reattaches to it if it can."


@dataclass(kw_only=True, eq=False, repr=False)
class OACWorkRequestTrigger(OACTrigger):
    """Waits until a work request ends or the deadline comes.

    :param work_request_id: id of the work request.
    :param submitted_at: when it was submitted, in seconds since the epoch.
    :param tolerated: HTTP error statuses that this work itself can cause. The wait ignores them.
    """

    continues = True

    work_request_id: str
    submitted_at: float
    tolerated: list[int] = field(default_factory=list)

    @property
    def subject(self) -> str:
        """The work request."""
        return f"work request {self.work_request_id}"

    def target(self, report: Callable[[str], None]) -> lazy.polling.WorkRequestTarget:
        """The work request as a poll target."""
        plan = replace(self._plan, tolerated=self.tolerated)
        return lazy.polling.WorkRequestTarget(self.work_request_id, plan, started_at=self.submitted_at, report=report)


@dataclass(kw_only=True, eq=False, repr=False)
class OACJobTrigger(OACTrigger):
    """Waits until a job without a known work request ends, by the job history, or the deadline comes.

    :param kind: catalog type of the object that runs, such as ``datasets``.
    :param noun: the type in messages, such as ``dataset``.
    :param object_id: encoded id of the object.
    :param job_id: id of the job.
    :param submitted_at: when the wait began, in seconds since the epoch.
    """

    imports = ("jobs", "start_run")
    continues = True

    kind: str
    noun: str
    object_id: str
    job_id: str
    submitted_at: float

    @property
    def subject(self) -> str:
        """The job."""
        return f"job {self.job_id}"

    def target(self, report: Callable[[str], None]) -> lazy.polling.WorkRequestTarget:
        """The job as a poll target."""
        of = lazy.jobs.Runnable(self.kind, self.noun, self.object_id)
        return lazy.start_run.job_target(of, self.job_id, self._plan, started_at=self.submitted_at, report=report)


@dataclass(kw_only=True, eq=False, repr=False)
class OACReadyTrigger(OACTrigger):
    """Waits until an instance answers again after a restore and its search index is ready, or the deadline comes.

    Its event is never an error: the task checks once more and raises the error itself.
    """

    imports = ("restore",)
    ends = (OACError,)

    deadline: float

    @property
    def subject(self) -> str:
        """The instance."""
        return "the instance"

    def target(self, report: Callable[[str], None]) -> lazy.polling.PollTarget[Any]:
        """The instance as a poll target."""
        return lazy.restore.ReadinessTarget(self._plan, report=report)


@dataclass(kw_only=True, eq=False, repr=False)
class _WatchTrigger(OACTrigger):
    """Waits until a condition in OAC is met, or the deadline comes.

    :param wanted: the fields of the condition, whose class :attr:`watched` names.
    """

    # The class of the condition: a module of `lazy`, and its name there.
    watched: ClassVar[tuple[str, str]]
    imports: ClassVar[tuple[str, ...]] = ("catalog_watch",)

    wanted: dict[str, Any]

    @property
    def subject(self) -> str:
        """The condition."""
        return self._wanted.text()

    def target(self, report: Callable[[str], None]) -> lazy.polling.PollTarget[Any]:
        """The condition as a poll target."""
        return lazy.catalog_watch.CatalogTarget(self._wanted, self._plan, report=report)

    @property
    def _wanted(self) -> lazy.catalog_watch.Wanted:
        module, name = self.watched
        wanted: lazy.catalog_watch.Wanted = getattr(getattr(lazy, module), name)(**self.wanted)
        return wanted


class OACCatalogItemTrigger(_WatchTrigger):
    """Waits until an item of the catalog exists, or was modified at or after a given time, or the deadline comes.

    :param wanted: the fields of :class:`airflow_provider_oac.client.flows.catalog_watch.WantedItem`.
    """

    watched = ("catalog_watch", "WantedItem")


class OACSnapshotTrigger(_WatchTrigger):
    """Waits until a snapshot is listed, or the newest of a series is recent enough, or the deadline comes.

    :param wanted: the fields of :class:`airflow_provider_oac.client.flows.catalog_watch.WantedSnapshot`.
    """

    watched = ("catalog_watch", "WantedSnapshot")


class OACFreshnessTrigger(_WatchTrigger):
    """Waits until the newest date of a source is recent enough, or the deadline comes.

    :param wanted: the fields of :class:`airflow_provider_oac.client.sql.FreshData`.
    """

    imports = ("catalog_watch", "sql")
    watched = ("sql", "FreshData")


def outcome_of(event: Any) -> tuple[Literal["ended", "timeout"], str]:
    """Read the event of a trigger, for the method that resumes the task.

    :param event: the event from Airflow. Another version of this package may have made it.
    :returns: the outcome, and a message (empty if the wait ended without an error).
    :raises OACError: if the wait failed, or the event is not one of this package.
    """
    members = event if isinstance(event, dict) else {}
    outcome, message = members.get("outcome"), str(members.get("message") or "")
    if outcome == "error":
        raise OACError(message or "Waiting in the triggerer failed, and its event does not say why.")
    if outcome == "ended" or outcome == "timeout":
        return outcome, message
    raise _unknown("Unknown trigger event", event)


def carried_by(event: Any) -> dict[str, Any]:
    """The state that the task gave its trigger to carry, from an event that is not an error.

    :param event: the event from Airflow.
    :raises OACError: as :func:`outcome_of`; also if the event carries nothing.
    """
    outcome_of(event)
    carried = event.get("carried")
    if not isinstance(carried, dict):
        raise _unknown("The trigger's event does not say what the task had started", event)
    return carried


def _unknown(what: str, event: Any) -> OACError:
    return OACError(
        f"{what}: {lazy.redaction.quoted(repr(event))}. Likely cause: the triggerer runs another version of this "
        "provider than the worker. Next step: install the same version on both; a retry of the task reattaches to its "
        "work."
    )
