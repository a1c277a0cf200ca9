"""Going through the catalog: what lies below a folder, one item by its exact name or id."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator

from airflow_provider_oac.client import ids
from airflow_provider_oac.client.api import Api, flow
from airflow_provider_oac.client.paging import PagePlan
from airflow_provider_oac.client.rest import catalog
from airflow_provider_oac.client.rest.catalog import CatalogItem
from airflow_provider_oac.exceptions import OACApiError

# What holds other items; that dashboards do is documented, and their group folders are named after it.
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
    """Everything below a container, folder by folder, each item once.

    Each container is a separate list, so OAC's limit applies to each. Memory holds the current pages, the ids of the
    containers still to come, and one number for each item: whether a container's list shows items deeper down as
    well is not documented.

    :param itself: whether the container itself comes first.
    :param recursive: whether anything else comes.
    :param manage_content: list as a content manager, also what others own.
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
    """An item if it is there. Needs no search index.

    :param manage_content: search as a content manager, also what others own.
    :raises OACApiError: for any error that does not mean a missing item.
    """
    try:
        return await api.perform(catalog.get(kind, item_id, manage_content=manage_content))
    except OACApiError as error:
        if is_missing(error, kind):
            return None
        raise


def is_missing(error: OACApiError, kind: str) -> bool:
    """Whether an answer to a well-formed id says that there is no such item.

    The types with detail operations of their own share their address with ``GET /catalog/{type}/{id}``, and these
    document no 404 but a 400 (documented; what they answer for an item that is not there is not).
    """
    return error.status == 404 or (error.status == 400 and kind in (ids.WORKBOOKS, ids.ANALYSIS, ids.CONNECTIONS))


@flow
async def find_by_name(api: Api, kind: str, name: str, plan: PagePlan = PagePlan()) -> list[CatalogItem]:
    """Items with exactly this name. OAC's search finds parts of names (observed), so they are compared here.

    :param kind: their type.
    :param name: upper and lower case count.
    :raises OACError: as :func:`airflow_provider_oac.client.paging.pages` does.
    """
    # Characters that a search may understand are left to the comparison; which there are is not documented.
    words = name if all(letter.isalnum() or letter in " _-." for letter in name) else "*"
    items = catalog.list_items(kind, search=words).each(api, plan)
    return [item async for item in items if item.name == name and item.type == kind]
