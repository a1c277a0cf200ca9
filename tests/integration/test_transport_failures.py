"""What a driver says when no complete answer comes, and whether the request may have reached the server."""

from __future__ import annotations

import asyncio
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from airflow_provider_oac.exceptions import OACResponseError, OACTransportError
from airflow_provider_oac.transport import io as transport_io
from airflow_provider_oac.transport.asynchronous import MAX_CONNECTIONS, AsyncIO
from airflow_provider_oac.transport.io import Request, Response
from airflow_provider_oac.transport.settings import TransportSettings
from oac_simulator.launch import Simulator
from tests.drivers import IMPATIENT, Drive, SignIn, each_driver  # noqa: F401
from tests.integration.servers import Reply, Seen, answering, unused_port

BEARER = {"Authorization": "Bearer the-token"}
HASTY = TransportSettings(connect_timeout=0.3, read_timeout=0.3)
DISCOVERY = "/.well-known/openid-configuration"


def failure(drive: Drive, url: str, settings: TransportSettings = IMPATIENT) -> OACTransportError:
    """The error there is instead of an answer. It names the request, and never the token. No frame of a library comes
    with it, in whose variables headers and body are."""
    with pytest.raises(OACTransportError) as caught:
        drive(lambda io: io.send(Request("POST", url + "?query=1", BEARER, b"the-body")), settings)
    text = str(caught.value)
    assert text.startswith(f"POST {url}: ")
    assert "query" not in text
    assert not any(secret in text + repr(caught.value) for secret in ("the-token", "the-body"))
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    frames = [frame for frame, _line in traceback.walk_tb(caught.value.__traceback__)]
    assert not [name for frame in frames if "site-packages" in (name := frame.f_code.co_filename)]
    ours = [repr(frame.f_locals) for frame in frames if "airflow_provider_oac" in frame.f_code.co_filename]
    assert ours
    assert not any(secret in shown for shown in ours for secret in ("the-token", "the-body"))
    return caught.value


def discover(drive: Drive, simulator: Simulator, settings: TransportSettings = IMPATIENT) -> Response:
    url = simulator.ready["identity_url"] + DISCOVERY
    return drive(lambda io: io.send(Request("GET", url)), settings)


@contextmanager
def listening(serve: Callable[[socket.socket], None] | None) -> Iterator[str]:
    """A raw TCP server that treats one connection as told; None accepts none, with a queue that is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/x"
        if serve is None:
            fillers = [socket.socket() for _ in range(4)]
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(listener.getsockname())
            yield url
            for filler in fillers:
                filler.close()
            return

        def accept() -> None:
            connection, _ = listener.accept()
            with connection:
                serve(connection)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield url
        thread.join()


def test_a_refused_connection(drive: Drive) -> None:
    error = failure(drive, f"http://127.0.0.1:{unused_port()}/x")
    assert "the connection was refused (ConnectionRefusedError: [Errno 111] Connect" in str(error)
    assert "Check host and port" in str(error)
    assert (error.sent, error.passing) == (False, True)


def test_a_name_that_does_not_resolve(drive: Drive) -> None:
    error = failure(drive, "https://no-such-host.invalid/x")
    assert "the host name cannot be resolved (gaierror: [Errno -" in str(error)
    assert "Check the name" in str(error)
    assert (error.sent, error.passing) == (False, True)


def test_a_connection_that_is_not_made_in_time(drive: Drive) -> None:
    with listening(None) as url:
        error = failure(drive, url, HASTY)
    assert "no connection could be made in time" in str(error)
    assert (error.sent, error.passing) == (False, True)


def test_an_answer_that_does_not_come_in_time(drive: Drive) -> None:
    release = threading.Event()
    with listening(lambda _connection: release.wait(30)) as url:
        error = failure(drive, url, HASTY)
        release.set()
    assert "no response came in time (" in str(error)
    assert "The server may still be working" in str(error)
    assert (error.sent, error.passing) == (True, True)


@pytest.mark.parametrize("said", [b"", b"HTTP/1.", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"])
def test_a_connection_that_ends_before_the_answer_is_complete(said: bytes, drive: Drive) -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(said)

    with listening(serve) as url:
        error = failure(drive, url)
    assert (error.sent, error.passing) == (True, True)
    assert "the connection broke before the response was complete" in str(error)
    assert "may have acted" in str(error)


def test_a_failure_that_is_being_handled_says_nothing_about_the_next_request(drive: Drive) -> None:
    async def falls_back(io: transport_io.IO) -> None:
        try:
            await io.send(Request("GET", f"http://127.0.0.1:{unused_port()}/x"))
        except OACTransportError:
            await io.send(Request("POST", url))

    # A request that may have arrived, taken for one that did not, would be sent twice.
    with listening(lambda connection: connection.recv(65536)) as url, pytest.raises(OACTransportError) as caught:
        drive(falls_back)
    assert caught.value.sent
    assert "the connection broke before the response was complete" in str(caught.value)


@pytest.mark.parametrize("fault", ["drop_before", "drop_after", "drop_middle", "truncate"])
def test_a_reset_or_a_cut_body(fault: str, drive: Drive, clean: Simulator) -> None:
    clean.control.fault("openid_configuration", fault)
    with pytest.raises(OACTransportError, match="broke before the response was complete") as caught:
        discover(drive, clean)
    assert (caught.value.sent, caught.value.passing) == (True, True)
    assert clean.control.calls("identity", "openid_configuration") == 1


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
def test_a_driver_sends_nothing_twice_by_itself(method: str, drive: Drive) -> None:
    received: list[bytes] = []

    async def first_kept_alive_then_lost(io: transport_io.IO) -> None:
        assert (await io.send(Request(method, url))).status == 200
        await io.send(Request(method, url))

    def serve(connection: socket.socket) -> None:
        received.append(connection.recv(65536))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        received.append(connection.recv(65536))

    with listening(serve) as url, pytest.raises(OACTransportError) as caught:
        drive(first_kept_alive_then_lost)
    # The server listens no more: a second attempt would have been refused, and that would be the error.
    assert "broke before the response was complete" in str(caught.value)
    assert len(received) == 2


def test_there_is_no_limit_to_the_whole_time_as_long_as_bytes_come(drive: Drive, clean: Simulator) -> None:
    clean.control.fault("openid_configuration", "drip", seconds=1.5)
    # Ten pieces 0.15 s apart: each within the read timeout, all of them far beyond it.
    assert discover(drive, clean, TransportSettings(read_timeout=0.6)).json()["issuer"]


def test_a_body_larger_than_any_answer_may_be(drive: Drive, clean: Simulator) -> None:
    limit = transport_io.MAX_BODY_BYTES
    clean.control.fault("openid_configuration", "huge", size=limit + 1)
    with pytest.raises(OACResponseError, match=f"larger than {limit} bytes"):
        discover(drive, clean)


def test_a_broken_answer_leaves_the_driver_usable(drive: Drive, clean: Simulator) -> None:
    url = clean.ready["identity_url"] + DISCOVERY

    async def after_failures(io: transport_io.IO) -> int:
        for fault in ("drop_before", "truncate"):
            clean.control.fault("openid_configuration", fault)
            with pytest.raises(OACTransportError):
                await io.send(Request("GET", url))
        return (await io.send(Request("GET", url))).status

    assert drive(after_failures) == 200


def test_a_server_that_hangs_holds_no_other_one_up() -> None:
    release, arrived = threading.Event(), threading.Semaphore(0)

    def hang(_request: Seen) -> Reply:
        arrived.release()
        release.wait(60)
        return Reply()

    async def whole(hanging: str, quick: str) -> int:
        io = AsyncIO()
        stuck = [asyncio.create_task(io.send(Request("GET", hanging))) for _ in range(2 * MAX_CONNECTIONS)]
        try:
            for _ in range(MAX_CONNECTIONS):
                await asyncio.to_thread(arrived.acquire)
            return (await asyncio.wait_for(io.send(Request("GET", quick)), 20)).status
        finally:
            release.set()
            await asyncio.gather(*stuck)
            await io.close()

    with answering(hang) as hanging, answering() as quick:
        assert asyncio.run(whole(hanging.url, quick.url)) == 200
