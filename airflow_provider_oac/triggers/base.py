"""What all triggers share: how they wait, and the one event that each of them fires."""

from __future__ import annotations

import asyncio
import inspect
import random
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_oac.exceptions import OACError, OACWaitTimeoutError, OACWorkRequestError
from airflow_provider_oac.plain_text import plain
from airflow_provider_oac.transport.redaction import quoted

if TYPE_CHECKING:
    from airflow_provider_oac.client.flows.catalog_watch import Sought
    from airflow_provider_oac.client.flows.polling import PollTarget

# Airflow's scheduler fails a task whose trigger fires before it has noticed the deferral ("finished with state
# success, but the task instance's state attribute is queued"), which takes it a second or so. The worker has just
# looked itself, so that nothing is lost by looking later.
QUIET_SECONDS = 5.0


class OACTrigger(BaseTrigger):
    """Waits together with all other triggers of this Connection on this event loop. Carries ids only, never a secret.

    Its one event is ``{"outcome": "ended" | "timeout" | "error", "message": …, "carried": …}``: *ended* whatever the
    end was (the task reads the state once more and judges it), *timeout* at the deadline, *error* if waiting failed.

    Each parameter of a subclass is an attribute of the same name, and JSON.

    :param oac_conn_id: the Airflow Connection.
    :param deadline: when to give up, in seconds since the epoch; ``None`` for never.
    :param poll_interval: longest pause between two polls, in seconds.
    :param carried: what the event carries to the method that resumes the task.
    """

    # Modules that making the watch needs. They are imported in a thread.
    imports: ClassVar[tuple[str, ...]] = ()
    # Errors of a wait that ends: the task meets them itself.
    ends: ClassVar[tuple[type[OACError], ...]] = (OACWorkRequestError,)
    # Whether work continues in OAC when the wait ends.
    continues: ClassVar[bool] = False

    def __init__(
        self, oac_conn_id: str, deadline: float | None, poll_interval: float, carried: dict[str, Any] | None = None
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.oac_conn_id = oac_conn_id
        self.deadline = deadline
        self.poll_interval = poll_interval
        self.carried = carried

    @property
    @abstractmethod
    def subject(self) -> str:
        """What is waited for, for people."""

    @abstractmethod
    def watch(self, report: Callable[[str], None]) -> PollTarget[Any]:
        """Make the watch that is waited for.

        :param report: gets lines for people.
        """

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, for the database."""
        kind = type(self)
        arguments = {name: getattr(self, name) for name in inspect.signature(kind).parameters}
        return f"{kind.__module__}.{kind.__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then yield the one event."""
        outcome, message = "ended", ""
        try:
            await self._wait()
        except asyncio.CancelledError:
            # Before Airflow 3.3 a trigger is not told that a person ended its task, so each end of the wait says what
            # continues.
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
        """Keep quiet for some seconds, import what it takes to wait, and wait until the watch is over.

        The imports happen in a thread: on the event loop no trigger would move meanwhile.
        """
        from airflow_provider_oac.hooks.shared_poller import loaded, waited

        # Those who begin in one instant spread over a second.
        await asyncio.sleep(QUIET_SECONDS + random.random() * min(1.0, QUIET_SECONDS))  # noqa: S311
        await loaded(*self.imports)
        await waited(self.oac_conn_id, self.watch(self._report))

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


class SoughtTrigger(OACTrigger):
    """Waits until what a sensor waits for is as it is wanted, or the deadline comes.

    :param oac_conn_id: the Airflow Connection.
    :param wanted: what is waited for, as the dictionary of its dataclass.
    :param deadline: when to give up, in seconds since the epoch; ``None`` for never.
    :param poll_interval: pause between two polls, in seconds.
    """

    def __init__(self, oac_conn_id: str, wanted: dict[str, Any], deadline: float | None, poll_interval: float) -> None:
        super().__init__(oac_conn_id, deadline, poll_interval)
        self.wanted = wanted

    @abstractmethod
    def sought(self) -> Sought:
        """What is waited for."""

    @property
    def subject(self) -> str:
        """What is waited for, for people."""
        return self.sought().text()

    def watch(self, report: Callable[[str], None]) -> PollTarget[Any]:
        """What is polled."""
        from airflow_provider_oac.client.flows.catalog_watch import CatalogTarget
        from airflow_provider_oac.client.flows.polling import WaitPlan

        plan = WaitPlan(deadline=self.deadline, longest_pause=self.poll_interval)
        return CatalogTarget(self.sought(), plan, report=report)


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
        f"Unknown trigger event: {quoted(repr(event))}. Likely cause: the triggerer runs another "
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
        raise OACError(
            f"The trigger's event does not say what the task had started: {quoted(repr(event))}. Likely cause: the "
            "triggerer runs another version of this provider than the worker. Next step: install the same version on "
            "both; a retry of the task finds its work again."
        )
    return carried
