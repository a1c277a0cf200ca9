"""Handing content over to another owner."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Any

from airflow_provider_oac.client import ids
from airflow_provider_oac.client.api import Api, Flow
from airflow_provider_oac.client.flows.catalog_search import below
from airflow_provider_oac.client.paging import PagePlan
from airflow_provider_oac.client.rest import catalog
from airflow_provider_oac.client.rest.catalog import USER, CatalogItem
from airflow_provider_oac.client.writers import grouped
from airflow_provider_oac.exceptions import OACConfigurationError

# What has an owner that can be changed (documented). A single item of another type is OAC's to judge.
OWNED = frozenset(
    {
        ids.WORKBOOKS, ids.DASHBOARDS, ids.ANALYSIS, ids.REPORTS, ids.FOLDERS, ids.CONNECTIONS, ids.DATASETS,
        ids.DATAFLOWS, ids.SEQUENCES, ids.MODELS,
    }
)  # fmt: skip
_SHOWN = 100
_HELD = 4


def handed_over(
    kind: str,
    item_id: str,
    owner: str,
    account_type: str = USER,
    *,
    recursive: bool = False,
    only_owner: str | None = None,
    manage_content: bool = True,
    limit: int = 4,
    report: Callable[[str], None] = lambda _line: None,
) -> Flow[tuple[int, list[str]]]:
    """Give an item, or everything below a folder as well, to another owner. Flow.

    Items that have this owner already are given once more if they are named, and left alone below a folder.

    :param only_owner: only items of this owner.
    :param manage_content: look as a content manager, also at what the user may not see; otherwise that stays as it is.
    :returns: how many were given, and the paths of the first hundred.
    :raises OACApiError: if OAC refuses; what was given before stays given, and doing it again goes on.
    """
    if recursive and kind != ids.FOLDERS:
        raise OACConfigurationError(f"Only what lies below a folder can be handed over as a whole, not below {kind}.")
    if limit < 1:
        raise OACConfigurationError(f"At least one request runs at a time, not {limit!r}.")

    def meant(item: CatalogItem) -> bool:
        named = ids.same(item.id or item_id, item_id)
        if item.type not in OWNED and not named:
            return False
        return item.owner == only_owner if only_owner else named or item.owner != owner

    async def source(api: Api) -> AsyncGenerator[CatalogItem, None]:
        search: dict[str, Any] = {"manage_content": True} if manage_content else {}
        yield await api.perform(catalog.get(kind, item_id, **search))
        if recursive:
            items = below(kind, item_id, PagePlan(limit), report=report, **search)(api)
            try:
                async for item in items:
                    yield item
            finally:
                await items.aclose()

    async def flow(api: Api) -> tuple[int, list[str]]:
        paths: list[str] = []
        count = 0

        async def use(api: Api, items: list[CatalogItem]) -> None:
            nonlocal count
            chosen = [item for item in items if meant(item)]
            calls = [catalog.change_owner(item.type, item.id or item_id, owner, account_type) for item in chosen]
            await api.io.gather([api.perform(call) for call in calls], limit)
            count += len(chosen)
            paths.extend([item.path for item in chosen][: _SHOWN - len(paths)])

        await grouped(source, limit * _HELD, use)(api)
        return count, paths

    return flow
