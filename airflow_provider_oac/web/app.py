"""The page as a web application: its routes, and who may use them."""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.utils.state import TaskInstanceState
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response, StreamingResponse
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from airflow_provider_oac._compat import frames_have_addresses, setting
from airflow_provider_oac.client.rest.work_requests import ENDED
from airflow_provider_oac.exceptions import OACApiError, OACError
from airflow_provider_oac.hooks.connection_test import FAILED, Report
from airflow_provider_oac.transport.redaction import quoted
from airflow_provider_oac.web import audit, connections, work
from airflow_provider_oac.web.access import EditableDep, may_edit, missing, require_origin
from airflow_provider_oac.web.sign_in import SignIn

T = TypeVar("T")

log = logging.getLogger(__name__)
_HERE = Path(__file__).parent


def visible(value: Any) -> Any:
    """Return a text with a mark in place of each invisible character, which could hide or reorder other text."""
    if isinstance(value, Markup) or not isinstance(value, str) or value.isprintable():
        return value
    return "".join("\ufffd" if unicodedata.category(char) in ("Cc", "Cf", "Cs") else char for char in value)


def shown_time(at: datetime) -> Markup:
    """Return the HTML of a time, which the page's script converts to the time zone of Airflow's interface."""
    return Markup('<time datetime="{}">{:%Y-%m-%d %H:%M:%S} UTC</time>').format(at.isoformat(), at)


def may_connect() -> bool:
    """Return whether the deployment lets its web interface send a Connection's credentials. Airflow's default is no."""
    return setting("core", "test_connection").lower() == "enabled"


# Every value on a page passes through `visible` and is then escaped.
_pages = Environment(loader=FileSystemLoader(_HERE / "templates"), autoescape=True, trim_blocks=True, finalize=visible)
_pages.filters["time"] = shown_time
_pages.globals["may_connect"] = may_connect
_HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
        b"frame-ancestors 'self'; base-uri 'none'; form-action 'self'",
    ),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"same-origin"),
    (b"x-content-type-options", b"nosniff"),
)
# How many checks one API server runs at a time. Each may take 15 s and sends a Connection's secrets to its servers.
_MOST_CHECKS = 4
_UNSUPPORTED = (
    "Likely cause: this version of the provider does not support this Airflow version. Only this page is affected."
)
router = APIRouter()
NameQuery = Annotated[str, Query(max_length=250)]
_checking: set[str] = set()


def create_app() -> ASGIApp:
    """Return the application that Airflow mounts under ``/oac``."""
    app = FastAPI(title="Oracle Analytics", docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(router)
    app.mount("/static", StaticFiles(directory=_HERE / "static"))
    app.add_exception_handler(AnyHTTPException, _say_error)
    app.add_exception_handler(Exception, _say_error)
    return SafeHeaders(app)


class SafeHeaders:
    """Adds security headers to every response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        begun = False

        async def with_headers(message: Message) -> None:
            nonlocal begun
            begun = True
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *_HEADERS]}
            await send(message)

        try:
            await self._app(scope, receive, with_headers)
        except Exception:
            # Starlette raises the exception again after it has sent an error page.
            if not begun:
                raise
            log.exception("The page Oracle Analytics failed.")


@router.get("/")
def page(
    user: GetUserDep,
    connection: NameQuery = "",
    dag_id: NameQuery = "",
    oac_conn_id: NameQuery = "",
    state: NameQuery = "",
    rows: Annotated[int, Query(ge=1, le=500)] = 20,
) -> HTMLResponse:
    """The page: Connections that the user may edit, and recent work of the DAGs whose results the user may see.

    :param connection: ID of one more Connection, which is in a secrets backend and therefore not listed.
    :param dag_id: this and the next three parameters filter the work requests; see :func:`work.recent`.
    """
    problems: list[str] = []
    filters: dict[str, Any] = {"dag_id": dag_id.strip(), "oac_conn_id": oac_conn_id.strip(), "state": state}
    filters["rows"] = rows
    values = {
        "found": _read(problems, "Airflow's tasks and XComs", lambda: work.recent(user, **filters), work.Found([])),
        "filters": filters,
        "states_of_tasks": ["none", *TaskInstanceState],
        "problems": problems,
        **_connections(user, connection.strip(), problems),
    }
    return _html("page.html", **values)


def _connections(user: BaseUser, wanted: str, problems: list[str]) -> dict[str, Any]:
    """Return the values for the page's Connections; no values for a user who may not edit any.

    :param wanted: ID of one more Connection.
    :param problems: receives a message for each part that cannot be read.
    """
    conn_ids = _read(problems, "Airflow's Connections", lambda: connections.editable(user), list[str]())
    if not conn_ids and not may_edit(user, wanted or None):
        return {}
    found = not wanted or wanted in conn_ids or _edits(user, wanted)
    if wanted and found and wanted not in conn_ids:
        conn_ids.append(wanted)
    no_checks: tuple[dict[str, audit.Check], int] = {}, 0
    checks, unreadable = _read(problems, "Airflow's audit log with the last checks", audit.last_checks, no_checks)
    return {
        "editor": True,
        "states": connections.states(conn_ids, checks),
        "connection": wanted,
        "missing": "" if found else wanted,
        "unreadable": unreadable,
    }


@router.get("/menu")
def menu(user: GetUserDep) -> Response:
    """Tell Airflow's menu whether the page has something for the user: 204, or 404 if not."""
    anything = may_edit(user, None) or connections.editable(user) or work.recent(user, rows=1).works
    return Response(status_code=204 if anything else 404)


def require_work(user: GetUserDep, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> work.Work:
    """Return the work request of a task whose XComs the user may see."""
    found = work.one(user, dag_id, run_id, task_id, map_index)
    if found is None:
        # The response does not reveal whether the task exists.
        raise HTTPException(404, "There is no work request of this task that you may see.")
    return found


WorkDep = Annotated[work.Work, Depends(require_work)]


@router.get("/work")
def work_request(request: Request, found: WorkDep) -> Response:
    """The page of a work request. Opened as a window, it redirects to Airflow's interface, which frames it."""
    if request.headers.get("sec-fetch-dest") == "document" and frames_have_addresses():
        return RedirectResponse(f"../plugin/oac{request.url.path}?{request.url.query}")
    return _html("work.html", work=found)


@router.post("/work", dependencies=[Depends(require_origin)])
async def ask(found: WorkDep, user: GetUserDep) -> HTMLResponse:
    """Ask OAC for the state of a work request."""
    _require_connecting()
    try:
        answer = await work.ask(found)
    except OACError as error:
        problem = str(error)
        if not isinstance(error, OACApiError) and not await run_in_threadpool(_edits, user, found.oac_conn_id):
            problem = f"Calling OAC through Connection {found.oac_conn_id!r} failed. Its editors see the reason here."
        return _html("answer.html", problem=problem)
    return _html("answer.html", answer=answer, ended=answer.status in ENDED)


def _edits(user: BaseUser, conn_id: str) -> bool:
    """Return whether a Connection exists that the user may edit: only such a user sees its errors."""
    return may_edit(user, conn_id) and connections.exists(conn_id)


def _read(problems: list[str], what: str, read: Callable[[], T], default: T) -> T:
    """Read a part of the page from Airflow's database. If that fails, the page shows its other parts.

    :param problems: receives a message if the part cannot be read.
    :param what: the data that the part needs, for messages.
    :param default: the result if the part cannot be read.
    """
    try:
        return read()
    except Exception as error:
        log.exception("The page Oracle Analytics cannot read %s.", what)
        kind = type(error).__name__
        problems.append(f"{what} cannot be read ({kind}); see the API server's log. {_UNSUPPORTED}")
        return default


@router.post("/check/{connection_id:path}", dependencies=[Depends(require_origin)])
async def check(connection_id: EditableDep, user: GetUserDep) -> HTMLResponse:
    """Test a Connection; the response is its updated part of the page."""
    _require_connecting()
    # Many spellings of an ID mean one Connection of the environment.
    key = connection_id.upper()
    if key in _checking:
        raise HTTPException(429, "This Connection is already being checked. Wait until that check ends.")
    if len(_checking) >= _MOST_CHECKS:
        raise HTTPException(429, f"{len(_checking)} Connections are already being checked. Try again in 15 s.")
    _checking.add(key)
    try:
        await run_in_threadpool(_require, connection_id)
        report = await connections.check(connection_id)
    finally:
        _checking.discard(key)
    await run_in_threadpool(audit.note, user, audit.CHECKED, connection_id, **_outcome(report))
    return await run_in_threadpool(_part, connection_id, report)


@router.post("/state/{connection_id:path}", dependencies=[Depends(require_origin)])
def state(connection_id: EditableDep) -> HTMLResponse:
    """Return a Connection's updated part of the page."""
    _require(connection_id)
    return _part(connection_id, None)


@router.post("/sign-in/{connection_id:path}", dependencies=[Depends(require_origin)])
def sign_in(connection_id: EditableDep, user: GetUserDep) -> StreamingResponse:
    """Let a user sign in; the response lasts as long as the sign-in."""
    _require_connecting()
    _require(connection_id)
    # Airflow's compression does not buffer event streams; this header tells proxies such as nginx not to buffer them.
    headers = {"x-accel-buffering": "no"}
    return StreamingResponse(SignIn(connection_id, user).events(), media_type="text/event-stream", headers=headers)


def _require(conn_id: str) -> None:
    if not connections.exists(conn_id):
        raise missing(conn_id)


def _require_connecting() -> None:
    if not may_connect():
        text = "[core] test_connection is not Enabled: pages may not send a Connection's credentials."
        raise HTTPException(403, text)


def _outcome(report: Report) -> dict[str, Any]:
    """Return the result of a check as the audit log stores it."""
    failed = next((step for step in report.steps if step.state == FAILED), None)
    return {
        "works": report.works,
        "failed": failed.name if failed else None,
        "reason": quoted(failed.text) if failed else None,
        "token_lifetime": report.facts.get("token_lifetime"),
    }


def _part(conn_id: str, report: Report | None) -> HTMLResponse:
    checks, _ = audit.last_checks()
    (found,) = connections.states([conn_id], checks)
    if report is not None:
        found.steps = report.as_dict()["steps"]
    return _html("connection.html", state=found)


def _html(template: str, status: int = 200, **values: Any) -> HTMLResponse:
    return HTMLResponse(_pages.get_template(template).render(values), status)


async def _say_error(request: Request, error: Exception) -> Response:
    """Return an error as a page for the user, or as JSON for the page's script."""
    status = getattr(error, "status_code", 500)
    detail = str(getattr(error, "detail", f"The page failed; see the API server's log. {_UNSUPPORTED}"))
    if request.method == "GET":
        return _html("error.html", status, code=status, detail=detail)
    return JSONResponse({"detail": visible(detail)}, status)
