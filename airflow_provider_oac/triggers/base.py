"""What all triggers share."""

from __future__ import annotations

import asyncio
import random
from abc import abstractmethod
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.triggers.base import BaseTrigger

from airflow_provider_oac.plain_text import plain

if TYPE_CHECKING:
    from airflow_provider_oac.client.waiting import Watch

# Airflow's scheduler fails a task whose trigger fires before it has noticed the deferral ("finished with state
# success, but the task instance's state attribute is queued"), which takes it a second or so. The worker has just
# looked itself, so that nothing is lost by looking later.
QUIET_SECONDS = 5.0


class OACTrigger(BaseTrigger):
    """Waits together with all other triggers of this Connection on this event loop.

    :param oac_conn_id: the Airflow Connection.
    """

    # Modules that making the watch needs. They are imported in a thread.
    imports: ClassVar[tuple[str, ...]] = ()

    def __init__(self, oac_conn_id: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.oac_conn_id = oac_conn_id

    @abstractmethod
    def watch(self) -> Watch[Any]:
        """Make the watch that is waited for."""

    async def begun(self) -> None:
        """Keep quiet for some seconds, and import in a thread what it takes to wait: on the event loop no trigger would
        move meanwhile."""
        from airflow_provider_oac.hooks.polling import loaded

        # Those who begin in one instant spread over a second.
        await asyncio.sleep(QUIET_SECONDS + random.random() * min(1.0, QUIET_SECONDS))  # noqa: S311
        await loaded(*self.imports)

    def ended(self) -> Awaitable[Any]:
        """Wait until the watch is over, after :meth:`begun`.

        :raises OACError: as the watch says.
        """
        from airflow_provider_oac.hooks.polling import waited

        return waited(self.oac_conn_id, self.watch())

    def report(self, line: str) -> None:
        """Tell the task's log."""
        self.log.info(plain(line))
