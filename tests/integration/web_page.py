"""Airflow's API server in this process, with our plugin, a database of its own, and users of several rights."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from cryptography.fernet import Fernet

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

    def session(self, name: str, role: str) -> requests.Session:
        """A browser, as it were, with a user signed in by cookie; its orders come from Airflow's own page."""
        from airflow.api_fastapi.app import get_auth_manager
        from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

        session = requests.Session()
        session.trust_env = False
        token = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username=name, role=role))
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
