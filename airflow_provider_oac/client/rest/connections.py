"""Connections of OAC to data sources. Source: "Connections REST Endpoints" (documented), unless said otherwise at the
fact. Needs DV Content Author (documented).

What ``connectionParams`` hold depends on the data source, and OAC checks them against a schema of each (documented);
only ``connectionType``, ``username`` and ``password`` mean something here.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_oac.client import ids
from airflow_provider_oac.client.api import Api, Flow
from airflow_provider_oac.client.calls import Call, json_object, multipart, nothing, segment, text_member
from airflow_provider_oac.client.flows.submit import Submission
from airflow_provider_oac.client.ids import shown
from airflow_provider_oac.client.models import Model
from airflow_provider_oac.client.rest import catalog
from airflow_provider_oac.client.rest.catalog import CatalogItem
from airflow_provider_oac.client.secret_names import secrets_of
from airflow_provider_oac.exceptions import (
    OACApiError,
    OACConfigurationError,
    OACError,
    OACKilledError,
    OACTakenError,
    OACUncertainError,
)
from airflow_provider_oac.transport.io import Response

log = logging.getLogger(__name__)

# Mandatory (observed); the one value that was seen.
VERSION = "2.0.0"

# What to do if there is one of that name.
FAIL = "fail"
KEEP = "keep"
UPDATE = "update"
POLICIES = (FAIL, KEEP, UPDATE)


@dataclass(frozen=True)
class ConnectionOrder:
    """The connection that is wanted.

    :param name: its name.
    :param params: ``connectionParams``, the user name and the password among them.
    :param description: what people read of it; ``None`` leaves it as it is.
    :param folder_path: catalog folder that it is created in (documented since January 2026; that it stands beside the
        name is inferred).
    :param wallet: content of a wallet (``cwallet.sso``) or key file, sent as a part of its own (observed).
    :param secrets: which texts of the parameters are secret, beside those whose name says so.
    """

    name: str
    params: Mapping[str, Any] = field(repr=False)
    description: str | None = None
    folder_path: str | None = None
    wallet: bytes | None = field(default=None, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def envelope(self) -> dict[str, Any]:
        """The JSON that OAC wants; the envelope is documented up to the parameters."""
        body: dict[str, Any] = {"version": VERSION, "type": "connection", "name": self.name}
        if self.description is not None:
            body["description"] = self.description
        if self.folder_path:
            body["folderPath"] = self.folder_path
        return {**body, "content": {"connectionParams": dict(self.params)}}


@dataclass(frozen=True)
class MadeConnection(Model):
    """A connection that is there as it is wanted.

    :param id: its id, encoded; ``None`` if OAC created it without returning its id (:func:`listed_id` finds it).
    :param how: ``created``, ``updated`` or ``kept``.
    """

    id: str | None
    how: str


def create(order: ConnectionOrder) -> Call[str | None]:
    """Create a connection. Operation ``POST /catalog/connections``. It succeeds with 200 and JSON (documented), or with
    201 and 43 bytes of text (observed).

    :returns: a call whose result is its id, encoded; ``None`` if OAC returns none.
    :raises OACConfigurationError: if its type, user name or password are missing.
    """
    check_credentials(order.params)
    if not order.params.get("connectionType"):
        raise OACConfigurationError(
            f"Connection {order.name!r} has no connectionType, by which OAC knows its data source, such as "
            "oracle-autonomous-data-warehouse. Create one by hand in OAC and read it to see what its parameters are."
        )
    body, content_type = _body(order)
    return Call(
        doing=f"create connection {order.name!r}",
        method="POST",
        path="/catalog/connections",
        read=_created_id,
        body=body,
        content_type=content_type,
        secrets=(*order.secrets, *secrets_of(order.params)),
        causes={409: "a connection of this name exists already (inferred)"},
    )


def _created_id(response: Response) -> str | None:
    """Read the id of a new connection: JSON, a bare id, or nothing. A 201 always means that the connection exists, so
    its body is never a reason to fail.

    :raises OACResponseError: for a body with another status that is neither.
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


def listed_id(name: str, user: str | None) -> Flow[str | None]:
    """Find the id of a connection that OAC created without returning its id. Flow. It never fails, as that would report
    a failure after the connection was made.

    :param name: its name.
    :param user: who created it; ``None`` if that is not known.
    :returns: a flow whose result is the id, encoded; ``None`` if OAC does not list it and the user is not known.
    """

    async def flow(api: Api) -> str | None:
        try:
            found = await owned(name, user)(api)
        except OACKilledError:
            raise
        except OACError as error:
            found = None
            log.warning("Connection %r was created, but the lookup of its id failed: %s", name, error)
        if found is not None:
            return found.id
        return ids.object_id(user, name) if user else None

    return flow


def get(connection_id: str, fields: Sequence[str] = ()) -> Call[CatalogItem]:
    """Get details of a connection, never its password. Operation ``GET /catalog/connections/{connectionId}``
    (documented).

    :param connection_id: its id, encoded as lists return it.
    :param fields: members to return; ``content``, the definition, only comes when it is named (documented) and stands
        in the item's ``raw``. By default all others.
    """
    return catalog.get(ids.CONNECTIONS, connection_id, fields=fields)


def update(connection_id: str, order: ConnectionOrder) -> Call[None]:
    """Update a connection. Operation ``PUT /catalog/connections/{connectionId}`` (documented). Only what is sent is
    replaced, but user name and password must always be sent, and the type cannot change (documented).

    :param connection_id: its id, encoded as lists return it.
    :param order: its name and what changes.
    :raises OACConfigurationError: if user name or password are missing, so that nothing is sent.
    """
    check_credentials(order.params)
    body, content_type = _body(order)
    return Call(
        doing=f"update connection {shown(connection_id)}",
        method="PUT",
        path=f"/catalog/connections/{segment(connection_id)}",
        read=nothing,
        body=body,
        content_type=content_type,
        secrets=(*order.secrets, *secrets_of(order.params)),
        repeatable=True,
    )


def delete(connection_id: str) -> Call[None]:
    """Delete a connection. Operation ``DELETE /catalog/connections/{connectionId}`` (documented). What is built on it
    stays and works no more (inferred).

    :param connection_id: its id, encoded as lists return it.
    """
    return Call(
        doing=f"delete connection {shown(connection_id)}",
        method="DELETE",
        path=f"/catalog/connections/{segment(connection_id)}",
        read=nothing,
        repeatable=True,
    )


def check_credentials(params: Mapping[str, Any]) -> None:
    """Refuse parameters without a user name or a password.

    :raises OACConfigurationError: naming what is missing.
    """
    if missing := [name for name in ("username", "password") if not params.get(name)]:
        raise OACConfigurationError(
            f"{' and '.join(missing)} missing. OAC wants both whenever a connection is created or updated, also if "
            "something else changes (documented), since it gives no password back. They are login and password of the "
            "Airflow Connection that holds the data source's credentials."
        )


def type_of(connection: CatalogItem) -> str | None:
    """The ``connectionType`` in a connection that was read with its ``content``; ``None`` if it does not tell. Where it
    stands in there is inferred."""
    content = connection.raw.get("content")
    for place in (content, content.get("connectionParams") if isinstance(content, dict) else None):
        if isinstance(place, dict) and isinstance(place.get("connectionType"), str):
            return str(place["connectionType"])
    return None


def owned(name: str, user: str | None) -> Flow[CatalogItem | None]:
    """The connection of this very name that a user owns. Its id is made of both, so that there is one at most.

    :param name: its name.
    :param user: the owner's user id, in upper or lower case; ``None`` if it is not known: then the name must fit one
        connection only.
    :raises OACError: if several fit.
    """

    async def flow(api: Api) -> CatalogItem | None:
        found = [item for item in await api.run(catalog.list_items(ids.CONNECTIONS, search=name)) if item.name == name]
        mine = [item for item in found if user is None or item.owner.casefold() == user.casefold()]
        if len(mine) > 1:
            owners = ", ".join(item.owner for item in mine)
            raise OACError(f"Connections {name!r} belong to {owners}; which one is meant cannot be told by the name.")
        return mine[0] if mine else None

    return flow


@dataclass
class NewConnection(Submission[str | None, MadeConnection]):
    """Creates a connection so that doing it again does no harm.

    A connection that an earlier attempt created is told from one that was there before by looking before anything is
    sent.

    :param order: what to create.
    :param user: who is signed in, and so the owner; ``None`` if that is not known.
    :param if_exists: what to do if the user has one of this name: ``fail``, ``keep`` it as it is, or ``update`` it.
    :param known: whether it is known of this very connection that an earlier try may have created it: then one that
        exists is brought to what is wanted. Otherwise it is treated as any other.
    """

    order: ConnectionOrder
    user: str | None
    if_exists: str = FAIL
    known: bool = True
    confirmation_timeout: float = field(default=1.0, kw_only=True)

    where = "the catalog"

    @property
    def doing(self) -> str:
        """What OAC is asked to do."""
        return f"create connection {self.order.name!r}"

    @property
    def looks_first(self) -> bool:
        """Whether it is looked for before anything is sent. Whose it is can only be told if the user is known."""
        return self.user is not None and (self.suspect or self.if_exists != UPDATE)

    def call(self, now: float) -> Call[str | None]:
        """The request."""
        return create(self.order)

    def accepted(self, answer: str | None) -> MadeConnection:
        """The new connection."""
        return MadeConnection(answer, "created")

    async def trace(self, api: Api, lost: OACError | None) -> MadeConnection | None:
        """The connection of this name, as it is wanted.

        :raises OACTakenError: if there is one that is not to be touched.
        :raises OACUncertainError: if it is not known whose it is.
        """
        found = await owned(self.order.name, self.user)(api)
        if found is None:
            return None
        if lost is None and self.suspect and self.known:
            self.report(f"Connection {self.order.name!r} exists, created by an earlier try. It is updated.")
            return await self._updated(api, found, "created")
        if lost is None:
            return await self._settled(api, found)
        if self.if_exists == UPDATE:
            self.report(f"Connection {self.order.name!r} exists. It is updated.")
            return await self._updated(api, found, "created")
        if self.user is None:
            raise OACUncertainError(
                f"There is a connection {self.order.name!r} of {found.owner or 'an unknown user'}, but whether this "
                "task created it is not known, as it is not known who is signed in. Next step: look at it in OAC: if "
                f"it is new, mark the task as success. The failure before: {lost}"
            ) from lost
        self.report(f"Connection {self.order.name!r} exists, and did not before it was sent: it was created.")
        return MadeConnection(found.id, "created")

    async def refused(self, api: Api, error: OACApiError, lost: OACError | None) -> MadeConnection | None:
        """Decide what a 409 means: there is a connection of this name (inferred)."""
        if error.status != 409 or self.if_exists == FAIL:
            raise error
        found = await owned(self.order.name, self.user)(api)
        if found is None:
            raise OACError(
                f"OAC refuses a new connection {self.order.name!r} because there is one, but lists none of this name "
                f"that belongs to {self.user or 'the user'}. Nothing was changed. Give it another name, or update the "
                f"one that is meant by its id. OAC said: {error}"
            ) from error
        if self.if_exists == KEEP:
            return MadeConnection(found.id, "kept")
        return await self._updated(api, found, "updated")

    async def _updated(self, api: Api, found: CatalogItem, how: str) -> MadeConnection:
        await api.perform(update(found.id, self.order))
        return MadeConnection(found.id, how)

    async def _settled(self, api: Api, found: CatalogItem) -> MadeConnection:
        """What becomes of one that was there before anything was sent."""
        if self.if_exists == KEEP:
            return MadeConnection(found.id, "kept")
        if self.if_exists == UPDATE:
            return await self._updated(api, found, "created" if self.suspect else "updated")
        why = (
            " Whether an earlier try of this task created it is not known, as this Airflow remembers nothing from try "
            "to try (3.3 does). If it did, mark the task as success."
            if self.suspect else ""
        )  # fmt: skip
        raise OACTakenError(
            f"Connection {self.order.name!r} of {found.owner or 'the user'} exists already. Nothing was changed.{why}"
        )


def removal(connection_id: str) -> Flow[bool]:
    """Delete a connection, so that doing it again does no harm. The flow returns whether there was one.

    :param connection_id: its id, encoded as lists return it.
    """

    async def flow(api: Api) -> bool:
        calls: tuple[Call[Any], ...] = (get(connection_id), delete(connection_id))
        for call in calls:
            try:
                await api.perform(call)
            except OACApiError as error:
                if error.status != 404:
                    raise
                # It was there a moment ago: an attempt of which no answer came has deleted it.
                return call.method == "DELETE"
        return True

    return flow


def _body(order: ConnectionOrder) -> tuple[Any, str]:
    """The body and its content type: JSON, or with a wallet a form of two parts, both text/plain (observed)."""
    if order.wallet is None:
        return order.envelope(), "application/json"
    return multipart({"connectionParams": json.dumps(order.envelope()), "cert": order.wallet})
