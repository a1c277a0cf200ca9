"""Work requests of DAG runs, with the states of their tasks, and their states in OAC.

OAC cannot list work requests, so they come from XCom: operators push them as soon as OAC has accepted the work. OAC is
called through the Connection of the task that submitted the work.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from urllib.parse import quote

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.models.dag import DagModel
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from fastapi import HTTPException
from sqlalchemy import String, and_, cast, func, select

from airflow_provider_oac.auth.session import Session
from airflow_provider_oac.auth.store import StoreEntry
from airflow_provider_oac.client.api import Api
from airflow_provider_oac.client.rest import work_requests
from airflow_provider_oac.client.rest.work_requests import WorkRequest
from airflow_provider_oac.exceptions import OACConfigurationError, OACError
from airflow_provider_oac.hooks.connection import ConnectionSettings
from airflow_provider_oac.hooks.connection_test import CHECK_SECONDS, BoundedIO
from airflow_provider_oac.hooks.oac import naming
from airflow_provider_oac.links import WORK_REQUEST, work_request_page
from airflow_provider_oac.web.access import may_see_results, team_of
from airflow_provider_oac.web.connections import PageHook

log = logging.getLogger(__name__)

# How many XComs a query searches, newest first, for those that the user requests and may see.
SEARCHED = 2000
# The JSON text in the database, cut to the length that three names need: a bad value must not fail the query.
_VALUE = cast(XComModel.value, String)
_LONGEST = 4096
_TASK = ("dag_id", "run_id", "task_id", "map_index")
# Any task may write any XCom under this name.
_UNREADABLE = (ValueError, TypeError, KeyError, RecursionError)
# How many work requests one API server reads from OAC at a time. Each may take 15 s.
_MOST_CALLS = 4
_calls: dict[Work, asyncio.Task[WorkRequest]] = {}


@dataclass(frozen=True)
class Work:
    """The work request of one task.

    :param submitted: when OAC accepted it.
    :param state: the state of the task.
    :param address: the address of the instance.
    """

    submitted: datetime
    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    state: str
    work_request_id: str
    oac_conn_id: str
    address: str

    @property
    def task(self) -> str:
        """The task's name, as the page shows it."""
        return self.task_id if self.map_index < 0 else f"{self.task_id}[{self.map_index}]"

    @property
    def task_link(self) -> str:
        """The address of the task's page, relative to Airflow's base."""
        mapped = f"/mapped/{self.map_index}" if self.map_index >= 0 else ""
        return f"dags/{quote(self.dag_id, '')}/runs/{quote(self.run_id, '')}/tasks/{quote(self.task_id, '')}{mapped}"

    @property
    def link(self) -> str:
        """The address of the work request's page, relative to Airflow's base."""
        return work_request_page(self)


@dataclass(frozen=True)
class Found:
    """The result of a search.

    :param unreadable: how many XComs with this name could not be read.
    :param more: whether there may be more work requests.
    """

    works: list[Work]
    unreadable: int = 0
    more: bool = False


def recent(user: BaseUser, *, dag_id: str = "", oac_conn_id: str = "", state: str = "", rows: int = 20) -> Found:
    """Return the newest work requests of the DAGs whose XComs the user may see.

    :param dag_id: only those of this DAG.
    :param oac_conn_id: only those that were submitted through this Connection.
    :param state: only those whose task is in this state.
    :param rows: the maximum number of work requests.
    """
    wanted = [XComModel.dag_id == dag_id] if dag_id else []
    if state:
        wanted.append(TaskInstance.state.is_(None) if state == "none" else TaskInstance.state == state)
    works: list[Work] = []
    searched = unreadable = 0
    for row in _rows(user, *wanted):
        searched += 1
        if row is None:
            continue
        try:
            work = _work(row)
        except _UNREADABLE:
            unreadable += 1
            continue
        if oac_conn_id in ("", work.oac_conn_id):
            if len(works) == rows:
                return Found(works, unreadable, more=True)
            works.append(work)
    return Found(works, unreadable, more=searched == SEARCHED)


def one(user: BaseUser, dag_id: str, run_id: str, task_id: str, map_index: int) -> Work | None:
    """Return the work request of a task; ``None`` if there is no readable one that the user may see."""
    wanted = zip(_TASK, (dag_id, run_id, task_id, map_index), strict=True)
    for row in _rows(user, *(getattr(XComModel, name) == value for name, value in wanted)):
        try:
            return _work(row)
        except _UNREADABLE:
            break
    return None


def _rows(user: BaseUser, *wanted: Any) -> Iterator[Any]:
    """Yield XComs of work requests and their tasks' states, newest first; ``None`` where the user may not see one."""
    dag_ids = get_auth_manager().get_authorized_dag_ids(user=user)
    task = and_(*(getattr(XComModel, name) == getattr(TaskInstance, name) for name in _TASK))
    columns = (getattr(XComModel, name) for name in (*_TASK, "timestamp"))
    query = (
        select(*columns, func.substr(_VALUE, 1, _LONGEST + 1).label("value"), TaskInstance.state)
        .join(TaskInstance, task)
        .where(XComModel.key == WORK_REQUEST, XComModel.dag_id.in_(dag_ids), *wanted)
        .order_by(XComModel.timestamp.desc())
        .limit(SEARCHED)
        # Most pages are full before the limit.
        .execution_options(yield_per=100)
    )
    seen = cache(lambda dag_id: may_see_results(user, dag_id))
    with create_session() as session:
        for row in session.execute(query):
            yield row if seen(row.dag_id) else None


def _work(row: Any) -> Work:
    """Read a row.

    :raises ValueError: if no operator wrote its value; the other errors of ``_UNREADABLE`` mean the same.
    """
    value = json.loads(row.value)
    texts = {name: value[name] for name in ("work_request_id", "oac_conn_id", "address")}
    if not all(isinstance(text, str) and text for text in texts.values()):
        raise ValueError
    of = {name: getattr(row, name) for name in _TASK}
    return Work(submitted=row.timestamp, state=str(row.state or "none"), **of, **texts)


async def ask(work: Work) -> WorkRequest:
    """Ask OAC for the state of a work request. Users who view the same one share the response.

    :raises OACError: if OAC cannot be asked, or does not know the work request.
    :raises HTTPException: if this API server is already asking for the maximum number of work requests.
    """
    task = _calls.get(work)
    if task is None:
        if len(_calls) >= _MOST_CALLS:
            raise HTTPException(429, f"This API server reads {len(_calls)} work requests already. Try again in 15 s.")
        task = _calls[work] = asyncio.create_task(_ask(work))
        task.add_done_callback(lambda _: _calls.pop(work))
    return await asyncio.shield(task)


async def _ask(work: Work) -> WorkRequest:
    settings, store_entry = await asyncio.to_thread(_connection_of, work)
    io = BoundedIO(settings.transport, CHECK_SECONDS)
    try:
        with naming(work.oac_conn_id):
            api = Api(io, settings.address, Session(settings.auth, store_entry=store_entry))
            return await api.run(work_requests.get(work.work_request_id))
    finally:
        await io.close()


def _connection_of(work: Work) -> tuple[ConnectionSettings, StoreEntry | None]:
    """Return the current settings of the task's Connection. It blocks: it asks a database or a secrets backend.

    Any task may write any XCom, so a Connection of another team than the DAG's is not read.

    :raises OACConfigurationError: if the Connection must not or cannot be used.
    """
    hook = PageHook(work.oac_conn_id)
    problem = "it does not exist, or Airflow cannot read it"
    try:
        if team_of(work.oac_conn_id) in (None, DagModel.get_team_name(work.dag_id)):
            settings = hook.settings
            if settings.address == work.address:
                return settings, hook.store_entry
            problem = f"it now points to {settings.address}, but the work request is at {work.address}"
    except OACError:
        raise
    except Exception:
        log.exception("Connection %r cannot be read.", work.oac_conn_id)
    raise OACConfigurationError(f"OAC cannot be called through Connection {work.oac_conn_id!r}: {problem}.")
