"""Benchmark of a server's polls per second: prepared bytes over a few kept connections, as fast as possible."""

from __future__ import annotations

import asyncio
import ssl
import time
from pathlib import Path
from urllib.parse import urlsplit

CONNECTIONS = 8


class _Asking(asyncio.Protocol):
    """Sends the same request again after each complete response."""

    def __init__(self, request: bytes) -> None:
        self._request, self._buffer = request, b""
        self._transport: asyncio.Transport
        self.answered = 0
        self.trouble: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, mark, body = self._buffer.partition(b"\r\n\r\n")
        if not mark:
            return
        if not head.startswith(b"HTTP/1.1 200 "):
            self.trouble = f"not an answer to a poll: {head[:100]!r}"
            return
        if len(body) >= int(head.lower().partition(b"content-length:")[2].split()[0]):
            self._buffer = b""
            self.answered += 1
            self._transport.write(self._request)

    def connection_lost(self, error: Exception | None) -> None:
        self.trouble = self.trouble or f"the connection ended: {error}"


async def polls_per_second(url: str, token: str, ca_file: Path | str, seconds: float = 5.0) -> float:
    """Measure the polls that a server answers per second.

    :param url: URL of a work request.
    :param token: access token.
    :param ca_file: file of the trusted CA.
    :param seconds: duration of the measurement.
    :raises RuntimeError: if a response is not a success.
    """
    address = urlsplit(url)
    request = (
        f"GET {address.path} HTTP/1.1\r\nHost: {address.netloc}\r\nAuthorization: Bearer {token}\r\n"
        "Accept: application/json\r\n\r\n"
    ).encode()
    context = ssl.create_default_context(cafile=str(ca_file))
    loop = asyncio.get_running_loop()
    made = [
        await loop.create_connection(lambda: _Asking(request), address.hostname, address.port, ssl=context)
        for _ in range(CONNECTIONS)
    ]
    asking = [protocol for _, protocol in made]
    await asyncio.sleep(0.5)
    before, began = sum(one.answered for one in asking), time.perf_counter()
    await asyncio.sleep(seconds)
    rate = (sum(one.answered for one in asking) - before) / (time.perf_counter() - began)
    if trouble := next((one.trouble for one in asking if one.trouble), None):
        raise RuntimeError(trouble)
    for transport, _ in made:
        transport.close()
    return rate


def simulator_rate() -> float:
    """Measure the simulator's polls per second, signed in as the user who started the work."""
    from airflow_provider_oac.auth.session import Session
    from airflow_provider_oac.auth.settings import AuthSettings
    from airflow_provider_oac.transport.blocking import BlockingIO, run
    from airflow_provider_oac.transport.settings import TransportSettings
    from oac_simulator.launch import launch

    with launch(tls=True) as simulator:
        ready = simulator.ready
        instance, (user, password) = ready["instances"]["dev"], next(iter(ready["users"].items()))
        settings = AuthSettings(
            ready["identity_url"], ready["client_id"], client_secret=ready["client_secret"],
            scope=instance["scope"], grant="password", user=user, user_password=password,
        )  # fmt: skip
        io = BlockingIO(TransportSettings(ca_file=ready["ca_file"]))
        token = run(Session(settings).token(io)).access_token
        io.close()
        (work,) = simulator.control.start_work("dev", 600.0, user=user)
        url = f"{instance['url']}/api/20210901/workRequests/{work}"
        return asyncio.run(polls_per_second(url, token, ready["ca_file"]))
