"""Search the catalog: everything below a folder, or an item by its exact name or id."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator

from airflow_provider_oac.client import ids
from airflow_provider_oac.client.api import Api, flow
from airflow_provider_oac.client.paging import PagePlan
from airflow_provider_oac.client.rest import catalog
from airflow_provider_oac.client.rest.catalog import CatalogItem
from airflow_provider_oac.exceptions import OACApiError

# Types that hold other items: documented for dashboards, inferred from their names for the group folders.
CONTAINERS = frozenset({ids.FOLDERS, ids.DASHBOARDS, ids.DASHBOARD_GROUP_FOLDERS, ids.DASHBOARD_FOLDERS})


async def below(
    api: Api,
    kind: str,
    item_id: str,
    plan: PagePlan = PagePlan(),
    *,
    itself: bool = False,
    recursive: bool = True,
    manage_content: bool = False,
) -> AsyncGenerator[CatalogItem, None]:
    """Yield everything below a container, folder by folder, each item once.

    Each container is a separate list, so OAC's limit applies to each. Memory holds the current pages, the ids of the
    containers still to come, and one number for each item, because it is not documented whether a container's list also
    shows items deeper down.

    :param itself: whether to yield the container itself first.
    :param recursive: whether to yield anything else.
    :param manage_content: list as a content manager, including what others own.
    :raises OACError: as :func:`airflow_provider_oac.client.paging.pages` does.
    """
    manage = manage_content or None
    if itself:
        yield await api.perform(catalog.get(kind, item_id, manage_content=manage))
    todo = deque([(kind, item_id)] if recursive else [])
    known = {hash((kind, ids.normal(item_id)))}
    while todo:
        async for item in catalog.list_children(*todo.popleft(), manage_content=manage).each(api, plan):
            mark = hash((item.type, ids.normal(item.id)))
            if mark in known:
                continue
            known.add(mark)
            if item.type in CONTAINERS:
                todo.append((item.type, item.id))
            yield item


@flow
async def find_by_id(api: Api, kind: str, item_id: str, *, manage_content: bool | None = None) -> CatalogItem | None:
    """Return an item if it exists; this needs no search index.

    :param manage_content: search as a content manager, including what others own.
    :raises OACApiError: for any error that does not mean a missing item.
    """
    try:
        return await api.perform(catalog.get(kind, item_id, manage_content=manage_content))
    except OACApiError as error:
        if is_missing(error, kind):
            return None
        raise


def is_missing(error: OACApiError, kind: str) -> bool:
    """Whether a response to a well-formed id says that there is no such item.

    Types with their own detail operations share their address with ``GET /catalog/{type}/{id}``. Those operations
    document a 400 instead of a 404; their response for a missing item is not documented.
    """
    return error.status == 404 or (error.status == 400 and kind in (ids.WORKBOOKS, ids.ANALYSIS, ids.CONNECTIONS))


@flow
async def find_by_name(api: Api, kind: str, name: str, plan: PagePlan = PagePlan()) -> list[CatalogItem]:
    """Return the items with exactly this name.

    OAC's search finds parts of names (observed), so this function compares whole names.

    :param kind: their type.
    :param name: the name; case matters.
    :raises OACError: as :func:`airflow_provider_oac.client.paging.pages` does.
    """
    # The search may give other characters a meaning (not documented), so a name that has them is searched for as ``*``.
    words = name if all(letter.isalnum() or letter in " _-." for letter in name) else "*"
    items = catalog.list_items(kind, search=words).each(api, plan)
    return [item async for item in items if item.name == name and item.type == kind]
