"""The download of an export."""

from __future__ import annotations

import re
import time
from urllib.parse import quote

from aiohttp import web

from oac_simulator.oac.api import Call, OACError, not_found
from oac_simulator.oac.export_files import open_file
from oac_simulator.oac.items import Catalog, compact
from oac_simulator.replies import LongReply
from oac_simulator.store import Record
from oac_simulator.world import ADMINISTRATOR

_KINDS = {"pdf": "application/pdf", "png": "image/png"}


async def download(call: Call) -> web.StreamResponse:
    """`GET /catalog/workbooks/{urlBase64WorkbookId}/exports/{exportId}`."""
    export_id = call.request.match_info["exportId"]
    export = _finished(call, export_id)
    file = open_file(call.world, export_id)
    if file is None:
        raise not_found("The export")
    headers = {"Content-Type": _KINDS[export["format"]], "Content-Disposition": _disposition(export)}
    return LongReply(file.pieces, file.size, headers, announced=call.world.settings.export_length)


def _finished(call: Call, export_id: str) -> Record:
    """Return the export if it is finished.

    :raises OACError: if it does not exist, is not finished (status not documented, hence the setting), or has expired.
    """
    work = call.world.work_requests.get(export_id)
    if work is None or work["instance"] != call.instance.name or work["operation"] != "CREATE_WORKBOOK_EXPORT":
        raise not_found("The export")
    catalog = Catalog.of(call)
    workbook = catalog.find("workbooks", call.request.match_info["urlBase64WorkbookId"], malformed=404)
    mine = work["user"] == call.user["name"] or compact(ADMINISTRATOR) in {compact(role) for role in catalog.roles}
    if not mine or work["plain"] != workbook["plain"]:
        raise not_found("The export")
    export, settings = call.world.exports.get(export_id), call.world.settings
    if work["status"] is None:
        status = int(settings.export_early)
        raise OACError(status, "ExportNotReady", "The export is not ready.")
    if export is None or 0 < settings.export_lifetime < time.time() - export["made"]:
        raise not_found("The export")
    return export


def _disposition(export: Record) -> str:
    """Return the header that names the file (inferred); non-ASCII names follow RFC 6266."""
    name = f"{export['name']}.{export['format']}"
    plain = re.sub(r"[^ !#-\[\]-~]", "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
