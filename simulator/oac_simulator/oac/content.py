"""What an instance holds: a small, plausible catalog with permissions, settings, mail server and safe domains."""

from __future__ import annotations

import copy
from typing import Any

Content = dict[str, Any]
Item = dict[str, Any]
SHARED = "/@Catalog/shared"
USERS = "/@Catalog/users"
#: The permissions of an entry of an access control list (documented for the tool that wraps updateACL).
PERMISSIONS = ("read", "write", "list", "execute", "delete", "changePermission", "takeOwnership")
_READING = ("read", "list", "execute")
#: The settings of a new instance. Keys and values as text are documented, the values themselves are inferred.
SETTINGS = {
    "AllowHTMLJavaScriptCSSContent": "false",
    "DefaultUserPreferredTimeZone": "UTC",
    "EmailMaxEmailSizeKB": "4096",
    "EmailMaxRecipients": "512",
    "EnableDataQueryCache": "true",
}
#: What must be a whole number, and what is true or false.
NUMBERS = ("EmailMaxRecipients", "EmailMaxEmailSizeKB")
FLAGS = ("AllowHTMLJavaScriptCSSContent", "EnableDataQueryCache")


def entry(account: str, kind: str, *granted: str) -> dict[str, Any]:
    """One entry of an access control list.

    :param account: the user's name, or the application role's.
    :param kind: `User` or `ApplicationRole`.
    :param granted: the permissions that are on.
    """
    return {
        "accountGuid": guid(account, kind), "accountType": kind, "accountDisplayName": display_name(account, kind),
        "permissions": {name: name in granted for name in PERMISSIONS},
    }  # fmt: skip


def guid(account: str, kind: str) -> str:
    """What tells an account apart: of a role its name without blanks (observed), of a user the name (inferred)."""
    return account.replace(" ", "") if kind == "ApplicationRole" else account


def display_name(account: str, kind: str) -> str:
    """What the Console shows: a role's name (observed); of a user made up from the name, so that the two differ."""
    return account if kind == "ApplicationRole" else account.partition("@")[0].replace(".", " ").title()


def item(kind: str, plain: str, name: str, parent: str | None, owner: str, definition: Any = None) -> Item:
    """A catalog item. Its `acl` is None as long as it is that of its parent."""
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
    """A catalog item whose id is the path of its parent and its name."""
    return item(kind, f"{parent}/{name}", name, parent, owner, definition)


def canvases(*names: str) -> dict[str, Any]:
    """The definition of a workbook; the last canvas is switched off on the present tab if there are many."""
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
    """An entry with every permission."""
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
    """A user's own folder, which nobody else sees."""
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
    """Items of the older kind: analyses, dashboards, reports."""
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
    """Items whose id is a quoted pair of owner and name."""
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
        # From a file: it has no connection and cannot be reloaded.
        ("datasets", "Targets", {"file": "targets.xlsx"}),
        # Live: its connection has no table with automatic caching, so there is nothing to reload.
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
    """The content that a new instance starts with.

    :param administrator: owner of everything that is shared.
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
    """The content after a mishap.

    :param content: what was there.
    :param types: the catalog types whose items get lost.
    :returns: what is left, and the plain ids of what was lost.
    """
    left = copy.deepcopy(content)
    lost = [thing["plain"] for thing in left["catalog"] if thing["type"] in types]
    left["catalog"] = [thing for thing in left["catalog"] if thing["type"] not in types]
    return left, lost
