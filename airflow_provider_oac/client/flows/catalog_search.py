"""Going through the catalog: what lies below a folder, one item by its exact name or id."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Any

from airflow_provider_oac.client import ids
from airflow_provider_oac.client.api import Api, Flow
from airflow_provider_oac.client.paging import PagePlan, Source
from airflow_provider_oac.client.rest import catalog
from airflow_provider_oac.client.rest.catalog import CatalogItem
from airflow_provider_oac.exceptions import OACApiError, OACError

# What holds other items; that dashboards do is documented, and their group folders are named after it.
CONTAINERS = frozenset({ids.FOLDERS, ids.DASHBOARDS, ids.DASHBOARD_GROUP_FOLDERS, "dashboardfolders"})
# How many equally named items an error names.
_NAMED = 10


def below(
    kind: str,
    item_id: str,
    plan: PagePlan = PagePlan(),
    *,
    report: Callable[[str], None] = lambda _line: None,
    **search: Any,
) -> Source[CatalogItem]:
    """Everything below a container, folder by folder, each item once, without the container itself.

    Each container is a list of its own, so that OAC's limit counts for each. Held in memory are the pages at hand, the
    ids of the containers still to come, and one number for each item seen: whether a container's list shows items
    deeper down as well is not documented.

    :raises OACError: as :func:`airflow_provider_oac.client.paging.pages` does.
    """

    async def iterate(api: Api) -> AsyncGenerator[CatalogItem, None]:
        todo = deque([(kind, item_id)])
        seen = {hash((kind, ids.normal(item_id)))}
        while todo:
            source = catalog.list_children(*todo.popleft(), **search).each(plan, report=report)(api)
            try:
                async for item in source:
                    mark = hash((item.type, ids.normal(item.id)))
                    if mark in seen:
                        continue
                    seen.add(mark)
                    if item.type in CONTAINERS:
                        todo.append((item.type, item.id))
                    yield item
            finally:
                await source.aclose()

    return iterate


def only(source: Source[CatalogItem], fits: Callable[[CatalogItem], bool]) -> Source[CatalogItem]:
    """The items of a source that fit."""

    async def iterate(api: Api) -> AsyncGenerator[CatalogItem, None]:
        items = source(api)
        try:
            async for item in items:
                if fits(item):
                    yield item
        finally:
            await items.aclose()

    return iterate


def look(kind: str, item_id: str, *, manage_content: bool | None = None) -> Flow[CatalogItem | None]:
    """An item if it is there. Needs no search index. Flow.

    :param manage_content: look as a content manager, also at what others own.
    :raises OACApiError: for any error but one that says that there is none.
    """

    async def flow(api: Api) -> CatalogItem | None:
        try:
            return await api.perform(catalog.get(kind, item_id, manage_content=manage_content))
        except OACApiError as error:
            if is_missing(error, kind):
                return None
            raise

    return flow


def is_missing(error: OACApiError, kind: str) -> bool:
    """Whether an answer to a well-formed id says that there is no such item.

    The types with detail operations of their own share their address with ``GET /catalog/{type}/{id}``, and these
    document no 404 but a 400 (documented; what they answer for an item that is not there is not).
    """
    return error.status == 404 or (error.status == 400 and kind in (ids.WORKBOOKS, ids.ANALYSIS, ids.CONNECTIONS))


def find_all(
    kind: str,
    name: str,
    *,
    parent_id: str | None = None,
    owner: str | None = None,
    manage_content: bool | None = None,
    plan: PagePlan = PagePlan(),
    report: Callable[[str], None] = lambda _line: None,
) -> Flow[list[CatalogItem]]:
    """Items with exactly this name. OAC's search finds parts of names (observed), so that they are compared here. Flow.

    :param kind: their type.
    :param name: upper and lower case count.
    :param parent_id: id of the folder they lie in; ``None`` for any.
    :param owner: user id of their owner; ``None`` for any.
    :raises OACError: as :func:`airflow_provider_oac.client.paging.pages` does.
    """

    async def flow(api: Api) -> list[CatalogItem]:
        # Characters that a search may understand are left to the comparison; which there are is not documented.
        words = name if all(letter.isalnum() or letter in " _-." for letter in name) else "*"
        source = catalog.list_items(kind, search=words, manage_content=manage_content).each(plan, report=report)
        found: list[CatalogItem] = []
        async for item in source(api):
            same_folder = parent_id is None or ids.same(item.parent_id, parent_id)
            if item.name == name and item.type == kind and same_folder and owner in (None, item.owner):
                found.append(item)
        return found

    return flow


def find(kind: str, name: str, **where: Any) -> Flow[CatalogItem]:
    """The one item with exactly this name. Flow. The parameters are those of :func:`find_all`.

    :raises OACError: if there is none, or there are several.
    """

    async def flow(api: Api) -> CatalogItem:
        found = await find_all(kind, name, **where)(api)
        if len(found) == 1:
            return found[0]
        if not found:
            raise OACError(
                f"OAC lists no {kind} named {name!r}{_told(where)}. Upper and lower case count. The list shows only "
                "what the Connection's user may see, and what is new may be missing until it is indexed."
            )
        those = "; ".join(f"{ids.visible(item.path)} of {item.owner}, id {item.id}" for item in found[:_NAMED])
        raise OACError(f"{len(found)} {kind} are named {name!r}{_told(where)}: {those}. Give the id instead.")

    return flow


def _told(where: dict[str, Any]) -> str:
    parent_id, owner = where.get("parent_id"), where.get("owner")
    folder = f" in {ids.shown(parent_id)}" if parent_id else ""
    return folder + (f" of {owner}" if owner else "")
