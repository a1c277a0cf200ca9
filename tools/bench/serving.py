"""Run the server in another process and read its counters."""

from __future__ import annotations

import http.client
import json
import os
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

_FOREIGN = (
    "AIRFLOW", "_AIRFLOW", "PYTHONDONTWRITEBYTECODE", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY",
)  # fmt: skip


class Serving:
    """A running server.

    :param port: its port.
    :param folder: the folder with its certificate and key.
    """

    def __init__(self, port: int, folder: Path) -> None:
        self.port, self.folder = port, folder

    def _get(self, target: str) -> Any:
        context = ssl.create_default_context(cafile=str(self.folder / "cert.pem"))
        asked = http.client.HTTPSConnection("localhost", self.port, context=context, timeout=30)
        asked.request("GET", target)
        answer = json.loads(asked.getresponse().read())
        asked.close()
        return answer

    def reset(self, token_lifetime: float = 3600.0, latency: float = 0.0) -> None:
        """Set all counters to zero.

        :param token_lifetime: lifetime of a token in seconds.
        :param latency: latency of every response in seconds.
        """
        self._get("/reset?" + quote(json.dumps({"token_lifetime": token_lifetime, "latency": latency})))

    def stats(self) -> dict[str, int]:
        """Return the counters, without this connection."""
        found = dict(self._get("/stats"))
        found["connections"] = found.get("connections", 0) - 1
        return found


@contextmanager
def serving() -> Iterator[Serving]:
    """Run the server until the block ends."""
    with tempfile.TemporaryDirectory() as folder:
        program = [sys.executable, str(Path(__file__).with_name("server.py")), folder]
        with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            try:
                assert process.stdout is not None
                yield Serving(json.loads(process.stdout.readline())["port"], Path(folder))
            finally:
                process.terminate()


def forget_foreign() -> None:
    """Remove the caller's settings for Airflow, proxies and byte code from the environment."""
    for name in [name for name in os.environ if name.upper().startswith(_FOREIGN)]:
        del os.environ[name]


def own_environment(server: Serving) -> dict[str, str]:
    """Return the environment of a measured process."""
    root = Path(__file__).resolve().parents[2]
    return {**os.environ, "AIRFLOW_HOME": str(server.folder), "PYTHONPATH": str(root)}


def measured(server: Serving, kind: str, many: int, *options: str, **settings: float) -> dict[str, Any]:
    """Run triggers of a kind in a separate process (see waiting.py); return its figures and the server's counters.

    :param settings: settings of the server; see :meth:`Serving.reset`.
    :raises RuntimeError: if the process fails.
    """
    server.reset(**settings)
    program = [sys.executable, str(Path(__file__).with_name("waiting.py")), kind, str(many)]
    environment = own_environment(server)
    done = subprocess.run(
        [*program, str(server.port), str(server.folder), *options],
        capture_output=True, text=True, timeout=600, env=environment, check=False,
    )  # fmt: skip
    lines = [line for line in done.stderr.splitlines() if line.startswith("RESULT ")]
    if not lines:
        raise RuntimeError(f"{kind} with {many} triggers failed:\n{done.stderr[-2000:]}")
    found = {**json.loads(lines[-1].removeprefix("RESULT ")), **server.stats()}
    found["cpu_us"] = 1e6 * found["cpu"] / max(1, found.get("polls", 0))
    return found
