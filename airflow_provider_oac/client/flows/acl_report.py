"""Who may do what with everything below a folder, as a file."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_oac.client import ids
from airflow_provider_oac.client.api import Api, Flow
from airflow_provider_oac.client.flows.catalog_search import below, is_missing, look
from airflow_provider_oac.client.flows.download import Sink
from airflow_provider_oac.client.models import Model
from airflow_provider_oac.client.paging import PagePlan, Source
from airflow_provider_oac.client.rest import acl, catalog
from airflow_provider_oac.client.rest.acl import PERMISSIONS, Access
from airflow_provider_oac.client.rest.catalog import CatalogItem
from airflow_provider_oac.client.writers import LineFile, Written, csv_line, grouped, json_line, line_file
from airflow_provider_oac.exceptions import OACApiError, OACConfigurationError

CSV = "csv"
JSONL = "jsonl"
FORMATS = (CSV, JSONL)

FAIL = "fail"
RECORD = "record"
UNREADABLE = (FAIL, RECORD)

COLUMNS = (
    "path", "type", "name", "owner", "id", "account_type", "account", "account_name", *PERMISSIONS, "others", "error",
)  # fmt: skip
# How many items are held for each request that runs.
_HELD = 4


@dataclass(frozen=True)
class Audit:
    """What to write down.

    :param file_format: ``csv`` (a line for each account of each item) or ``jsonl`` (a line for each item).
    :param unreadable: ``fail`` if permissions that may not be read end it, ``record`` to write that down instead.
    :param limit: how many requests run side by side.
    :param manage_content: whether to list as a content manager, also what others own.
    """

    file_format: str = CSV
    unreadable: str = FAIL
    limit: int = 4
    manage_content: bool = False

    def checked(self) -> Audit:
        """Itself.

        :raises OACConfigurationError: if a part of it is none that there is.
        """
        for what, value, known in (
            ("format of an audit", self.file_format, FORMATS),
            ("treatment of unreadable permissions", self.unreadable, UNREADABLE),
        ):
            if value not in known:
                raise OACConfigurationError(f"The {what} is one of {', '.join(known)}, not {value!r}.")
        if self.limit < 1:
            raise OACConfigurationError(f"At least one request runs at a time, not {self.limit!r}.")
        return self


@dataclass(frozen=True)
class Audited(Model):
    """What was written.

    :param items: how many items were looked at.
    :param unreadable: paths of those whose permissions could not be read; the first hundred.
    :param unreadable_count: how many there are.
    :param file: the file.
    """

    items: int
    unreadable: tuple[str, ...]
    unreadable_count: int
    file: Written


def audited(
    kind: str,
    item_id: str,
    sink: Sink,
    audit: Audit = Audit(),
    *,
    report: Callable[[str], None] = lambda _line: None,
) -> Flow[Audited]:
    """Write down who may do what with a folder and everything below it. Flow.

    Items are listed page by page, and the permissions of some are read side by side, so that memory does not grow with
    the catalog but by what :func:`airflow_provider_oac.client.flows.catalog_search.below` keeps.

    :param kind: type of the container.
    :param item_id: its id.
    :param sink: where the file goes; it is committed when it is whole.
    :raises OACError: if anything cannot be listed, or, unless the audit records it, read.
    """
    audit.checked()

    async def gone(api: Api, item: CatalogItem) -> bool:
        try:
            return await look(item.type, item.id, manage_content=audit.manage_content or None)(api) is None
        except OACApiError as error:
            if error.retryable:
                raise
            return False

    async def read(api: Api, item: CatalogItem) -> tuple[CatalogItem, Sequence[Access], str | None] | None:
        try:
            return item, await api.perform(acl.get(item.type, item.id)), None
        except OACApiError as error:
            # A 404 may say as well that there are no permissions to read.
            if is_missing(error, "") and item.id != item_id and await gone(api, item):
                report(f"{ids.visible(item.path)} went while the permissions were read.")
                return None
            if audit.unreadable == FAIL or error.retryable:
                raise
            return item, (), f"HTTP {error.status} {error.detail or error.code or ''}".strip()

    async def flow(api: Api) -> Audited:
        problems: list[str] = []
        count = 0
        async with line_file(api, sink) as file:
            if audit.file_format == CSV:
                await file.head(csv_line(COLUMNS))

            async def use(api: Api, items: list[CatalogItem]) -> None:
                nonlocal count
                found = await api.io.gather([read(api, item) for item in items], audit.limit)
                for entry in filter(None, found):
                    if entry[2]:
                        count += 1
                        problems.extend([entry[0].path] if len(problems) < 100 else [])
                    await _write(file, audit.file_format, *entry)

            items = await grouped(_with_itself(kind, item_id, audit, report), audit.limit * _HELD, use)(api)
            return Audited(items, tuple(problems), count, await file.commit())

    return flow


def _with_itself(
    kind: str, item_id: str, audit: Audit, report: Callable[[str], None]
) -> Source[CatalogItem]:  # fmt: skip
    """A container and what is below it."""

    async def iterate(api: Api) -> AsyncGenerator[CatalogItem, None]:
        yield await api.perform(catalog.get(kind, item_id))
        search: dict[str, Any] = {"manage_content": True} if audit.manage_content else {}
        items = below(kind, item_id, PagePlan(audit.limit), report=report, **search)(api)
        try:
            async for item in items:
                yield item
        finally:
            await items.aclose()

    return iterate


async def _write(
    file: LineFile, file_format: str, item: CatalogItem, entries: Sequence[Access], problem: str | None
) -> None:
    known = {"path": item.path, "type": item.type, "name": item.name, "owner": item.owner, "id": item.id}
    if file_format == JSONL:
        accounts = [
            {"account_type": entry.account_type, "account": entry.account, "account_name": entry.display_name,
             "permissions": list(entry.allowed)}
            for entry in entries
        ]  # fmt: skip
        await file.add(json_line({**known, "acl": accounts, **({"error": problem} if problem else {})}))
        return
    if not entries:
        empty = [None] * (len(COLUMNS) - len(known) - 1)
        await file.add(csv_line([*known.values(), *empty, problem]))
    for entry in entries:
        granted = [name in entry.permissions for name in PERMISSIONS]
        others = " ".join(sorted(entry.permissions - set(PERMISSIONS)))
        account = (entry.account_type, entry.account, entry.display_name)
        await file.add(csv_line([*known.values(), *account, *granted, others, problem]))
