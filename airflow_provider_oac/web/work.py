"""Recent work of DAG runs: what operators of this provider have left in XCom, and the state of their tasks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import quote

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from sqlalchemy import and_, select

from airflow_provider_oac.links import OACInstanceLink
from airflow_provider_oac.web.access import may_see_results
from airflow_provider_oac.web.audit import shown_time

_SHOWN = 20


@dataclass(frozen=True)
class Work:
    """One task that has given OAC work.

    :param link: address of the task in Airflow, below its base.
    :param work_request: id of the work request, as soon as the task has told it.
    """

    at: str
    dag_id: str
    run_id: str
    task: str
    state: str
    link: str
    instance: str
    work_request: str


def recent(user: BaseUser) -> list[Work]:
    """The newest tasks with work in OAC, of the DAGs whose results the user may see."""
    dag_ids = get_auth_manager().get_authorized_dag_ids(user=user)
    task = and_(*(getattr(XComModel, name) == getattr(TaskInstance, name) for name in _TASK))
    columns = (getattr(XComModel, name) for name in (*_TASK, "timestamp", "value"))
    query = (
        select(*columns, TaskInstance.state)
        .join(TaskInstance, task)
        .where(XComModel.key == OACInstanceLink.xcom_key, XComModel.dag_id.in_(dag_ids))
        .order_by(XComModel.timestamp.desc())
        .limit(5 * _SHOWN)
    )
    seen = cache(lambda dag_id: may_see_results(user, dag_id))
    with create_session() as session:
        rows = [row for row in session.execute(query) if seen(row.dag_id)][:_SHOWN]
        return [_work(row, _result(session, row)) for row in rows]


_TASK = ("dag_id", "run_id", "task_id", "map_index")


def _result(session: Any, row: Any) -> dict[str, Any]:
    """What the task returned, if it is one of our results."""
    same = [getattr(XComModel, name) == getattr(row, name) for name in _TASK]
    found = session.scalar(select(XComModel.value).where(*same, XComModel.key == "return_value"))
    return found if isinstance(found, dict) else {}


def _work(row: Any, result: dict[str, Any]) -> Work:
    mapped = f"/mapped/{row.map_index}" if row.map_index >= 0 else ""
    link = f"dags/{quote(row.dag_id, '')}/runs/{quote(row.run_id, '')}/tasks/{quote(row.task_id, '')}{mapped}"
    return Work(
        at=shown_time(row.timestamp),
        dag_id=row.dag_id,
        run_id=row.run_id,
        task=f"{row.task_id}[{row.map_index}]" if mapped else row.task_id,
        state=str(row.state or "none"),
        link=link,
        instance=row.value if isinstance(row.value, str) else "",
        work_request=str(result.get("work_request_id") or ""),
    )
