"""A minimal server for all compared clients, so it is not the bottleneck: TLS and kept connections only.

The ID of work contains its end time, so the server keeps no state. It prints one JSON line when it listens, and stops
at the end of its standard input. Run as a program: `python server.py FOLDER`.
"""

from __future__ import annotations

import asyncio
import base64
import datetime
import ipaddress
import json
import re
import ssl
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

# Lifetime of a token, and latency of every response as with a distant server, in seconds.
SETTINGS = {"token_lifetime": 3600.0, "latency": 0.0}
STATS: dict[str, int] = {}
# An ID is the end time in milliseconds since the epoch, times SCALE, plus a number.
SCALE = 1_000_000


def count(what: str) -> None:
    STATS[what] = STATS.get(what, 0) + 1


def ended(run_id: str) -> bool:
    return time.time() >= int(run_id) // SCALE / 1000.0


def oac(match: re.Match[str]) -> Any:
    state = "SUCCEEDED" if ended(match[1]) else "IN_PROGRESS"
    return {"id": match[1], "status": state, "operationType": "CREATE_SNAPSHOT", "percentComplete": 50, "resources": []}


def started(_match: re.Match[str]) -> Any:
    """Return work that has ended already, with the ID in the form of each client."""
    over = int(time.time() * 1000) * SCALE
    return {"workRequestId": str(over), "run_id": over, "jobId": over, "status": "running", "jobType": "sync",
            "startTime": "2026-11-01T00:00:00Z", "connectionId": "c"}  # fmt: skip


def databricks(match: re.Match[str]) -> Any:
    state = {"life_cycle_state": "RUNNING", "state_message": ""}
    if ended(match[1]):
        state = {"life_cycle_state": "TERMINATED", "result_state": "SUCCESS", "state_message": ""}
    return {"run_id": int(match[1]), "run_page_url": "https://localhost/", "state": state}


def dbt(match: re.Match[str]) -> Any:
    return {"data": {"id": int(match[1]), "status": 10 if ended(match[1]) else 3}, "status": {"code": 200}}


def airbyte(match: re.Match[str]) -> Any:
    state = "succeeded" if ended(match[1]) else "running"
    return {"jobId": int(match[1]), "status": state, "jobType": "sync", "startTime": "2026-11-01T00:00:00Z",
            "connectionId": "c"}  # fmt: skip


def powerbi(match: re.Match[str]) -> Any:
    # The shortest possible history: a dataset that was refreshed once.
    return {"value": [{"requestId": match[1], "status": "Completed" if ended(match[1]) else "Unknown"}]}


def token(_match: re.Match[str]) -> Any:
    count("tokens")
    head, body = (base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (b'{"alg":"none"}', b'{"sub":"x"}'))
    value = f"{head}.{body}.{STATS['tokens']}"
    return {"access_token": value, "token_type": "Bearer", "expires_in": int(SETTINGS["token_lifetime"])}


# Items in the catalog, items per page, seconds per page.
ITEMS, PER_PAGE, PAGE_SECONDS = 10_000, 100, 0.05


def page(match: re.Match[str]) -> Any:
    numbers = range((int(match[1]) - 1) * PER_PAGE, int(match[1]) * PER_PAGE)
    return [
        {"type": "workbooks", "id": f"L3NoYXJlZC9{n}", "name": f"Workbook {n}", "owner": "somebody@example.com",
         "description": "a workbook", "lastModified": "2026-11-01T00:00:00Z", "parentId": "L3NoYXJlZA"}
        for n in numbers
    ]  # fmt: skip


def page_headers(number: int) -> bytes:
    count = ITEMS // PER_PAGE
    more = f"oa-next-page: {number + 1}\r\n" if number < count else ""
    return f"oa-current-page: {number}\r\noa-page-count: {count}\r\noa-total-items: {ITEMS}\r\n{more}".encode()


CATALOG = re.compile(r"/api/\d+/catalog/workbooks\?.*\bpage=(\d+)")
ROUTES: list[tuple[re.Pattern[str], Callable[[re.Match[str]], Any]]] = [
    (re.compile(r"/api/\d+/workRequests/(\d+)"), oac),
    (re.compile(r"/api/2\.\d/jobs/runs/get\?run_id=(\d+)"), databricks),
    (re.compile(r"/api/2\.\d/jobs/runs/get\?.*?(\d{15,})"), databricks),
    (re.compile(r"/api/v2/accounts/\d+/runs/(\d+)/"), dbt),
    (re.compile(r"/api/\d+/work$|/api/2\.\d/jobs/run-now$|/jobs$"), started),
    (re.compile(r"/jobs/(\d+)"), airbyte),
    (re.compile(r"/v1\.0/myorg/groups/g/datasets/(\d+)/refreshes"), powerbi),
    (re.compile(r"/oauth2/v1/token|/v1/applications/token|/tenant/oauth2/v2\.0/token"), token),
    (CATALOG, page),
]


def answer(target: str, body: bytes) -> Any:
    if target == "/stats":
        return STATS
    if target.startswith("/reset"):
        STATS.clear()
        SETTINGS.update(json.loads(unquote(target.partition("?")[2])))
        return {}
    # databricks sends the id of a run as JSON in a GET.
    target = unquote(target)
    if body and "runs/get" in target and "?" not in target:
        target += f"?run_id={json.loads(body)['run_id']}"
    for pattern, route in ROUTES:
        if match := pattern.match(target):
            count("tokens_asked" if route is token else "polls")
            return route(match)
    count("unknown")
    print("unknown", target, file=sys.stderr, flush=True)
    return None


class Connection(asyncio.Protocol):
    """A connection: answers requests in order."""

    def __init__(self) -> None:
        self.buffer = b""
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        count("connections")

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while True:
            head, mark, rest = self.buffer.partition(b"\r\n\r\n")
            if not mark:
                return
            found = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
            length = int(found[1]) if found else 0
            if len(rest) < length:
                return
            body, self.buffer = rest[:length], rest[length:]
            target = head.split(b" ", 2)[1].decode()
            said = answer(target, body)
            text = json.dumps(said).encode()
            status = b"404 Not Found" if said is None else b"200 OK"
            of_page = CATALOG.match(target)
            whole = (
                b"HTTP/1.1 "
                + status
                + b"\r\nContent-Type: application/json\r\n"
                + (page_headers(int(of_page[1])) if of_page else b"")
                + b"Content-Length: %d\r\n\r\n" % len(text)
                + text
            )
            # No client pipelines requests on a connection.
            delay = PAGE_SECONDS if of_page else SETTINGS["latency"]
            if delay:
                asyncio.get_running_loop().call_later(delay, self.transport.write, whole)
            else:
                self.transport.write(whole)


def certificate(folder: Path) -> Path:
    """Create a certificate for localhost and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(private)
    (folder / "cert.pem").write_bytes(made.public_bytes(pem))
    return folder / "cert.pem"


async def main(folder: Path) -> None:
    """Serve until the end of standard input."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate(folder), folder / "key.pem")
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0, ssl=context, backlog=4096)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
