"""`OACHook.get_conn()`: what it sends again after a 401, and what a 401 means."""

from __future__ import annotations

import io
import itertools
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests

from airflow_provider_oac.exceptions import OACApiError
from airflow_provider_oac.hooks.oac import OACHook
from airflow_provider_oac.hooks.requests_session import InstanceSession
from airflow_provider_oac.transport.blocking import BlockingIO
from airflow_provider_oac.transport.settings import TransportSettings
from tests.drivers import SignIn
from tests.integration.servers import Reply, Server, answering
from tests.integration.test_hostile_servers import HEAD, hostile
from tests.tasks import Connections

REFUSED = Reply(401, b"the token is not good " * 100, [("WWW-Authenticate", "Bearer")])
LACKS_ROLE = Reply(401, b'{"user": "somebody", "status": "unauthorized"}')
REFUSAL = HEAD.replace(b"200 OK", b"401 Unauthorized")


@contextmanager
def refusing(connections: Connections, refusal: Reply, times: int = 1) -> Iterator[Server]:
    """An OAC that refuses as often as told; the Connection leads there."""
    left = iter([refusal] * times)
    with answering(lambda _seen: next(left, Reply())) as server:
        connections.oac(host=server.url)
        yield server


def at_3(data: bytes) -> io.BytesIO:
    file = io.BytesIO(b"abc" + data)
    file.seek(3)
    return file


class Readable:
    """A file that can be read and rewound, and is no iterator."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)
        self.read, self.seek, self.tell = self._file.read, self._file.seek, self._file.tell

    def __len__(self) -> int:
        return len(self._file.getbuffer())


BODIES: dict[str, Callable[[], dict[str, Any]]] = {
    "none": dict,
    "bytes": lambda: {"data": b"content"},
    "text": lambda: {"data": "content"},
    "JSON": lambda: {"json": {"a": "content"}},
    "a form": lambda: {"data": {"a": "content"}},
    "a file": lambda: {"data": at_3(b"content")},
    "parts": lambda: {"files": {"file": at_3(b"content")}, "data": {"a": "b"}},
}


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("stream", [False, True])
def test_what_is_sent_again_is_the_same_and_the_first_answer_is_closed(
    body: str, stream: bool, connections: Connections
) -> None:
    answers: list[requests.Response] = []
    keep = {"response": lambda answer, **_more: answers.append(answer)}
    with refusing(connections, REFUSED) as server:
        last = OACHook().get_conn().post("/anything", stream=stream, hooks=keep, **BODIES[body]())
        assert [answer.status_code for answer in answers] == [401, 200]
        assert answers[0].raw.closed
        assert last.content == b"{}"
    first, second = server.seen
    assert first.headers.pop("authorization") != second.headers.pop("authorization")
    assert first == second
    assert (b"content" in second.body) is (body != "none")


@pytest.mark.parametrize(
    "body", [lambda: iter([b"con", b"tent"]), lambda: Readable(b"content")], ids=["an iterator", "no file"]
)
def test_what_cannot_be_rewound_is_not_sent_again(body: Callable[[], Any], connections: Connections) -> None:
    with refusing(connections, REFUSED) as server:
        session = OACHook().get_conn()
        with pytest.raises(OACApiError, match=r"POST /api/20210901/anything: .* cannot be rewound") as caught:
            session.post("/anything", data=body())
        assert (caught.value.status, caught.value.retryable, len(server.seen)) == (401, True, 1)
        assert session.post("/anything", data=b"content").status_code == 200
    assert server.seen[0].headers["authorization"] != server.seen[1].headers["authorization"]


def test_a_prepared_request_is_signed_in_too_and_refused_for_good_the_second_time(connections: Connections) -> None:
    with refusing(connections, REFUSED, times=3) as server:
        session = OACHook().get_conn()
        request = requests.Request("GET", f"{server.url}/api/20210901/anything")
        assert session.send(session.prepare_request(request)).status_code == 401
    assert [seen.headers["authorization"][:7] for seen in server.seen] == ["Bearer "] * 2
    assert server.seen[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("stream", [False, True])
def test_a_missing_role_renews_nothing(stream: bool, connections: Connections) -> None:
    with refusing(connections, LACKS_ROLE) as server:
        answer = OACHook().get_conn().get("/anything", stream=stream)
        assert (answer.status_code, answer.content) == (401, LACKS_ROLE.body)
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (b"", itertools.repeat(bytes(1 << 16))),
        # A few bytes that are compressed twice can be gigabytes. Here they are garbage: to read them fails.
        (b"Content-Length: 7\r\nContent-Encoding: gzip, gzip\r\n", [b"garbage"]),
        (b"Content-Length: 7\r\nTransfer-Encoding: chunked\r\n", [b"garbage"]),
    ],
    ids=["of unknown length", "compressed", "chunked"],
)
def test_a_401_that_may_be_larger_than_it_says_is_not_read(headers: bytes, body: Any, connections: Connections) -> None:
    with hostile(lambda: itertools.chain([REFUSAL, headers, b"\r\n"], body)) as (url, server):
        connections.oac(host=url)
        with OACHook().get_conn().get("/anything", stream=True) as answer:
            assert (answer.status_code, len(server.requests)) == (401, 2)


def test_a_child_does_not_use_the_connections_of_its_parent(
    connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering() as server:
        connections.oac(host=server.url)
        session = OACHook().get_conn()
        adapter: Any = session.get_adapter(server.url)

        def pools() -> Any:
            assert session.get("/anything").status_code == 200
            return adapter.poolmanager

        former = pools()
        assert pools() is former
        monkeypatch.setattr(os, "getpid", lambda: 1)
        assert pools() is not former


@contextmanager
def slow_server(sign_in: SignIn, pieces: Callable[[], Iterator[bytes]], seconds: float) -> Iterator[requests.Session]:
    """A session at a server that sends pieces, with so much time for a response."""
    with hostile(pieces) as (url, _server):
        settings = TransportSettings(response_timeout=seconds)
        with InstanceSession(BlockingIO(), url, sign_in.session(), settings) as session:
            yield session


def test_a_response_that_trickles_in_is_given_up(sign_in: SignIn) -> None:
    def drip() -> Iterator[bytes]:
        yield b"HTTP/1.1 200 O"
        while True:
            yield b"K"
            pause.wait(0.01)

    pause = threading.Event()
    with slow_server(sign_in, drip, 0.2) as session, pytest.raises(requests.exceptions.Timeout):
        session.get("/anything")


@pytest.mark.parametrize("timeout", [None, 5, (None, None)])
def test_a_stream_may_take_as_long_as_its_reader_likes(timeout: Any, sign_in: SignIn) -> None:
    later = threading.Event()

    def pieces() -> Iterator[bytes]:
        yield HEAD + b"Content-Length: 2\r\n\r\n"
        later.wait(20)
        yield b"{}"

    with slow_server(sign_in, pieces, 0.3) as session:
        answer = session.get("/anything", stream=True, timeout=timeout)
        threading.Timer(0.4, later.set).start()
        assert answer.content == b"{}"
