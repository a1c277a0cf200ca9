"""Benchmark of a query of 100,000 rows to Parquet and of a small query: ours, and the same requests by hand.

Run by tools/bench/run.py: `python queries.py WHAT KIND URL CERT TARGET`, each in a separate process; prints JSON.
"""

from __future__ import annotations

import json
import re
import ssl
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tools.bench.exports import memory
from tools.bench.serving import Serving, own_environment

ROWS, PAGE = 100_000, 10_000
SMALL = 300
SOURCE = "XSA('admin'.'Orders')"
COLUMNS = {
    "id": "Order ID", "ordered_at": "Ordered At", "customer": "Customer", "status": "Status", "quantity": "Quantity",
    "amount": "Amount",
}  # fmt: skip
QUERY = "SELECT " + ", ".join(f'{SOURCE}."ORDERS"."{name}" {alias}' for alias, name in COLUMNS.items())
QUERY += f" FROM {SOURCE}"
KEY = f'{SOURCE}."ORDERS"."Order ID"'
ONE = f"{QUERY} WHERE {KEY} = 1"


def _row(number: int) -> dict[str, Any]:
    return {
        "id": number, "ordered_at": f"2026-{number % 12 + 1:02}-{number % 28 + 1:02} {number % 24:02}:30:00.0",
        "customer": f"Customer {number % 977}", "status": ("Delivered", "Returned", "Open")[number % 3],
        "quantity": number % 50, "amount": None if number % 100 == 0 else number % 9_999 / 100,
    }  # fmt: skip


@cache
def _found(query: str) -> bytes:
    """Return the result of a query as OAC sends it: JSON in a string, in batches of 1,000 rows."""
    after = int(found[1]) if (found := re.search(r"> (\d+)", query)) else 0
    many = 1 if " = 1" in query else 0 if "IS NULL" in query else PAGE
    rows = [_row(number) for number in range(after + 1, min(after + many, ROWS) + 1)]
    batches = [
        {"batchNumber": place // 1000 + 1, "data": rows[place : place + 1000], "hasMore": False, "isComplete": True}
        for place in range(0, len(rows), 1000)
    ]
    text = json.dumps({
        "metadata": {"batchSize": 1000}, "batches": batches, "status": {"result": "success", "error": False},
        "summary": {"completed": True, "totalBatches": len(batches), "totalRecords": len(rows)},
    })  # fmt: skip
    return json.dumps({"content": [{"type": "text", "text": text}], "isError": False}).encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Send headers and body together.
    wbufsize = 1 << 16
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self.path.startswith("/api/mcp"):
            self._answer(json.dumps({"access_token": "t" * 40, "token_type": "Bearer", "expires_in": 3600}).encode())
            return
        message = json.loads(body)
        method, params = message["method"], message.get("params") or {}
        if "id" not in message:
            self._answer(b"", 202)
            return
        if method == "tools/call":
            result = _found(params["arguments"]["query"])
        elif method == "tools/list":
            result = b'{"tools": [{"name": "oracle_analytics-execute_logical_sql"}]}'
        else:
            result = b'{"protocolVersion": "2025-06-18"}'
        self._answer(b'{"jsonrpc": "2.0", "id": %d, "result": %s}' % (message["id"], result))

    def _answer(self, body: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Mcp-Session-Id", "s")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_about: Any) -> None:
        pass


@contextmanager
def _answering(folder: Path) -> Iterator[str]:
    """Serve until the block ends; yields the URL."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.daemon_threads, server.block_on_close = True, False
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"https://localhost:{server.server_port}"
        server.shutdown()


class _ByHand:
    """A signed-in `requests.Session` that posts MCP messages."""

    def __init__(self, url: str, cert: str) -> None:
        import requests

        self._session, self._url, self._cert, self._number = requests.Session(), url, cert, 0
        token = self._session.post(f"{url}/oauth2/v1/token", verify=cert, timeout=60).json()["access_token"]
        self._session.headers.update({
            "Authorization": f"Bearer {token}", "Accept": "application/json, text/event-stream",
        })  # fmt: skip

    def begin(self) -> None:
        begun = self._post("initialize", {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {}})
        self._session.headers["Mcp-Session-Id"] = begun.headers["Mcp-Session-Id"]
        self._send({"method": "notifications/initialized"})
        self._post("tools/list", {})

    def rows(self, query: str) -> list[dict[str, Any]]:
        arguments = {"query": query, "maxRows": PAGE + 1}
        name = "oracle_analytics-execute_logical_sql"
        answer = self._post("tools/call", {"name": name, "arguments": arguments}).json()
        held = json.loads(answer["result"]["content"][0]["text"])
        return [row for batch in held["batches"] for row in batch["data"]]

    def _post(self, method: str, params: Any) -> Any:
        self._number += 1
        return self._send({"id": self._number, "method": method, "params": params})

    def _send(self, message: dict[str, Any]) -> Any:
        message = {"jsonrpc": "2.0", **message}
        # Set `verify` per request: REQUESTS_CA_BUNDLE overrides the session's setting.
        answer = self._session.post(f"{self._url}/api/mcp", json=message, verify=self._cert, timeout=60)
        answer.raise_for_status()
        return answer


def _parquet_by_hand(url: str, cert: str, target: Path) -> Callable[[], None]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    fields = {"id": pa.int64(), "ordered_at": pa.string(), "customer": pa.string(), "status": pa.string(),
              "quantity": pa.int64(), "amount": pa.float64()}  # fmt: skip
    came = pa.schema(fields)
    written = pa.schema({**fields, "ordered_at": pa.timestamp("us")})
    asked = _ByHand(url, cert)

    def get() -> None:
        asked.begin()
        last = 0
        with pq.ParquetWriter(target, written) as writer:
            while True:
                where = f" WHERE {KEY} > {last}" if last else ""
                rows = asked.rows(f"{QUERY}{where} ORDER BY 1 FETCH FIRST {PAGE} ROWS ONLY")
                if not rows:
                    break
                writer.write_table(pa.Table.from_pylist(rows, schema=came).cast(written))
                last = rows[-1]["id"]
        asked.rows(f"{QUERY} WHERE {KEY} IS NULL ORDER BY 1 FETCH FIRST 1 ROWS ONLY")

    return get


def _api(url: str, cert: str) -> Any:
    from airflow_provider_oac.auth.session import Session
    from airflow_provider_oac.auth.settings import AuthSettings
    from airflow_provider_oac.client.api import Api
    from airflow_provider_oac.transport.blocking import BlockingIO, run
    from airflow_provider_oac.transport.settings import TransportSettings

    pem = Path(cert).with_name("key.pem").read_text()
    settings = AuthSettings(url, "c", "s", user="u", private_key=pem, certificate_alias="a")
    api = Api(BlockingIO(TransportSettings(ca_file=cert)), url, Session(settings))
    run(api.session.token(api.io))
    return api


def _parquet(url: str, cert: str, target: Path) -> Callable[[], None]:
    """Write Parquet as the operator does: through ObjectStoragePath, with checksum, flush to disk and rename."""
    import pyarrow.parquet  # noqa: F401
    from airflow.sdk.lineage import get_hook_lineage_collector

    from airflow_provider_oac.client import sql
    from airflow_provider_oac.hooks.object_storage import Destination, ObjectStorageSink
    from airflow_provider_oac.transport.blocking import run

    # This loads Airflow's plugins, which each task process has already done for its listeners.
    get_hook_lineage_collector()
    api, sink = _api(url, cert), ObjectStorageSink(Destination(target.as_uri()))
    flow = sql.write_file(lambda api: sql.pages(api, QUERY, page_rows=PAGE, key="id"), sink, "parquet", list(COLUMNS))
    return lambda: run(flow(api)) and None


def _small_by_hand(url: str, cert: str) -> Callable[[], None]:
    asked = _ByHand(url, cert)
    asked.begin()
    return lambda: asked.rows(ONE) and None


def _small(url: str, cert: str) -> Callable[[], None]:
    from airflow_provider_oac.client.sql import dbapi
    from airflow_provider_oac.transport.blocking import run

    api = _api(url, cert)
    cursor = dbapi.connect(lambda work: run(work(api))).cursor()
    return lambda: cursor.execute(ONE).fetchall() and None


KINDS: dict[str, Callable[[str, str, Path], Callable[[], None]]] = {"floor": _parquet_by_hand, "ours": _parquet}
SMALL_KINDS: dict[str, Callable[[str, str], Callable[[], None]]] = {"floor": _small_by_hand, "ours": _small}


def queried(server: Serving, rounds: int = 7) -> dict[str, dict[str, float]]:
    """Measure the kinds in turns and return medians.

    For the large query: seconds (wall, CPU) and most MiB above the start. For the small one: CPU milliseconds.

    :param server: the server whose certificate to use.
    """
    taken: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
    target = server.folder / "orders.parquet"
    with _answering(server.folder) as url:
        # The first round does not count: Python writes byte code, and the server builds its responses.
        for _ in range(1 + rounds):
            for kind, runs in taken.items():
                runs.append({})
                for what in ("large", "small"):
                    program = [sys.executable, __file__, what, kind, url, str(server.folder / "cert.pem"), str(target)]
                    done = subprocess.run(program, capture_output=True, text=True, timeout=300,
                                          env=own_environment(server), check=False)  # fmt: skip
                    if done.returncode:
                        raise RuntimeError(f"{what} {kind} failed:\n{done.stderr[-2000:]}")
                    runs[-1] |= json.loads(done.stdout.splitlines()[-1])
    return {kind: {name: statistics.median(run[name] for run in runs[1:]) for name in runs[0]}
            for kind, runs in taken.items()}  # fmt: skip


def _large(kind: str, url: str, cert: str, target: str) -> dict[str, float]:
    import pyarrow

    # Do not measure imports: with its first array, pyarrow imports pandas if it is installed.
    pyarrow.array([0])
    get = KINDS[kind](url, cert, Path(target))
    # Reset the peak, which includes the imports and the parent process so far (Linux: proc(5)).
    Path("/proc/self/clear_refs").write_text("5")
    before, spent, began = memory("VmRSS"), time.process_time(), time.perf_counter()
    get()
    found = {"seconds": time.perf_counter() - began, "cpu": time.process_time() - spent}
    return {**found, "mib": memory("VmHWM") - before}


def _little(kind: str, url: str, cert: str) -> dict[str, float]:
    get = SMALL_KINDS[kind](url, cert)
    taken = []
    for _ in range(SMALL):
        began = time.process_time()
        get()
        taken.append(1000 * (time.process_time() - began))
    return {"small_ms": statistics.median(taken)}


def main() -> None:
    what, kind, url, cert, target = sys.argv[1:]
    print(json.dumps(_large(kind, url, cert, target) if what == "large" else _little(kind, url, cert)))


if __name__ == "__main__":
    main()
