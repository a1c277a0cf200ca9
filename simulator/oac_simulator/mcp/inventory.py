"""The list of tools: their old and new names, and their arguments.

The names are documented and observed; the descriptions are the simulator's own. Little is known about the write tools:
the server lists them and refuses calls.
"""

from __future__ import annotations

import re
from typing import Any

PREFIX = "oracle_analytics-"
_TEXT, _FLAG, _NUMBER = {"type": "string"}, {"type": "boolean"}, {"type": "integer"}
_TEXTS = {"type": "array", "items": _TEXT}
#: Tool to description, arguments and required arguments.
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
    # The arguments are those of execute_logical_sql (inferred).
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
    # In the old list only (inferred: the pages call it deprecated, and the lists of September 2026 do not have it).
    "discover_data": ("Lists subject areas and datasets.", {"fetchType": _TEXT}, []),
}  # fmt: skip
#: Lists by the setting `mcp_tools`: observed in September 2026, documented since then, and from the first preview.
_LISTS = {
    "current": [name for name in _TOOLS if name not in ("execute_oac_ansi_sql", "discover_data")],
    "ansi": [name for name in _TOOLS if name != "discover_data"],
    "old": ["discover_data", "describe_data", "execute_logical_sql"],
}
#: The real description contains a grammar of some 82 KB (observed); this one has the same length.
_GRAMMAR = "\n" + "The grammar of Logical SQL would be here.\n" * 2000


def _old(name: str) -> str:
    """Spell a tool's name as the first preview did: `describeData`, `executeLogicalSQL`."""
    return re.sub(r"_(\w)", lambda match: match[1].upper(), name).replace("Sql", "SQL")


def names(setting: str) -> dict[str, str]:
    """Return the available tools: name on the wire to name.

    :param setting: the setting `mcp_tools`.
    """
    return {PREFIX + (_old(name) if setting == "old" else name): name for name in _LISTS[setting]}


def all_names() -> list[str]:
    """Return the names of all tools, whatever the setting."""
    return list(_TOOLS)


def schema(name: str) -> dict[str, Any]:
    """Return the JSON schema of a tool's arguments."""
    _, arguments, needed = _TOOLS[name]
    return {"type": "object", "properties": arguments, "required": needed}


def listed(raw: str, name: str) -> dict[str, Any]:
    """Return a tool as `tools/list` shows it. Annotations and output schemas have not been observed."""
    description = _TOOLS[name][0] + (_GRAMMAR if name == "execute_logical_sql" else "")
    return {"name": raw, "description": description, "inputSchema": schema(name)}
