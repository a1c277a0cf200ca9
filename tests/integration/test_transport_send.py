"""Sending over real HTTP: what reaches the server, and what both drivers leave out alike."""

from __future__ import annotations

import netrc
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from airflow_provider_oac.transport.io import IO, Request, Response
from airflow_provider_oac.transport.settings import TransportSettings
from tests.drivers import IMPATIENT, Drive, SignIn, each_driver  # noqa: F401
from tests.integration.servers import Reply, Seen, answering, has_ipv6

BEARER = {"Authorization": "Bearer the-token", "Accept": "application/json"}


def get(drive: Drive, url: str, settings: TransportSettings = IMPATIENT) -> Response:
    return drive(lambda io: io.send(Request("GET", url, BEARER)), settings)


@pytest.mark.parametrize(
    ("method", "body", "framing"),
    [
        ("GET", None, {}),
        ("DELETE", None, {"content-length": "0"}),
        ("POST", b'{"a": 1}', {"content-length": "8"}),
        ("POST", b"", {"content-length": "0"}),
        ("PUT", b"\xff\x00", {"content-length": "2"}),
    ],
)
def test_the_server_sees_the_request_and_nothing_of_the_drivers_own_taste(
    method: str, body: bytes | None, framing: dict[str, str], drive: Drive
) -> None:
    with answering() as server:
        request = Request(method, server.url + "/x?y=z", BEARER, body)
        assert drive(lambda io: io.send(request), TransportSettings(user_agent="the-agent/1")).status == 200
    assert server.seen == [
        Seen(
            method,
            "/x?y=z",
            {
                "host": urlsplit(server.url).netloc,
                "user-agent": "the-agent/1",
                "accept-encoding": "gzip",
                "authorization": "Bearer the-token",
                "accept": "application/json",
                **framing,
            },
            body or b"",
        )
    ]


@pytest.mark.parametrize("target", ["/w/dev%3Asnap%2Fx", "/a%20b?c=%3A%2F&d=e%2Bf", "/%C3%A4", "/a:b/c;d=(e)!$&'*,="])
def test_an_encoded_path_reaches_the_server_as_it_is(target: str, drive: Drive) -> None:
    with answering() as server:
        assert get(drive, server.url + target).url == server.url + target
    assert [seen.target for seen in server.seen] == [target]


def test_an_answer_has_status_headers_in_lower_case_and_body(drive: Drive) -> None:
    with answering(lambda _request: Reply(418, b'{"a": "b"}', [("X-Some-THING", "Value")])) as server:
        answer = get(drive, server.url)
    assert (answer.status, answer.headers["x-some-thing"], answer.json()) == (418, "Value", {"a": "b"})


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(status: int, drive: Drive) -> None:
    with answering() as other:
        elsewhere = Reply(status, b"", [("Location", other.url + "/login")])
        with answering(lambda _request: elsewhere) as server:
            answer = drive(lambda io: io.send(Request("POST", server.url, BEARER, b"secret")))
    assert answer.status == status
    assert answer.headers["location"] == other.url + "/login"
    assert len(server.seen) == 1
    assert other.seen == []


def test_netrc_does_not_replace_the_bearer_token(drive: Drive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "netrc"
    file.write_text("machine 127.0.0.1 login somebody password else\ndefault login somebody password else\n")
    file.chmod(0o600)
    assert netrc.netrc(str(file)).authenticators("127.0.0.1") == ("somebody", "", "else")
    monkeypatch.setenv("NETRC", str(file))
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".netrc").write_bytes(file.read_bytes())
    with answering() as server:
        get(drive, server.url)
        drive(lambda io: io.send(Request("GET", server.url)))
    assert [seen.headers.get("authorization") for seen in server.seen] == ["Bearer the-token", None]


def test_cookies_are_neither_kept_nor_sent(drive: Drive) -> None:
    async def twice(io: IO, url: str) -> None:
        await io.send(Request("GET", url, BEARER))
        await io.send(Request("GET", url, BEARER))

    cookie = Reply(200, b"{}", [("Set-Cookie", "session=1; Path=/"), ("Set-Cookie", "other=2")])
    with answering(lambda _request: cookie) as server:
        drive(lambda io: twice(io, server.url))
    assert len(server.seen) == 2
    assert ["cookie" in seen.headers for seen in server.seen] == [False, False]


@pytest.mark.parametrize(("method", "body"), [("GET", None), ("PATCH", None), ("POST", b"x")])
def test_no_driver_adds_a_header_of_its_own_taste(method: str, body: bytes | None, drive: Drive) -> None:
    with answering() as server:
        drive(lambda io: io.send(Request(method, server.url, {}, body)))
    framing = {"host", "user-agent", "accept-encoding", "connection", "content-length"}
    assert set(server.seen[0].headers) - framing == set()


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")
def test_ipv6_loopback_is_reached(drive: Drive) -> None:
    with answering(host="::1") as server:
        assert get(drive, server.url + "/x").status == 200
    assert server.seen[0].headers["host"] == urlsplit(server.url).netloc


def test_a_driver_can_be_used_again_after_it_was_closed(drive: Drive) -> None:
    async def reopened(io: IO, url: str) -> int:
        await io.send(Request("GET", url))
        closed = io.close()  # type: ignore[attr-defined]
        if closed is not None:
            await closed
        return (await io.send(Request("GET", url))).status

    with answering() as server:
        assert drive(lambda io: reopened(io, server.url)) == 200
