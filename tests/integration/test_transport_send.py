"""Sending over real HTTP: what reaches the server, and what both drivers leave out alike."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from airflow_provider_oac.transport.io import IO, Request
from airflow_provider_oac.transport.settings import TransportSettings
from tests.drivers import Drive, each_driver  # noqa: F401
from tests.integration.servers import BEARER, Reply, Seen, answering, get, has_ipv6


@pytest.mark.parametrize(
    ("method", "body", "framing"),
    [
        ("GET", None, {}),
        ("DELETE", None, {"content-length": "0"}),
        ("POST", b'{"a": 1}', {"content-length": "8"}),
        ("POST", b"", {"content-length": "0"}),
        ("PATCH", b"\xff\x00", {"content-length": "2"}),
    ],
)
def test_the_server_sees_the_request_and_no_header_that_a_driver_adds(
    method: str, body: bytes | None, framing: dict[str, str], drive: Drive
) -> None:
    with answering(lambda _request: Reply(418, b'{"a": "b"}', [("X-Some-THING", "Value")])) as server:
        request = Request(method, server.url + "/x?y=z", BEARER, body)
        answer = drive(lambda io: io.send(request), TransportSettings(user_agent="the-agent/1"))
    headers = {"host": urlsplit(server.url).netloc, "user-agent": "the-agent/1", "accept-encoding": "gzip"}
    headers |= {"authorization": "Bearer the-token", **framing}
    assert server.seen == [Seen(method, "/x?y=z", headers, body or b"")]
    assert (answer.status, answer.headers["x-some-thing"], answer.json()) == (418, "Value", {"a": "b"})


@pytest.mark.parametrize("target", ["/w/dev%3Asnap%2Fx", "/a%20b?c=%3A%2F&d=e%2Bf", "/%C3%A4", "/a:b/c;d=(e)!$&'*,="])
def test_an_encoded_path_reaches_the_server_as_it_is(target: str, drive: Drive) -> None:
    with answering() as server:
        assert get(drive, server.url + target).url == server.url + target
    assert [seen.target for seen in server.seen] == [target]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(status: int, drive: Drive) -> None:
    with answering() as other:
        elsewhere = Reply(status, b"", [("Location", other.url + "/login")])
        with answering(lambda _request: elsewhere) as server:
            answer = drive(lambda io: io.send(Request("POST", server.url, BEARER, b"secret")))
    assert (answer.status, answer.headers["location"]) == (status, other.url + "/login")
    assert (len(server.seen), other.seen) == (1, [])


def test_netrc_does_not_replace_the_bearer_token(drive: Drive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / ".netrc"
    file.write_text("machine 127.0.0.1 login somebody password else\ndefault login somebody password else\n")
    file.chmod(0o600)
    monkeypatch.setenv("NETRC", str(file))
    monkeypatch.setenv("HOME", str(tmp_path))
    with answering() as server:
        get(drive, server.url)
        drive(lambda io: io.send(Request("GET", server.url)))
    assert [seen.headers.get("authorization") for seen in server.seen] == ["Bearer the-token", None]


def test_cookies_are_neither_kept_nor_sent_even_by_a_driver_that_was_closed_and_is_used_again(drive: Drive) -> None:
    async def reopened(io: IO, url: str) -> None:
        for _ in range(2):
            await io.send(Request("GET", url))
        closed = io.close()  # type: ignore[attr-defined]
        if closed is not None:
            await closed
        await io.send(Request("GET", url))

    cookie = Reply(200, b"{}", [("Set-Cookie", "session=1; Path=/"), ("Set-Cookie", "other=2")])
    with answering(lambda _request: cookie) as server:
        drive(lambda io: reopened(io, server.url))
    assert ["cookie" in seen.headers for seen in server.seen] == [False] * 3


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")
def test_ipv6_loopback_is_reached(drive: Drive) -> None:
    with answering(host="::1") as server:
        assert get(drive, server.url + "/x").status == 200
    assert server.seen[0].headers["host"] == urlsplit(server.url).netloc
