"""Connections of OAC to data sources.

Source: "Connections REST Endpoints" (documented), unless noted otherwise. The calls need DV Content Author
(documented).

The members of ``connectionParams`` depend on the data source, and OAC checks them against the source's schema
(documented). This package interprets only ``connectionType``, ``username`` and ``password``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_oac.client import ids
from airflow_provider_oac.client.calls import Call, json_object, multipart, nothing, segment, text_member
from airflow_provider_oac.client.rest import catalog
from airflow_provider_oac.client.rest.catalog import CatalogItem
from airflow_provider_oac.client.secret_names import secrets_of
from airflow_provider_oac.exceptions import OACConfigurationError
from airflow_provider_oac.transport.io import Response

# Mandatory; no other value was seen (observed).
VERSION = "2.0.0"


@dataclass(frozen=True)
class ConnectionOrder:
    """A connection to create or update.

    :param name: its name.
    :param params: ``connectionParams``, including the user name and the password.
    :param description: its description; ``None`` leaves it unchanged.
    :param folder_path: catalog folder to create it in (documented since January 2026; its position beside the name is
        inferred).
    :param wallet: content of a wallet (``cwallet.sso``) or key file, sent as a separate part (observed).
    :param secrets: secret texts among the parameters, besides those with secret names.
    """

    name: str
    params: Mapping[str, Any] = field(repr=False)
    description: str | None = None
    folder_path: str | None = None
    wallet: bytes | None = field(default=None, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def envelope(self) -> dict[str, Any]:
        """Build the JSON that OAC expects; its form is documented except for the parameters."""
        body: dict[str, Any] = {"version": VERSION, "type": "connection", "name": self.name}
        if self.description is not None:
            body["description"] = self.description
        if self.folder_path:
            body["folderPath"] = self.folder_path
        return {**body, "content": {"connectionParams": dict(self.params)}}


def create(order: ConnectionOrder) -> Call[str | None]:
    """Create a connection.

    Operation ``POST /catalog/connections``. It succeeds with 200 and JSON (documented), or with 201 and 43 bytes of
    text (observed).

    :returns: a call whose result is its id, encoded; ``None`` if OAC returns none.
    :raises OACConfigurationError: if its type, user name or password is missing.
    """
    check_credentials(order.params)
    if not order.params.get("connectionType"):
        raise OACConfigurationError(
            f"Connection {order.name!r} has no connectionType, such as oracle-autonomous-data-warehouse. Next step: "
            "create one by hand in OAC, and read it to see its parameters."
        )
    causes = {409: "a connection of this name exists already (inferred)"}
    doing = f"create connection {order.name!r}"
    return Call(doing, "POST", "/catalog/connections", _created_id, **_sent(order), causes=causes)


def _created_id(response: Response) -> str | None:
    """Read the id of a new connection from JSON, a bare id, or an empty body.

    A 201 always means that the connection exists, so its body is never a reason to fail.

    :raises OACResponseError: for any other body with another status.
    """
    text = response.body.decode("utf-8", "replace").strip().strip('"')
    if not text:
        return None
    if ids.is_plain(text):
        return ids.encoded(text)
    if ids.is_plain(ids.plain_id(text) or ""):
        return text
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        body = None
    if response.status == 201 and not (isinstance(body, dict) and isinstance(body.get("connectionId"), str)):
        return None
    return text_member(json_object(response), "connectionId", "A new connection")


def get(connection_id: str, fields: Sequence[str] = ()) -> Call[CatalogItem]:
    """Get details of a connection, never its password.

    Operation ``GET /catalog/connections/{connectionId}`` (documented).

    :param connection_id: its id, encoded as lists return it.
    :param fields: members to return; by default all but ``content``. OAC returns ``content``, the definition, only if
        it is named (documented); it is then in the item's ``raw``.
    """
    return catalog.get(ids.CONNECTIONS, connection_id, fields=fields)


def update(connection_id: str, order: ConnectionOrder) -> Call[None]:
    """Update a connection.

    Operation ``PUT /catalog/connections/{connectionId}`` (documented). OAC replaces only the members that are sent, but
    user name and password must always be sent, and the type cannot change (documented).

    :param connection_id: its id, encoded as lists return it.
    :param order: its name and the changes.
    :raises OACConfigurationError: if the user name or the password is missing; then nothing is sent.
    """
    check_credentials(order.params)
    doing, path = f"update connection {ids.shown(connection_id)}", f"/catalog/connections/{segment(connection_id)}"
    return Call(doing, "PUT", path, nothing, **_sent(order), repeatable=True)


def delete(connection_id: str) -> Call[None]:
    """Delete a connection.

    Operation ``DELETE /catalog/connections/{connectionId}`` (documented). Items that are built on it stay, but stop
    working (inferred).

    :param connection_id: its id, encoded as lists return it.
    """
    doing, path = f"delete connection {ids.shown(connection_id)}", f"/catalog/connections/{segment(connection_id)}"
    return Call(doing, "DELETE", path, nothing, repeatable=True)


def check_credentials(params: Mapping[str, Any]) -> None:
    """Refuse parameters without a user name or a password.

    :raises OACConfigurationError: naming what is missing.
    """
    if missing := [name for name in ("username", "password") if not params.get(name)]:
        raise OACConfigurationError(
            f"{' and '.join(missing)} missing. OAC needs both whenever a connection is created or updated "
            "(documented). Next step: set login and password of the Airflow Connection for the data source."
        )


def type_of(connection: CatalogItem) -> str | None:
    """Return the ``connectionType`` of a connection that was read with its ``content``; ``None`` if it has none.

    The position of the member is inferred.
    """
    content = connection.raw.get("content")
    for place in (content, content.get("connectionParams") if isinstance(content, dict) else None):
        if isinstance(place, dict) and isinstance(place.get("connectionType"), str):
            return str(place["connectionType"])
    return None


def _sent(order: ConnectionOrder) -> dict[str, Any]:
    """Return the body with its content type and its secrets.

    The body is JSON, or with a wallet a form of two parts, both text/plain (observed).
    """
    body: Any = order.envelope()
    content_type = "application/json"
    if order.wallet is not None:
        body, content_type = multipart({"connectionParams": json.dumps(body), "cert": order.wallet})
    return {"body": body, "content_type": content_type, "secrets": (*order.secrets, *secrets_of(order.params))}
