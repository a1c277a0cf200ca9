"""The simulator in this process: its endpoints are called directly, without sockets, files of state or real time."""

from __future__ import annotations

import json
import tempfile
import warnings
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import HttpVersion11, RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD
from cryptography.hazmat.primitives.asymmetric import rsa
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from airflow_provider_oac.transport.io import Request, Response
from oac_simulator.control_api import Control
from oac_simulator.identity import app as identity_app
from oac_simulator.identity.domain import Domain
from oac_simulator.keys import pem, write_private
from oac_simulator.oac import app as oac_app
from oac_simulator.oac import bar
from oac_simulator.world import World
from tests.universes.kernel import Kernel, Loop

INSTANCES = ("dev", "prod")
#: What is in the catalog of each instance: packing it takes a good part of a universe's time.
_SHARED = "/@Catalog/shared"
_CATALOG = {
    _SHARED, f"{_SHARED}/Sales", f"{_SHARED}/Finance", f"{_SHARED}/Sales/Pipeline", f"{_SHARED}/Sales/All Regions",
    "'admin'.'ADW'", "'admin'.'Orders'", "'admin'.'Load Orders'", "'admin'.'Score Customers'", "'admin'.'Nightly'",
}  # fmt: skip
#: How long it takes to try a password of an archive is nothing that a universe is about.
_CHEAP = 2


class MemoryTable:
    """A table of the simulator's state that lives as long as the universe."""

    def __init__(self, records: dict[str, dict[str, Any]]) -> None:
        self._records = records

    def get(self, key: str) -> Any:
        return self._records.get(key)

    def put(self, key: str, record: Any) -> None:
        self._records[key] = record

    def delete(self, key: str) -> None:
        self._records.pop(key, None)

    def clear(self) -> None:
        self._records.clear()

    def items(self) -> list[Any]:
        return list(self._records.items())

    def __iter__(self) -> Any:
        return iter(list(self._records.values()))

    def __len__(self) -> int:
        return len(self._records)


class MemoryStore:
    """The state of a simulator; what it holds survives its restart."""

    def __init__(self, directory: Path, tables: dict[str, dict[str, Any]]) -> None:
        self.directory = directory
        self.tables = tables

    def table(self, name: str) -> Any:
        return MemoryTable(self.tables.setdefault(name, {}))


@lru_cache(maxsize=1)
def _template() -> tuple[Path, str]:
    """The folder with the keys, and the state in which each universe begins; made once in a process."""
    bar.COST = _CHEAP
    warnings.filterwarnings("ignore", "The RSA key is 1024 bits")
    folder = Path(tempfile.mkdtemp(prefix="universes-"))
    # Half as long as usual: signing takes a sixth of the time.
    short = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505
    write_private(folder / "signing-key.pem", pem(short))
    store = MemoryStore(folder, {})
    world = _world(store)
    world.seed(list(INSTANCES))
    Control(Domain(_addressed(world))).seed_content()
    for name in INSTANCES:
        content = world.content.get(name) or {}
        kept = [item for item in content["catalog"] if item["plain"] in _CATALOG]
        world.content.put(name, {**content, "catalog": kept})
    return folder, json.dumps(store.tables)


def _world(store: Any) -> World:
    return World(store)


def _addressed(world: World) -> World:
    world.identity_url = "https://identity.example.com"
    for name, instance in list(world.instances.items()):
        world.instances[name] = replace(instance, url=f"https://{name}.example.com")
    return world


class SimulatedOac:
    """OAC and its identity domain.

    :param kernel: the machine whose clock they follow.
    :param folder: where the buckets are.
    :param settings: settings of the simulator.
    """

    def __init__(self, kernel: Kernel, folder: Path, settings: dict[str, Any]) -> None:
        self._kernel = kernel
        keys, state = _template()
        for key in ("signing-key.pem", "app-key.pem", "app-certificate.pem"):
            if not (folder / key).exists():
                (folder / key).write_bytes((keys / key).read_bytes())
        self._store = MemoryStore(folder, json.loads(state))
        self._settings = settings
        self.secrets: set[str] = set()
        #: It is out of reach until then.
        self.down_until = 0.0
        self.loop: Loop | None = None
        self.start()

    def start(self) -> None:
        """Start it, or start it anew: work goes on, what was in memory is gone."""
        if self.loop is not None:
            self.remember_secrets()
            self.loop.dead = True
            self._kernel.loops.remove(self.loop)
            self.loop.discard()
        self.loop = self._kernel.loop()
        self.world = world = _world(self._store)
        world.seed(list(INSTANCES))
        _addressed(world)
        world.settings.apply(self._settings)
        self.domain = Domain(world)
        oac_app.register_jobs(world)
        self._apps = {"identity": identity_app.build(self.domain)}
        self.loop.call_soon(world.work.resume)

    def change(self, **settings: Any) -> None:
        """Change settings."""
        self._settings = {**self._settings, **settings}
        self.world.settings.apply(settings)

    def remember_secrets(self) -> None:
        """Keep what crossed the token endpoint."""
        self.secrets |= {entry["value"] for entry in self.world.ledger.as_dict()["seen"]}

    def place(self, request: Request) -> str:
        """Which server a request is for."""
        host = urlsplit(request.url).hostname or ""
        return host.partition(".")[0]

    async def answer(self, request: Request) -> Response:
        """Carry out a request."""
        place = self.place(request)
        app = self._apps.get(place)
        if app is None:
            app = self._apps[place] = oac_app.build(self.domain, self.world.instances[place])
        parts = urlsplit(request.url)
        target = URL(parts.path + (f"?{parts.query}" if parts.query else ""), encoded=True)
        body = request.body or b""
        headers = CIMultiDict({**request.headers, "Host": parts.netloc})
        if request.body is not None:
            headers["Content-Length"] = str(len(body))
        message = RawRequestMessage(
            request.method, str(target), HttpVersion11, CIMultiDictProxy(headers), (), False, None, False, False, target
        )
        writer = _Writer()
        made = web.Request(
            message, EMPTY_PAYLOAD, _PROTOCOL, writer, None, self.loop, client_max_size=1 << 26  # type: ignore[arg-type]
        )  # fmt: skip
        made._read_bytes = body
        reply: Any = await app._handle(made)
        data = bytes(writer.data) if reply.prepared or writer.used else bytes(reply.body or b"")
        named = {name.lower(): value for name, value in reply.headers.items()}
        if "content-type" not in named and data:
            named["content-type"] = reply.content_type
        return Response(reply.status, named, data, request.url)


class _Protocol:
    """What a request knows of its connection."""

    ssl_context = None
    peername = None
    sockname = None
    transport = None


_PROTOCOL: Any = _Protocol()


class _Writer(AbstractStreamWriter):
    """Keeps what is sent piece by piece."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.used = False

    async def write(self, chunk: Any) -> None:
        self.used = True
        self.data += chunk

    async def write_eof(self, chunk: bytes = b"") -> None:
        self.used = True
        self.data += chunk

    async def drain(self) -> None: ...

    def enable_compression(self, encoding: str = "deflate", strategy: int | None = None) -> None: ...

    def enable_chunking(self) -> None: ...

    async def write_headers(self, status_line: str, headers: Any) -> None: ...
