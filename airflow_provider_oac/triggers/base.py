"""What all triggers share."""

from __future__ import annotations

import asyncio
import random
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

    async def waited(self, watch: Watch[R]) -> R:
        """Wait until a watch is over, and some seconds in any case.

        :raises OACError: as the watch says.
        """
        from airflow_provider_oac.hooks.polling import waited

        # Those who begin in one instant spread over a second.
        await asyncio.sleep(QUIET_SECONDS + random.random() * min(1.0, QUIET_SECONDS))  # noqa: S311
        return await waited(self.oac_conn_id, watch)

    def report(self, line: str) -> None:
        """Tell the task's log."""
        self.log.info(line)
