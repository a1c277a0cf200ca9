"""Running the simulator: sockets, TLS, the ready file, signals."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import signal
import socket
import ssl
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from aiohttp import web

from oac_simulator import control_api, keys
from oac_simulator.identity import app as identity_app
from oac_simulator.identity.domain import Domain
from oac_simulator.mcp import rpc
from oac_simulator.mcp.sessions import Sessions
from oac_simulator.oac import app as oac_app
from oac_simulator.options import ServeOptions
from oac_simulator.store import Store
from oac_simulator.world import DEFAULT_BUCKET, NAMESPACE, REGION, World

log = logging.getLogger(__name__)
_BACKLOG = 1024
#: Lifetime of an idle connection in seconds, longer than any test, so pooled connections stay open.
_KEEP_ALIVE = 75.0


class Simulation:
    """One running simulator."""

    def __init__(self, options: ServeOptions, directory: Path) -> None:
        self._options = options
        self._store = Store(directory)
        self.world = World(self._store)
        self._sockets: dict[str, socket.socket] = {}
        self._servers: list[asyncio.Server] = []
        self._runners: list[web.AppRunner] = []
        self._ca_file: Path | None = None

    async def start(self) -> dict[str, Any]:
        """Listen everywhere, then write the ready file.

        :returns: content of the ready file.
        """
        self._settle()
        world = self.world
        tls = self._tls()
        self._bind()
        scheme = "https" if tls else "http"
        world.identity_url = self._url(scheme, "identity")
        for name, instance in list(world.instances.items()):
            world.instances[name] = replace(instance, url=self._url(scheme, name))
        domain = Domain(world)
        oac_app.register_jobs(world)
        sessions = Sessions(world)
        control = control_api.Control(domain, sessions)
        control.seed_content()
        world.work.resume()
        await self._listen("identity", identity_app.build(domain), tls)
        for name, instance in world.instances.items():
            app = oac_app.build(domain, instance)
            rpc.add(app, rpc.Mcp(domain, sessions, instance))
            await self._listen(name, app, tls)
        await self._listen("control", control_api.build(control), None)
        ready = self._ready()
        text = json.dumps(ready, indent=2) + "\n"
        keys.write_private(self._options.ready_file or self._store.directory / "ready.json", text.encode())
        return ready

    async def stop(self) -> None:
        """Stop listening and end connections, but keep the state."""
        for server in self._servers:
            server.close()
        await self.world.work.stop()
        for runner in self._runners:
            await runner.cleanup()
        for listening in self._sockets.values():
            listening.close()
        if self._options.ready_file is not None:
            self._options.ready_file.unlink(missing_ok=True)
        self._store.close()

    def _settle(self) -> None:
        """Apply settings from the state, then from the command line, and record the first state for a reset."""
        world = self.world
        kept = world.meta.get("settings") or {}
        known = world.settings.as_dict()
        world.settings.apply({name: value for name, value in kept.items() if name in known})
        world.settings.apply(self._options.settings)
        world.save_settings()
        fresh = world.meta.get("first") is None
        world.seed(list(self._options.instances))
        if fresh:
            first = {"users": list(world.users), "apps": list(world.apps), "settings": self._options.settings}
            world.meta.put("first", first)

    def _tls(self) -> ssl.SSLContext | None:
        if not self._options.tls:
            return None
        hosts = ["localhost", "127.0.0.1", self._options.host, self._options.advertise or "localhost"]
        ca_file, certificate, key = keys.server_certificate(self._store.directory, list(dict.fromkeys(hosts)))
        self._ca_file = ca_file
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(certificate, key)
        return context

    def _bind(self) -> None:
        """Bind the ports: from the command line, else those remembered, else free ones."""
        places = ["identity", *self.world.instances, "control"]
        remembered = self.world.meta.get("ports") or {}
        base = self._options.port_base
        for index, place in enumerate(places):
            host = self._options.control_host if place == "control" else self._options.host
            if base is not None:
                self._sockets[place] = _listener(host, base + index)
                continue
            port = remembered.get(place, 0)
            try:
                self._sockets[place] = _listener(host, port)
            except OSError:
                if not port:
                    raise
                log.warning("Port %s of %s is taken; using another one. Connections must follow.", port, place)
                self._sockets[place] = _listener(host, 0)
        ports = {place: bound.getsockname()[1] for place, bound in self._sockets.items()}
        self.world.meta.put("ports", {**remembered, **ports})

    def _url(self, scheme: str, place: str) -> str:
        host = self._options.control_host if place == "control" else self._options.host
        if place != "control" and self._options.advertise:
            host = self._options.advertise
        # A client cannot connect to a wildcard address.
        host = {"0.0.0.0": "127.0.0.1", "::": "localhost"}.get(host, host)  # noqa: S104
        host = f"[{host}]" if ":" in host else host
        return f"{scheme}://{host}:{self._sockets[place].getsockname()[1]}"

    async def _listen(self, place: str, app: web.Application, tls: ssl.SSLContext | None) -> None:
        # An access log would cost more than the replies; the counters record the calls.
        runner = web.AppRunner(app, access_log=None, keepalive_timeout=_KEEP_ALIVE, shutdown_timeout=0.5)
        await runner.setup()
        self._runners.append(runner)
        server = runner.server
        if server is None:
            raise RuntimeError("aiohttp made no server for an application that it has set up.")
        counters = self.world.counters
        counters.watch(place, lambda: len(server.connections))

        def accept() -> asyncio.Protocol:
            counters.accepted(place)
            return server()

        loop = asyncio.get_running_loop()
        self._servers.append(await loop.create_server(accept, sock=self._sockets[place], ssl=tls))

    def _ready(self) -> dict[str, Any]:
        world, directory = self.world, self._store.directory.resolve()
        app = world.confidential_app()
        public = next(entry for entry in world.apps if entry["public"])
        ready: dict[str, Any] = {
            "identity_url": world.identity_url,
            "instances": {
                name: {"url": instance.url, "scope": instance.scope} for name, instance in world.instances.items()
            },
            "client_id": app["client_id"],
            "client_secret": app["secret"],
            "certificate_alias": next(iter(app["certificates"]), ""),
            "private_key_file": str(directory / "app-key.pem"),
            "certificate_file": str(directory / "app-certificate.pem"),
            "users": {user["name"]: user["password"] for user in world.users},
            "bucket_dir": str(world.bucket_dir.resolve()),
            "buckets": sorted(path.name for path in world.bucket_dir.iterdir()),
            "default_bucket": DEFAULT_BUCKET,
            "region": REGION,
            "namespace": NAMESPACE,
            "public_client_id": public["client_id"],
            "control_url": self._url("http", "control"),
            "pid": os.getpid(),
        }
        if self._ca_file is not None:
            ready["ca_file"] = str(self._ca_file.resolve())
        return ready


def _listener(host: str, port: int) -> socket.socket:
    """Create a listening socket, IPv6 for an IPv6 address; `::` also accepts IPv4 if the system supports it."""
    if ":" not in host:
        return socket.create_server((host, port), backlog=_BACKLOG)
    both = host == "::" and socket.has_dualstack_ipv6()
    return socket.create_server((host, port), family=socket.AF_INET6, backlog=_BACKLOG, dualstack_ipv6=both)


class _Stop:
    """Ends the simulator on a signal or at the end of standard input.

    :param watch_stdin: whether to watch for the end of standard input.
    """

    def __init__(self, *, watch_stdin: bool) -> None:
        self.told = asyncio.Event()
        # Whether standard input ended first, which means that the parent process is gone.
        self.orphaned = False
        self._loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self.told.set)
        if watch_stdin:
            self._loop.add_reader(sys.stdin.fileno(), self._read)

    def _read(self) -> None:
        if not os.read(sys.stdin.fileno(), 4096):
            self._loop.remove_reader(sys.stdin.fileno())
            self.orphaned = not self.told.is_set()
            self.told.set()


async def _serve(options: ServeOptions, directory: Path) -> None:
    # Install the handlers before writing the ready file: its reader may stop the simulator at once.
    stop = _Stop(watch_stdin=options.until_stdin_closes)
    simulation = Simulation(options, directory)
    try:
        ready = await simulation.start()
        for name, instance in ready["instances"].items():
            print(f"OAC instance {name}: {instance['url']}")
        print(f"Identity domain: {ready['identity_url']}")
        print(f"Control: {ready['control_url']}")
        print(f"Ready file: {options.ready_file or directory / 'ready.json'}", flush=True)
        await stop.told.wait()
    finally:
        await simulation.stop()
        if stop.orphaned and options.discard_when_orphaned:
            shutil.rmtree(directory, ignore_errors=True)


def serve(options: ServeOptions) -> None:
    """Serve until SIGTERM or SIGINT.

    :param options: the options.
    :raises StateInUse: if another simulator uses the state directory.
    :raises OSError: if an address cannot be bound or a file cannot be written.
    """
    temporary = None if options.state else Path(tempfile.mkdtemp(prefix="oac-simulator-"))
    try:
        asyncio.run(_serve(options, temporary or options.state or Path()))
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
