"""Who may use the page: Airflow's own authorization decides for each Connection and DAG."""

from __future__ import annotations

import os
from typing import Annotated
from urllib.parse import urlsplit

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import ConnectionDetails, DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.models import Connection
from airflow.models.dag import DagModel
from airflow.secrets.environment_variables import CONN_ENV_PREFIX
from fastapi import Depends, HTTPException, Request

from airflow_provider_oac._compat import setting


def may_edit(user: BaseUser, conn_id: str | None) -> bool:
    """Return whether a user may edit a Connection; with ``None``, whether the user may edit Connections at all.

    This is the check of Airflow 3.1's ``requires_access_connection("PUT")``. The function itself cannot be used: since
    Airflow 3.2 it also reads the request's body, and this page's requests have none.
    """
    ids = [conn_id]
    # Airflow looks up the upper-case ID in the environment, so all spellings mean one Connection, listed in lower case.
    # Convert to upper case first: some letters, such as the long s, change in upper case.
    if conn_id and CONN_ENV_PREFIX + conn_id.upper() in os.environ:
        ids.append(conn_id.upper().lower())
    return all(
        get_auth_manager().is_authorized_connection(
            method="PUT", details=ConnectionDetails(conn_id=name, team_name=team_of(name) if name else None), user=user
        )
        for name in ids
    )


def team_of(conn_id: str) -> str | None:
    """Return the team of a Connection in Airflow's database."""
    return Connection.get_team_name(conn_id)


def may_see_results(user: BaseUser, dag_id: str) -> bool:
    """Return whether a user may see the XComs of a DAG."""
    details = DagDetails(id=dag_id, team_name=DagModel.get_team_name(dag_id))
    manager, entity = get_auth_manager(), DagAccessEntity.XCOM
    return bool(manager.is_authorized_dag(method="GET", access_entity=entity, details=details, user=user))


def require_origin(request: Request) -> None:
    """Refuse a request that does not come from one of Airflow's own pages, by its ``Origin`` header."""
    origin = request.headers.get("origin", "missing")
    scheme, host = _server(origin)
    # Behind a proxy that ends TLS, the scheme differs. The host that the browser knows is in one of these two.
    own = {request.headers.get("host", ""), _server(setting("api", "base_url"))[1]}
    if scheme not in ("http", "https") or not host or host not in own:
        raise HTTPException(
            403,
            f"This request does not come from an Airflow page: its Origin is {origin!r}. If this is Airflow's address, "
            "set [api] base_url to it.",
        )


def _server(address: str) -> tuple[str, str]:
    """Return scheme and host of an address; empty texts if it is not an address."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return "", ""
    return parts.scheme, parts.netloc


def require_edit(connection_id: str, user: GetUserDep) -> str:
    """Return the ID of a Connection if the user may edit it."""
    if may_edit(user, connection_id):
        return connection_id
    if may_edit(user, None):
        # For example, another team's Connection. The response does not reveal whether it exists.
        raise missing(connection_id)
    raise HTTPException(403, f"You are not allowed to edit the Connection {connection_id!r}.")


def missing(conn_id: str) -> HTTPException:
    """Return the error for a Connection that does not exist, or that the user may not see."""
    text = f"There is no Connection {conn_id!r} of the type oac that this server can read and you may edit."
    return HTTPException(404, text)


EditableDep = Annotated[str, Depends(require_edit)]
