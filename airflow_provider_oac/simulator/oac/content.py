"""What an instance holds: a small, plausible catalog and the system settings."""

from __future__ import annotations

import copy
from base64 import urlsafe_b64encode
from typing import Any

Content = dict[str, Any]
Item = dict[str, Any]
_SHARED = "/@Catalog/shared"


def encoded(plain: str) -> str:
    """An id as it appears in answers: base64url of the plain id, unpadded."""
    return urlsafe_b64encode(plain.encode()).rstrip(b"=").decode()


def _item(
    kind: str, plain: str, name: str, parent: str | None, owner: str, definition: dict[str, Any] | None = None
) -> Item:
    return {
        "type": kind,
        "plain": plain,
        "name": name,
        "parent": parent,
        "owner": owner,
        "description": f"{name} ({kind})",
        "lastModified": "2026-01-05T08:00:00Z",
        "definition": definition or {},
    }


def _folders(owner: str) -> list[Item]:
    return [
        _item("folders", _SHARED, "shared", None, owner),
        _item("folders", f"{_SHARED}/Sales", "Sales", _SHARED, owner),
        _item("folders", f"{_SHARED}/Finance", "Finance", _SHARED, owner),
    ]


def _workbooks(owner: str) -> list[Item]:
    made = []
    for folder, names in (
        ("Sales", ("Pipeline", "Revenue by Region")),
        ("Finance", ("Month End Close", "Budget")),
    ):
        for name in names:
            canvases = [{"canvasId": f"canvas!{number}", "name": f"Canvas {number}"} for number in (1, 2)]
            plain = f"{_SHARED}/{folder}/{name}"
            made.append(_item("workbooks", plain, name, f"{_SHARED}/{folder}", owner, {"canvases": canvases}))
    return made


def default_content(instance: str, administrator: str) -> Content:
    """The content that a fresh instance starts with.

    Args:
        instance: Its name, which goes into a setting so that instances differ.
        administrator: The owner of everything.

    Returns:
        Section name (`catalog`, `settings`) to the section.
    """
    connection = {"connectionType": "oracle-autonomous-data-warehouse", "serviceName": "adw_high"}
    orders = {"connection": "'admin'.'ADW'", "columns": ["ORDER_ID", "REGION", "AMOUNT"]}
    budget = {"connection": "'admin'.'ADW'", "columns": ["MONTH", "COST_CENTRE", "BUDGET"]}
    steps = {"steps": ["'admin'.'Load Orders'"]}
    flow = {"inputs": ["'admin'.'Orders'"], "outputs": ["'admin'.'Orders Clean'"]}
    objects = [
        _item("connections", "'admin'.'ADW'", "ADW", None, administrator, connection),
        _item("datasets", "'admin'.'Orders'", "Orders", None, administrator, orders),
        _item("datasets", "'admin'.'Budget Lines'", "Budget Lines", None, administrator, budget),
        _item("dataflows", "'admin'.'Load Orders'", "Load Orders", None, administrator, flow),
        _item("sequences", "'admin'.'Nightly'", "Nightly", None, administrator, steps),
    ]
    settings = {
        "EmailMaxRecipients": "512",
        "EmailMaxEmailSizeKB": "4096",
        "SystemName": f"Simulated instance {instance}",
    }
    return {"catalog": [*_folders(administrator), *_workbooks(administrator), *objects], "settings": settings}


def damaged(content: Content, types: list[str]) -> tuple[Content, list[str]]:
    """The content after a mishap.

    Args:
        content: What was there.
        types: The catalog types whose items get lost.

    Returns:
        What is left, and the plain ids of what was lost.
    """
    left = copy.deepcopy(content)
    lost = [item["plain"] for item in left["catalog"] if item["type"] in types]
    left["catalog"] = [item for item in left["catalog"] if item["type"] not in types]
    return left, lost
