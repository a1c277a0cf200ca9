"""Create a connection to a data source once, find its id, and delete it."""

from __future__ import annotations

from dataclasses import dataclass, field

from airflow_provider_oac.client import ids
from airflow_provider_oac.client.api import Api, flow
from airflow_provider_oac.client.calls import Call
from airflow_provider_oac.client.flows.submit import Submission, unless_gone
from airflow_provider_oac.client.models import Model
from airflow_provider_oac.client.rest import catalog, connections
from airflow_provider_oac.client.rest.catalog import CatalogItem
from airflow_provider_oac.client.rest.connections import ConnectionOrder
from airflow_provider_oac.exceptions import OACApiError, OACError, OACKilledError, OACTakenError, OACUncertainError

# What to do if a connection of this name exists.
FAIL = "fail"
KEEP = "keep"
UPDATE = "update"


@dataclass(frozen=True)
class MadeConnection(Model):
    """A connection that exists as requested.

    :param id: its id, encoded; ``None`` if OAC created it without returning its id (:func:`listed_id` finds it).
    :param how: ``created``, ``updated`` or ``kept``.
    """

    id: str | None
    how: str


@dataclass
class NewConnection(Submission[str | None, MadeConnection]):
    """Creates a connection idempotently.

    A search before the request shows whether the connection already exists.

    :param order: the connection to create.
    :param user: id of the signed-in user, who becomes the owner; ``None`` if it is not known.
    :param if_exists: what to do if the user has a connection of this name: ``fail``, ``keep`` it as it is, or
        ``update`` it.
    :param known: whether the task's records show that an earlier try may have created this connection. An existing one
        is then updated to the order; otherwise ``if_exists`` decides.
    """

    order: ConnectionOrder
    user: str | None
    if_exists: str = FAIL
    known: bool = True
    confirmation_timeout: float = field(default=1.0, kw_only=True)

    where = "the catalog"

    @property
    def doing(self) -> str:
        """Describe the request for messages."""
        return f"create connection {self.order.name!r}"

    @property
    def looks_first(self) -> bool:
        """Whether to search before anything is sent; a search can identify the owner only if the user is known."""
        return self.user is not None and (self.suspect or self.if_exists != UPDATE)

    def call(self, now: float) -> Call[str | None]:
        """Return the request."""
        return connections.create(self.order)

    def accepted(self, api: Api, answer: str | None) -> MadeConnection:
        """Return the new connection."""
        return MadeConnection(answer, "created")

    async def trace(self, api: Api, lost: OACError | None) -> MadeConnection | None:
        """Return the connection of this name, updated if needed.

        :raises OACTakenError: if a connection exists that must not be changed.
        :raises OACUncertainError: if its owner cannot be determined.
        """
        found = await api.run(owned(self.order.name, self.user))
        if found is None:
            return None
        if lost is None and self.suspect and self.known:
            api.report(f"Connection {self.order.name!r} exists, created by an earlier try. It is updated.")
            return await self._updated(api, found, "created")
        if lost is None:
            return await self._existing(api, found)
        if self.if_exists == UPDATE:
            api.report(f"Connection {self.order.name!r} exists. It is updated.")
            return await self._updated(api, found, "created")
        if self.user is None:
            raise OACUncertainError(
                f"Connection {self.order.name!r} of {found.owner or 'an unknown user'} exists, but the task cannot "
                "tell whether it created it, because the signed-in user is unknown. Next step: check it in OAC; if it "
                f"is new, mark the task as success. {lost}"
            ) from lost
        api.report(f"Connection {self.order.name!r} exists, and did not exist before the request: it was created.")
        return MadeConnection(found.id, "created")

    async def refused(self, api: Api, error: OACApiError, lost: OACError | None) -> MadeConnection | None:
        """Decide what a 409 means: a connection of this name exists (inferred)."""
        if error.status != 409 or self.if_exists == FAIL:
            raise error
        found = await api.run(owned(self.order.name, self.user))
        if found is None:
            raise OACError(
                f"OAC refuses a second connection {self.order.name!r}, but lists none of {self.user or 'the user'}. "
                f"Nothing was changed. Next step: give it another name, or update the existing one by its id. {error}"
            ) from error
        return await self._existing(api, found)

    async def _updated(self, api: Api, found: CatalogItem, how: str) -> MadeConnection:
        await api.perform(connections.update(found.id, self.order))
        return MadeConnection(found.id, how)

    async def _existing(self, api: Api, found: CatalogItem) -> MadeConnection:
        """Handle a connection that existed before anything was sent."""
        if self.if_exists == KEEP:
            return MadeConnection(found.id, "kept")
        if self.if_exists == UPDATE:
            return await self._updated(api, found, "created" if self.suspect else "updated")
        why = " If an earlier try of this task created it, mark the task as success." if self.suspect else ""
        raise OACTakenError(
            f"Connection {self.order.name!r} of {found.owner or 'the user'} already exists. Nothing was changed.{why}"
        )


@flow
async def owned(api: Api, name: str, user: str | None) -> CatalogItem | None:
    """Return the user's connection with exactly this name.

    Its id consists of owner and name, so there is at most one.

    :param name: its name.
    :param user: the owner's user id, in upper or lower case. ``None`` if it is not known: the name must then fit only
        one connection.
    :raises OACError: if several fit.
    """
    found = [item for item in await api.run(catalog.list_items(ids.CONNECTIONS, search=name)) if item.name == name]
    own = [item for item in found if user is None or item.owner.casefold() == user.casefold()]
    if len(own) > 1:
        owners = ", ".join(item.owner for item in own)
        raise OACError(f"Connection name {name!r} is ambiguous: {owners} each own one. Next step: give the id.")
    return own[0] if own else None


@flow
async def listed_id(api: Api, name: str, user: str | None) -> str | None:
    """Find the id of a connection that OAC created without returning its id.

    It raises only if the task is killed, because any other error would report a failure after the connection was
    created.

    :param name: its name.
    :param user: id of its creator; ``None`` if it is not known.
    :returns: the id, encoded; ``None`` if OAC does not list it and the user is not known.
    """
    try:
        if found := await api.run(owned(name, user)):
            return found.id
    except OACKilledError:
        raise
    except OACError as error:
        api.report(f"Connection {name!r} was created, but the lookup of its id failed: {error}")
    return ids.object_id(user, name) if user else None


@flow
async def delete_connection(api: Api, connection_id: str) -> bool:
    """Delete a connection idempotently, and return whether it existed.

    :param connection_id: its id, encoded as lists return it.
    """
    if not await api.run(unless_gone(connections.get(connection_id))):
        return False
    # The connection existed a moment ago: if it is gone, an attempt whose response was lost has deleted it.
    await api.run(unless_gone(connections.delete(connection_id)))
    return True
