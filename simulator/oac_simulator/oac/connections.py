"""Area: Connections."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from oac_simulator.oac.api import Call, OACError, Route
from oac_simulator.oac.connection_rules import Sent, check_new, kept, read, refused
from oac_simulator.oac.content import full_control, item
from oac_simulator.oac.items import Catalog
from oac_simulator.replies import json_reply
from oac_simulator.world import ADMINISTRATOR, CONTENT_AUTHOR


async def create(call: Call) -> web.StreamResponse:
    """`POST /catalog/connections`: 200 with JSON (documented), or 201 with 43 bytes of text (observed), by setting."""
    sent = await read(call)
    check_new(call, sent)
    catalog = Catalog.of(call)
    name, user = sent.envelope["name"], call.user["name"]
    plain = f"'{user}'.'{name}'"
    if catalog.at("connections", plain) is not None:
        raise OACError(409, "Conflict", f"A connection {name} of {user} exists already.")
    made = item("connections", plain, name, _folder(call, catalog, sent), user, kept(sent))
    made["description"] = str(sent.envelope.get("description", ""))
    made["lastModified"] = catalog.now()
    made["acl"] = [full_control(user, "User"), full_control("BI Service Administrator", "ApplicationRole")]
    catalog.add(made)
    catalog.save()
    return _created(call, catalog.id(plain))


def _created(call: Call, connection_id: str) -> web.Response:
    """Return the reply for a new connection. The text of the observed 201 is unknown, so a setting selects it."""
    how = call.world.settings.connection_created
    if how == "200":
        return json_reply({"connectionId": connection_id})
    texts = {"201_json": json.dumps({"connectionId": connection_id}), "201_id": connection_id, "201_empty": ""}
    return web.Response(status=201, text=texts[how])


def _folder(call: Call, catalog: Catalog, sent: Sent) -> str | None:
    """Return the folder that `folderPath` names (since January 2026; its place in the body is inferred)."""
    if not sent.folder:
        return None
    path = sent.folder.rstrip("/")
    path = path if path.startswith("/@Catalog/") else "/@Catalog/" + path.lstrip("/")
    folder = catalog.container(path)
    if folder is None:
        raise refused(call, f"The folder {path} does not exist.")
    catalog.need(folder, "write")
    return path


async def update(call: Call) -> web.StreamResponse:
    """`PUT /catalog/connections/{connectionId}`: needs user name and password; the type cannot change (documented)."""
    catalog = Catalog.of(call)
    connection = catalog.find("connections", call.request.match_info["connectionId"])
    catalog.need(connection, "write")
    sent = await read(call)
    for name in ("username", "password"):
        if not isinstance(sent.params.get(name), str) or not sent.params[name]:
            raise OACError(400, "BadRequest", f"{name} is mandatory when a connection is updated.")
    before = connection["definition"]
    kind = sent.params.get("connectionType", before["connectionType"])
    if kind != before["connectionType"]:
        raise OACError(400, "BadRequest", f"The type {before['connectionType']} of a connection cannot be changed.")
    name = sent.envelope["name"]
    same = [thing for thing in catalog.items if thing["type"] == "connections" and thing["name"] == name]
    if any(thing is not connection and thing["owner"] == connection["owner"] for thing in same):
        raise OACError(409, "Conflict", f"A connection {name} exists already.")
    # Only the members in the body change (documented). A new name does not change the ID (inferred).
    connection.update(name=name, definition={**before, **kept(sent)}, lastModified=catalog.now())
    if "description" in sent.envelope:
        connection["description"] = str(sent.envelope["description"])
    catalog.save()
    return web.Response()


async def delete(call: Call) -> web.StreamResponse:
    """`DELETE /catalog/connections/{connectionId}`: returns 200 with an empty body (documented)."""
    catalog = Catalog.of(call)
    connection = catalog.find("connections", call.request.match_info["connectionId"], malformed=404)
    catalog.need(connection, "delete")
    catalog.remove([connection])
    catalog.save()
    return web.Response()


JOBS: dict[str, Any] = {}
_ROLES = (CONTENT_AUTHOR, ADMINISTRATOR)
ROUTES = [
    Route("POST", "/catalog/connections", create, _ROLES),
    Route("PUT", "/catalog/connections/{connectionId}", update, _ROLES),
    Route("DELETE", "/catalog/connections/{connectionId}", delete, _ROLES),
]
