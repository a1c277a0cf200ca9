"""What a driver says when no complete answer comes, and whether the request may have reached the server."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

import pytest

from airflow_provider_oac.exceptions import OACTransportError
from airflow_provider_oac.transport import io as transport_io
from airflow_provider_oac.transport.asynchronous import MAX_CONNECTIONS, AsyncIO
from airflow_provider_oac.transport.io import Request
from airflow_provider_oac.transport.settings import TransportSettings
from oac_simulator.launch import Simulator
from tests.drivers import IMPATIENT, Drive, SignIn, each_driver  # noqa: F401
from tests.integration.servers import BEARER, Reply, Seen, answering, get, unused_port
from tests.integration.test_hostile_servers import hostile

HASTY = TransportSettings(connect_timeout=0.3, read_timeout=0.3)


@contextmanager
def full() -> Iterator[str]:
    """A server that accepts no connection, because its queue is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, ExitStack() as fillers:
        for _ in range(4):
            filler = fillers.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def saying(answer: bytes, after: float = 0.0) -> Iterator[str]:
    """A server that says something and ends the connection."""

    def pieces() -> Iterator[bytes]:
        time.sleep(after)
        yield answer

    with hostile(pieces) as (url, _server):
        yield url


BROKE = "the connection broke before the response was complete.*may have acted"
#: The server, the settings, what the error says, and whether the request may have arrived.
NO_ANSWER: dict[str, tuple[Callable[[], Any], TransportSettings, str, bool]] = {
    "a refused connection": (
        lambda: nullcontext(f"http://127.0.0.1:{unused_port()}"), IMPATIENT,
        r"the connection was refused \(ConnectionRefusedError: \[Errno 111\] Connect.*Check host and port", False,
    ),
    "a name that does not resolve": (
        lambda: nullcontext("https://no-such-host.invalid"), IMPATIENT,
        r"the host name cannot be resolved \(gaierror: \[Errno -.*Check the name", False,
    ),
    "no connection in time": (full, HASTY, "no connection could be made in time", False),
    "no answer in time": (
        lambda: saying(b"", 1.0), HASTY, r"no response came in time \(.*The server may still be working", True
    ),
    "an end before the answer": (lambda: saying(b""), IMPATIENT, BROKE, True),
    "an end within the first line": (lambda: saying(b"HTTP/1."), IMPATIENT, BROKE, True),
    "an end within the body": (
        lambda: saying(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"), IMPATIENT, BROKE, True
    ),
}  # fmt: skip


@pytest.mark.parametrize(("server", "settings", "says", "sent"), NO_ANSWER.values(), ids=NO_ANSWER)
def test_no_answer(server: Callable[[], Any], settings: TransportSettings, says: str, sent: bool, drive: Drive) -> None:
    """The error names the request, and never the token. No frame of a library comes with it, in whose variables
    headers and body are."""
    with server() as url, pytest.raises(OACTransportError, match=says) as caught:
        drive(lambda io: io.send(Request("POST", url + "/x?query=1", BEARER, b"the-body")), settings)
    error = caught.value
    assert str(error).startswith(f"POST {url}/x: ")
    assert (error.sent, error.passing, error.__cause__, error.__context__) == (sent, True, None, None)
    frames = [frame for frame, _line in traceback.walk_tb(error.__traceback__)]
    assert not [name for frame in frames if "site-packages" in (name := frame.f_code.co_filename)]
    ours = [repr(frame.f_locals) for frame in frames if "airflow_provider_oac" in frame.f_code.co_filename]
    assert ours
    shown = "".join([str(error), repr(error), *ours])
    assert not [secret for secret in ("the-token", "the-body") if secret in shown]
    assert "query" not in str(error)


def test_a_failure_that_is_being_handled_says_nothing_about_the_next_request(drive: Drive) -> None:
    async def falls_back(io: transport_io.IO) -> None:
        try:
            await io.send(Request("GET", f"http://127.0.0.1:{unused_port()}/x"))
        except OACTransportError:
            await io.send(Request("POST", url))

    # A request that may have arrived, taken for one that did not, would be sent twice.
    with saying(b"") as url, pytest.raises(OACTransportError, match=BROKE) as caught:
        drive(falls_back)
    assert caught.value.sent


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
def test_a_driver_sends_nothing_twice_by_itself(method: str, drive: Drive) -> None:
    async def first_kept_alive_then_lost(io: transport_io.IO) -> None:
        assert (await io.send(Request(method, server.url))).status == 200
        await io.send(Request(method, server.url))

    def first_only(_request: Seen) -> Reply:
        if len(server.seen) > 1:
            raise ConnectionError("the connection ends here")
        return Reply()

    with answering(first_only) as server, pytest.raises(OACTransportError, match=BROKE):
        drive(first_kept_alive_then_lost)
    assert len(server.seen) == 2


@pytest.fixture
def discovery(clean: Simulator) -> str:
    return f"{clean.ready['identity_url']}/.well-known/openid-configuration"


def test_there_is_no_limit_to_the_whole_time_as_long_as_bytes_come(
    drive: Drive, clean: Simulator, discovery: str
) -> None:
    clean.control.fault("openid_configuration", "drip", seconds=1.5)
    # Ten pieces 0.15 s apart: each within the read timeout, all of them far beyond it.
    assert get(drive, discovery, TransportSettings(read_timeout=0.6)).json()["issuer"]


def test_a_broken_answer_leaves_the_driver_usable(drive: Drive, clean: Simulator, discovery: str) -> None:
    faults = ("drop_before", "drop_after", "drop_middle", "truncate")

    async def after_failures(io: transport_io.IO) -> int:
        for fault in faults:
            clean.control.fault("openid_configuration", fault)
            with pytest.raises(OACTransportError, match=BROKE) as caught:
                await io.send(Request("GET", discovery))
            assert (caught.value.sent, caught.value.passing) == (True, True)
        return (await io.send(Request("GET", discovery))).status

    assert drive(after_failures) == 200
    assert clean.control.calls("identity", "openid_configuration") == len(faults) + 1


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
