"""Area: Catalog, reading: lists, searches, one item, and the details of workbooks, analyses and connections."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from oac_simulator.oac.api import Call, CallHandler, OACError, Route, bad_request, not_found
from oac_simulator.oac.content import Item
from oac_simulator.oac.items import CONTAINERS, MANAGE_CONTENT, TYPES, Catalog, forbidden
from oac_simulator.replies import json_reply
from oac_simulator.world import ADMINISTRATOR, CONTENT_AUTHOR

_LONGEST_LIST = 10_000
_SORT_KEYS = ("name", "type", "owner", "lastModified", "description")


async def list_all(call: Call) -> web.Response:
    """`GET /catalog`: returns items with `search`, type descriptors without (observed)."""
    kind = _type_filter(call)
    if not call.request.query.get("search"):
        return json_reply([{"type": name} for name in TYPES if kind in (None, name)])
    catalog = Catalog.of(call)
    return _page(call, catalog, catalog.visible(manage=_manage(call, catalog)))


async def list_type(call: Call) -> web.Response:
    """`GET /catalog/{type}`: without `search`, returns a bare type descriptor (observed)."""
    kind = known_type(call)
    _type_filter(call)
    if not call.request.query.get("search"):
        return json_reply({"type": kind})
    catalog = Catalog.of(call)
    items = [thing for thing in catalog.visible(manage=_manage(call, catalog)) if thing["type"] == kind]
    if not items and call.world.settings.empty_type == "404":
        raise not_found(f"Any item of the type {kind}")
    return _page(call, catalog, items)


async def get(call: Call) -> web.Response:
    """`GET /catalog/{type}/{id}`: works while the search index is built (documented)."""
    return _item(call, known_type(call), call.request.match_info["id"])


def _item(call: Call, kind: str, text: str) -> web.Response:
    catalog = Catalog.of(call)
    _type_filter(call)
    thing = catalog.find(kind, text)
    manage = _manage(call, catalog)
    if not manage:
        catalog.need(thing, "read")
    if call.request.query.get("search") and kind in CONTAINERS:
        inside = [child for child in catalog.children(thing["plain"]) if manage or catalog.may(child, "list")]
        return _page(call, catalog, inside, container=thing)
    return json_reply(_members(call, catalog.shown(thing)))


def details(kind: str, parameter: str) -> CallHandler:
    """Make the handler of an operation that shows one item in detail, with `content` on request.

    :param kind: the type.
    :param parameter: name of the path parameter with the ID.
    """

    async def get_details(call: Call) -> web.Response:
        query, text = call.request.query, call.request.match_info[parameter]
        # This path also matches `GET /catalog/{type}/{id}`, so its parameters select that operation.
        general = call.world.settings.detail_keys == "item" or query.get("search") or query.get("excludedFields")
        try:
            if general and not query.get("fields"):
                return _item(call, kind, text)
            catalog = Catalog.of(call)
            thing = catalog.find(kind, text)
            if not _manage(call, catalog):
                catalog.need(thing, "read")
        except OACError as error:
            # Detail operations document only 400, 403 and 500; the general operation also documents 404.
            if error.status == 404 and call.world.settings.missing_details == "400":
                raise bad_request(f"The {kind} item was not found.") from error
            raise
        body = {**_detailed(call, catalog, thing), "content": thing["definition"]}
        wanted = _names(call, "fields") or set(body) - {"content"}
        return json_reply({name: value for name, value in body.items() if name in wanted})

    return get_details


def _detailed(call: Call, catalog: Catalog, thing: Item) -> dict[str, Any]:
    """Return the metadata of one item, spelled as the setting `detail_keys` says."""
    style, body = call.world.settings.detail_keys, catalog.shown(thing)
    if style == "item":
        return body
    if thing["type"] == "connections":
        # The sample of the connection operation has this spelling.
        body["last modified"] = body.pop("lastModified")
        if "parentId" in body:
            body["parent"] = body.pop("parentId")
    elif style == "sample" and thing["plain"].startswith("/@Catalog/"):
        path = thing["plain"].removeprefix("/@Catalog")
        body = {"owner": thing["owner"], "name": path, "description": thing["description"], "id": catalog.id(path)}
    return body


def known_type(call: Call) -> str:
    """Return the type that the path names.

    :raises OACError: if the type does not exist (400).
    """
    kind = call.request.match_info["type"]
    if kind not in TYPES:
        raise bad_request("The type is not a catalog type.")
    return kind


def _type_filter(call: Call) -> str | None:
    kind = call.request.query.get("type")
    if kind is not None and kind not in TYPES:
        raise bad_request("The parameter type is not a catalog type.")
    return kind


def _manage(call: Call, catalog: Catalog) -> bool:
    """Return whether the user calls as content manager, which needs its own permission (documented)."""
    manage = call.flag("manageContent")
    if manage and not catalog.privileged(MANAGE_CONTENT):
        raise forbidden(f"User {catalog.user['name']} does not have the permission Manage Content.")
    return manage


def _number(call: Call, name: str, default: int) -> int:
    text = call.request.query.get(name, str(default))
    if not (text.isascii() and text.isdigit()) or len(text) > 9 or int(text) < 1:
        raise bad_request(f"The parameter {name} is a whole number from 1.")
    return int(text)


def _names(call: Call, parameter: str) -> set[str]:
    return {name.strip() for name in call.request.query.get(parameter, "").split(",") if name.strip()}


def _members(call: Call, body: dict[str, Any]) -> dict[str, Any]:
    """Apply `fields` and `excludedFields` to an item."""
    wanted, unwanted = _names(call, "fields"), _names(call, "excludedFields")
    return {
        name: value for name, value in body.items() if (not wanted or name in wanted) and name not in unwanted
    }  # fmt: skip


def _found(call: Call, items: list[Item]) -> list[Item]:
    """Return the items that match `search` and `type`, in the requested order."""
    index = call.world.meta.get(f"index/{call.instance.name}")
    if index is not None and index["ready"] > time.time():
        wait = {"Retry-After": str(call.world.settings.index_retry_after)}
        raise OACError(503, "SearchIndexNotReady", "Search index is not ready", headers=wait)
    order = call.request.query.get("sortOrder", "ASC")
    if order not in ("ASC", "DESC"):
        raise bad_request("The parameter sortOrder is ASC or DESC.")
    kind, text = _type_filter(call), call.request.query["search"].casefold()
    found = [
        thing for thing in items if kind in (None, thing["type"]) and (text == "*" or text in thing["name"].casefold())
    ]
    # The valid sort keys are not documented, so an unknown key counts as absent.
    key = call.request.query.get("sortBy", "name")
    key = key if key in _SORT_KEYS else "name"
    found.sort(key=lambda thing: (str(thing[key]).casefold(), thing["plain"]), reverse=order == "DESC")
    return found


def _page(call: Call, catalog: Catalog, items: list[Item], *, container: Item | None = None) -> web.Response:
    """Return one page of a search, with the paging headers (documented; `oa-total-items` observed)."""
    settings = call.world.settings
    page, limit = _number(call, "page", 1), _number(call, "limit", settings.page_size)
    limit = min(limit, settings.page_maximum or limit)
    found = _found(call, items)
    every = len(found)
    del found[_LONGEST_LIST:]
    pages = max(1, -(-len(found) // limit))
    headers = {"oa-current-page": str(page), "oa-page-count": str(pages)}
    if settings.total_items != "absent":
        headers["oa-total-items"] = str(every if settings.total_items == "all" else len(found))
    if page < pages:
        headers["oa-next-page"] = _next(call, page + 1)
    start = (page - 1) * limit
    shown = [_members(call, catalog.shown(thing)) for thing in found[start : start + limit]]
    if container is not None and settings.container_search == "container":
        return json_reply({**_members(call, catalog.shown(container)), "items": shown}, headers=headers)
    return json_reply(shown, headers=headers)


def _next(call: Call, page: int) -> str:
    """Return `oa-next-page`: a page number or a URL, by setting (which one OAC sends is unknown)."""
    if call.world.settings.next_page == "number":
        return str(page)
    query: Mapping[str, str] = {**call.request.query, "page": str(page)}
    return str(call.request.rel_url.with_query(query))


JOBS: dict[str, Any] = {}
ROLES = (CONTENT_AUTHOR, ADMINISTRATOR)
ROUTES = [
    Route("GET", "/catalog", list_all, ROLES),
    Route(
        "GET", "/catalog/workbooks/{urlBase64WorkbookId}", details("workbooks", "urlBase64WorkbookId"), ROLES
    ),
    Route("GET", "/catalog/analysis/{urlBase64AnalysisId}", details("analysis", "urlBase64AnalysisId"), ROLES),
    Route("GET", "/catalog/connections/{connectionId}", details("connections", "connectionId"), ROLES),
    Route("GET", "/catalog/{type}", list_type, ROLES),
    Route("GET", "/catalog/{type}/{id}", get, ROLES),
]  # fmt: skip
