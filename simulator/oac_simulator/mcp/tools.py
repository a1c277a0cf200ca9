"""The results of the read tools."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from oac_simulator.faults import Fault
from oac_simulator.mcp import data
from oac_simulator.mcp.inventory import schema
from oac_simulator.mcp.model import SOURCES, Column, Source, dataset
from oac_simulator.mcp.results import RpcError, ToolError, answered, block, refused
from oac_simulator.mcp.sql import translate
from oac_simulator.mcp.sql_errors import UNRESOLVED, QueryError, database_error
from oac_simulator.oac.api import OACError
from oac_simulator.oac.content import Item
from oac_simulator.oac.items import Catalog
from oac_simulator.store import Record
from oac_simulator.world import Instance, World

#: The types of items in searches (observed).
_SEARCHED = ("datasets", "subjectAreas", "workbooks", "folders")
_DEFAULT_ROWS = 1000
_DEFAULT_LIMIT = 50
_CONTENT = "content://catalog/workbooks/"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call of a tool."""

    world: World
    instance: Instance
    user: Record
    arguments: dict[str, Any]
    fault: Fault | None = None

    @property
    def catalog(self) -> Catalog:
        """The catalog as the calling user sees it."""
        return Catalog(self.world, self.instance.name, self.user)


def check(name: str, arguments: Any) -> dict[str, Any]:
    """Return the arguments if they match the tool's schema.

    :raises RpcError: if they do not match (inferred: -32602; unknown arguments are refused).
    """
    if not isinstance(arguments, dict):
        raise RpcError(-32602, "Invalid params: arguments is an object")
    wanted = schema(name)
    missing = [key for key in wanted["required"] if key not in arguments]
    if missing:
        raise RpcError(-32602, f"Invalid params: {missing[0]} is missing")
    types = {"string": str, "boolean": bool, "integer": int, "array": list, "object": dict}
    for key, value in arguments.items():
        kind = wanted["properties"].get(key, {}).get("type")
        if kind is None:
            raise RpcError(-32602, f"Invalid params: there is no {key}")
        if not isinstance(value, types[kind]) or (kind == "integer" and isinstance(value, bool)):
            raise RpcError(-32602, f"Invalid params: {key} is not of the type {kind}")
    return arguments


# ---------------------------------------------------------------------------------------------- searching


def _search_catalog(call: ToolCall) -> dict[str, Any]:
    """Search items by name, in pages. The members of the result are documented; order and limits are inferred."""
    asked = call.arguments
    types = asked.get("types") or ([asked["type"]] if asked.get("type") else list(_SEARCHED))
    unknown = [kind for kind in types if kind not in _SEARCHED]
    if unknown:
        raise ToolError(f"The simulator does not know the type {unknown[0]!r}; seen were {', '.join(_SEARCHED)}.")
    limit = asked.get("limit", _DEFAULT_LIMIT)
    if limit < 1:
        raise RpcError(-32602, "Invalid params: limit is not positive")
    sort_by, sort_order = asked.get("sortBy", "name"), asked.get("sortOrder", "asc")
    if sort_by not in ("name", "lastModified") or sort_order not in ("asc", "desc"):
        raise RpcError(-32602, "Invalid params: the simulator sorts by name or lastModified, asc or desc")
    wanted, catalog = asked.get("search", "*").casefold().strip("*"), call.catalog
    root = _plain(asked["rootFolder"]) + "/" if "rootFolder" in asked else ""
    found = [
        thing for thing in catalog.visible(manage=False)
        if thing["type"] in types and wanted in thing["name"].casefold() and thing["plain"].startswith(root)
    ]  # fmt: skip
    found.sort(key=lambda thing: (thing[sort_by], thing["type"], thing["plain"]), reverse=sort_order == "desc")
    begin = _cursor(asked["cursor"]) if asked.get("cursor") else 0
    more = begin + limit < len(found)
    return block({
        "items": [_shown(call, catalog, thing) for thing in found[begin : begin + limit]],
        "sortBy": sort_by, "sortOrder": sort_order, "hasMore": more,
        **({"nextCursor": urlsafe_b64encode(f"at {begin + limit}".encode()).decode()} if more else {}),
    })  # fmt: skip


def _plain(text: str) -> str:
    try:
        return urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except ValueError:
        raise RpcError(-32602, "Invalid params: the id is not base64url") from None


def _cursor(text: str) -> int:
    word, _, number = _plain(text).partition(" ")
    if word != "at" or not number.isdigit():
        raise RpcError(-32602, "Invalid params: the cursor is not of this server")
    return int(number)


def _shown(call: ToolCall, catalog: Catalog, thing: Item) -> dict[str, Any]:
    """Return an item. Its path contains the owner's name (observed), so clients should not log it."""
    plain, kind = thing["plain"], thing["type"]
    key = catalog.id(plain)
    path = plain if plain.startswith("/") else f"/@Catalog/users/{thing['owner']}/{thing['name']}"
    return {
        "name": thing["name"], "id": key, "type": kind, "path": path, "objectId": plain,
        **({"xsaExpr": dataset(plain)} if kind == "datasets" else {}),
        "metadataResource": f"metadata://catalog/{kind}/{key}", "contentResource": f"content://catalog/{kind}/{key}",
        "viewUrl": f"{call.instance.url}/ui/dv/?pageid=visualAnalyzer&reportpath={key}",
    }  # fmt: skip


def _discover_data(call: ToolCall) -> dict[str, Any]:
    """Return the deprecated list (documented)."""
    wanted = call.arguments.get("fetchType", "all")
    if wanted not in ("all", "datasets"):
        raise RpcError(-32602, "Invalid params: fetchType is all or datasets")
    things = [thing for thing in call.catalog.visible(manage=False) if thing["type"] in ("datasets", "subjectAreas")]
    found: dict[str, list[dict[str, Any]]] = {"subjectAreas": [], "datasets": []}
    for thing in things:
        own = thing["type"] == "datasets"
        name = thing["plain"] if own else thing["name"]
        found[thing["type"]].append({
            "name": name, "displayName": thing["name"], "description": thing["description"],
            "model": "custom" if own else thing["name"], "type": "dataset" if own else "subjectArea",
        })  # fmt: skip
    areas = found["subjectAreas"] if wanted == "all" else []
    return block({"SubjectAreas": areas, "Datasets": found["datasets"]})


# ---------------------------------------------------------------------------------------------- data


def _source(call: ToolCall, reference: str) -> Source:
    """Return the source for a reference, if it is in the catalog and this user may read it.

    :raises QueryError: if not. OAC's error text is unknown.
    """
    source = next((source for source in SOURCES if source.reference == reference), None)
    catalog = call.catalog
    thing = catalog.at(source.type, source.plain) if source else None
    if source is None or thing is None or not catalog.may(thing, "read"):
        raise QueryError(None, f"The subject area or dataset {reference} does not exist, or this user may not read it.")
    return source


def _describe_data(call: ToolCall) -> dict[str, Any]:
    """Describe tables and columns in the observed shape; only table names with `tablesOnly`."""
    asked = call.arguments
    try:
        source = _source(call, asked["datamodelName"])
    except QueryError as error:
        raise ToolError(error.text) from error
    wanted = [*asked.get("tableNames", []), *([asked["tableName"]] if "tableName" in asked else [])]
    unknown = [name for name in wanted if name not in source.tables]
    if unknown:
        raise ToolError(f"There is no table {unknown[0]!r} in {source.reference}.")
    tables = []
    for name in source.tables:
        if wanted and name not in wanted:
            continue
        table: dict[str, Any] = {"tableName": name, "fullQualifiedName": f'{source.written}."{name}"'}
        if not asked.get("tablesOnly"):
            table["columns"] = [_column(source, column) for column in source.columns if column.table == name]
        tables.append(table)
    return block({"subjectArea": source.reference, "tables": tables})


def _column(source: Source, column: Column) -> dict[str, Any]:
    """Describe a column. Numbers are strings, NUMERIC has no precision, datasets have no aggregation (observed)."""
    aggregation = None
    if source.type == "subjectAreas":
        time_dimension = column.type == "DATE" and not column.rule
        aggregation = column.rule.lower() or ("isTimeDimension" if time_dimension else "none")
    return {
        "name": column.name, "displayName": column.name, "description": "", "dataType": column.type,
        "columnType": "measure" if column.rule else "attribute", "aggregation": aggregation,
        "nullable": "1" if column.nullable else "0", "length": "100" if column.type == "VARCHAR" else "0",
        "precision": "0", "scale": "0",
        "fullyQualifiedName": f'{source.written}."{column.table}"."{column.name}"',
    }  # fmt: skip


async def _execute_logical_sql(call: ToolCall) -> dict[str, Any]:
    """Run a query, limited to `maxRows` (documented: 1000 by default); the setting says where errors appear."""
    began, settings, fault = time.time(), call.world.settings, call.fault
    wanted = call.arguments.get("maxRows", _DEFAULT_ROWS)
    if wanted < 1:
        raise RpcError(-32602, "Invalid params: maxRows is not positive")
    limit = min(wanted, settings.mcp_max_rows or wanted)
    if fault is not None and fault.fault == "query_error":
        return refused(str(fault.body or "[nQSError: 17001] Ordered by a test."), fault.form or settings.mcp_error_form)
    try:
        query = translate(call.arguments["query"], lambda reference: _source(call, reference))
        rows = await asyncio.to_thread(data.read, call.world, call.instance.name, query.sql, limit + 1)
    except QueryError as error:
        if error.code == UNRESOLVED and _misread(call.arguments["query"]):
            # A name that was decoded as ISO-8859-1 gives no rows and no error (observed).
            return answered((), [], more=False, drop_nulls=False, began=began)
        return refused(error.text, settings.mcp_error_form)
    except sqlite3.Error as error:
        return refused(database_error(str(error)).text, settings.mcp_error_form)
    more = len(rows) > limit
    return answered(query.keys, rows[:limit], more=more, drop_nulls=settings.mcp_nulls == "missing", began=began)


def _misread(text: str) -> bool:
    """Return whether a text is UTF-8 that was decoded as ISO-8859-1."""
    try:
        return text.encode("latin-1").decode() != text
    except ValueError:
        return False


def workbook(call: ToolCall, uri: str) -> dict[str, Any]:
    """Handle `resources/read`: return the definition of a workbook (observed).

    :raises RpcError: if it does not exist, or the URI is of another kind (inferred: -32002).
    """
    if not uri.startswith(_CONTENT):
        raise RpcError(-32002, "Resource not found", f"The simulator knows {_CONTENT}… only.")
    catalog = call.catalog
    try:
        thing = catalog.find("workbooks", uri.removeprefix(_CONTENT))
        catalog.need(thing, "read")
    except OACError as error:
        raise RpcError(-32002, "Resource not found", {"uri": uri}) from error
    text = block({"json": thing["definition"]})["content"][0]["text"]
    return {"contents": [{"uri": uri, "mimeType": "application/json", "text": text}]}


Answer = Callable[[ToolCall], dict[str, Any] | Awaitable[dict[str, Any]]]
ANSWERS: dict[str, Answer] = {
    "search_catalog": _search_catalog,
    "discover_data": _discover_data,
    "describe_data": _describe_data,
    "execute_logical_sql": _execute_logical_sql,
    "execute_oac_ansi_sql": _execute_logical_sql,
}
