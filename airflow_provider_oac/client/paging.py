"""Paged lists: ``async for page in pages(api, make)``.

Sources: OAC documents the headers ``oa-current-page``, ``oa-page-count`` and ``oa-next-page``, the limit of 10,000
items, and the 503 ``SearchIndexNotReady`` while it builds the search index; ``oa-total-items`` is observed.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Generic, TypeVar

from airflow_provider_oac.client.api import Api, flow
from airflow_provider_oac.client.calls import Call
from airflow_provider_oac.client.models import Model
from airflow_provider_oac.exceptions import OACApiError, OACIncompleteListError, OACResponseError, OACWaitTimeoutError
from airflow_provider_oac.transport.io import Response

T = TypeVar("T")

# The most items that OAC shows in one list (documented).
LONGEST_LIST = 10_000
# A list with more pages than possible items means that the server pages in circles.
_MOST_PAGES = LONGEST_LIST
# Seconds between two requests while OAC builds the index: without a Retry-After, and at most.
_INDEX_PAUSE = 10.0
_LONGEST_INDEX_PAUSE = 300.0


@dataclass(frozen=True)
class Page(Model, Generic[T]):
    """One page of a list.

    :param items: its items, in order.
    :param number: its number, counted from 1, as OAC returns it.
    :param count: number of pages in all.
    :param total: number of items in all.
    :param more: whether OAC names a next page.
    """

    items: tuple[T, ...]
    number: int | None = None
    count: int | None = None
    total: int | None = None
    more: bool = False


@dataclass(frozen=True)
class PagePlan:
    """How to go through a list.

    :param side_by_side: most pages to fetch and hold at once.
    :param index_patience: seconds to wait for a search index that is not ready.
    :param allow_truncated: whether to accept a list that reached OAC's limit. If not, it is an error.
    """

    side_by_side: int = 4
    index_patience: float = 900.0
    allow_truncated: bool = False


#: A function that yields items one by one: ``async for item in source(api)``.
Source = Callable[[Api], AsyncGenerator[T, None]]


def read_page(response: Response, items: Sequence[T]) -> Page[T]:
    """Build a page from its items and the headers of its response."""
    return Page(
        items=tuple(items),
        number=_number(response, "oa-current-page"),
        count=_number(response, "oa-page-count"),
        total=_number(response, "oa-total-items"),
        more=bool(response.headers.get("oa-next-page", "").strip()),
    )


async def pages(
    api: Api, make: Callable[[int], Call[Page[T]]], plan: PagePlan = PagePlan()
) -> AsyncGenerator[Page[T], None]:
    """Yield all pages of a list, in order.

    Once the first page names the number of pages, the others are fetched concurrently. If OAC's content changes
    meanwhile, items may be missing or appear twice; a change in the number of pages is reported.

    :param make: makes the call for a page, by its number.
    :param plan: how to go through the list.
    :raises OACIncompleteListError: if the list reached OAC's limit, unless the plan allows it.
    :raises OACWaitTimeoutError: if the search index is not ready in time.
    :raises OACResponseError: if the server pages in circles.
    """
    progress: _Progress[T] = _Progress(plan, api.report)
    window = range(1, 2)
    while window:
        found = await api.gather([fetched(make(number), plan) for number in window], len(window))
        for number, page in zip(window, found, strict=True):
            yield progress.checked(page, number)
        window = progress.next_window()


@dataclass(frozen=True)
class Listing(Generic[T]):
    """A list that OAC returns in pages.

    As a flow it returns all items: ``hook.run(catalog.list_items())``.

    :param page: makes the call for one page, by its number from 1.
    :param none_is_missing: whether a 404 means that there are no items.
    """

    page: Callable[[int], Call[Page[T]]]
    none_is_missing: bool = False

    async def __call__(self, api: Api) -> list[T]:
        """Return all items; it raises as :func:`pages` does."""
        return [item async for item in self.each(api)]

    async def each(self, api: Api, plan: PagePlan = PagePlan()) -> AsyncGenerator[T, None]:
        """Yield the items one by one, without holding all of them; the parameters are those of :func:`pages`."""
        empty = True
        try:
            async for page in pages(api, self.page, plan):
                for item in page.items:
                    empty = False
                    yield item
        except OACApiError as error:
            # A 404 without OAC's error members comes from another server.
            missing = error.status == 404 and empty and (error.code or error.detail)
            if not (self.none_is_missing and missing):
                raise


@flow
async def collected(api: Api, source: Source[T], most: int | None = None) -> list[T]:
    """Return the items that a source yields as a list.

    :param most: stop after this many items, at least one.
    """
    found: list[T] = []
    async with aclosing(source(api)) as items:
        async for item in items:
            found.append(item)
            if len(found) == most:
                break
    return found


@flow
async def fetched(api: Api, call: Call[T], plan: PagePlan = PagePlan()) -> T:
    """Make a call that searches, and wait while OAC builds its search index.

    :raises OACWaitTimeoutError: if the index is not ready in time.
    """
    give_up, reported = api.now() + plan.index_patience, False
    while True:
        try:
            return await api.perform(call)
        except OACApiError as error:
            if not index_not_ready(error):
                raise
            pause = min(max(error.retry_after or _INDEX_PAUSE, 1.0), _LONGEST_INDEX_PAUSE)
            if api.now() + pause > give_up:
                raise OACWaitTimeoutError(
                    f"Could not {call.doing}: OAC's search index is not ready after {plan.index_patience:.0f} s. OAC "
                    f"builds it after an instance was created or restored. Next step: try again later. {error}"
                ) from error
            if not reported:
                api.report(f"Waiting to {call.doing}: OAC builds its search index, as it does after a restore.")
                reported = True
            await api.sleep(pause)


def index_not_ready(error: OACApiError) -> bool:
    """Whether OAC cannot search yet (documented; that ``code`` contains the word is inferred)."""
    return error.status == 503 and "SearchIndexNotReady" in f"{error.code} {error.detail}"


class _Progress(Generic[T]):
    """Checks each page, and decides which pages to fetch next."""

    def __init__(self, plan: PagePlan, report: Callable[[str], None]) -> None:
        self._plan, self._report = plan, report
        self._last = self._items = 0
        self._ended = self._names_next = False
        self._count: int | None = None
        self._before: Page[T] | None = None
        self._reported: set[str] = set()

    def next_window(self) -> range:
        """Return the numbers of the pages to fetch next."""
        left = 0 if self._ended else 1 if self._count is None else self._count - self._last
        return range(self._last + 1, self._last + 1 + max(0, min(left, self._plan.side_by_side)))

    def checked(self, page: Page[T], number: int) -> Page[T]:
        """Return the page if it is the requested one and the list advances."""
        before, self._before, self._last = self._before, page, number
        again = before is not None and page.items != () and page.items == before.items
        self._items += len(page.items)
        self._names_next |= page.more
        if None not in (page.count, self._count) and page.count != self._count:
            self._say("The list changed while it was read: items may be missing or appear twice.")
        self._count = self._count if page.count is None else page.count
        # Without ids, which ``fields`` may leave out, two different pages may look equal.
        distinct = any(getattr(item, "id", True) for item in page.items)
        self._refuse_circles(page, number, again and distinct)
        self._check_limit(page)
        if self._count is None and not self._names_next:
            # No response has had paging headers. A server that does not page returns the same page again.
            self._ended = not page.items or again
            return Page(()) if again else page
        self._ended = self._count is None and not page.more
        return page

    def _refuse_circles(self, page: Page[T], number: int, again: bool) -> None:
        if page.number not in (None, number):
            what = f"page {page.number} came instead of page {number}"
        elif max(number, self._count or 0) > _MOST_PAGES:
            what = f"it has more than {_MOST_PAGES} pages"
        elif again and (self._count is not None or self._names_next):
            what = f"page {number} repeats the page before it"
        else:
            return
        raise OACResponseError(
            f"Could not read a list of OAC to its end: {what}. Next step: try again. If the error persists, list by "
            "type or by folder, and report it to the provider's authors."
        )

    def _check_limit(self, page: Page[T]) -> None:
        if max(self._items, page.total or 0) < LONGEST_LIST:
            return
        problem = (
            f"The list reached OAC's limit of {LONGEST_LIST} items (documented); further items are missing. Next step: "
            "list by type, by folder, or with a narrower search."
        )
        if not self._plan.allow_truncated:
            raise OACIncompleteListError(problem)
        self._say(problem)

    def _say(self, line: str) -> None:
        if line not in self._reported:
            self._reported.add(line)
            self._report(line)


def _number(response: Response, name: str) -> int | None:
    text = response.headers.get(name, "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
