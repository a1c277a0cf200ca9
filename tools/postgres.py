"""A private PostgreSQL server for a test: on a free loopback port, in a temporary folder, removed after the test."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools import debian
from tools.airflow_env import free_port

GUARD = Path(__file__).resolve().parent / "guard.py"
_START_SECONDS = 60


class NoPostgres(RuntimeError):
    """The server does not start; the message contains its output."""


@dataclass(frozen=True)
class Postgres:
    """A running server with one user, who owns one database.

    :param port: its port on 127.0.0.1.
    :param user: name of the user and of the database.
    :param password: password of the user.
    """

    port: int
    user: str
    password: str


def installed() -> Path | None:
    """Return the folder with `initdb` and `postgres`, if it exists."""
    debians = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    folders = [*debians, *map(Path, os.get_exec_path())]
    return next((found for found in folders if (found / "initdb").exists() and (found / "postgres").exists()), None)


def programs() -> Path:
    """Return the folder with `initdb` and `postgres`; as root on Debian, install them if necessary.

    Raises debian.NotInstalled.
    """
    return debian.found(installed, "postgresql", "A test with a cluster")


def _as_its_user() -> tuple[list[str], int]:
    """Return the command prefix and user ID for the programs, which refuse to run as root."""
    if os.geteuid() != 0:
        return [], os.geteuid()
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"], user.pw_uid
    raise NoPostgres("PostgreSQL does not run as root, and there is neither a user postgres nor a user nobody.")


@contextmanager
def postgres_server(user: str, password: str) -> Iterator[Postgres]:
    """Run a server for the duration of a `with` block.

    Raises debian.NotInstalled, or NoPostgres, with the server's output, if it does not start.
    """
    found = programs()
    prefix, owner = _as_its_user()
    folder = Path(tempfile.mkdtemp(prefix="oac-postgres-"))
    try:
        secret = folder / "password"
        secret.write_text(password)
        for path in (folder, secret):
            os.chown(path, owner, -1)
        data, port = folder / "data", free_port()
        authentication = ["--auth=scram-sha-256", f"--username={user}", f"--pwfile={secret}"]
        made = subprocess.run(
            [*prefix, found / "initdb", "--encoding=UTF8", "--locale=C", "--no-sync", *authentication, data],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode:
            raise NoPostgres(f"initdb failed: {made.stderr[-2000:]}")
        settings = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "", "fsync": "off"}
        server = [*prefix, str(found / "postgres"), "-D", str(data)]
        server += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (folder / "server.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-I", str(GUARD), "--grace", "10", "--", *server],
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            running = Postgres(port, user, password)
            _make_database(running, process, folder / "server.log")
            yield running
        finally:
            assert process.stdin is not None  # noqa: S101 (stdin=PIPE above)
            process.stdin.close()
            process.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _make_database(server: Postgres, process: subprocess.Popen[bytes], log: Path) -> None:
    import psycopg2

    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            connection = psycopg2.connect(
                host="127.0.0.1", port=server.port, user=server.user, password=server.password, dbname="postgres"
            )
            break
        except psycopg2.OperationalError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise NoPostgres(f"PostgreSQL did not start:\n{log.read_text(errors='replace')[-2000:]}") from error
            time.sleep(0.1)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f'CREATE DATABASE "{server.user}"')
    finally:
        connection.close()
