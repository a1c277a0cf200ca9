"""Who may use the page: Airflow's own authorization, asked for the very Connection or DAG."""

from __future__ import annotations

import os
from typing import Annotated
from urllib.parse import urlsplit

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import (
    ConnectionDetails,
    DagAccessEntity,
    DagDetails,
)
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.models import Connection
from airflow.models.dag import DagModel
from airflow.secrets.environment_variables import CONN_ENV_PREFIX
from fastapi import Depends, HTTPException, Request

from airflow_provider_oac._compat import setting


def may_edit(user: BaseUser, conn_id: str | None) -> bool:
    """Whether a user may edit a Connection; with ``None``, Connections at all.

    What ``requires_access_connection("PUT")`` of Airflow 3.1 asks. From 3.2 on it also reads the body of the
    request, and requests of this page have none.
    """
    ids = [conn_id]
    # Airflow looks in the environment for the id in upper case: whatever the spelling, it is the same Connection, known
    # by its lower case. Not all letters survive that, such as the long s: the upper case comes first.
    if conn_id and CONN_ENV_PREFIX + conn_id.upper() in os.environ:
        ids.append(conn_id.upper().lower())
    return all(_may_edit(user, name) for name in ids)


def _may_edit(user: BaseUser, conn_id: str | None) -> bool:
    team = team_of(conn_id) if conn_id else None
    details = ConnectionDetails(conn_id=conn_id, team_name=team)
    return bool(get_auth_manager().is_authorized_connection(method="PUT", details=details, user=user))


def team_of(conn_id: str) -> str | None:
    """The team that a Connection of Airflow's database belongs to."""
    return Connection.get_team_name(conn_id)


def may_see_results(user: BaseUser, dag_id: str) -> bool:
    """Whether a user may see what the tasks of a DAG have left in XCom."""
    details = DagDetails(id=dag_id, team_name=DagModel.get_team_name(dag_id))
    manager = get_auth_manager()
    entity = DagAccessEntity.XCOM
    return bool(manager.is_authorized_dag(method="GET", access_entity=entity, details=details, user=user))


def require_origin(request: Request) -> None:
    """Refuse an order that does not come from one of Airflow's own pages. Browsers say so in ``Origin``."""
    origin = request.headers.get("origin", "missing")
    scheme, host = _server(origin)
    # Behind a proxy that ends TLS the scheme is another one, and the host is as the browser knows it in one of the two.
    own = {request.headers.get("host", ""), _server(setting("api", "base_url"))[1]}
    if scheme not in ("http", "https") or not host or host not in own:
        raise HTTPException(
            403,
            f"This request does not come from an Airflow page: its Origin is {origin!r}. If this is Airflow's address, "
            "set [api] base_url to it.",
        )


def _server(address: str) -> tuple[str, str]:
    """Scheme and host of an address; empty texts if it is no address."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return "", ""
    return parts.scheme, parts.netloc


def require_edit(connection_id: str, user: GetUserDep) -> str:
    """The id of a Connection that the user may edit."""
    if may_edit(user, connection_id):
        return connection_id
    if may_edit(user, None):
        # Such as one of another team: the answer does not say whether there is one.
        raise missing(connection_id)
    raise HTTPException(403, f"You are not allowed to edit the Connection {connection_id!r}.")


def missing(conn_id: str) -> HTTPException:
    """What is said of a Connection that is not there for a user."""
    text = f"There is no Connection {conn_id!r} of the type oac that this server can read and you may edit."
    return HTTPException(404, text)


EditableDep = Annotated[str, Depends(require_edit)]
