"""Asks OAC for the state of a work request, through the Connection of the task that submitted it."""

from __future__ import annotations

import asyncio
import logging

from airflow.models.dag import DagModel
from fastapi import HTTPException

from airflow_provider_oac.auth.session import Session
from airflow_provider_oac.auth.store import StoreEntry
from airflow_provider_oac.client.api import Api
from airflow_provider_oac.client.rest import work_requests
from airflow_provider_oac.client.rest.work_requests import WorkRequest
from airflow_provider_oac.exceptions import OACConfigurationError, OACError
from airflow_provider_oac.hooks.connection import ConnectionSettings
from airflow_provider_oac.hooks.connection_test import CHECK_SECONDS, BoundedIO
from airflow_provider_oac.hooks.oac import naming
from airflow_provider_oac.web.access import team_of
from airflow_provider_oac.web.connections import PageHook
from airflow_provider_oac.web.work import Work

log = logging.getLogger(__name__)
# How many work requests one API server reads from OAC at a time. Each may take 15 s.
_MOST_CALLS = 4
_calls: dict[Work, asyncio.Task[WorkRequest]] = {}


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
