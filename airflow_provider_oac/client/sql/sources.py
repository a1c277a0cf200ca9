"""What can be queried: subject areas, datasets, their tables and columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_oac.client.api import Api, flow
from airflow_provider_oac.client.models import Model
from airflow_provider_oac.client.sql.session import McpSession
from airflow_provider_oac.exceptions import OACResponseError

# How many tables one call describes.
_TABLES = 20
_PAGE, _MOST_PAGES = 200, 500


@dataclass(frozen=True)
class DataSource(Model):
    """A subject area or a dataset.

    :param name: what people see. Two datasets may have the same one.
    :param reference: what stands after FROM: ``"Sales"`` or ``XSA('owner'.'dataset')``.
    :param type: ``subjectAreas`` or ``datasets``.
    """

    name: str
    reference: str
    type: str


@dataclass(frozen=True)
class DataColumn(Model):
    """A column.

    :param reference: its full name, as a query writes it.
    :param type: such as ``VARCHAR``, ``NUMERIC``, ``DATE``.
    :param measure: whether it is a measure, which aggregates by its own rule.
    :param aggregation: the rule, if OAC says it; for measures of datasets it does not (observed).
    :param raw: as OAC describes it.
    """

    name: str
    reference: str
    type: str
    measure: bool
    aggregation: str | None
    raw: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class DataTable(Model):
    """A table, with its columns."""

    name: str
    columns: tuple[DataColumn, ...]


@flow
async def datasets(api: Api, search: str = "*", *, session: McpSession | None = None) -> list[DataSource]:
    """List the datasets that the user may see. Tool ``search_catalog``, else ``discover_data`` (documented).

    :param search: a part of their names; ``*`` for all.
    :param session: to ask in; by default in one that begins here.
    """
    return await _listed(api, session or McpSession(), "datasets", search)


@flow
async def subject_areas(api: Api, search: str = "*", *, session: McpSession | None = None) -> list[DataSource]:
    """List the subject areas that the user may see. The parameters are those of :func:`datasets`."""
    return await _listed(api, session or McpSession(), "subjectAreas", search)


@flow
async def describe(api: Api, reference: str, *, session: McpSession | None = None) -> list[DataTable]:
    """Describe the tables and columns of a source. Tool ``describe_data`` (documented).

    :param reference: what stands after FROM; a subject area also without its quotes.
    :param session: to ask in; by default in one that begins here.
    :raises OACQueryError: if there is no such source.
    """
    session, doing = session or McpSession(), f"describe {reference}"
    name = reference if reference.upper().startswith("XSA(") else reference.strip('"')

    async def tables(**arguments: Any) -> list[dict[str, Any]]:
        held = await session.tool(api, "describe_data", {"datamodelName": name, **arguments}, doing)
        return _objects(held, "tables", doing)

    names = [str(table.get("tableName")) for table in await tables(tablesOnly=True)]
    found: list[DataTable] = []
    for place in range(0, len(names), _TABLES):
        for table in await tables(tableNames=names[place : place + _TABLES]):
            columns = tuple(map(_column, _objects(table, "columns", doing)))
            found.append(DataTable(str(table.get("tableName")), columns))
    return found


def _column(raw: Mapping[str, Any]) -> DataColumn:
    rule = raw.get("aggregation")
    return DataColumn(
        name=str(raw.get("name")),
        reference=str(raw.get("fullyQualifiedName") or raw.get("fullQualifiedName") or ""),
        type=str(raw.get("dataType")),
        measure=str(raw.get("columnType")).lower() == "measure",
        aggregation=rule if isinstance(rule, str) and rule.lower() != "none" else None,
        raw=raw,
    )


async def _listed(api: Api, session: McpSession, kind: str, search: str) -> list[DataSource]:
    doing = f"list {kind}"
    if "search_catalog" not in await session.tools(api):
        return await _discovered(api, session, kind, search)
    found: list[DataSource] = []
    cursor: dict[str, Any] = {}
    for _ in range(_MOST_PAGES):
        arguments = {"search": search, "type": kind, "limit": _PAGE, **cursor}
        held = await session.tool(api, "search_catalog", arguments, doing)
        for item in _objects(held, "items", doing):
            name = str(item.get("name"))
            found.append(DataSource(name, str(item.get("xsaExpr") or _quoted(name)), kind))
        if not held.get("nextCursor"):
            return found
        cursor = {"cursor": held["nextCursor"]}
    raise OACResponseError(f"Could not {doing}: the list has no end after {_MOST_PAGES} pages. Narrow the search.")


async def _discovered(api: Api, session: McpSession, kind: str, search: str) -> list[DataSource]:
    """The list of servers before June 2026 (observed)."""
    held = await session.tool(api, "discover_data", {"fetchType": "all"}, f"list {kind}")
    words = search.strip("*").casefold()
    own = kind == "datasets"
    return [
        DataSource(shown, f"XSA({item.get('name')})" if own else _quoted(str(item.get("name"))), kind)
        for item in _objects(held, "Datasets" if own else "SubjectAreas", f"list {kind}")
        if words in (shown := str(item.get("displayName") or item.get("name"))).casefold()
    ]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _objects(held: Any, name: str, doing: str) -> list[dict[str, Any]]:
    found = held.get(name) if isinstance(held, dict) else None
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise OACResponseError(f"Could not {doing}: the result from OAC has no list {name!r}.")
    return found
