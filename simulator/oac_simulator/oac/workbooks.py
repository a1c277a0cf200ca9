"""Area: Workbooks: canvases, exports, and their download."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from aiohttp import web

from oac_simulator.oac.api import STARTS_WORK, Call, OACError, Route, bad_request, member
from oac_simulator.oac.content import Item
from oac_simulator.oac.downloads import download
from oac_simulator.oac.export_files import make
from oac_simulator.oac.items import SCHEDULE_WORKBOOKS, Catalog, forbidden
from oac_simulator.replies import json_reply
from oac_simulator.store import Record
from oac_simulator.work import WorkFailed
from oac_simulator.world import ADMINISTRATOR, CONTENT_AUTHOR, World

_FORMATS = ("pdf", "png")
_MOST_CANVASES, _LONGEST_ID, _LARGEST = 5, 2000, 3600


async def canvases(call: Call) -> web.Response:
    """`POST /catalog/workbooks/{id}/actions/getCanvases`: an empty POST that needs `Content-Length` (inferred)."""
    call.need_length()
    catalog = Catalog.of(call)
    workbook = catalog.find("workbooks", call.request.match_info["id"])
    catalog.need(workbook, "read")
    definition = workbook["definition"]
    shown = [{"canvasId": canvas["canvasId"], "canvasName": canvas["name"]} for canvas in definition["canvases"]]
    present = [
        {
            "canvasId": canvas["canvasId"], "canvasName": canvas["name"],
            # A string, not a boolean (documented).
            "isEnabled": "true" if canvas["enabled"] else "false", "visualizeCanvasId": canvas["shows"],
        }
        for canvas in definition.get("present", [])
    ]  # fmt: skip
    return json_reply({"visualizeCanvases": shown, "presentCanvases": present})


async def export(call: Call) -> web.Response:
    """`POST /catalog/workbooks/{urlBase64WorkbookId}/exports`: at most five canvases (documented)."""
    text, settings = call.request.match_info["urlBase64WorkbookId"], call.world.settings
    catalog = Catalog.of(call)
    workbook = catalog.find("workbooks", text)
    catalog.need(workbook, "read")
    if settings.export_needs_permission and not catalog.privileged(SCHEDULE_WORKBOOKS):
        raise forbidden(f"User {call.user['name']} does not have the permission Schedule Workbooks.")
    wanted = _wanted(await call.json())
    problem = None
    try:
        wanted["canvases"] = _names(workbook, wanted.pop("ids"), int_or(settings.unknown_canvas, 422))
    except OACError as error:
        if error.status == 412 or settings.unknown_canvas != "fail":
            raise
        problem = str(error.body["message"])
    job = {"kind": "export_workbook", "plain": workbook["plain"], "problem": problem, **wanted}
    work_id = call.world.work.start(
        call.instance.name, call.user["name"], "CREATE_WORKBOOK_EXPORT", "WORKBOOK_EXPORT", job, fault=call.fault
    )
    headers = {} if settings.export_id_in == "body" else {"oa-work-request-id": work_id}
    if settings.export_id_in == "header":
        return web.Response(status=202, headers=headers)
    address = f"/api/20210901/catalog/workbooks/{text}/exports/{quote(work_id, safe='')}"
    return json_reply({"resourceUri": address}, 202, headers)


def int_or(text: str, default: int) -> int:
    """Return a setting as a number, or the default if it is a word."""
    return int(text) if text.isdigit() else default


def _wanted(body: dict[str, Any]) -> dict[str, Any]:
    """Read the body of an export request.

    :raises OACError: if a member is missing or outside the limits (400; the limits are documented).
    """
    name = member(body, "name", str, "")
    if body.get("type") != "file":
        raise bad_request("type must be file.")
    # The contract's schema has lower case, its prose upper case.
    form = str(body.get("format")).lower()
    if form not in _FORMATS:
        raise bad_request("format must be pdf or png.")
    ids = body.get("canvasIds")
    if not isinstance(ids, list) or not ids or not all(isinstance(text, str) and text for text in ids):
        raise bad_request("canvasIds must be a list of canvas ids with at least one entry.")
    if len(ids) > _MOST_CANVASES:
        raise bad_request(f"canvasIds has {len(ids)} entries, at most {_MOST_CANVASES} are allowed.")
    if any(len(text) > _LONGEST_ID for text in ids):
        raise bad_request(f"A canvas id has more than {_LONGEST_ID} characters.")
    for side in ("screenwidth", "screenheight"):
        size = body.get(side)
        if not isinstance(size, int) or isinstance(size, bool) or not 1 <= size <= _LARGEST:
            raise bad_request(f"{side} must be a whole number from 1 to {_LARGEST}.")
    size = {"width": body["screenwidth"], "height": body["screenheight"]}
    return {"name": name, "format": form, "ids": ids, **size}


def _names(workbook: Item, ids: list[str], status: int) -> list[str]:
    """Return the names of the canvases to export.

    :raises OACError: if a canvas does not exist (the cause of 422 is unknown) or is disabled (412, inferred).
    """
    definition = workbook["definition"]
    known = {canvas["canvasId"]: canvas for canvas in [*definition["canvases"], *definition.get("present", [])]}
    for text in ids:
        if text not in known:
            raise OACError(status, "InvalidCanvas", f"Canvas {text[:80]} is not in the workbook {workbook['name']}.")
        if not known[text].get("enabled", True):
            raise OACError(412, "CanvasDisabled", f"Canvas {text} is not enabled in the presentation.")
    return [known[text]["name"] for text in ids]


async def _export(world: World, record: Record) -> list[Record]:
    """Draw the file."""
    job = record["job"]
    if job["problem"] is not None:
        raise WorkFailed("InvalidCanvas", job["problem"])
    user = world.user(record["user"])
    workbook = None
    if user is not None:
        catalog = Catalog(world, record["instance"], user)
        workbook = catalog.at("workbooks", job["plain"])
    if workbook is None:
        raise WorkFailed("NotFound", "The workbook was deleted meanwhile.")
    await make(world, record, workbook["name"])
    return [{"actionResult": "CREATED", "resourceType": "WORKBOOK_EXPORT", "id": record["id"], "metadata": {}}]


JOBS = {"export_workbook": (_export, None)}
_ROLES = (CONTENT_AUTHOR, ADMINISTRATOR)
ROUTES = [
    Route("POST", "/catalog/workbooks/{id}/actions/getCanvases", canvases, _ROLES),
    Route("POST", "/catalog/workbooks/{urlBase64WorkbookId}/exports", export, _ROLES, STARTS_WORK),
    Route("GET", "/catalog/workbooks/{urlBase64WorkbookId}/exports/{exportId}", download, _ROLES),
]
