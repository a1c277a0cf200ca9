"""Area: System Settings."""

from __future__ import annotations

import time
from typing import Any

from aiohttp import web

from oac_simulator.oac.api import Call, Route, bad_request
from oac_simulator.oac.content import FLAGS, NUMBERS, SETTINGS, Content
from oac_simulator.replies import json_reply
from oac_simulator.world import ADMINISTRATOR


async def get(call: Call) -> web.StreamResponse:
    """`GET /system/settings`.

    Keys may be repeated or separated by commas (which one OAC accepts is unknown). The contract has no 400 here, so
    unknown values count as absent. Settings that are not applied yet have a member `pending` (inferred).
    """
    content = _content(call)
    query, pending = call.request.query, content["pendingSettings"]
    keys = {key for value in query.getall("key", []) for key in value.split(",") if key}
    wanted, kind = query.get("pending"), query.get("type")
    items = []
    for key, applied in content["settings"].items():
        waits = key in pending and wanted != "false"
        value = pending[key]["value"] if waits else applied
        untouched = value == SETTINGS.get(key)
        if (keys and key not in keys) or (wanted == "true" and not waits):
            continue
        if kind in ("default", "updated") and untouched != (kind == "default"):
            continue
        items.append({"key": key, "value": value, **({"pending": True} if waits else {})})
    return json_reply({"items": items})


async def put(call: Call) -> web.StreamResponse:
    """`PUT /system/settings`: atomic; changes may stay pending for a while (documented)."""
    body, content = await call.json(), _content(call)
    items = body.get("items")
    if not isinstance(items, list) or not all(isinstance(entry, dict) for entry in items):
        raise bad_request("items is missing or not a list of objects.")
    changes = dict(_checked(entry, content) for entry in items)
    seconds = call.world.settings.pending_seconds
    if seconds > 0:
        due = time.time() + seconds
        content["pendingSettings"].update({key: {"value": value, "due": due} for key, value in changes.items()})
    else:
        content["settings"].update(changes)
    call.world.content.put(call.instance.name, content)
    return web.Response()


def _checked(entry: dict[str, Any], content: Content) -> tuple[str, str]:
    """Check one key and its value, which is a string (documented)."""
    key, value = entry.get("key"), entry.get("value")
    if not isinstance(key, str) or key not in content["settings"]:
        raise bad_request(f"There is no setting {str(key)[:100]!r}.")
    if not isinstance(value, str):
        raise bad_request(f"The value of {key} is not a text.")
    if key in NUMBERS and not (value.isascii() and value.isdigit()):
        raise bad_request(f"The value of {key} is not a whole number.")
    if key in FLAGS and value not in ("true", "false"):
        raise bad_request(f"The value of {key} is neither true nor false.")
    return key, value


def _content(call: Call) -> Content:
    """Return the instance's content after applying the pending settings that are due."""
    content = call.world.content.get(call.instance.name) or {"settings": {}, "pendingSettings": {}}
    due = {key: entry for key, entry in content["pendingSettings"].items() if entry["due"] <= time.time()}
    for key, entry in due.items():
        content["settings"][key] = entry["value"]
        del content["pendingSettings"][key]
    return content


JOBS: dict[str, Any] = {}
_ROLES = (ADMINISTRATOR,)
ROUTES = [
    Route("GET", "/system/settings", get, _ROLES),
    Route("PUT", "/system/settings", put, _ROLES),
]
