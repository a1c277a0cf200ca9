"""A report of the permissions on everything below a folder."""

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
# Items held in memory per concurrent request.
_HELD = 4
# Most paths that a result names.
_NAMED = 100


@dataclass(frozen=True)
class Audited(Model):
    """The written report.

    :param items: number of items that were read.
    :param unreadable: paths of the first hundred items whose permissions could not be read.
    :param unreadable_count: number of all such items.
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
    """Write a report of the permissions on a folder and everything below it.

    Items are listed page by page, and permissions are read concurrently. Memory grows with the catalog only by what
    :func:`airflow_provider_oac.client.flows.catalog_search.below` keeps.

    :param kind: type of the container.
    :param item_id: its id.
    :param sink: destination of the file; it is committed once the file is complete.
    :param file_format: ``csv`` (a line for each account of each item) or ``jsonl`` (a line for each item).
    :param unreadable: ``fail`` to stop at permissions that the user may not read, ``record`` to note them in the
        report.
    :param limit: most concurrent requests.
    :param manage_content: whether to list as a content manager, including what others own.
    :raises OACError: if something cannot be listed, or cannot be read and is not recorded.
    """
    count, problems, named = 0, 0, list[str]()
    items = below(api, kind, item_id, PagePlan(limit), itself=True, manage_content=manage_content)

    async def lines() -> AsyncGenerator[str, None]:
        nonlocal count, problems
        async for group in in_groups(items, limit * _HELD):
            # The container itself comes first, and it exists.
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
    """Return an item with its permissions, or with the reason why they cannot be read; ``None`` if it was deleted."""
    try:
        return item, await api.perform(acl.get(item.type, item.id)), None
    except OACApiError as error:
        # A 404 may also mean that there are no permissions to read.
        if is_missing(error, "") and not top and await _gone(api, item, manage_content):
            api.report(f"{ids.visible(item.path)} was deleted during the report.")
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
