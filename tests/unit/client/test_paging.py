"""Going through lists: order, windows, the end, the limit, an index that is not ready, servers that page in circles."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from airflow_provider_oac.client.api import Api
from airflow_provider_oac.client.calls import Call
from airflow_provider_oac.client.paging import LONGEST_LIST, Listing, Page, PagePlan, collected, pages, read_page
from airflow_provider_oac.exceptions import OACApiError, OACIncompleteListError, OACResponseError, OACWaitTimeoutError
from airflow_provider_oac.transport.io import Request, Response
from tests.manual import Answer, ManualIO, response
from tests.unit.client.worlds import answering, asked, run


def call(page: int) -> Call[Page[int]]:
    return Call(
        "list numbers", "GET", "/numbers", lambda answer: read_page(answer, answer.json()), {"page": page},
        repeatable=True,
    )  # fmt: skip


def page_of(request: Request) -> int:
    return int(parse_qs(urlsplit(request.url).query)["page"][0])


def answer(items: Any, **headers: Any) -> Response:
    named = {f"oa-{name.replace('_', '-')}": str(value) for name, value in headers.items() if value is not None}
    return response(200, json.dumps(list(items)), named)


def numbers(total: int, limit: int, *, count: bool = True, following: bool = True) -> Callable[[int], Response]:
    """A server of the first numbers, page by page."""
    last = max(1, -(-total // limit))

    def serve(page: int) -> Response:
        return answer(
            range((page - 1) * limit, min(total, page * limit)),
            current_page=page if count else None,
            page_count=last if count else None,
            next_page=page + 1 if following and page < last else None,
        )

    return serve


def world(serve: Callable[[int], Answer]) -> ManualIO:
    return answering(lambda _age, request: serve(page_of(request)))


def listing(io: ManualIO, plan: PagePlan = PagePlan(), report: Callable[[str], None] = print, most: Any = None) -> Any:
    return run(io, collected(lambda api: Listing(call).each(api, plan), most), report)


@pytest.mark.parametrize("total", [0, 1, 9, 10, 11, 95, 100])
@pytest.mark.parametrize("side_by_side", [1, 3, 20])
def test_everything_comes_once_and_in_order(total: int, side_by_side: int) -> None:
    io = world(numbers(total, 10))
    assert listing(io, PagePlan(side_by_side)) == list(range(total))
    assert len(asked(io)) == max(1, -(-total // 10))


@pytest.mark.parametrize(
    ("serve", "total", "requests"),
    [
        (numbers(35, 10, count=False), 35, 4),
        (numbers(35, 10, count=False, following=False), 35, 5),
        (lambda _page: answer(range(3)), 3, 2),
    ],
    ids=["it names the next page", "it does not", "it knows no pages"],
)
def test_a_server_that_does_not_count_its_pages_is_followed_to_the_end(
    serve: Callable[[int], Response], total: int, requests: int
) -> None:
    io = world(serve)
    assert listing(io) == list(range(total))
    assert len(asked(io)) == requests


def test_no_more_is_fetched_than_is_wanted() -> None:
    io = world(numbers(100, 10))
    assert listing(io, PagePlan(2), most=15) == list(range(15))
    assert len(asked(io)) == 3


def test_pages_are_fetched_in_bounded_windows_and_handed_over_as_they_come() -> None:
    io, seen = world(numbers(100, 10)), []

    async def flow(api: Api) -> None:
        async for page in pages(api, call, PagePlan(2)):
            seen.append((page.items[0], len(asked(io))))

    run(io, flow)
    assert seen == [(0, 1), *((10 * page, requests) for page, requests in enumerate((3, 3, 5, 5, 7, 7, 9, 9, 10), 1))]


def test_a_list_that_grows_is_followed_and_reported() -> None:
    lines: list[str] = []
    io = world(lambda page: numbers(30 if page == 1 else 50, 10)(page))
    assert listing(io, PagePlan(2), lines.append) == list(range(50))
    assert lines == ["The list changed while it was read: items may be missing or appear twice."]


# ---------------------------------------------------------------------------------------------------- the limit


long_list = numbers(10_000, 2500)


@pytest.mark.parametrize(
    ("serve", "requests"),
    [(long_list, 4), (lambda page: answer(range(10), current_page=page, page_count=1000, total_items=LONGEST_LIST), 1)],
    ids=["it has so many items", "its total says so"],
)
def test_a_list_that_reached_the_limit_is_an_error_and_never_silently_cut(
    serve: Callable[[int], Response], requests: int
) -> None:
    io = world(serve)
    with pytest.raises(OACIncompleteListError, match=r"limit of 10000 items .documented.*items are missing"):
        listing(io)
    assert len(asked(io)) == requests


def test_a_truncated_list_that_is_allowed_is_reported() -> None:
    lines: list[str] = []
    assert len(listing(world(long_list), PagePlan(allow_truncated=True), lines.append)) == LONGEST_LIST
    assert [line[:40] for line in lines] == ["The list reached OAC's limit of 10000 it"]


# ---------------------------------------------------------------------------------------------------- circles


@pytest.mark.parametrize(
    ("serve", "says"),
    [
        (lambda _page: answer([1], current_page=1, page_count=3), "page 1 came instead of page 2"),
        (lambda _page: answer([1], page_count=3), "page 2 repeats the page before it"),
        (lambda page: answer([1], next_page=page + 1), "page 2 repeats the page before it"),
        (lambda page: answer([page], page_count=10**8), "it has more than 10000 pages"),
        (lambda page: answer([page % 2], next_page=page + 1), "it has more than 10000 pages"),
    ],
)
def test_a_server_that_pages_in_circles_or_never_ends_is_given_up(serve: Callable[[int], Response], says: str) -> None:
    with pytest.raises(OACResponseError, match=says):
        listing(world(serve), PagePlan(1, allow_truncated=True))


@dataclass(frozen=True)
class Item:
    id: str
    owner: str


def items(io: ManualIO, id_: str) -> Any:
    """Read a list whose pages all have two items with this id."""
    same = [Item(id_, "jane")] * 2
    return run(io, Listing(lambda page: replace(call(page), read=lambda answer: read_page(answer, same))))


@pytest.mark.parametrize("headers", [{"page_count": 3}, {}])
def test_pages_that_are_equal_for_want_of_ids_are_no_circle(headers: dict[str, Any]) -> None:
    """With ``fields`` that leave the id out, and every item of the same owner."""
    io = world(lambda page: answer([], current_page=page, next_page=page + 1 if page < 3 else None, **headers))
    assert items(io, "") == [Item("", "jane")] * 6
    with pytest.raises(OACResponseError, match="repeats the page"):
        items(world(lambda _page: answer([], page_count=3)), "1")


# ------------------------------------------------------------------------------------------- the search index


def building(ready_after: float, asks: str) -> ManualIO:
    not_ready = '{"code": "SearchIndexNotReady", "message": "Search index is not ready"}'
    later = response(503, not_ready, {"retry-after": asks} if asks else {})
    return answering(lambda age, request: later if age < ready_after else numbers(30, 10)(page_of(request)))


@pytest.mark.parametrize("asks", ["1", "60", "150", ""])
def test_an_index_that_is_not_ready_is_waited_for(asks: str) -> None:
    io, lines = building(500.0, asks), []  # type: tuple[ManualIO, list[str]]
    assert listing(io, PagePlan(), lines.append) == list(range(30))
    (line,) = lines
    assert "Waiting to list numbers: OAC builds its search index, as it does after a restore." in line
    assert 500 <= sum(io.slept) < 700


def test_an_index_that_does_not_get_ready_is_given_up() -> None:
    io = building(5000.0, "30")
    with pytest.raises(OACWaitTimeoutError, match=r"not ready after 600 s.*SearchIndexNotReady"):
        listing(io, PagePlan(index_patience=600))
    assert 500 <= sum(io.slept) < 800


def test_another_503_is_not_about_the_index() -> None:
    io = answering(response(503, '{"code": "Paused", "message": "paused"}'))
    with pytest.raises(OACApiError, match="Paused"):
        listing(io)
    assert sum(io.slept) < 60
