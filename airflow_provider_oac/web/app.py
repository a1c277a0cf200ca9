"""The page as a web application: what it answers, and to whom."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, FileSystemLoader
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from airflow_provider_oac._compat import setting
from airflow_provider_oac.hooks.checking import FAILED, Report
from airflow_provider_oac.web import audit, connections, work
from airflow_provider_oac.web.access import EditableDep, may_edit, require_origin
from airflow_provider_oac.web.signing_in import SignIn

_HERE = Path(__file__).parent
_pages = Environment(loader=FileSystemLoader(_HERE / "templates"), autoescape=True, trim_blocks=True)
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; frame-ancestors 'self'; base-uri 'none'; form-action 'self'",
    "cache-control": "no-store",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
}
router = APIRouter()


def create_app() -> FastAPI:
    """The application that Airflow mounts under ``/oac``."""
    app = FastAPI(title="Oracle Analytics", docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(router)
    app.mount("/static", StaticFiles(directory=_HERE / "static"))
    app.add_exception_handler(AnyHTTPException, _say_error)
    app.add_middleware(SafeHeaders)
    return app


class SafeHeaders:
    """Adds to every answer what keeps a browser from doing more with it than it is meant for."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
                message = {**message, "headers": [*message.get("headers", ()), *added]}
            await send(message)

        await self._app(scope, receive, with_headers)


@router.get("/")
def page(user: GetUserDep, connection: Annotated[str, Query(max_length=250)] = "") -> HTMLResponse:
    """The page: Connections that the user may edit, and recent work of the DAGs whose results the user may see.

    :param connection: id of one more Connection, that no list names since it is in a secrets backend.
    """
    wanted = connection.strip()
    conn_ids = connections.editable(user)
    if not conn_ids and not may_edit(user, wanted or None):
        raise HTTPException(403, "This page is for those who may edit Connections, and you may edit none of this type.")
    missing = ""
    if wanted and wanted not in conn_ids:
        if may_edit(user, wanted) and connections.exists(wanted):
            conn_ids.append(wanted)
        else:
            missing = wanted
    checks = audit.last_checks()
    states = [connections.state(conn_id, checks.get(conn_id)) for conn_id in conn_ids]
    found = {"states": states, "missing": missing, "work": work.recent(user), "may_check": _may_check()}
    return HTMLResponse(_pages.get_template("page.html").render(found))


@router.post("/check/{connection_id:path}", dependencies=[Depends(require_origin)])
def check(connection_id: EditableDep, user: GetUserDep) -> HTMLResponse:
    """Try a Connection; the answer is its part of the page anew."""
    if not _may_check():
        raise HTTPException(403, "[core] test_connection is not Enabled: this deployment lets no page try Connections.")
    _require(connection_id)
    report = connections.check(connection_id)
    audit.note(user, audit.CHECKED, connection_id, **_outcome(report))
    return _part(connection_id, report)


@router.post("/state/{connection_id:path}", dependencies=[Depends(require_origin)])
def state(connection_id: EditableDep) -> HTMLResponse:
    """One Connection's part of the page anew."""
    _require(connection_id)
    return _part(connection_id, None)


@router.post("/sign-in/{connection_id:path}", dependencies=[Depends(require_origin)])
def sign_in(connection_id: EditableDep, user: GetUserDep) -> StreamingResponse:
    """Let a person sign in; the answer lasts as long as that takes."""
    _require(connection_id)
    # Event streams are passed on as they come by Airflow's compression and by proxies that know nginx's header.
    headers = {"x-accel-buffering": "no"}
    return StreamingResponse(SignIn(connection_id, user).events(), media_type="text/event-stream", headers=headers)


def _require(conn_id: str) -> None:
    if not connections.exists(conn_id):
        raise HTTPException(404, f"Airflow has no Connection {conn_id!r} of the type oac that this server can see.")


def _may_check() -> bool:
    """What the deployment says of trying Connections from the web interface; Airflow's default is no."""
    return setting("core", "test_connection").lower() == "enabled"


def _outcome(report: Report) -> dict[str, Any]:
    """What the audit log keeps of a check: no texts, which may be long."""
    failed = next((step.name for step in report.steps if step.state == FAILED), None)
    return {"works": report.works, "failed": failed, "token_lifetime": report.facts.get("token_lifetime")}


def _part(conn_id: str, report: Report | None) -> HTMLResponse:
    found = connections.state(conn_id, audit.last_checks().get(conn_id))
    if report is not None:
        found.steps = report.as_dict()["steps"]
    return HTMLResponse(_pages.get_template("connection.html").render(state=found, may_check=_may_check()))


async def _say_error(request: Request, error: Exception) -> Response:
    """An error as a page for people, or for the page's own script."""
    status = getattr(error, "status_code", 500)
    detail = str(getattr(error, "detail", ""))
    if request.method == "GET":
        return HTMLResponse(_pages.get_template("error.html").render(status=status, detail=detail), status)
    return JSONResponse({"detail": detail}, status)
