"""The list of tools: their names on the wire, old and new, and their arguments.

Names are documented and observed. Descriptions are the simulator's own words. What is known of write tools is little:
they are listed, and calling one is refused.
"""

from __future__ import annotations

import re
from typing import Any

PREFIX = "oracle_analytics-"
_TEXT, _FLAG, _NUMBER = {"type": "string"}, {"type": "boolean"}, {"type": "integer"}
_TEXTS = {"type": "array", "items": _TEXT}
#: Tool, description, arguments, those that are needed.
_TOOLS: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "search_catalog": (
        "Finds items of the catalog.",
        {"search": _TEXT, "type": _TEXT, "types": _TEXTS, "rootFolder": _TEXT, "limit": _NUMBER, "sortBy": _TEXT,
         "sortOrder": _TEXT, "cursor": _TEXT},
        [],
    ),
    "find_matching_datasources": ("Finds data for a question.", {"nl_question": _TEXT}, ["nl_question"]),
    "describe_data": (
        "Describes the tables and columns of a subject area or dataset.",
        {"datamodelName": _TEXT, "tablesOnly": _FLAG, "tableName": _TEXT, "tableNames": _TEXTS},
        ["datamodelName"],
    ),
    "execute_logical_sql": ("Runs Logical SQL.", {"query": _TEXT, "maxRows": _NUMBER}, ["query"]),
    # Its arguments are assumed to be those of execute_logical_sql (inferred).
    "execute_oac_ansi_sql": ("Runs ANSI SQL.", {"query": _TEXT, "maxRows": _NUMBER}, ["query"]),
    "save_catalog_content": (
        "Writes the content of an item.",
        {"type": _TEXT, "id": _TEXT, "name": _TEXT, "parentId": _TEXT, "content": {"type": "object"},
         "description": _TEXT, "userApproved": _FLAG},
        ["type", "content", "userApproved"],
    ),
    "export_workbook": (
        "Exports a workbook.",
        {"workbookId": _TEXT, "format": _TEXT, "name": _TEXT, "canvasIds": _TEXTS, "screenWidth": _NUMBER,
         "screenHeight": _NUMBER},
        ["workbookId", "format"],
    ),
    **{
        name: ("Changes the catalog.", {"type": _TEXT, "id": _TEXT, "userApproved": _FLAG}, ["userApproved"])
        for name in (
            "create_catalog_folder", "copy_catalog_item", "move_catalog_item", "delete_catalog_item",
            "update_catalog_acl",
        )
    },
    # Of the old list only (inferred: the pages call it deprecated, and no list of September 2026 has it).
    "discover_data": ("Lists subject areas and datasets.", {"fetchType": _TEXT}, []),
}  # fmt: skip
#: Lists by the setting `mcp_tools`: observed in September 2026, documented since, and of the first preview.
_LISTS = {
    "current": [name for name in _TOOLS if name not in ("execute_oac_ansi_sql", "discover_data")],
    "ansi": [name for name in _TOOLS if name != "discover_data"],
    "old": ["discover_data", "describe_data", "execute_logical_sql"],
}
#: The real description holds a grammar of some 82 KB (observed); this one is as long.
_GRAMMAR = "\n" + "The grammar of Logical SQL would be here.\n" * 2000


def _old(name: str) -> str:
    """`describe_data` as the first preview spelled it: `describeData`, `executeLogicalSQL`."""
    return re.sub(r"_(\w)", lambda match: match[1].upper(), name).replace("Sql", "SQL")


def names(setting: str) -> dict[str, str]:
    """Raw name to name, of the tools that are there.

    :param setting: the setting `mcp_tools`.
    """
    return {PREFIX + (_old(name) if setting == "old" else name): name for name in _LISTS[setting]}


def schema(name: str) -> dict[str, Any]:
    """The JSON schema of a tool's arguments."""
    _, arguments, needed = _TOOLS[name]
    return {"type": "object", "properties": arguments, "required": needed}


def listed(raw: str, name: str) -> dict[str, Any]:
    """A tool as `tools/list` shows it. Neither annotations nor an output schema have been seen."""
    description = _TOOLS[name][0] + (_GRAMMAR if name == "execute_logical_sql" else "")
    return {"name": raw, "description": description, "inputSchema": schema(name)}
