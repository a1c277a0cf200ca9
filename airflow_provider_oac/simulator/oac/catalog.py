"""Area: Catalog (reading only)."""

from __future__ import annotations

import time
from base64 import urlsafe_b64decode
from typing import Any

from aiohttp import web

from airflow_provider_oac.simulator.oac.api import Call, OACError, Route, bad_request, not_found
from airflow_provider_oac.simulator.oac.content import Item, encoded
from airflow_provider_oac.simulator.replies import json_reply
from airflow_provider_oac.simulator.world import ADMINISTRATOR, CONTENT_AUTHOR

TYPES = (
    "workbooks", "folders", "datasets", "connections", "dataflows", "models", "sequences", "subjectAreas",
    "analysis", "reports", "dashboards", "dashboardpages", "dashboardgroupfolders", "scripts",
)  # fmt: skip
_DEFAULT_LIMIT = 100
_LONGEST_LIST = 10_000


async def list_all(call: Call) -> web.Response:
    """`GET /catalog`: items with `search`, type descriptors without (observed)."""
    kind = call.request.query.get("type")
    if kind is not None and kind not in TYPES:
        raise bad_request("The parameter type is not a catalog type.")
    if not call.request.query.get("search"):
        return json_reply([{"type": name} for name in TYPES if kind in (None, name)])
    return _page(call, [item for item in _items(call) if kind in (None, item["type"])])


async def list_type(call: Call) -> web.Response:
    """`GET /catalog/{type}`: a bare type descriptor without `search` (observed)."""
    kind = _type(call)
    if not call.request.query.get("search"):
        return json_reply({"type": kind})
    return _page(call, [item for item in _items(call) if item["type"] == kind])


async def get(call: Call) -> web.Response:
    """`GET /catalog/{type}/{id}`: works while the search index is built (documented)."""
    kind, plain = _type(call), decoded(call.request.match_info["id"])
    items = _items(call)
    found = next((item for item in items if item["type"] == kind and item["plain"] == plain), None)
    if found is None:
        raise not_found("The catalog item")
    if call.request.query.get("search"):
        return _page(call, [item for item in items if item["parent"] == plain])
    return json_reply(shown(found))


def decoded(text: str) -> str:
    """The plain id behind a base64url id, padded or not.

    Raises:
        OACError: It is not base64url of UTF-8 (400).
    """
    try:
        return urlsafe_b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4)).decode()
    except ValueError as error:
        raise bad_request("The id is not base64url.") from error


def shown(item: Item) -> dict[str, Any]:
    """An item as answers show it."""
    body = {
        "type": item["type"], "id": encoded(item["plain"]), "name": item["name"], "owner": item["owner"],
        "description": item["description"], "lastModified": item["lastModified"],
    }  # fmt: skip
    if item["parent"] is not None:
        body["parentId"] = encoded(item["parent"])
    return body


def _items(call: Call) -> list[Item]:
    content = call.world.content.get(call.instance.name) or {}
    items: list[Item] = content.get("catalog", [])
    return items


def _type(call: Call) -> str:
    kind = call.request.match_info["type"]
    if kind not in TYPES:
        raise bad_request("The type is not a catalog type.")
    return kind


def _number(call: Call, name: str, default: int) -> int:
    text = call.request.query.get(name, str(default))
    if not (text.isascii() and text.isdigit()) or len(text) > 9 or int(text) < 1:
        raise bad_request(f"The parameter {name} is a whole number from 1.")
    return int(text)


def _page(call: Call, items: list[Item]) -> web.Response:
    """One page of a search, with the paging headers (documented; `oa-total-items` observed)."""
    index = call.world.meta.get(f"index/{call.instance.name}")
    if index is not None and index["ready"] > time.time():
        wait = {"Retry-After": "1"}
        raise OACError(503, "SearchIndexNotReady", "Search index is not ready", headers=wait)
    page, limit = _number(call, "page", 1), _number(call, "limit", _DEFAULT_LIMIT)
    order = call.request.query.get("sortOrder", "ASC")
    if order not in ("ASC", "DESC"):
        raise bad_request("The parameter sortOrder is ASC or DESC.")
    call.flag("manageContent")
    text = call.request.query["search"].casefold()
    found = [item for item in items if text == "*" or text in item["name"].casefold()]
    found.sort(key=lambda item: (item["name"].casefold(), item["plain"]), reverse=order == "DESC")
    del found[_LONGEST_LIST:]
    pages = max(1, -(-len(found) // limit))
    headers = {
        "oa-current-page": str(page), "oa-page-count": str(pages), "oa-total-items": str(len(found)),
    }  # fmt: skip
    if page < pages:
        headers["oa-next-page"] = str(page + 1)
    start = (page - 1) * limit
    return json_reply([shown(item) for item in found[start : start + limit]], headers=headers)


JOBS: dict[str, Any] = {}
_ROLES = (CONTENT_AUTHOR, ADMINISTRATOR)
ROUTES = [
    Route("GET", "/catalog", list_all, _ROLES),
    Route("GET", "/catalog/{type}", list_type, _ROLES),
    Route("GET", "/catalog/{type}/{id}", get, _ROLES),
]
