"""Who may do what with everything below a folder, as a file."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass

from airflow_provider_oac.client import ids
from airflow_provider_oac.client.api import Api, flow
from airflow_provider_oac.client.flows.catalog_search import below, find_by_id, is_missing
from airflow_provider_oac.client.flows.download import Sink
from airflow_provider_oac.client.flows.writers import Written, csv_line, in_groups, json_line, write_lines
from airflow_provider_oac.client.models import Model
from airflow_provider_oac.client.paging import PagePlan
from airflow_provider_oac.client.rest import acl
from airflow_provider_oac.client.rest.acl import PERMISSIONS, Access
from airflow_provider_oac.client.rest.catalog import CatalogItem
from airflow_provider_oac.exceptions import OACApiError

CSV = "csv"
JSONL = "jsonl"
FAIL = "fail"
RECORD = "record"

COLUMNS = (
    "path", "type", "name", "owner", "id", "account_type", "account", "account_name", *PERMISSIONS, "others", "error",
)  # fmt: skip
# How many items are held for each request that runs.
_HELD = 4
# How many paths a result names.
_NAMED = 100


@dataclass(frozen=True)
class Audited(Model):
    """What was written.

    :param items: how many items were read.
    :param unreadable: paths of those whose permissions could not be read; the first hundred.
    :param unreadable_count: how many there are.
    :param file: the file.
    """

    items: int
    unreadable: tuple[str, ...]
    unreadable_count: int
    file: Written


@flow
async def write_acl_report(
    api: Api,
    kind: str,
    item_id: str,
    sink: Sink,
    *,
    file_format: str = CSV,
    unreadable: str = FAIL,
    limit: int = 4,
    manage_content: bool = False,
) -> Audited:
    """Write down who may do what with a folder and everything below it.

    Items are listed page by page, and the permissions of some are read side by side, so memory does not grow with the
    catalog but by what :func:`airflow_provider_oac.client.flows.catalog_search.below` keeps.

    :param kind: type of the container.
    :param item_id: its id.
    :param sink: where the file goes; it is committed when it is whole.
    :param file_format: ``csv`` (a line for each account of each item) or ``jsonl`` (a line for each item).
    :param unreadable: ``fail`` if permissions that may not be read end it, ``record`` to write that down instead.
    :param limit: how many requests run side by side.
    :param manage_content: whether to list as a content manager, also what others own.
    :raises OACError: if anything cannot be listed, or, unless it is recorded, read.
    """
    count, problems, named = 0, 0, list[str]()
    items = below(api, kind, item_id, PagePlan(limit), itself=True, manage_content=manage_content)

    async def lines() -> AsyncGenerator[str, None]:
        nonlocal count, problems
        async for group in in_groups(items, limit * _HELD):
            # The container itself comes first, and is there.
            reads = [_read(item, unreadable, manage_content, top=count + at == 0) for at, item in enumerate(group)]
            count += len(group)
            for item, entries, problem in filter(None, await api.gather(reads, limit)):
                if problem:
                    problems += 1
                    named.extend([item.path][: _NAMED - len(named)])
                for line in _item_lines(file_format, item, entries, problem):
                    yield line

    file = await api.run(write_lines(sink, lines(), csv_line(COLUMNS) if file_format == CSV else ""))
    return Audited(count, tuple(named), problems, file)


@flow
async def _read(
    api: Api, item: CatalogItem, unreadable: str, manage_content: bool, *, top: bool
) -> tuple[CatalogItem, tuple[Access, ...], str | None] | None:
    """An item with its permissions, or with why they cannot be read; ``None`` if it went since it was listed."""
    try:
        return item, await api.perform(acl.get(item.type, item.id)), None
    except OACApiError as error:
        # A 404 may say as well that there are no permissions to read.
        if is_missing(error, "") and not top and await _gone(api, item, manage_content):
            api.report(f"{ids.visible(item.path)} was deleted while the permissions were read.")
            return None
        if unreadable == FAIL or error.retryable:
            raise
        return item, (), f"HTTP {error.status} {error.detail or error.code or ''}".strip()


async def _gone(api: Api, item: CatalogItem, manage_content: bool) -> bool:
    try:
        return await api.run(find_by_id(item.type, item.id, manage_content=manage_content or None)) is None
    except OACApiError as error:
        if error.retryable:
            raise
        return False


def _item_lines(file_format: str, item: CatalogItem, entries: tuple[Access, ...], problem: str | None) -> Iterator[str]:
    known = {"path": item.path, "type": item.type, "name": item.name, "owner": item.owner, "id": item.id}
    if file_format == JSONL:
        accounts = [
            {"account_type": entry.account_type, "account": entry.account, "account_name": entry.display_name,
             "permissions": list(entry.allowed)}
            for entry in entries
        ]  # fmt: skip
        yield json_line({**known, "acl": accounts, **({"error": problem} if problem else {})})
        return
    if not entries:
        yield csv_line([*known.values(), *[None] * (len(COLUMNS) - len(known) - 1), problem])
    for entry in entries:
        granted = [name in entry.permissions for name in PERMISSIONS]
        others = " ".join(sorted(entry.permissions - set(PERMISSIONS)))
        account = (entry.account_type, entry.account, entry.display_name)
        yield csv_line([*known.values(), *account, *granted, others, problem])
