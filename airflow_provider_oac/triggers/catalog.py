"""Waiting for an item of the catalog in the triggerer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Literal

from airflow.triggers.base import TriggerEvent

from airflow_provider_oac.exceptions import OACError, OACWaitTimeoutError
from airflow_provider_oac.transport.quoting import quoted
from airflow_provider_oac.triggers.base import OACTrigger

if TYPE_CHECKING:
    from airflow_provider_oac.client.watching import ItemWatch


def outcome_of(event: Any) -> tuple[Literal["found", "timeout"], str]:
    """What the event of :class:`OACCatalogItemTrigger` says, for the method that goes on after it.

    :param event: what Airflow hands over, from a trigger that may be of another version of this package.
    :returns: the outcome, and a message for people (empty if the item was found).
    :raises OACError: if waiting failed, or the event is not one of ours.
    """
    outcome = event.get("outcome") if isinstance(event, dict) else None
    message = str(event.get("message") or "") if isinstance(event, dict) else ""
    if outcome == "error":
        raise OACError(f"Waiting in the triggerer failed: {message}")
    if outcome == "found" or outcome == "timeout":
        return outcome, message
    raise OACError(
        f"Unknown trigger event: {quoted(repr(event))}. Likely cause: the triggerer and the worker run different "
        "versions of this provider, or the trigger was ended manually. Next step: install the same version on "
        "both."
    )


class OACCatalogItemTrigger(OACTrigger):
    """Waits until an item is there, or was modified since a moment, or the deadline comes.

    Its one event is ``{"outcome": "found" | "timeout" | "error", "message": …}``.

    :param oac_conn_id: the Airflow Connection.
    :param catalog_type: type of the item.
    :param item_id: its id, encoded.
    :param modified_since: only if it was modified then or later, in ISO 8601; ``None`` if its existence is enough.
    :param deadline: when to give up, in seconds since the epoch; ``None`` for never.
    :param poll_interval: seconds between two looks.
    """

    imports = ("airflow_provider_oac.client.watching",)

    def __init__(
        self,
        oac_conn_id: str,
        catalog_type: str,
        item_id: str,
        modified_since: str | None,
        deadline: float | None,
        poll_interval: float,
    ) -> None:
        super().__init__(oac_conn_id)
        self.catalog_type = catalog_type
        self.item_id = item_id
        self.modified_since = modified_since
        self.deadline = deadline
        self.poll_interval = poll_interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, for the database."""
        return (
            "airflow_provider_oac.triggers.catalog.OACCatalogItemTrigger",
            {
                "oac_conn_id": self.oac_conn_id,
                "catalog_type": self.catalog_type,
                "item_id": self.item_id,
                "modified_since": self.modified_since,
                "deadline": self.deadline,
                "poll_interval": self.poll_interval,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then yield the one event."""
        outcome, message = "found", ""
        try:
            await self.begun()
            await self.ended()
        except OACWaitTimeoutError as error:
            outcome, message = "timeout", str(error)
        except OACError as error:
            outcome, message = "error", str(error)
        yield TriggerEvent({"outcome": outcome, "message": message})  # type: ignore[no-untyped-call]

    def watch(self) -> ItemWatch:
        """The watch of the item."""
        from airflow_provider_oac.client.waiting import WaitPlan
        from airflow_provider_oac.client.watching import ItemWatch, Wanted

        wanted = Wanted(self.catalog_type, self.item_id, self.modified_since)
        plan = WaitPlan(deadline=self.deadline, longest_pause=self.poll_interval)
        return ItemWatch(wanted, plan, report=self.report)
