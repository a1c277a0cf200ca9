"""Benchmark of a large export over loopback: curl, a kept `requests.Session`, ours to a file, ours to object storage.

Run by tools/bench/run.py: `python exports.py KIND URL CERT TARGET`, each in a separate process; prints JSON. The server
sends from dedicated threads, so it is not the bottleneck.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import ssl
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tools.bench.serving import Serving, own_environment

SIZE = 1 << 30
PIECE = bytes(1 << 20)
HEAD, TAIL = b"%PDF-1.7\n", b"\n%%EOF\n"


def _received(plain: socket.socket) -> bytes:
    piece = plain.recv(65_536)
    if not piece:
        raise ConnectionError("the client left")
    return piece


def _answer(connection: socket.socket, context: ssl.SSLContext | None) -> None:
    with suppress(OSError), context.wrap_socket(connection, server_side=True) if context else connection as plain:
        asked = b""
        while b"\r\n\r\n" not in asked:
            asked += _received(plain)
        if asked.startswith(b"POST"):
            length = int(asked.lower().partition(b"content-length:")[2].split()[0])
            came = len(asked.partition(b"\r\n\r\n")[2])
            while came < length:
                # Closing a socket with unread bytes resets the connection.
                came += len(_received(plain))
            body = json.dumps({"access_token": "t" * 40, "token_type": "Bearer", "expires_in": 3600}).encode()
            kind = b"application/json"
            plain.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n" % (kind, len(body)))
            plain.sendall(b"Connection: close\r\n\r\n" + body)
            return
        plain.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/pdf\r\nContent-Length: %d\r\n" % SIZE)
        plain.sendall(b"Connection: close\r\n\r\n" + HEAD)
        left = SIZE - len(HEAD) - len(TAIL)
        while left:
            plain.sendall(PIECE[:left])
            left -= min(left, len(PIECE))
        plain.sendall(TAIL)


@contextmanager
def sending(folder: Path, secure: bool) -> Iterator[str]:
    """Serve one file for all requests until the block ends.

    :returns: the server's URL.
    """
    context = None
    if secure:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    threading.Thread(target=_answer, args=(connection, context), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"{'https' if secure else 'http'}://localhost:{server.getsockname()[1]}"
        # Closing the socket does not wake the accepting thread.
        server.shutdown(socket.SHUT_RDWR)


def _curl(url: str, cert: str, target: Path) -> Callable[[], None]:
    command = ["curl", "-sS", "--cacert", cert, "-o", str(target), f"{url}/file"]
    return lambda: subprocess.run(command, check=True) and None


def _curl_kept(url: str, cert: str, target: Path) -> Callable[[], None]:
    """Run curl and flush the file to disk."""
    get = _curl(url, cert, target)

    def both() -> None:
        get()
        subprocess.run(["sync", str(target)], check=True)

    return both


def _requests(url: str, cert: str, target: Path) -> Callable[[], None]:
    import requests

    session = requests.Session()

    def get() -> None:
        with session.get(f"{url}/file", stream=True, verify=cert, timeout=60) as answer, target.open("wb") as file:
            for piece in answer.iter_content(1 << 18):
                file.write(piece)

    return get


def _ours(url: str, cert: str, target: Path) -> Callable[[], None]:
    """Download to a local file, as for the parts of a joined PDF."""
    from airflow_provider_oac.client.flows.download import FileSink

    return _downloading(url, cert, FileSink(target))


def _store(url: str, cert: str, target: Path) -> Callable[[], None]:
    """Download through Airflow's ObjectStoragePath, as operators do: checksum, flush to disk, rename."""
    from airflow_provider_oac.hooks.object_storage import Destination, ObjectStorageSink

    return _downloading(url, cert, ObjectStorageSink(Destination(target.as_uri())))


KINDS = {
    "curl": _curl,
    "curl and fsync": _curl_kept,
    "requests": _requests,
    "ours": _ours,
    "ours, ObjectStoragePath": _store,
}


def _downloading(url: str, cert: str, sink: Any) -> Callable[[], None]:
    """Return a download that is already signed in; signing in has a separate row."""
    from airflow_provider_oac.auth.session import Session
    from airflow_provider_oac.auth.settings import AuthSettings
    from airflow_provider_oac.client.api import Api
    from airflow_provider_oac.client.flows import download
    from airflow_provider_oac.client.rest import workbooks
    from airflow_provider_oac.transport.blocking import BlockingIO, run
    from airflow_provider_oac.transport.settings import TransportSettings

    pem = Path(cert).with_name("key.pem").read_text()
    settings = AuthSettings(url, "c", "s", user="u", private_key=pem, certificate_alias="a")
    api = Api(BlockingIO(TransportSettings(ca_file=cert)), url, Session(settings))
    run(api.session.token(api.io))
    flow = download.download(workbooks.download("w", "e"), sink, download.PDF)
    return lambda: run(flow(api)) and None


def exported(server: Serving, rounds: int = 3) -> dict[str, dict[str, float]]:
    """Return the median seconds (wall, CPU) of rounds in which the kinds take turns, and the most MiB above the start.

    :param server: the server whose certificate to use.
    """
    taken: dict[str, list[dict[str, float]]] = {}
    environment = own_environment(server)
    target = server.folder / "export.pdf"
    for way in ("plain", "TLS"):
        with sending(server.folder, way == "TLS") as url:
            for kind in (*KINDS,) * rounds:
                program = [sys.executable, __file__, kind, url, str(server.folder / "cert.pem"), str(target)]
                done = subprocess.run(program, capture_output=True, text=True, timeout=300, env=environment,
                                      check=False)  # fmt: skip
                if done.returncode or target.stat().st_size != SIZE:
                    raise RuntimeError(f"{kind} failed:\n{done.stderr[-2000:]}")
                # Pending disk writes of one run must not slow down the next.
                os.sync()
                target.unlink()
                taken.setdefault(f"{kind}, {way}", []).append(json.loads(done.stdout.splitlines()[-1]))
    return {
        kind: {
            "seconds": statistics.median(run["seconds"] for run in runs),
            "cpu": statistics.median(run["cpu"] for run in runs),
            "mib": max(run["mib"] for run in runs),
        }
        for kind, runs in taken.items()
    }


def memory(what: str) -> float:
    """Return the memory of this process in MiB: `VmRSS`, or its peak, `VmHWM`."""
    (line,) = (one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith(f"{what}:"))
    return int(line.split()[1]) / 1024


def _cpu() -> float:
    """Return the CPU seconds of this process and of its ended children."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def main() -> None:
    kind, url, cert, target = sys.argv[1:]
    # Do not measure imports.
    get = KINDS[kind](url, cert, Path(target))
    # Reset the peak, which includes the imports and the parent process so far (Linux: proc(5)).
    Path("/proc/self/clear_refs").write_text("5")
    before, spent, began = memory("VmRSS"), _cpu(), time.perf_counter()
    get()
    seconds = time.perf_counter() - began
    print(json.dumps({"seconds": seconds, "cpu": _cpu() - spent, "mib": memory("VmHWM") - before}))


if __name__ == "__main__":
    main()
