"""Proxies, by the environment, alike in both drivers."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from airflow_provider_oac.exceptions import OACSetupError, OACTransportError
from airflow_provider_oac.transport.settings import TransportSettings
from oac_simulator.launch import Simulator
from tests.drivers import Drive, each_driver  # noqa: F401
from tests.integration.servers import Proxy, Seen, Server, answering, get, serving, unused_port

LOGIN = "proxy-user:pass-%2Fphrase"


@pytest.fixture
def server() -> Iterator[Server]:
    with answering() as running:
        yield running


def test_http_goes_through_the_proxy_as_it_would_to_the_server(
    drive: Drive, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def plain(seen: Seen) -> dict[str, str]:
        return {name: value for name, value in seen.headers.items() if name != "connection"}

    get(drive, server.url)
    with serving(Proxy()) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        assert get(drive, server.url + "/a%3Ab?c=d").status == 200
    assert [seen.target for seen in proxy.seen] == [server.url + "/a%3Ab?c=d"]
    assert [seen.target for seen in server.seen] == ["/", "/a%3Ab?c=d"]
    assert plain(proxy.seen[0]) == plain(server.seen[0])
    assert server.seen[1].headers["authorization"] == "Bearer the-token"


def test_a_proxy_that_cannot_be_used_is_no_failure_of_the_server(
    drive: Drive, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://{LOGIN}@127.0.0.1:port")
    with pytest.raises(OACSetupError, match="variable HTTP_PROXY does not hold the address") as caught:
        get(drive, server.url)
    assert "phrase" not in "".join(traceback.format_exception(caught.value))
    assert server.seen == []


def test_hosts_in_no_proxy_are_reached_directly(drive: Drive, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Proxy()) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1")
        get(drive, server.url)
    assert (len(proxy.seen), len(server.seen)) == (0, 1)


def test_https_goes_through_a_tunnel_that_sees_no_token_and_the_certificate_is_verified(
    drive: Drive, secure: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = secure.ready["identity_url"]
    with serving(Proxy()) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        trusting = TransportSettings(ca_file=secure.ready["ca_file"])
        assert get(drive, url + "/.well-known/openid-configuration", trusting).json()["issuer"]
        assert [(seen.method, seen.target) for seen in proxy.seen] == [("CONNECT", urlsplit(url).netloc)]
        assert "the-token" not in str(proxy.seen)
        with pytest.raises(OACTransportError, match="the server's certificate was refused") as caught:
            get(drive, url)
    assert (caught.value.sent, caught.value.passing) == (False, False)


@pytest.mark.parametrize(
    ("login", "password"),
    [(LOGIN, "pass-/phrase"), ("proxy-user:has%C5%82o", "hasło"), ("proxy-user:hasło", "hasło")],
)
def test_a_login_in_the_proxys_address_is_sent_to_the_proxy_alone(
    login: str, password: str, drive: Drive, server: Server, secure: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(Proxy(login=f"proxy-user:{password}")) as proxy:
        for name in ("HTTP_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, proxy.url.replace("http://", f"http://{login}@"))
        assert get(drive, server.url).status == 200
        get(drive, secure.ready["identity_url"], TransportSettings(ca_file=secure.ready["ca_file"]))
    assert "proxy-authorization" not in server.seen[0].headers


class TestFailures:
    """They name the proxy, so that nobody looks for the fault at Oracle's."""

    def failure(self, drive: Drive, url: str) -> tuple[str, bool, bool]:
        with pytest.raises(OACTransportError) as caught:
            get(drive, url)
        shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value.__cause__)
        # A tool that collects errors may keep the variables of each frame.
        frames = [frame for frame, _line in traceback.walk_tb(caught.value.__traceback__)]
        shown += "".join(repr(one.f_locals) for one in frames if "airflow_provider_oac" in one.f_code.co_filename)
        assert not [secret for secret in ("the-token", "pass-", "Proxy-Authorization") if secret in shown]
        return str(caught.value), caught.value.sent, caught.value.passing

    @pytest.mark.parametrize("place", ["127.0.0.1:{port}", "no-such-proxy.invalid:3128"], ids=["refuses", "no name"])
    @pytest.mark.parametrize("variable", ["HTTP_PROXY", "HTTPS_PROXY"])
    def test_a_proxy_that_cannot_be_reached(
        self, variable: str, place: str, drive: Drive, server: Server, secure: Simulator,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        place = place.format(port=unused_port())
        monkeypatch.setenv(variable, f"http://{LOGIN}@{place}")
        text, *kind = self.failure(drive, server.url if variable == "HTTP_PROXY" else secure.ready["identity_url"])
        assert f"the proxy {place} cannot be reached" in text
        assert "Check HTTPS_PROXY and NO_PROXY" in text
        assert kind == [False, True]

    @pytest.mark.parametrize(("status", "passing"), [(403, False), (407, False), (502, True), (503, True)])
    def test_a_proxy_that_refuses_the_tunnel(
        self, status: int, passing: bool, drive: Drive, secure: Simulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with serving(Proxy(refusal=status)) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("http://", f"http://{LOGIN}@"))
            text, *kind = self.failure(drive, secure.ready["identity_url"])
        assert f"the proxy {urlsplit(proxy.url).netloc} refused to connect to the server (HTTP {status})" in text
        assert kind == [False, passing]
