"""Recent work requests of DAG runs: the links that operators leave in XCom as soon as OAC has accepted their work, and
the state of their tasks. OAC has no list of work requests."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from sqlalchemy import String, and_, cast, func, select

from airflow_provider_oac.links import OACWorkRequestLink
from airflow_provider_oac.web.access import may_see_results
from airflow_provider_oac.web.audit import shown_time

_SHOWN = 20


@dataclass(frozen=True)
class Work:
    """One task that has given OAC work.

    :param link: address of the task in Airflow, below its base.
    :param work_request: id of the work request.
    """

    at: str
    dag_id: str
    run_id: str
    task: str
    state: str
    link: str
    work_request: str
    instance: str


def recent(user: BaseUser) -> tuple[list[Work], int]:
    """The newest work requests, of the DAGs whose results the user may see, and how many more cannot be read."""
    dag_ids = get_auth_manager().get_authorized_dag_ids(user=user)
    task = and_(*(getattr(XComModel, name) == getattr(TaskInstance, name) for name in _TASK))
    columns = (getattr(XComModel, name) for name in (*_TASK, "timestamp"))
    query = (
        select(*columns, func.substr(_VALUE, 1, _LONGEST + 1).label("value"), TaskInstance.state)
        .join(TaskInstance, task)
        .where(XComModel.key == OACWorkRequestLink.xcom_key, XComModel.dag_id.in_(dag_ids), _TOLD)
        .order_by(XComModel.timestamp.desc())
        .limit(5 * _SHOWN)
    )
    seen = cache(lambda dag_id: may_see_results(user, dag_id))
    found: list[Work] = []
    unreadable = 0
    with create_session() as session:
        for row in session.execute(query):
            if len(found) == _SHOWN:
                break
            if not seen(row.dag_id):
                continue
            try:
                found.append(_work(row))
            except (ValueError, TypeError, RecursionError):
                # Any task may write any XCom under this name.
                unreadable += 1
    return found, unreadable


# As the JSON that is in the database, and not more of it than an address has: one value that is none ends no query.
_VALUE = cast(XComModel.value, String)
_LONGEST = 4096
# When a task ends, Airflow itself leaves what the link says, which is an empty text where there was no work.
_TOLD = _VALUE.not_in(('""', "", "null"))
_TASK = ("dag_id", "run_id", "task_id", "map_index")


def _work(row: Any) -> Work:
    """What a row says.

    :raises ValueError: if its value is no address of a work request.
    """
    value = json.loads(row.value)
    address = urlsplit(value if isinstance(value, str) else "")
    work_request = unquote(address.path.rpartition("/")[2])
    if address.scheme not in ("http", "https") or not address.hostname or not work_request:
        raise ValueError
    mapped = f"/mapped/{row.map_index}" if row.map_index >= 0 else ""
    link = f"dags/{quote(row.dag_id, '')}/runs/{quote(row.run_id, '')}/tasks/{quote(row.task_id, '')}{mapped}"
    return Work(
        at=shown_time(row.timestamp),
        dag_id=row.dag_id,
        run_id=row.run_id,
        task=f"{row.task_id}[{row.map_index}]" if mapped else row.task_id,
        state=str(row.state or "none"),
        link=link,
        work_request=work_request,
        instance=address.netloc,
    )
