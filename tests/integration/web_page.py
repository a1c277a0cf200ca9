"""Airflow's API server in this process, with our plugin, a database of its own, and users of several rights."""

from __future__ import annotations

import json
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests
from cryptography.fernet import Fernet

from airflow_provider_oac.links import WORK_REQUEST

SETTINGS = {
    "CORE__SIMPLE_AUTH_MANAGER_USERS": "boss:admin,operator:op,reader:viewer",
    "CORE__TEST_CONNECTION": "Enabled",
    "OAC__STORE": "file",
}


class Server:
    """A running API server.

    :param port: where it listens.
    """

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def session(self, name: str, role: str, teams: list[str] | None = None) -> requests.Session:
        """A browser, as it were, with a user signed in by cookie; its orders come from Airflow's own page."""
        from airflow.api_fastapi.app import get_auth_manager
        from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

        session = requests.Session()
        session.trust_env = False
        # Airflow 3.1 knows no teams.
        of_teams = {"teams": teams} if teams else {}
        token = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username=name, role=role, **of_teams))
        session.cookies.set("_token", token)
        session.headers["Origin"] = self.url
        return session


@contextmanager
def api_server(folder: Path) -> Iterator[Server]:
    """Start it, as ``airflow api-server`` does, and end it.

    :param folder: of its token store.
    """
    import uvicorn

    before = dict(os.environ)
    os.environ |= {f"AIRFLOW__{name}": value for name, value in SETTINGS.items()}
    os.environ |= {
        "AIRFLOW__OAC__STORE_FOLDER": str(folder),
        "AIRFLOW__CORE__FERNET_KEY": Fernet.generate_key().decode(),
        "AIRFLOW__API_AUTH__JWT_SECRET": "x" * 64,
        "_AIRFLOW_PROCESS_CONTEXT": "server",
    }
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


def events(answer: requests.Response) -> Iterator[tuple[str, dict[str, Any]]]:
    """Server-sent events as they come."""
    name = ""
    for line in answer.iter_lines(chunk_size=1, decode_unicode=True):
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


def secrets_of(ready: dict[str, Any]) -> list[str]:
    key = Path(ready["private_key_file"]).read_text().splitlines()[1]
    return [key, ready["client_secret"], *ready["users"].values()]


def card(html: str, conn_id: str) -> str:
    found = re.search(rf'<article [^>]*data-connection="{re.escape(conn_id)}".*?</article>', html, re.DOTALL)
    assert found, html
    return found[0]


def audit(event: str) -> list[dict[str, Any]]:
    from airflow.models.log import Log
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        rows = session.execute(select(Log.owner, Log.extra).where(Log.event == event).order_by(Log.id)).all()
    return [{"by": row.owner, **json.loads(row.extra)} for row in rows]


def sign_in(session: requests.Session, server: Server, conn_id: str, decide: Callable[[str], None]) -> tuple[str, str]:
    """Press the button, decide about the code; the last event."""
    with session.post(f"{server.url}/oac/sign-in/{conn_id}", stream=True, timeout=60) as answer:
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"].startswith("text/event-stream")
        last, text = "", ""
        for name, data in events(answer):
            if name == "code":
                decide(data["user_code"])
            last, text = name, data.get("text", "")
        return last, text


def leave_work(dag_id: str, task_id: str, state: str | None, value: object) -> None:
    """What a task leaves in Airflow's database, as far as the page reads it.

    :param value: of the XCom: the JSON itself if it is a text with a mark ``json:`` before it.
    """
    from airflow.models.dag import DagModel
    from airflow.models.dagbundle import DagBundleModel
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import insert, select, text

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
        result = {"key": WORK_REQUEST, "value": value, "dag_run_id": run_id, "timestamp": now}
        session.execute(insert(XComModel).values(**row, **result))
        if isinstance(value, str) and value.startswith("json:"):
            raw = {"raw": value.removeprefix("json:"), "task_id": task_id}
            session.execute(text("UPDATE xcom SET value = :raw WHERE task_id = :task_id"), raw)


def forget() -> None:
    """Empty the audit log and what tasks left."""
    from airflow.models.dag import DagModel
    from airflow.models.dagrun import DagRun
    from airflow.models.log import Log
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    with create_session() as session:
        for table in (XComModel, TaskInstance, DagRun, DagModel, Log):
            session.execute(delete(table))


def work_request(work_request_id: str, **changes: object) -> dict[str, object]:
    """What an operator says of its work request."""
    of = {"oac_conn_id": "oac_default", "address": "https://oac.example.com"}
    return {"work_request_id": work_request_id, **of, **changes}


def rows(html: str) -> list[str]:
    """The work requests that a page shows."""
    return re.findall(r"<tr data-key=.*?</tr>", html, re.DOTALL)


def note(event: str, entry: object, by: str = "boss") -> None:
    """Enter something in the audit log: a text as it is, all else as JSON."""
    from airflow.models.log import Log
    from airflow.utils.session import create_session

    extra = entry if entry is None or isinstance(entry, str) else json.dumps(entry)
    with create_session() as session:
        session.add(Log(event=event, owner=by, owner_display_name=by, extra=extra))


@contextmanager
def silent() -> Iterator[tuple[str, Callable[[], None], Callable[[], None]]]:
    """A server that takes connections and says nothing: its address, a wait for one more connection, and an end to its
    silence."""
    taken: list[socket.socket] = []
    came = threading.Semaphore(0)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def take() -> None:
            with suppress(OSError):
                while True:
                    taken.append(listener.accept()[0])
                    came.release()

        def arrived() -> None:
            assert came.acquire(timeout=30), "nobody came"

        def let_go() -> None:
            listener.shutdown(socket.SHUT_RDWR)
            for connection in taken:
                connection.close()

        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", arrived, let_go
        thread.join()


def commands_of(redis_url: str) -> dict[str, int]:
    """How often a Redis server was asked for each command."""
    import redis

    with redis.Redis.from_url(redis_url) as client:
        found: Any = client.info("commandstats")
    return {name.removeprefix("cmdstat_"): values["calls"] for name, values in found.items()}
