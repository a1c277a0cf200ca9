"""What all triggers share."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from airflow.triggers.base import BaseTrigger

if TYPE_CHECKING:
    from airflow_provider_oac.client.waiting import Watch

R = TypeVar("R")

# Airflow's scheduler fails a task whose trigger fires before it has noticed the deferral ("finished with state
# success, but the task instance's state attribute is queued"), which takes it a second or so. The worker has just
# looked itself, so that nothing is lost by looking later.
QUIET_SECONDS = 5.0


class OACTrigger(BaseTrigger):
    """Waits together with all other triggers of this Connection on this event loop.

    :param oac_conn_id: the Airflow Connection.
    """

    def __init__(self, oac_conn_id: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.oac_conn_id = oac_conn_id

    async def waited(self, make: Callable[[], Watch[R]]) -> R:
        """Wait until a watch is over, and some seconds in any case.

        :param make: makes the watch. What that takes to import is imported in a thread before: on the event loop no
            trigger would move meanwhile.
        :raises OACError: as the watch says.
        """
        from airflow_provider_oac.hooks.polling import loaded, waited

        # Those who begin in one instant spread over a second.
        await asyncio.sleep(QUIET_SECONDS + random.random() * min(1.0, QUIET_SECONDS))  # noqa: S311
        await loaded()
        return await waited(self.oac_conn_id, make())

    def report(self, line: str) -> None:
        """Tell the task's log."""
        self.log.info(line)
