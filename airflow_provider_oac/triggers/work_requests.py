"""Waiting for a work request in the triggerer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from airflow.triggers.base import TriggerEvent

from airflow_provider_oac.exceptions import OACError, OACWaitTimeoutError, OACWorkRequestError
from airflow_provider_oac.transport.quoting import quoted
from airflow_provider_oac.triggers.base import OACTrigger

if TYPE_CHECKING:
    from airflow_provider_oac.client.waiting import WorkWatch


def outcome_of(event: Any) -> tuple[Literal["ended", "timeout"], str]:
    """What the event of :class:`OACWorkRequestTrigger` says, for the method that goes on after it.

    :param event: what Airflow hands over, from a trigger that may be of another version of this package.
    :returns: the outcome, and a message for people (empty if the work succeeded).
    :raises OACError: if waiting failed, or the event is not one of ours.
    """
    outcome = event.get("outcome") if isinstance(event, dict) else None
    message = str(event.get("message") or "") if isinstance(event, dict) else ""
    if outcome == "error":
        what = quoted(event.get("work_request_id")) or "work in OAC"
        raise OACError(f"Waiting in the triggerer for {what} failed: {message} {goes_on('What was started')}")
    if outcome == "ended" or outcome == "timeout":
        return outcome, message
    raise OACError(
        f"Unknown trigger event: {quoted(repr(event))}. Likely cause: the triggerer and the worker run different "
        "versions of this provider, or the trigger was ended manually. Next step: install the same version on both. A "
        "retry reattaches to the work."
    )


def carried_by(event: Any) -> dict[str, Any]:
    """What the task gave :class:`OACWorkRequestTrigger` to carry along, from an event that is good news or a timeout.

    :param event: what Airflow hands over.
    :raises OACError: as :func:`outcome_of`; also if the event carries nothing.
    """
    outcome_of(event)
    carried = event.get("carried")
    if not isinstance(carried, dict):
        raise OACError(
            f"The trigger event lacks what the task started: {quoted(repr(event))}. Likely cause: the triggerer and "
            "the worker run different versions of this provider. Next step: install the same version on both. A retry "
            "reattaches to the work."
        )
    return carried


def goes_on(what: str) -> str:
    """What somebody has to know who ends a task that waits in the triggerer.

    :param what: the work, with its id.
    """
    return f"{what} continues in OAC, which cannot cancel it. A retry reattaches to it where possible."


async def outcome_event(
    trigger: OACTrigger, waited_for: str, carried: dict[str, Any] | None, noun: str = "Work request"
) -> TriggerEvent:
    """Wait, and make the one event of a trigger of ours.

    :param trigger: says what to wait for.
    :param waited_for: its id.
    :param carried: what the event shall carry.
    :param noun: what is waited for, for messages.
    """
    outcome, message = "ended", ""
    try:
        await trigger.begun()
        await trigger.ended()
    except asyncio.CancelledError:
        # Before Airflow 3.3 a trigger is not told that a person ended its task, so that each end of the wait says what
        # goes on.
        trigger.log.warning(
            "The wait stopped: the task was ended or cleared, or this triggerer is stopping and another one continues. "
            "%s",
            goes_on(f"{noun} {waited_for}"),
        )
        raise
    except OACWorkRequestError as error:
        message = str(error)
    except OACWaitTimeoutError as error:
        outcome, message = "timeout", str(error)
    except OACError as error:
        outcome, message = "error", str(error)
    event = {"outcome": outcome, "work_request_id": waited_for, "message": message, "carried": carried}
    return TriggerEvent(event)  # type: ignore[no-untyped-call]


class OACWorkRequestTrigger(OACTrigger):
    """Waits until a work request ends or the deadline comes. Carries ids only, never a secret.

    Its one event is ``{"outcome": "ended" | "timeout" | "error", "work_request_id": …, "message": …, "carried": …}``:
    *ended* whatever the end was (who gets it reads the work request again and judges it), *error* if it could not be
    waited for.

    :param oac_conn_id: the Airflow Connection.
    :param work_request_id: what to wait for.
    :param submitted_at: when it was submitted, in seconds since the epoch.
    :param deadline: when to give up, in seconds since the epoch; ``None`` for never.
    :param poll_interval: most seconds between two looks; ten times as many while, going by ``earlier``, it cannot be
        over.
    :param carried: what the event shall carry, as ``carried``, to the method that goes on; JSON without secrets.
    :param tolerated: HTTP statuses that this very work brings about, to be waited out.
    :param earlier: seconds that earlier runs of the same took.
    """

    imports = ("airflow_provider_oac.client.waiting",)

    def __init__(
        self,
        oac_conn_id: str,
        work_request_id: str,
        submitted_at: float,
        deadline: float | None,
        poll_interval: float,
        carried: dict[str, Any] | None = None,
        tolerated: Sequence[int] = (),
        earlier: Sequence[float] = (),
    ) -> None:
        super().__init__(oac_conn_id)
        self.work_request_id = work_request_id
        self.submitted_at = submitted_at
        self.deadline = deadline
        self.poll_interval = poll_interval
        self.carried = carried
        self.tolerated = tuple(tolerated)
        self.earlier = tuple(earlier)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, for the database."""
        return (
            "airflow_provider_oac.triggers.work_requests.OACWorkRequestTrigger",
            {
                "oac_conn_id": self.oac_conn_id,
                "work_request_id": self.work_request_id,
                "submitted_at": self.submitted_at,
                "deadline": self.deadline,
                "poll_interval": self.poll_interval,
                "carried": self.carried,
                "tolerated": list(self.tolerated),
                "earlier": list(self.earlier),
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then yield the one event."""
        yield await outcome_event(self, self.work_request_id, self.carried)

    def watch(self) -> WorkWatch:
        """The watch of the work request."""
        from airflow_provider_oac.client.waiting import WaitPlan, WorkWatch

        plan = WaitPlan(
            deadline=self.deadline,
            longest_pause=self.poll_interval,
            tolerated=self.tolerated,
            earlier=self.earlier,
        )
        return WorkWatch(self.work_request_id, plan, started_at=self.submitted_at, report=self.report)

    async def on_kill(self) -> None:
        """Somebody ended or cleared the task (Airflow 3.3 and later): say what goes on, and ask nobody."""
        self.log.warning("The task was ended. %s", goes_on(f"Work request {self.work_request_id}"))
