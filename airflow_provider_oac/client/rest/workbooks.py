"""Workbooks: details, canvases, export.

Source: "Workbooks REST Endpoints" (documented), unless noted otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

from airflow_provider_oac.client.calls import Call, as_array, json_object, segment
from airflow_provider_oac.client.ids import plain_id, quoted, visible
from airflow_provider_oac.client.models import Model, member, model
from airflow_provider_oac.client.rest.work_requests import accepted_id
from airflow_provider_oac.exceptions import OACConfigurationError
from airflow_provider_oac.transport.io import Response

PDF = "pdf"
PNG = "png"
# The limits are documented.
MAX_CANVASES = 5
MAX_CANVAS_ID = 2000
MAX_SCREEN = 3600

VISUALIZE = "visualize"
PRESENT = "present"
# The tabs of a workbook, with the members that list their canvases.
_TABS = {VISUALIZE: "visualizeCanvases", PRESENT: "presentCanvases"}


@model
class Workbook(Model):
    """Details of a workbook, loosely specified (documented).

    :param id: its id, encoded as in paths; empty if the response has none.
    :param name: its name, or its path (one sample shows a path).
    :param raw: the whole response.
    """

    id: str = member("id")
    name: str = member("name")
    description: str = member("description")
    owner: str = member("owner")
    raw: Mapping[str, Any] = field(repr=False)


@model
class Canvas(Model):
    """One canvas of a workbook.

    :param id: the id that an export needs, such as ``snapshot!canvas!1``.
    :param name: its name for people; it may not be unique.
    :param tab: ``visualize`` or ``present``.
    :param enabled: whether the present tab shows it. OAC returns this as a text (documented).
    """

    id: str = member("canvasId", required=True)
    name: str = member("canvasName")
    tab: str
    # A boolean is accepted, too.
    enabled: bool = member("isEnabled", read=lambda value: str(value).lower() != "false")
    raw: Mapping[str, Any] = field(repr=False)


def get(workbook_id: str, fields: Sequence[str] = ()) -> Call[Workbook]:
    """Get details of a workbook.

    Operation ``GET /catalog/workbooks/{urlBase64WorkbookId}`` (documented).

    :param workbook_id: its id, encoded as lists return it.
    :param fields: only these members; by default all but ``content``, the definition (documented).
    """
    doing, query = f"read workbook {quoted(workbook_id)}", {"fields": ",".join(fields) or None}
    return Call(doing, "GET", _path(workbook_id), Workbook.reader("A workbook"), query=query, repeatable=True)


def canvases(workbook_id: str) -> Call[list[Canvas]]:
    """List the canvases of a workbook: the visualize tab first, then the present tab, each in OAC's order.

    Operation ``POST /catalog/workbooks/{id}/actions/getCanvases`` (documented); it changes nothing.

    :param workbook_id: its id, encoded as lists return it.
    """
    doing, path = f"list the canvases of workbook {quoted(workbook_id)}", f"{_path(workbook_id)}/actions/getCanvases"
    return Call(doing, "POST", path, _read_canvases, repeatable=True)


def export(
    workbook_id: str, name: str, canvas_ids: Sequence[str], file_format: str, width: int = 1440, height: int = 900
) -> Call[str]:
    """Start an export of canvases to one file.

    Operation ``POST /catalog/workbooks/{urlBase64WorkbookId}/exports`` (documented). The user needs the permission
    *Schedule Workbooks* (documented for another way to the same export). A second call does no harm: it makes a second
    file.

    :param workbook_id: its id, encoded as lists return it.
    :param name: name of the file.
    :param canvas_ids: one to five ids of canvases, each of at most 2000 characters (documented).
    :param file_format: ``pdf`` or ``png``.
    :param width: width of the rendered screen, in pixels; at most 3600 (documented).
    :param height: its height, in pixels; at most 3600 (documented).
    :returns: a call whose result is the id of the work request, which is also the id of the export (documented).
    :raises OACConfigurationError: naming the argument that OAC would refuse.
    """
    check_format(file_format)
    check_screen(width, height)
    if not 1 <= len(canvas_ids) <= MAX_CANVASES:
        raise OACConfigurationError(
            f"An export takes 1 to {MAX_CANVASES} canvases, not {len(canvas_ids)}. Next step: make several exports; "
            "OACExportWorkbookOperator does so and joins them."
        )
    for canvas_id in canvas_ids:
        if not canvas_id or len(canvas_id) > MAX_CANVAS_ID:
            raise OACConfigurationError(
                f"A canvas id must have 1 to {MAX_CANVAS_ID} characters, but {canvas_id[:60]!r} has {len(canvas_id)}. "
                "Next step: list the canvases of the workbook."
            )
    doing = f"export {len(canvas_ids)} canvases of workbook {quoted(workbook_id)} as {file_format}"
    body = {
        "name": name, "type": "file", "format": file_format, "canvasIds": list(canvas_ids), "screenwidth": width,
        "screenheight": height,
    }  # fmt: skip
    return Call(doing, "POST", f"{_path(workbook_id)}/exports", accepted_id, body=body, repeatable=True)


def download(workbook_id: str, export_id: str) -> Call[bytes]:
    """Get the file of an export whose work request has succeeded.

    Operation ``GET /catalog/workbooks/{urlBase64WorkbookId}/exports/{exportId}`` (documented). How long the file stays
    available is not documented.

    As a call it holds the whole file in memory, at most 64 MiB;
    :func:`airflow_provider_oac.client.flows.download.download` streams it.
    """
    doing = f"download export {export_id} of workbook {quoted(workbook_id)}"
    path = f"{_path(workbook_id)}/exports/{segment(export_id)}"
    item = plain_id(workbook_id) or workbook_id
    return Call(doing, "GET", path, lambda response: response.body, repeatable=True, accept="*/*", item=item)


def _path(workbook_id: str) -> str:
    return f"/catalog/workbooks/{segment(workbook_id)}"


def check_format(file_format: str) -> None:
    """Refuse a format that OAC does not export (documented).

    :raises OACConfigurationError: naming the supported formats.
    """
    if file_format not in (PDF, PNG):
        raise OACConfigurationError(f"The format of an export must be {PDF!r} or {PNG!r}, not {file_format!r}.")


def check_screen(width: int, height: int) -> None:
    """Refuse a size that OAC would refuse (documented).

    :raises OACConfigurationError: naming the limit.
    """
    for what, pixels in (("width", width), ("height", height)):
        if isinstance(pixels, bool) or not isinstance(pixels, int) or not 1 <= pixels <= MAX_SCREEN:
            raise OACConfigurationError(
                f"The {what} must be a whole number of 1 to {MAX_SCREEN} pixels, not {pixels!r}."
            )


def chosen(listed: Sequence[Canvas], wanted: Sequence[str] | None) -> list[Canvas]:
    """Return the requested canvases, in the requested order.

    :param listed: the canvases of the workbook.
    :param wanted: ids or names; ``None`` for all of the visualize tab, in its order. A name is searched for in the
        visualize tab first, because the reference's export example shows ids of that tab.
    :raises OACConfigurationError: if one does not exist or is named twice, or a name fits several.
    """
    names = ", ".join(f"{canvas.name!r} ({visible(canvas.id)}, {canvas.tab})" for canvas in listed) or "none"
    if wanted is None:
        found = [canvas for canvas in listed if canvas.tab == VISUALIZE]
        if not found:
            raise OACConfigurationError(f"The workbook has no canvas in its visualize tab. It has: {names}.")
        return found
    if not wanted:
        raise OACConfigurationError(f"No canvas given; leave canvases out for all of them. It has: {names}.")
    found = []
    for item in wanted:
        by_id = [canvas for canvas in listed if canvas.id == item]
        by_tab = [[canvas for canvas in listed if (canvas.tab, canvas.name) == (tab, item)] for tab in _TABS]
        fitting = next(filter(None, (by_id, *by_tab)), [])
        if not fitting:
            raise OACConfigurationError(f"The workbook has no canvas {item!r}, by name or by id. It has: {names}.")
        if len(fitting) > 1 and not by_id:
            ids = ", ".join(canvas.id for canvas in fitting)
            raise OACConfigurationError(f"{len(fitting)} canvases are named {item!r}: {ids}. Give the id instead.")
        if fitting[0] in found:
            raise OACConfigurationError(f"Canvas {visible(fitting[0].id)} is given twice.")
        found.append(fitting[0])
    return found


def _read_canvases(response: Response) -> list[Canvas]:
    body = json_object(response)
    found = []
    for tab, name in _TABS.items():
        items = [] if body.get(name) is None else as_array(body[name], f"The member {name!r} of a workbook")
        found += [Canvas.parse(item, "A canvas", tab=tab) for item in items]
    return found
