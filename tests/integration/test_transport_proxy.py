"""Proxies, by the environment, alike in both drivers."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from airflow_provider_oac.exceptions import OACSetupError, OACTransportError
from airflow_provider_oac.transport.io import Request, Response
from airflow_provider_oac.transport.settings import TransportSettings
from oac_simulator.launch import Simulator
from tests.drivers import IMPATIENT, Drive, each_driver  # noqa: F401
from tests.integration.servers import Proxy, Seen, Server, answering, serving, unused_port

BEARER = {"Authorization": "Bearer the-token"}
LOGIN = "proxy-user:pass-%2Fphrase"
PASSWORD = "pass-/phrase"


def get(drive: Drive, url: str, settings: TransportSettings = IMPATIENT) -> Response:
    return drive(lambda io: io.send(Request("GET", url, BEARER)), settings)


@pytest.fixture
def server() -> Iterator[Server]:
    with answering() as running:
        yield running


def test_http_goes_through_the_proxy(drive: Drive, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Proxy()) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        assert get(drive, server.url + "/a%3Ab?c=d").status == 200
    assert [seen.target for seen in proxy.seen] == [server.url + "/a%3Ab?c=d"]
    assert [seen.target for seen in server.seen] == ["/a%3Ab?c=d"]
    assert server.seen[0].headers["authorization"] == "Bearer the-token"


def test_a_proxy_that_cannot_be_used_is_no_failure_of_the_server(
    drive: Drive, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://{LOGIN}@127.0.0.1:port")
    with pytest.raises(OACSetupError, match="variable HTTP_PROXY does not hold the address") as caught:
        get(drive, server.url)
    assert "phrase" not in "".join(traceback.format_exception(caught.value))
    assert server.seen == []


@pytest.mark.parametrize("exceptions", ["127.0.0.1", "localhost,127.0.0.1", "127.0.0.0/8", "*"])
def test_hosts_in_no_proxy_are_reached_directly(
    exceptions: str, drive: Drive, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(Proxy()) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", exceptions)
        get(drive, server.url)
    assert proxy.seen == []
    assert len(server.seen) == 1


def test_https_goes_through_a_tunnel_that_sees_no_token(
    drive: Drive, secure: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = secure.ready["identity_url"]
    with serving(Proxy()) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        answer = get(
            drive, url + "/.well-known/openid-configuration", TransportSettings(ca_file=secure.ready["ca_file"])
        )
    assert answer.json()["issuer"]
    assert [(seen.method, seen.target) for seen in proxy.seen] == [("CONNECT", urlsplit(url).netloc)]
    assert "the-token" not in str(proxy.seen)


def test_the_certificate_is_verified_through_a_tunnel(
    drive: Drive, secure: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(Proxy()) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with pytest.raises(OACTransportError, match="the server's certificate was refused") as caught:
            get(drive, secure.ready["identity_url"])
    assert (caught.value.sent, caught.value.passing) == (False, False)


@pytest.mark.parametrize(
    ("login", "password"), [(LOGIN, PASSWORD), ("proxy-user:has%C5%82o", "hasło"), ("proxy-user:hasło", "hasło")]
)
def test_a_login_in_the_proxys_address_is_sent_to_the_proxy_alone(
    login: str, password: str, drive: Drive, server: Server, secure: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(Proxy(login=f"proxy-user:{password}")) as proxy:
        address = proxy.url.replace("http://", f"http://{login}@")
        monkeypatch.setenv("HTTP_PROXY", address)
        monkeypatch.setenv("HTTPS_PROXY", address)
        assert get(drive, server.url).status == 200
        settings = TransportSettings(ca_file=secure.ready["ca_file"])
        get(drive, secure.ready["identity_url"] + "/.well-known/openid-configuration", settings)
    assert "proxy-authorization" not in server.seen[0].headers


class TestFailures:
    """They name the proxy, so that nobody looks for the fault at Oracle's."""

    @pytest.fixture(params=["HTTP_PROXY", "HTTPS_PROXY"])
    def url(self, request: pytest.FixtureRequest, server: Server, secure: Simulator) -> tuple[str, str]:
        return request.param, server.url if request.param == "HTTP_PROXY" else secure.ready["identity_url"]

    def failure(self, drive: Drive, url: str) -> OACTransportError:
        with pytest.raises(OACTransportError) as caught:
            get(drive, url)
        shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value.__cause__)
        assert "the-token" not in shown
        assert "pass-" not in shown
        return caught.value

    def test_a_proxy_that_refuses_connections(
        self, drive: Drive, url: tuple[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        port = unused_port()
        monkeypatch.setenv(url[0], f"http://{LOGIN}@127.0.0.1:{port}")
        error = self.failure(drive, url[1])
        assert f"the proxy 127.0.0.1:{port} cannot be reached" in str(error)
        assert "Check HTTPS_PROXY and NO_PROXY" in str(error)
        assert (error.sent, error.passing) == (False, True)

    def test_a_proxy_whose_name_does_not_resolve(
        self, drive: Drive, url: tuple[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(url[0], f"http://{LOGIN}@no-such-proxy.invalid:3128")
        error = self.failure(drive, url[1])
        assert "the proxy no-such-proxy.invalid:3128 cannot be reached" in str(error)
        assert (error.sent, error.passing) == (False, True)

    @pytest.mark.parametrize(("status", "passing"), [(403, False), (407, False), (502, True), (503, True)])
    def test_a_proxy_that_refuses_the_tunnel(
        self, status: int, passing: bool, drive: Drive, secure: Simulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with serving(Proxy(refusal=status)) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("http://", f"http://{LOGIN}@"))
            error = self.failure(drive, secure.ready["identity_url"])
        host = urlsplit(proxy.url).netloc
        assert f"the proxy {host} refused to connect to the server (HTTP {status})" in str(error)
        assert (error.sent, error.passing) == (False, passing)


def test_a_proxy_sees_what_the_server_would(drive: Drive, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def plain(seen: Seen) -> dict[str, str]:
        return {name: value for name, value in seen.headers.items() if name != "connection"}

    get(drive, server.url)
    with serving(Proxy()) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        get(drive, server.url)
    assert plain(proxy.seen[0]) == plain(server.seen[0])
