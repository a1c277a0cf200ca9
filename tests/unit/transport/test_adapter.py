"""What the blocking driver adds to its library."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from airflow_provider_oac.exceptions import OACTransportError
from airflow_provider_oac.transport import io
from airflow_provider_oac.transport.blocking import BlockingIO, run
from airflow_provider_oac.transport.io import Request
from airflow_provider_oac.transport.settings import TransportSettings


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float | None]]:
    """A name with thousands of addresses, none of which answers; each that was tried, with its timeout."""
    found: list[tuple[str, float | None]] = []
    clock = [1000.0]

    def addresses(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        many = [host] if host[0].isdigit() else [f"10.0.{number // 250}.{number % 250}" for number in range(4000)]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in many]

    def connect(self: socket.socket, address: tuple[str, int]) -> None:
        found.append((address[0], self.gettimeout()))
        clock[0] += self.gettimeout() or 0
        raise TimeoutError

    monkeypatch.setattr(socket, "getaddrinfo", addresses)
    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(io.time, "monotonic", lambda: clock[0])
    return found


def test_a_name_with_thousands_of_addresses_holds_no_task_beyond_the_deadline(
    tried: list[tuple[str, float | None]],
) -> None:
    settings = TransportSettings(connect_timeout=60, response_timeout=900)
    with pytest.raises(OACTransportError) as caught:
        run(BlockingIO(settings).send(Request("GET", "https://many.example.com/")))
    assert not caught.value.sent
    assert sum(timeout or 0 for _, timeout in tried) == pytest.approx(900)
    assert len({address for address, _ in tried}) == 15
