"""Airflow's API server in this process, with our plugin, a database of its own, and users of several rights."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urljoin

import pytest
import requests
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.models.log import Log
from airflow.models.taskinstance import TaskInstance
from airflow.utils.session import create_session
from cryptography.fernet import Fernet
from sqlalchemy import String, delete, insert, select, type_coerce

from airflow_provider_oac.links import WORK_REQUEST
from tests.integration.servers import Reply, Seen, answering

SETTINGS = {
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "boss:admin,operator:op,reader:viewer",
    "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
    "AIRFLOW__OAC__STORE": "file",
    "AIRFLOW__CORE__FERNET_KEY": Fernet.generate_key().decode(),
    "AIRFLOW__API_AUTH__JWT_SECRET": "x" * 64,
    "_AIRFLOW_PROCESS_CONTEXT": "server",
}


class Browser(requests.Session):
    """A browser, as it were; addresses are relative to our page.

    :param url: of Airflow. What is sent comes from Airflow's own page.
    """

    def __init__(self, url: str) -> None:
        super().__init__()
        self.trust_env = False
        self.url = url
        self.headers["Origin"] = url

    def request(self, method: str, url: str, **details: Any) -> requests.Response:  # type: ignore[override]
        return super().request(method, urljoin(f"{self.url}/oac/", url), **{"timeout": 60, **details})


class Server:
    """A running API server.

    :param port: where it listens.
    """

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def nobody(self) -> Browser:
        """A browser in which no user is signed in."""
        return Browser(self.url)

    def session(self, name: str, role: str, teams: list[str] | None = None) -> Browser:
        """A browser with a user signed in by cookie."""
        from airflow.api_fastapi.app import get_auth_manager
        from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

        # Airflow 3.1 knows no teams.
        of_teams = {"teams": teams} if teams else {}
        token = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username=name, role=role, **of_teams))
        browser = self.nobody()
        browser.cookies.set("_token", token)
        return browser


@pytest.fixture(name="server", scope="module")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start it, as ``airflow api-server`` does, and end it."""
    import uvicorn

    before = dict(os.environ)
    os.environ |= SETTINGS | {"AIRFLOW__OAC__STORE_FOLDER": str(tmp_path_factory.mktemp("store"))}
    try:
        from airflow.api_fastapi.app import create_app
        from airflow.utils.db import initdb

        initdb()
        server = uvicorn.Server(uvicorn.Config(create_app(apps="core"), port=0, log_config=None))
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive(), "the API server did not start"
            yield Server(server.servers[0].sockets[0].getsockname()[1])
        finally:
            server.should_exit = True
            thread.join()
    finally:
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture(name="boss")
def a_boss(server: Server) -> Browser:
    """A user who may do everything."""
    return server.session("boss", "ADMIN")


@pytest.fixture(name="reader")
def a_reader(server: Server) -> Browser:
    """A user who may see all DAGs and edit no Connection."""
    return server.session("reader", "VIEWER")


@pytest.fixture(name="database")
def a_database(server: Server) -> Iterator[None]:
    """What a test leaves in the audit log and of tasks is gone after it."""
    yield
    from airflow.models.xcom import XComModel

    with create_session() as session:
        for table in (XComModel, TaskInstance, DagRun, DagModel, Log):
            session.execute(delete(table))


def events(answer: requests.Response) -> Iterator[tuple[str, dict[str, Any]]]:
    """Server-sent events as they come."""
    name = ""
    for line in answer.iter_lines(chunk_size=1, decode_unicode=True):
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


def sign_in(browser: Browser, conn_id: str, decide: Callable[[str], None]) -> tuple[str, str]:
    """Press the button, decide about the code; the last event."""
    with browser.post(f"sign-in/{conn_id}", stream=True) as answer:
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"].startswith("text/event-stream")
        last, said = "", ""
        for name, data in events(answer):
            if name == "code":
                decide(data["user_code"])
            last, said = name, data.get("text", "")
        return last, said


def card(html: str, conn_id: str) -> str:
    """The part of a page about a Connection."""
    found = re.search(rf'<article [^>]*data-connection="{re.escape(conn_id)}".*?</article>', html, re.DOTALL)
    assert found, html
    return found[0]


def rows(html: str) -> list[str]:
    """The work requests that a page shows."""
    return re.findall(r"<tr data-key=.*?</tr>", html, re.DOTALL)


def audit(event: str) -> list[dict[str, Any]]:
    """Entries of the audit log."""
    with create_session() as session:
        found = session.execute(select(Log.owner, Log.extra).where(Log.event == event).order_by(Log.id)).all()
    return [{"by": row.owner, **json.loads(row.extra)} for row in found]


def note(event: str, entry: object, by: str = "boss") -> None:
    """Enter something in the audit log: a text as it is, all else as JSON."""
    extra = entry if entry is None or isinstance(entry, str) else json.dumps(entry)
    with create_session() as session:
        session.add(Log(event=event, owner=by, owner_display_name=by, extra=extra))


def leave_work(dag_id: str, task_id: str, state: str | None, value: object) -> None:
    """What a task leaves in Airflow's database, as far as the page reads it.

    :param value: of the XCom: the JSON itself if it is a text with a mark ``json:`` before it.
    """
    from airflow.models.dagbundle import DagBundleModel
    from airflow.models.xcom import XComModel

    now = datetime.now(UTC)
    with create_session() as session:
        if session.get(DagModel, dag_id) is None:
            session.merge(DagBundleModel(name="bundle"))
            session.flush()
            session.add(DagModel(dag_id=dag_id, bundle_name="bundle", fileloc="x", relative_fileloc="x"))
            session.add(DagRun(dag_id=dag_id, run_id="run", run_type="manual", state="running", run_after=now))
            session.flush()
        run_id = session.scalar(select(DagRun.id).where(DagRun.dag_id == dag_id))
        row = {"dag_id": dag_id, "run_id": "run", "task_id": task_id, "map_index": -1}
        task = {"state": state, "pool": "default_pool", "pool_slots": 1, "max_tries": 0, "executor_config": {}}
        session.execute(insert(TaskInstance).values(**row, **task))
        if isinstance(value, str) and value.startswith("json:"):
            value = type_coerce(value.removeprefix("json:"), String)
        result = {"key": WORK_REQUEST, "value": value, "dag_run_id": run_id, "timestamp": now}
        session.execute(insert(XComModel).values(**row, **result))


def work_request(work_request_id: str, **changes: object) -> dict[str, object]:
    """What an operator says of its work request."""
    of = {"oac_conn_id": "oac_default", "address": "https://oac.example.com"}
    return {"work_request_id": work_request_id, **of, **changes}


@contextmanager
def silent() -> Iterator[tuple[str, Callable[[], None], Callable[[], None]]]:
    """A server that takes requests and says nothing: its address, a wait for one more request, and an end to its
    silence: it is away, and callers try again for a while."""
    came, told = threading.Semaphore(0), threading.Event()

    def reply(_seen: Seen) -> Reply:
        came.release()
        told.wait(60)
        return Reply(503)

    def arrived() -> None:
        assert came.acquire(timeout=30), "nobody came"

    with answering(reply) as server:
        yield server.url, arrived, told.set


def deciding(monkeypatch: pytest.MonkeyPatch, what: str, decide: Callable[[Any], bool]) -> None:
    """Let another rule than Airflow's decide which Connections or DAGs a user may see.

    :param decide: is given the ID of one, or ``None`` if any is meant.
    """
    from airflow.api_fastapi.app import get_auth_manager

    def authorized(*_: object, details: Any = None, **__: object) -> bool:
        return decide(details and (details.conn_id if what == "connection" else details.id))

    monkeypatch.setattr(type(get_auth_manager()), f"is_authorized_{what}", authorized)


def fails(_of: object) -> bool:
    """What was not foreseen."""
    raise RuntimeError("a secret")
