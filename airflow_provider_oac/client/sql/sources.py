"""Read subject areas, datasets, their columns, and definitions of workbooks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_oac.client import ids
from airflow_provider_oac.client.api import Api, flow
from airflow_provider_oac.client.models import Model, member, model
from airflow_provider_oac.client.sql.errors import SOURCE, Doing
from airflow_provider_oac.client.sql.session import McpSession, each, objects
from airflow_provider_oac.exceptions import OACResponseError

# Most tables that one call describes.
_TABLES = 20
_PAGE = 200
_NO_WORKBOOK = ("the workbook does not exist, or the user may not read it", "Check its id and its permissions in OAC.")


@dataclass(frozen=True)
class DataSource(Model):
    """A subject area or a dataset.

    :param name: its name for people. Two datasets may have the same one.
    :param reference: its name after FROM: ``"Sales"`` or ``XSA('owner'.'dataset')``.
    :param type: ``subjectAreas`` or ``datasets``.
    """

    name: str
    reference: str
    type: str


def _rule(value: Any) -> str | None:
    return value if isinstance(value, str) and value.lower() != "none" else None


@model
class DataColumn(Model):
    """A column of a source.

    :param table: its table.
    :param name: its name in the table.
    :param reference: its full name, as a query writes it.
    :param type: such as ``VARCHAR``, ``NUMERIC``, ``DATE``.
    :param measure: whether it is a measure, which aggregates by its own rule.
    :param aggregation: the rule, if OAC returns it; it does not for measures of datasets (observed).
    :param raw: OAC's whole description.
    """

    table: str
    name: str = member("name")
    reference: str = member("fullyQualifiedName")
    type: str = member("dataType")
    measure: bool = member("columnType", read=lambda value: str(value).lower() == "measure")
    aggregation: str | None = member("aggregation", read=_rule)
    raw: Mapping[str, Any] = field(repr=False)


@flow
async def datasets(api: Api, search: str = "*", *, session: McpSession | None = None) -> list[DataSource]:
    """List the datasets that the user may see.

    Tool ``search_catalog`` (documented).

    :param search: a part of their names; ``*`` for all.
    :param session: the session to use; by default a new one.
    """
    return await _listed(api, session or McpSession(), "datasets", search)


@flow
async def subject_areas(api: Api, search: str = "*", *, session: McpSession | None = None) -> list[DataSource]:
    """List the subject areas that the user may see. The parameters are those of :func:`datasets`."""
    return await _listed(api, session or McpSession(), "subjectAreas", search)


@flow
async def describe(api: Api, reference: str, *, session: McpSession | None = None) -> list[DataColumn]:
    """Describe the columns of a source, table by table.

    Tool ``describe_data`` (documented).

    :param reference: its name after FROM; a subject area also without its quotes.
    :param session: the session to use; by default a new one.
    :raises OACQueryError: if there is no such source.
    """
    session, doing = session or McpSession(), Doing(f"describe {reference}", cause=SOURCE)
    source = {"datamodelName": reference if reference.upper().startswith("XSA(") else reference.strip('"')}
    content = await session.tool(api, "describe_data", {**source, "tablesOnly": True}, doing)
    names = [str(table.get("tableName")) for table in objects(content, "tables")]
    found: list[DataColumn] = []
    for place in range(0, len(names), _TABLES):
        arguments = {**source, "tableNames": names[place : place + _TABLES]}
        for table in objects(await session.tool(api, "describe_data", arguments, doing), "tables"):
            name = str(table.get("tableName"))
            found += [DataColumn.parse(column, "A column", table=name) for column in objects(table, "columns")]
    return found


@flow
async def read_workbook(api: Api, workbook_id: str, *, session: McpSession | None = None) -> dict[str, Any]:
    """Read the definition of a workbook: canvases, visualizations, calculations; no data.

    Resource ``content://catalog/workbooks/{id}`` (observed).

    :param workbook_id: its id, encoded as lists return it.
    :param session: the session to use; by default a new one.
    :raises OACQueryError: if there is no such workbook, or the user may not read it.
    """
    doing = Doing(f"read the definition of workbook {ids.quoted(workbook_id)}", cause=_NO_WORKBOOK)
    uri = f"content://catalog/workbooks/{workbook_id.rstrip('=')}"
    result = await (session or McpSession()).request(api, "resources/read", {"uri": uri}, doing)
    contents = objects(result, "contents")
    try:
        found = json.loads(contents[0]["text"])
        definition = found.get("json", found)
    except (AttributeError, LookupError, TypeError, ValueError):
        definition = None
    if not isinstance(definition, dict):
        raise OACResponseError(f"Could not {doing.text}: its content is not a JSON object.")
    return definition


async def _listed(api: Api, session: McpSession, kind: str, search: str) -> list[DataSource]:
    doing, params = Doing(f"list {kind}"), {"search": search, "type": kind, "limit": _PAGE}
    items = each("items", lambda params: session.tool(api, "search_catalog", params, doing), params)
    named = [(str(item.get("name")), item.get("xsaExpr")) async for item in items]
    return [DataSource(name, str(reference or f'"{name}"'), kind) for name, reference in named]
