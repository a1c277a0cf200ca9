"""The content of an instance: a small catalog with permissions, settings, mail server and safe domains."""

from __future__ import annotations

import copy
from typing import Any

Content = dict[str, Any]
Item = dict[str, Any]
SHARED = "/@Catalog/shared"
USERS = "/@Catalog/users"
#: The permissions in an entry of an access control list (documented for the tool that wraps updateACL).
PERMISSIONS = ("read", "write", "list", "execute", "delete", "changePermission", "takeOwnership")
_READING = ("read", "list", "execute")
#: The settings of a new instance. The keys, and that values are strings, are documented; the values are inferred.
SETTINGS = {
    "AllowHTMLJavaScriptCSSContent": "false",
    "DefaultUserPreferredTimeZone": "UTC",
    "EmailMaxEmailSizeKB": "4096",
    "EmailMaxRecipients": "512",
    "EnableDataQueryCache": "true",
}
#: The settings with integer values, and those with boolean values.
NUMBERS = ("EmailMaxRecipients", "EmailMaxEmailSizeKB")
FLAGS = ("AllowHTMLJavaScriptCSSContent", "EnableDataQueryCache")


def entry(account: str, kind: str, *granted: str) -> dict[str, Any]:
    """Build an entry of an access control list.

    :param account: name of the user or the application role.
    :param kind: `User` or `ApplicationRole`.
    :param granted: the granted permissions.
    """
    return {
        "accountGuid": guid(account, kind), "accountType": kind, "accountDisplayName": display_name(account, kind),
        "permissions": {name: name in granted for name in PERMISSIONS},
    }  # fmt: skip


def guid(account: str, kind: str) -> str:
    """Return the GUID of an account: a role's name without spaces (observed), a user's name (inferred)."""
    return account.replace(" ", "") if kind == "ApplicationRole" else account


def display_name(account: str, kind: str) -> str:
    """Return the display name: a role's name (observed); a user's is made up so that it differs from the name."""
    return account if kind == "ApplicationRole" else account.partition("@")[0].replace(".", " ").title()


def item(kind: str, plain: str, name: str, parent: str | None, owner: str, definition: Any = None) -> Item:
    """Build a catalog item. An `acl` of None means that the parent's list applies."""
    return {
        "type": kind,
        "plain": plain,
        "name": name,
        "parent": parent,
        "owner": owner,
        "description": f"{name} ({kind})",
        "lastModified": "2026-01-05T08:00:00Z",
        "definition": definition or {},
        "acl": None,
    }


def below(kind: str, parent: str, name: str, owner: str, definition: Any = None) -> Item:
    """Build a catalog item whose ID is its parent's path plus its name."""
    return item(kind, f"{parent}/{name}", name, parent, owner, definition)


def canvases(*names: str) -> dict[str, Any]:
    """Build the definition of a workbook; with many canvases, the last is disabled on the Present tab."""
    numbered = list(enumerate(names, start=1))
    return {
        "canvases": [{"canvasId": f"snapshot!canvas!{number}", "name": name} for number, name in numbered],
        "present": [
            {
                "canvasId": f"snapshot!presentcanvas!{number}", "name": name,
                "enabled": number < 7, "shows": f"snapshot!canvas!{number}",
            }
            for number, name in numbered
        ],
    }  # fmt: skip


def full_control(account: str, kind: str) -> dict[str, Any]:
    """Build an entry with every permission."""
    return entry(account, kind, *PERMISSIONS)


def _folders(owner: str) -> list[Item]:
    shared = item("folders", SHARED, "shared", None, owner)
    administrators = full_control("BI Service Administrator", "ApplicationRole")
    shared["acl"] = [
        administrators,
        entry("DV Content Author", "ApplicationRole", *_READING, "write"),
        entry("DV Consumer", "ApplicationRole", *_READING),
    ]
    finance = below("folders", SHARED, "Finance", owner)
    finance["acl"] = [administrators, entry("DV Content Author", "ApplicationRole", *_READING)]
    board = below("folders", SHARED, "Board", owner)
    board["acl"] = [administrators]
    users = item("folders", USERS, "users", None, owner)
    users["acl"] = [entry("BI Service Administrator", "ApplicationRole", "read", "list")]
    return [shared, below("folders", SHARED, "Sales", owner), finance, board, users]


def home(user: str) -> Item:
    """Build a user's personal folder, which only that user sees."""
    folder = below("folders", USERS, user, user)
    folder["acl"] = [full_control(user, "User")]
    return folder


def _workbooks(owner: str) -> list[Item]:
    sales, finance, board = f"{SHARED}/Sales", f"{SHARED}/Finance", f"{SHARED}/Board"
    months = [f"Month {number:02d}" for number in range(1, 13)]
    return [
        below("workbooks", sales, "Pipeline", owner, canvases("Canvas 1", "Canvas 2")),
        below("workbooks", sales, "Revenue by Region", owner, canvases("Overview", "Europe", "Americas")),
        below("workbooks", sales, "All Regions", owner, canvases(*[f"Region {number}" for number in range(1, 8)])),
        below("workbooks", finance, "Month End Close", owner, canvases("Canvas 1", "Canvas 2")),
        below("workbooks", finance, "Budget", owner, canvases("Canvas 1", "Canvas 2")),
        below("workbooks", finance, "Twelve Months", owner, canvases(*months)),
        below("workbooks", board, "Board Pack", owner, canvases("Summary")),
    ]


def _classic(owner: str) -> list[Item]:
    """Build the classic items: analyses, dashboards, reports."""
    sales, finance = f"{SHARED}/Sales", f"{SHARED}/Finance"
    dashboard = below("dashboards", sales, "Sales Dashboard", owner)
    return [
        below("analysis", sales, "Top Customers", owner, {"columns": ["CUSTOMER", "AMOUNT"]}),
        dashboard,
        below("dashboardpages", dashboard["plain"], "Page 1", owner),
        below("dashboardgroupfolders", SHARED, "Dashboards", owner),
        below("reports", finance, "Invoice", owner, {"layout": "invoice.rtf"}),
    ]


def _objects(owner: str) -> list[Item]:
    """Build the items whose ID is a quoted pair of owner and name."""
    everyone = [
        full_control("BI Service Administrator", "ApplicationRole"),
        entry("DV Content Author", "ApplicationRole", *_READING, "write", "delete"),
    ]
    orders = {"connection": "'admin'.'ADW'", "tables": [{"name": "ORDERS", "rows": 120_000, "bytes": 24_000_000}]}
    budget = {
        "connection": "'admin'.'ADW'",
        "tables": [
            {"name": "BUDGET_LINES", "rows": 4_800, "bytes": 960_000},
            {"name": "COST_CENTRES", "rows": 120, "bytes": 9_600},
        ],
    }
    flow = {
        "inputs": ["'admin'.'Orders'"], "outputs": ["'admin'.'Orders Clean'"],
        "parameters": [
            {"name": "P_SOURCE", "type": "source"}, {"name": "P_TARGET", "type": "target"},
            {"name": "P_APP", "type": "cube"}, {"name": "P_CUBE", "type": "cube"},
        ],
        "tables": [{"name": "Orders Clean", "rows": 118_500, "bytes": 20_000_000}],
    }  # fmt: skip
    connection = {"connectionType": "oracle-autonomous-data-warehouse", "serviceName": "adw_high", "username": "ADMIN"}
    made = [
        ("connections", "ADW", connection),
        ("connections", "CRM", {"connectionType": "mysql", "host": "crm.example.com", "username": "reader"}),
        ("datasets", "Orders", orders),
        ("datasets", "Budget Lines", budget),
        # A dataset from a file has no connection and cannot be reloaded.
        ("datasets", "Targets", {"file": "targets.xlsx"}),
        # A live dataset has no table with automatic caching, so there is nothing to reload.
        ("datasets", "Live Orders", {"connection": "'admin'.'ADW'", "tables": []}),
        ("dataflows", "Load Orders", flow),
        ("dataflows", "Score Customers", {"tables": [{"name": "Scores", "rows": 900, "bytes": 72_000}]}),
        ("sequences", "Nightly", {"steps": ["'admin'.'Load Orders'", "'admin'.'Score Customers'"]}),
        ("models", "Churn", {"algorithm": "naive-bayes"}),
        ("scripts", "Clean Names", {"language": "python"}),
        ("subjectAreas", "Sales History", {}),
    ]
    objects = [item(kind, f"'admin'.'{name}'", name, None, owner, definition) for kind, name, definition in made]
    for thing in objects:
        thing["acl"] = copy.deepcopy(everyone)
    return objects


def default_content(administrator: str, users: list[str]) -> Content:
    """Build the content of a new instance.

    :param administrator: owner of all shared items.
    :param users: each gets a personal folder.
    :returns: section name (`catalog`, `settings`, `pendingSettings`, `mail`, `safeDomains`) to the section.
    """
    catalog = [
        *_folders(administrator), *_workbooks(administrator), *_classic(administrator), *_objects(administrator),
    ]  # fmt: skip
    for user in users:
        folder = home(user)
        catalog += [folder, below("workbooks", folder["plain"], "My Draft", user, canvases("Canvas 1"))]
    return {
        "catalog": catalog,
        "settings": dict(SETTINGS),
        "pendingSettings": {},
        "mail": None,
        "safeDomains": {},
    }


def damaged(content: Content, types: list[str]) -> tuple[Content, list[str]]:
    """Remove all items of some types from the content.

    :param content: the content.
    :param types: the catalog types to remove.
    :returns: the remaining content, and the plain IDs of the removed items.
    """
    left = copy.deepcopy(content)
    lost = [thing["plain"] for thing in left["catalog"] if thing["type"] in types]
    left["catalog"] = [thing for thing in left["catalog"] if thing["type"] not in types]
    return left, lost
