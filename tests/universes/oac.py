"""The simulator in this process: its endpoints are called directly, without sockets, files of state or real time."""

from __future__ import annotations

import json
import tempfile
import warnings
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
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
from oac_simulator.identity import app as identity_app
from oac_simulator.identity.domain import Domain
from oac_simulator.keys import pem, write_private
from oac_simulator.oac import app as oac_app
from oac_simulator.oac import bar
from oac_simulator.oac.content import default_content
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


class MemoryTable(dict[str, Any]):
    """A table of the simulator's state that lives as long as the universe."""

    put = dict.__setitem__

    def delete(self, key: str) -> None:
        self.pop(key, None)

    def items(self) -> Any:
        return list(super().items())

    def __iter__(self) -> Any:
        return iter(list(self.values()))


class MemoryStore:
    """The state of a simulator; what it holds survives its restart.

    :param tables: records by table and key.
    """

    def __init__(self, directory: Path, tables: dict[str, dict[str, Any]]) -> None:
        self.directory = directory
        self.tables = {name: MemoryTable(records) for name, records in tables.items()}

    def table(self, name: str) -> Any:
        return self.tables.setdefault(name, MemoryTable())


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
    world = World(store)  # type: ignore[arg-type]
    world.seed(list(INSTANCES))
    for name in INSTANCES:
        content = default_content("oac.admin@example.com", [user["name"] for user in world.users])
        kept = [item for item in content["catalog"] if item["plain"] in _CATALOG]
        world.content.put(name, {**content, "catalog": kept})
    return folder, json.dumps(store.tables)


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
        self.world = world = World(self._store)  # type: ignore[arg-type]
        world.seed(list(INSTANCES))
        world.identity_url = "https://identity.example.com"
        for name, instance in list(world.instances.items()):
            world.instances[name] = replace(instance, url=f"https://{name}.example.com")
        world.settings.apply(self._settings)
        self.domain = Domain(world)
        oac_app.register_jobs(world)
        self._apps = {"identity": identity_app.build(self.domain)}
        self.loop.call_soon(world.work.resume)

    def remember_secrets(self) -> None:
        """Keep what crossed the token endpoint."""
        self.secrets |= {entry["value"] for entry in self.world.ledger.as_dict()["seen"]}

    def place(self, request: Request) -> str:
        """Which server a request is for."""
        return (urlsplit(request.url).hostname or "").partition(".")[0]

    async def answer(self, request: Request) -> Response:
        """Carry out a request."""
        place = self.place(request)
        if place not in self._apps:
            self._apps[place] = oac_app.build(self.domain, self.world.instances[place])
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
        reply: Any = await self._apps[place]._handle(made)
        data = bytes(writer.data) if reply.prepared or writer.used else bytes(reply.body or b"")
        named = {name.lower(): value for name, value in reply.headers.items()}
        if "content-type" not in named and data:
            named["content-type"] = reply.content_type
        return Response(reply.status, named, data, request.url)


#: What a request knows of its connection.
_PROTOCOL: Any = SimpleNamespace(ssl_context=None, peername=None, sockname=None, transport=None)


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
