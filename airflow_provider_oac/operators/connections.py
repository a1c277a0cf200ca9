"""Operators for OAC's connections to data sources: create, update, delete."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

from airflow_provider_oac import lazy
from airflow_provider_oac._compat import AirflowFailException, Context
from airflow_provider_oac.arguments import EMPTY, CatalogPath, Location, Template, path_text
from airflow_provider_oac.exceptions import OACApiError, OACConfigurationError, OACTakenError
from airflow_provider_oac.operators.base import OACBaseOperator
from airflow_provider_oac.operators.task_state import TaskKey, TaskState


class _ConnectionOperator(OACBaseOperator):
    """Base class of the operators that create and update connections.

    :param data_source_conn_id: Airflow Connection, of any type, with the login and password of the data source. The
        member ``connection_params`` of its extra, a JSON object, contains further secrets.
    :param connection_params: further members of OAC's ``connectionParams``, none of them secret. The data source
        determines which members there are.
    :param description: description of the connection.
    :param wallet: path or URL (any ``ObjectStoragePath``) of a wallet's ``cwallet.sso``, of the zip archive that
        contains it, or of a key file.
    :param wallet_conn_id: the Airflow Connection of that store, if the URL names none.
    """

    data_source_conn_id: Template[str]
    connection_params: Template[Mapping[str, Any] | None] = None
    description: Template[Annotated[str, EMPTY] | None] = None
    wallet: Template[Location | None] = None
    wallet_conn_id: Template[str | None] = None

    def check_together(self) -> None:
        """Refuse secrets: DAG files and Airflow's pages show them."""
        if not isinstance(self.connection_params, Mapping):
            return
        if found := lazy.secret_names.secret_names(self.connection_params):
            raise OACConfigurationError(
                f"connection_params contain {', '.join(map(repr, found))}. Secrets do not belong in a DAG. Put them "
                "into the Airflow Connection data_source_conn_id: its password, or connection_params in its extra."
            )

    def order(self, name: str, **more: Any) -> lazy.connections.ConnectionOrder:
        """Make the desired state of the connection.

        :param more: further members of ``connectionParams``.
        """
        source = lazy.data_sources.source(self.data_source_conn_id)
        params = {**(self.connection_params or {}), **source.params, **more}
        content = lazy.data_sources.wallet(path_text(self.wallet), self.wallet_conn_id) if self.wallet else None
        return lazy.connections.ConnectionOrder(name, params, self.description, wallet=content, secrets=source.secrets)


class OACCreateConnectionOperator(_ConnectionOperator):
    """Creates a connection of OAC to a data source, with credentials from an Airflow Connection.

    Needs DV Content Author (documented). A retry finds the connection that an earlier try created, and updates it to
    the desired state, if Airflow's task state store (3.3) shows that the earlier try sent one. Without a store, the
    task cannot distinguish it from other connections and follows ``if_exists``: ``fail`` fails the task, ``keep`` keeps
    the connection unchanged.

    The result (XCom) is a dictionary: ``connection_id`` (encoded), ``name``, and ``how``: ``created``, ``updated`` or
    ``kept``.

    :param connection_name: name of the new connection.
    :param connection_type: OAC's name of the data source, such as ``oracle-autonomous-data-warehouse``.
    :param data_source_conn_id: Airflow Connection, of any type, with the login and password of the data source. The
        member ``connection_params`` of its extra, a JSON object, contains further secrets.
    :param connection_params: further members of OAC's ``connectionParams``, such as ``serviceName``; none of them
        secret. Which ones a data source needs is not documented; OAC names missing ones.
    :param description: description of the connection.
    :param folder_path: catalog folder of the connection (documented since January 2026).
    :param wallet: path or URL (any ``ObjectStoragePath``) of a wallet's ``cwallet.sso``, of the zip archive that
        contains it, or of a key file.
    :param wallet_conn_id: the Airflow Connection of that store, if the URL names none.
    :param if_exists: if the user already has a connection of this name: ``fail`` (the default, without a retry),
        ``keep`` it unchanged, or ``update`` it.
    """

    connection_name: Template[str]
    connection_type: Template[str]
    folder_path: Template[CatalogPath | None] = None
    if_exists: Literal["fail", "keep", "update"] = "fail"

    def execute(self, context: Context) -> dict[str, Any]:
        """Create the connection."""
        order = self.order(self.connection_name, connectionType=self.connection_type)
        order = replace(order, folder_path=path_text(self.folder_path))
        self._push_link(context)
        state = TaskState(context, fingerprint=self._fingerprint)
        state.claim()
        user = self.hook.settings.auth.user
        wanted = lazy.create_connection.NewConnection(
            order, user, self.if_exists, known=state.available, suspect=state.suspect(self.retries or 0)
        )
        try:
            made = self.hook.run(lazy.submit.submit_once(wanted, state.attempts()))
        except (OACApiError, OACTakenError) as error:
            if isinstance(error, OACApiError) and error.status != 409:
                raise
            # Without a retry, which would assume that this try created the connection.
            raise AirflowFailException(
                f"{error} if_exists='keep' or 'update' accepts an existing connection."
            ) from error
        connection_id = made.id or self.hook.run(lazy.create_connection.listed_id(order.name, user))
        self.log.info("Connection %r (%s) is %s.", order.name, connection_id or "id not known", made.how)
        return {"connection_id": connection_id, "name": order.name, "how": made.how}


class OACUpdateConnectionOperator(_ConnectionOperator):
    """Updates a connection of OAC to a data source, for example with a new password from an Airflow Connection.

    Needs DV Content Author (documented). OAC requires user name and password with every update and does not change the
    type of a connection (documented). OAC does not report whether the credentials work; reload a dataset of the
    connection to find out. The update is safe to repeat.

    The result (XCom) is a dictionary: ``connection_id`` (encoded), ``name``, and ``sent``: the names of the parameters.

    :param connection: its plain id: ``'owner'.'name'``, with the quotes; or
    :param connection_id: its id as lists return it, already encoded.
    :param data_source_conn_id: Airflow Connection, of any type, with the login and password of the data source. The
        member ``connection_params`` of its extra, a JSON object, contains further secrets.
    :param connection_params: further members of OAC's ``connectionParams`` to change; none of them secret.
    :param description: description of the connection.
    :param wallet: path or URL (any ``ObjectStoragePath``) of a new wallet's ``cwallet.sso``, of the zip archive that
        contains it, or of a key file.
    :param wallet_conn_id: the Airflow Connection of that store, if the URL names none.
    """

    connection: Template[str | None] = None
    connection_id: Template[str | None] = None

    def execute(self, context: Context) -> dict[str, Any]:
        """Update the connection."""
        connection_id = lazy.ids.item_id(item_id=self.connection_id, path=self.connection, what="the connection")
        # Before any request, since no update works without a password.
        order = self.order("")
        self._push_link(context)
        found = self.hook.run(lazy.connections.get(connection_id, ("name", "owner", "id", "content")))
        kind = lazy.connections.type_of(found)
        wanted = order.params.get("connectionType")
        if kind and wanted and wanted != kind:
            raise OACConfigurationError(
                f"Connection {lazy.ids.shown(found.id)} is of the type {kind!r}, not {wanted!r}, and OAC cannot change "
                "the type. Nothing was sent. Create another connection instead."
            )
        params = {"connectionType": kind, **order.params} if kind else order.params
        # If OAC returns no name, take it from the id, which consists of owner and name.
        order = replace(order, name=found.name or found.path.rpartition("'.'")[2].rstrip("'"), params=params)
        self.hook.run(lazy.connections.update(connection_id, order))
        sent = sorted(order.params)
        self.log.info(
            "Updated connection %s: sent %s%s. OAC does not report whether the credentials work.",
            lazy.ids.shown(found.id), ", ".join(sent), " and a wallet" if order.wallet else "",
        )  # fmt: skip
        return {"connection_id": connection_id, "name": order.name, "sent": sent}


class OACDeleteConnectionOperator(OACBaseOperator):
    """Deletes a connection of OAC to a data source. Needs DV Content Author (documented).

    The result (XCom) is its id, encoded.

    :param connection: its plain id: ``'owner'.'name'``, with the quotes; or
    :param connection_id: its id as lists return it, already encoded.
    :param missing_ok: whether the task succeeds if the connection does not exist. If not, it fails without a retry. A
        retry always accepts a missing connection, since an earlier try may have deleted it.
    """

    connection: Template[str | None] = None
    connection_id: Template[str | None] = None
    missing_ok: bool = False

    def execute(self, context: Context) -> str:
        """Delete the connection."""
        connection_id = lazy.ids.item_id(item_id=self.connection_id, path=self.connection, what="the connection")
        self._push_link(context)
        name = self.connection or connection_id
        if self.hook.run(lazy.create_connection.delete_connection(connection_id)):
            self.log.info("Deleted connection %s.", name)
        elif self.missing_ok or TaskKey.of(context).repeats(self.retries or 0):
            self.log.info("Connection %s does not exist.", name)
        else:
            # Without a retry, which would assume that this try deleted the connection.
            raise AirflowFailException(
                f"There is no connection {name} to delete. Check the id. missing_ok=True treats this as success."
            )
        return connection_id
