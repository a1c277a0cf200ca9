"""Triggers: they wait in the triggerer, and each fires one event."""

from __future__ import annotations

import asyncio
import random
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_oac import lazy
from airflow_provider_oac.exceptions import OACError, OACWaitTimeoutError, OACWorkRequestError
from airflow_provider_oac.plain_text import plain

if TYPE_CHECKING:
    from airflow_provider_oac.client.flows.catalog_watch import Wanted
    from airflow_provider_oac.client.flows.polling import PollTarget, WaitPlan, WorkRequestTarget

# Airflow's scheduler fails a task whose trigger fires before it has noticed the deferral ("finished with state
# success, but the task instance's state attribute is queued"), which takes it a second or so. The worker has just
# looked itself, so nothing is lost by looking later.
QUIET_SECONDS = 5.0


@dataclass(kw_only=True, eq=False, repr=False)
class OACTrigger(BaseTrigger):
    """Waits together with all other triggers of this Connection on this event loop. Carries ids only, never a secret.

    Its one event is ``{"outcome": "ended" | "timeout" | "error", "message": …, "carried": …}``: *ended* whatever the
    end was (the task reads the state once more and judges it), *timeout* at the deadline, *error* if waiting failed.

    The members of a subclass are its arguments in Airflow's database, as JSON.

    :param oac_conn_id: the Airflow Connection.
    :param deadline: when to give up, in seconds since the epoch; ``None`` for never.
    :param poll_interval: longest pause between two polls, in seconds.
    :param carried: what the event carries to the method that resumes the task.
    """

    # Modules of `lazy` that making the poll target needs beside `polling`. They are imported in a thread.
    imports: ClassVar[tuple[str, ...]] = ()
    # Errors of a wait that ends: the task meets them itself.
    ends: ClassVar[tuple[type[OACError], ...]] = (OACWorkRequestError,)
    # Whether work continues in OAC when the wait ends.
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
        """What is waited for, for people."""

    @abstractmethod
    def target(self, report: Callable[[str], None]) -> PollTarget[Any]:
        """Make the poll target that is waited for.

        :param report: gets lines for people.
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
            # Before Airflow 3.3 a trigger does not learn that a person ended its task, so each end of the wait says
            # what continues.
            self._warn("The wait ends here: the task was ended or cleared, or this triggerer stops and another waits")
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
        """A person ended or cleared the task (Airflow 3.3 and later): log what continues."""
        self._warn("The task was ended")

    async def _wait(self) -> None:
        """Keep quiet for some seconds, import what it takes to wait, and wait until the target is reached."""
        # Those who begin in one instant spread over a second.
        await asyncio.sleep(QUIET_SECONDS + random.random() * min(1.0, QUIET_SECONDS))  # noqa: S311
        if missing := [name for name in ("shared_poller", "polling", *self.imports) if name not in vars(lazy)]:
            # In a thread: on the event loop no trigger would move meanwhile.
            await asyncio.to_thread(lambda: [getattr(lazy, name) for name in missing])
        await lazy.shared_poller.wait(self.oac_conn_id, self.target(self._report))

    @property
    def _plan(self) -> WaitPlan:
        return lazy.polling.WaitPlan(deadline=self.deadline, longest_pause=self.poll_interval)

    def _report(self, line: str) -> None:
        # The logger is made when there is something to log: thousands of triggers wait at a time.
        self.log.info(plain(line))

    def _warn(self, why: str) -> None:
        if self.continues:
            self.log.warning("%s. %s", why, self._continuing())

    def _continuing(self) -> str:
        if not self.continues:
            return ""
        return (
            f"{self.subject[0].upper()}{self.subject[1:]} continues in OAC, which offers no way to cancel it. The next "
            "try of the task finds it where it can."
        )


@dataclass(kw_only=True, eq=False, repr=False)
class OACWorkRequestTrigger(OACTrigger):
    """Waits until a work request ends or the deadline comes.

    :param work_request_id: what to wait for.
    :param submitted_at: when it was submitted, in seconds since the epoch.
    :param tolerated: HTTP statuses that this very work brings about, to be waited out.
    """

    continues = True

    work_request_id: str
    submitted_at: float
    tolerated: list[int] = field(default_factory=list)

    @property
    def subject(self) -> str:
        """The work request."""
        return f"work request {self.work_request_id}"

    def target(self, report: Callable[[str], None]) -> WorkRequestTarget:
        """The work request as a poll target."""
        plan = replace(self._plan, tolerated=self.tolerated)
        return lazy.polling.WorkRequestTarget(self.work_request_id, plan, started_at=self.submitted_at, report=report)


@dataclass(kw_only=True, eq=False, repr=False)
class OACJobTrigger(OACTrigger):
    """Waits until a job that is known by the job history only ends, or the deadline comes.

    :param kind: type in the catalog of what runs, such as ``datasets``.
    :param noun: the same for messages, such as ``dataset``.
    :param object_id: its id, encoded.
    :param job_id: what to wait for.
    :param submitted_at: since when it is waited for, in seconds since the epoch.
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

    def target(self, report: Callable[[str], None]) -> WorkRequestTarget:
        """The job as a poll target."""
        of = lazy.jobs.Runnable(self.kind, self.noun, self.object_id)
        return lazy.start_run.job_target(of, self.job_id, self._plan, started_at=self.submitted_at, report=report)


@dataclass(kw_only=True, eq=False, repr=False)
class OACReadyTrigger(OACTrigger):
    """Waits until an instance answers again after a restore and its search index is ready, or the deadline comes.

    Its event is never an error: the task looks once more, and fails with the error itself.
    """

    imports = ("restore",)
    ends = (OACError,)

    deadline: float

    @property
    def subject(self) -> str:
        """The instance."""
        return "the instance"

    def target(self, report: Callable[[str], None]) -> PollTarget[Any]:
        """The instance as a poll target."""
        return lazy.restore.ReadinessTarget(self._plan, report=report)


@dataclass(kw_only=True, eq=False, repr=False)
class _WatchTrigger(OACTrigger):
    """Waits until something that OAC shows is as it is wanted, or the deadline comes.

    :param wanted: the members of what is waited for, whose class :attr:`watched` names.
    """

    # The module of `lazy`, and the class in it, of what is waited for.
    watched: ClassVar[tuple[str, str]]

    wanted: dict[str, Any]

    @property
    def subject(self) -> str:
        """What is waited for."""
        return self._wanted.text()

    def target(self, report: Callable[[str], None]) -> PollTarget[Any]:
        """What is waited for as a poll target."""
        return lazy.catalog_watch.CatalogTarget(self._wanted, self._plan, report=report)

    @property
    def _wanted(self) -> Wanted:
        module, name = self.watched
        wanted: Wanted = getattr(getattr(lazy, module), name)(**self.wanted)
        return wanted


class OACCatalogItemTrigger(_WatchTrigger):
    """Waits until an item of the catalog is there, or was modified since a moment, or the deadline comes.

    :param wanted: the members of :class:`airflow_provider_oac.client.flows.catalog_watch.WantedItem`.
    """

    imports = ("catalog_watch",)
    watched = ("catalog_watch", "WantedItem")


class OACSnapshotTrigger(_WatchTrigger):
    """Waits until a snapshot is listed, or the newest of a series is young enough, or the deadline comes.

    :param wanted: the members of :class:`airflow_provider_oac.client.flows.catalog_watch.WantedSnapshot`.
    """

    imports = ("catalog_watch",)
    watched = ("catalog_watch", "WantedSnapshot")


class OACFreshnessTrigger(_WatchTrigger):
    """Waits until the newest date of a source is young enough, or the deadline comes.

    :param wanted: the members of :class:`airflow_provider_oac.client.sql.FreshData`.
    """

    imports = ("catalog_watch", "sql")
    watched = ("sql", "FreshData")


def outcome_of(event: Any) -> tuple[Literal["ended", "timeout"], str]:
    """What the event of a trigger says, for the method that resumes the task.

    :param event: what Airflow hands over, from a trigger that may be of another version of this package.
    :returns: the outcome, and a message for people (empty if it ended well).
    :raises OACError: if waiting failed, or the event is not one of ours.
    """
    outcome = event.get("outcome") if isinstance(event, dict) else None
    message = str(event.get("message") or "") if isinstance(event, dict) else ""
    if outcome == "error":
        raise OACError(message or "Waiting in the triggerer failed, and its event does not say why.")
    if outcome == "ended" or outcome == "timeout":
        return outcome, message
    raise OACError(
        f"Unknown trigger event: {lazy.redaction.quoted(repr(event))}. Likely cause: the triggerer runs another "
        "version of this provider than the worker, or the trigger was ended by hand. Next step: install the same "
        "version on both; a retry of the task finds its work again."
    )


def carried_by(event: Any) -> dict[str, Any]:
    """What the task gave its trigger to carry, from an event that is no error.

    :param event: what Airflow hands over.
    :raises OACError: as :func:`outcome_of`; also if the event carries nothing.
    """
    outcome_of(event)
    carried = event.get("carried")
    if not isinstance(carried, dict):
        shown = lazy.redaction.quoted(repr(event))
        raise OACError(
            f"The trigger's event does not say what the task had started: {shown}. Likely cause: the triggerer "
            "runs another version of this provider than the worker. Next step: install the same version on both; a "
            "retry of the task finds its work again."
        )
    return carried
