"""Lists that come in pages, as flows that are iterated: ``async for page in pages(...)(api)``.

Sources: the headers ``oa-current-page``, ``oa-page-count`` and ``oa-next-page``, the limit of 10,000 items, and the 503
``SearchIndexNotReady`` while the search index is built are documented; ``oa-total-items`` is observed.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Generic, TypeVar

from airflow_provider_oac.client.api import Api, Flow
from airflow_provider_oac.client.calls import Call
from airflow_provider_oac.client.models import Model
from airflow_provider_oac.exceptions import (
    OACApiError,
    OACIncompleteListError,
    OACResponseError,
    OACWaitTimeoutError,
)
from airflow_provider_oac.transport.io import Response

T = TypeVar("T")

# A list never shows more (documented).
LONGEST_LIST = 10_000
# So no list has more pages, unless the server pages in circles.
_MOST_PAGES = LONGEST_LIST
# While the index is built, in seconds: without a Retry-After, and however long it asks to stay away.
_INDEX_PAUSE = 10.0
_LONGEST_INDEX_PAUSE = 300.0


@dataclass(frozen=True)
class Page(Model, Generic[T]):
    """One page of a list.

    :param items: what it holds, in order.
    :param number: its number, from 1, as OAC says it.
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

    :param side_by_side: most pages that are fetched, and held, at one time.
    :param index_patience: seconds for which a search index that is not ready is waited for.
    :param allow_truncated: whether a list that reached OAC's limit is worth having. If not, it is an error.
    """

    side_by_side: int = 4
    index_patience: float = 900.0
    allow_truncated: bool = False


#: Iterate it with the :class:`Api`: ``async for page in source(api)``.
Source = Callable[[Api], AsyncGenerator[T, None]]


def read_page(response: Response, items: Sequence[T]) -> Page[T]:
    """A page from the items of its body and the headers of its answer."""
    return Page(
        items=tuple(items),
        number=_number(response, "oa-current-page"),
        count=_number(response, "oa-page-count"),
        total=_number(response, "oa-total-items"),
        more=bool(response.headers.get("oa-next-page", "").strip()),
    )


def pages(
    make: Callable[[int], Call[Page[T]]],
    plan: PagePlan = PagePlan(),
    *,
    report: Callable[[str], None] = lambda _line: None,
) -> Source[Page[T]]:
    """All pages of a list, in order.

    As soon as the first one tells how many there are, the others are fetched side by side. What changes in OAC
    meanwhile may be missing or come twice; a change of the number of pages is reported.

    :param make: makes the call for a page, by its number.
    :param plan: how to go through it.
    :param report: gets lines for people.
    :raises OACIncompleteListError: if the list reached OAC's limit, unless the plan allows it.
    :raises OACWaitTimeoutError: if the search index is not ready in time.
    :raises OACResponseError: if the server pages in circles.
    """

    async def iterate(api: Api) -> AsyncGenerator[Page[T], None]:
        checks = _Checks(plan, report)
        page = checks.seen(await fetched(api, make(1), plan, report), 1)
        yield page
        while not checks.ended:
            following = range(checks.last + 1, checks.last + 1 + checks.next_window)
            flows = [fetched(api, make(number), plan, report) for number in following]
            found = [await flows[0]] if len(flows) == 1 else await api.io.gather(flows, len(flows))
            for number, page in zip(following, found, strict=True):
                yield checks.seen(page, number)

    return iterate


def each(source: Source[Page[T]]) -> Source[T]:
    """The items of all pages, in order."""

    async def iterate(api: Api) -> AsyncGenerator[T, None]:
        async with aclosing(source(api)) as found:
            async for page in found:
                for item in page.items:
                    yield item

    return iterate


@dataclass(frozen=True)
class Listing(Generic[T]):
    """A list that OAC gives out in pages. As a flow it returns all items: ``hook.run(catalog.list_items())``.

    :param page: makes the call for one page, by its number from 1.
    :param none_is_missing: whether a 404 means that there are no items.
    """

    page: Callable[[int], Call[Page[T]]]
    none_is_missing: bool = False

    async def __call__(self, api: Api) -> list[T]:
        """All items. The errors are those of :func:`pages`."""
        return await collected(self.each())(api)

    def each(
        self, plan: PagePlan = PagePlan(), *, report: Callable[[str], None] = lambda _line: None
    ) -> Source[T]:  # fmt: skip
        """The items one by one, without holding all of them. The parameters are those of :func:`pages`."""
        source = each(pages(self.page, plan, report=report))
        return _none_if_missing(source) if self.none_is_missing else source


def _none_if_missing(source: Source[T]) -> Source[T]:
    async def iterate(api: Api) -> AsyncGenerator[T, None]:
        count = 0
        try:
            async with aclosing(source(api)) as items:
                async for item in items:
                    count += 1
                    yield item
        except OACApiError as error:
            # Something that is not OAC answers without OAC's form.
            if error.status != 404 or count or not (error.code or error.detail):
                raise

    return iterate


def collected(source: Source[T], most: int | None = None) -> Flow[list[T]]:
    """A list of what a source yields. Flow.

    :param most: stop after so many.
    """

    async def flow(api: Api) -> list[T]:
        found: list[T] = []
        if most is not None and most < 1:
            return found
        async with aclosing(source(api)) as items:
            async for item in items:
                found.append(item)
                if len(found) == most:
                    break
        return found

    return flow


async def fetched(
    api: Api, call: Call[T], plan: PagePlan = PagePlan(), report: Callable[[str], None] = lambda _line: None
) -> T:
    """Make a call that searches; wait for the search index if it is being built. Flow.

    :raises OACWaitTimeoutError: if it is not ready in time.
    """
    give_up, told = api.io.now() + plan.index_patience, False
    while True:
        try:
            return await api.perform(call)
        except OACApiError as error:
            if not index_not_ready(error):
                raise
            pause = min(max(error.retry_after or _INDEX_PAUSE, 1.0), _LONGEST_INDEX_PAUSE)
            if api.io.now() + pause > give_up:
                raise OACWaitTimeoutError(
                    f"The search index of OAC is not ready after {plan.index_patience:.0f} s, so that nothing can be "
                    "listed. It is built when an instance is new or was restored, and goes on being built. Run the "
                    f"task again later. OAC said: {error}"
                ) from error
            if not told:
                report(f"OAC builds its search index, as it does after a restore; waiting for it to {call.doing}.")
                told = True
            await api.io.sleep(pause)


def index_not_ready(error: OACApiError) -> bool:
    """Whether OAC cannot search yet (documented; that the word stands in ``code`` is inferred)."""
    return error.status == 503 and "SearchIndexNotReady" in f"{error.code} {error.detail}"


class _Checks:
    """Judges each page, and says whether and how to go on."""

    def __init__(self, plan: PagePlan, report: Callable[[str], None]) -> None:
        self.last = 0
        self.ended = False
        self.next_window = 1
        self._plan = plan
        self._report = report
        self._items = 0
        self._names_next = False
        self._count: int | None = None
        self._before: Page[object] | None = None
        self._told: set[str] = set()

    def seen(self, page: Page[T], number: int) -> Page[T]:
        """The page itself, if it is the one that was asked for and leads on."""
        before, self._before = self._before, page  # type: ignore[assignment]
        self.last = number
        self._items += len(page.items)
        self._names_next |= page.more
        if page.count is not None and self._count is not None and page.count != self._count:
            self._tell("The list changed while it was read: items may be missing or come twice.")
        self._count = page.count if page.count is not None else self._count
        again = before is not None and page.items != () and page.items == before.items
        self._refuse_circles(page, number, again and _tell_apart(page.items))
        self._look_at_the_limit(page)
        if self._count is not None:
            left = self._count - number
            self.ended, self.next_window = left <= 0, max(0, min(left, self._plan.side_by_side))
        elif self._names_next:
            self.ended = not page.more
        else:
            # No word about pages at all. A server that does not page gives the same once more.
            self.ended = not page.items or again
            return Page(()) if again else page
        return page

    def _refuse_circles(self, page: Page[T], number: int, again: bool) -> None:
        wrong = page.number is not None and page.number != number
        many = max(number, self._count or 0) > _MOST_PAGES
        if wrong or many or (again and (self._count is not None or self._names_next)):
            what = (
                f"page {number} was asked for and page {page.number} came" if wrong
                else f"there are more than {_MOST_PAGES} pages" if many
                else f"page {number} is the one before it once more"
            )  # fmt: skip
            raise OACResponseError(
                f"A list of OAC does not come to an end as it should: {what}. It was given up, since nobody can tell "
                "what is missing. Try again; if it stays, list by type or by folder, and tell the provider's authors."
            )

    def _look_at_the_limit(self, page: Page[T]) -> None:
        if max(self._items, page.total or 0) < LONGEST_LIST:
            return
        what = (
            f"OAC lists at most {LONGEST_LIST} items (documented), and this list has reached the limit: what lies "
            "beyond it is missing. List by type, by folder, or with a narrower search."
        )
        if not self._plan.allow_truncated:
            raise OACIncompleteListError(what)
        self._tell(what)

    def _tell(self, line: str) -> None:
        if line not in self._told:
            self._told.add(line)
            self._report(line)


def _tell_apart(items: Sequence[object]) -> bool:
    """Whether items can be told from others: without an id, which ``fields`` may leave out, two pages may be equal."""
    return any(getattr(item, "id", True) for item in items)


def _number(response: Response, name: str) -> int | None:
    text = response.headers.get(name, "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
