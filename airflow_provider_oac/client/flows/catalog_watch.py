"""Waiting for what OAC shows: an item of the catalog that is there, or that was modified since; a snapshot."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Protocol

from airflow_provider_oac.client import ids
from airflow_provider_oac.client.api import Api, Flow
from airflow_provider_oac.client.flows.catalog_search import find_all, look
from airflow_provider_oac.client.flows.polling import WaitPlan, asked_pause, passing
from airflow_provider_oac.client.paging import PagePlan
from airflow_provider_oac.client.rest.catalog import CatalogItem, moment
from airflow_provider_oac.exceptions import (
    OACApiError,
    OACConfigurationError,
    OACError,
    OACResponseError,
    OACWaitTimeoutError,
)
from airflow_provider_oac.transport.retry import ONCE

# How a watch goes through a list: without waiting, and without more connections than one look is to have.
_AT_ONCE = PagePlan(side_by_side=1, index_patience=0.0)


class Sought(Hashable, Protocol):
    """What a sensor waits for. Two that are equal are polled as one.

    :param hint: what to check when it does not come.
    """

    hint: ClassVar[str]

    def text(self) -> str:
        """For people."""
        ...

    def seen(self, report: Callable[[str], None], plan: PagePlan) -> Flow[Any]:
        """What was found, if it is as it is wanted; else ``None``. Flow."""
        ...


@dataclass(frozen=True)
class Wanted:
    """What is waited for.

    :param kind: type of the item.
    :param item_id: its id, encoded.
    :param modified_since: only if it was modified then or later; ISO 8601, in UTC if it names no zone.
    """

    kind: str
    item_id: str
    modified_since: str | None = None

    hint: ClassVar[str] = (
        "Check its type and its id or path, whether this user may see it, and whether what makes it has run."
    )

    def seen(
        self, report: Callable[[str], None] = lambda _line: None, plan: PagePlan = PagePlan()
    ) -> Flow[CatalogItem | None]:
        """As :func:`seen`. Flow."""
        return seen(self, report, plan)

    def checked(self) -> datetime | None:
        """The moment since which it is to be modified, if there is one.

        :raises OACConfigurationError: if it is none.
        """
        found = moment(self.modified_since)
        if found is None and self.modified_since is not None:
            raise OACConfigurationError(
                f"modified_since is {self.modified_since!r}, which is no time in ISO 8601, such as "
                "2026-01-31T08:00:00+00:00. If it comes from a template: what does that render to?"
            )
        return found

    def text(self) -> str:
        """For people."""
        since = f", modified since {self.modified_since}" if self.modified_since else ""
        return f"{self.kind} {ids.shown(self.item_id)}{since}"


def seen(
    wanted: Wanted, report: Callable[[str], None] = lambda _line: None, plan: PagePlan = PagePlan()
) -> Flow[CatalogItem | None]:
    """The item, if it is as it is wanted. Flow.

    :param plan: how to go through the list, where the item itself does not tell when it was modified.
    :raises OACResponseError: if OAC does not tell when it was modified.
    """
    since = wanted.checked()

    async def flow(api: Api) -> CatalogItem | None:
        item = await look(wanted.kind, wanted.item_id)(api)
        if item is None:
            report(f"{wanted.text()}: not there.")
            return None
        if since is None:
            report(f"{wanted.text()}: there.")
            return item
        if item.modified is None:
            # One sample of a workbook's details has no such member (documented); lists have.
            item = await _listed(api, wanted, item, plan)
        modified = item.modified
        if modified is None:
            raise OACResponseError(
                f"OAC does not tell when {wanted.text()} was modified: {item.last_modified!r}. Expected was a time in "
                "ISO 8601. Wait for its existence only, or tell the provider's authors what came."
            )
        report(f"{wanted.text()}: last modified {modified.isoformat()}.")
        return item if modified >= since else None

    return flow


@dataclass(frozen=True)
class Sighting:
    """What one poll showed.

    :param item: what was found, if it is as it is wanted.
    :param text: what was seen, for people.
    """

    item: Any | None
    text: str


class CatalogTarget:
    """Over when what is waited for is as it is wanted.

    :param wanted: what is waited for.
    :param plan: its deadline, longest pause and patience with trouble count.
    :param report: gets a line for people whenever what is seen changes, except at the end: after a deferral the task
        looks once more and reports it.
    """

    def __init__(self, wanted: Sought, plan: WaitPlan, *, report: Callable[[str], None] = lambda _line: None) -> None:
        self.key: Hashable = wanted
        self.deadline = plan.deadline
        self._wanted, self._plan, self._report = wanted, plan, report
        self._troubled_since: float | None = None
        self._said: str | None = None

    async def look(self, api: Api) -> Sighting:
        """Look once: one request after the other, each tried once, since trouble is this watch's to judge and others
        wait for a turn. Flow."""
        lines: list[str] = []
        try:
            item = await self._wanted.seen(lines.append, _AT_ONCE)(api.with_policy(ONCE))
        except OACWaitTimeoutError as error:
            # That the search index is not ready passes; how long to wait for it is the plan's to say.
            raise error.__cause__ if isinstance(error.__cause__, OACApiError) else error from None
        return Sighting(item, lines[-1] if lines else "")

    def begin(self, now: float) -> None:
        """The wait begins now."""

    def seen(self, found: Sighting, now: float) -> float | None:
        """Judge what was seen.

        :raises OACWaitTimeoutError: at the deadline.
        """
        self._troubled_since = None
        if found.item is not None:
            return None
        self._say(found.text)
        return self._pause(now)

    def troubled(self, error: OACError, now: float) -> float:
        """Judge a look that failed.

        :raises OACWaitTimeoutError: at the deadline.
        :raises OACError: the error itself if it will stay, or lasted too long.
        """
        self._troubled_since = now if self._troubled_since is None else self._troubled_since
        if not passing(error) or now - self._troubled_since > self._plan.trouble_patience:
            raise error
        self._say(f"{self._wanted.text()} cannot be looked for at the moment, waiting on: {error}")
        return self._pause(now, asked_pause(error))

    def _say(self, line: str) -> None:
        if line != self._said:
            self._said = line
            self._report(line)

    def _pause(self, now: float, asked: float = 0.0) -> float:
        left = float("inf") if self._plan.deadline is None else self._plan.deadline - now
        if left <= 0:
            raise OACWaitTimeoutError(
                f"{self._wanted.text()} did not come in time. Seen last: {self._said or 'nothing'} {self._wanted.hint}"
            )
        return min(max(asked, self._plan.longest_pause), left)


async def _listed(api: Api, wanted: Wanted, item: CatalogItem, plan: PagePlan) -> CatalogItem:
    """The item as the list shows it, if it does."""
    name = (ids.split_path(wanted.item_id) or (None, item.name))[1]
    for found in await find_all(wanted.kind, name, plan=plan)(api):
        if ids.same(found.id, wanted.item_id):
            return found
    return item
