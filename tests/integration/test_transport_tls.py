"""TLS with a CA of one's own, alike in both drivers."""

from __future__ import annotations

import shutil
import ssl
import warnings
from pathlib import Path

import pytest

from airflow_provider_oac.exceptions import OACTransportError
from airflow_provider_oac.transport.blocking import PlainSession
from airflow_provider_oac.transport.settings import TransportSettings
from oac_simulator.launch import Simulator
from tests.drivers import Drive, each_driver  # noqa: F401
from tests.integration.servers import Proxy, answering, get, serving


@pytest.fixture
def url(secure: Simulator) -> str:
    return f"{secure.ready['identity_url']}/.well-known/openid-configuration"


@pytest.fixture
def trusting(secure: Simulator) -> TransportSettings:
    return TransportSettings(ca_file=secure.ready["ca_file"])


def test_a_ca_file_of_the_connection_is_trusted(drive: Drive, url: str, trusting: TransportSettings) -> None:
    assert get(drive, url, trusting).status == 200


def test_a_certificate_of_an_unknown_ca_is_refused_with_the_way_out(drive: Drive, url: str) -> None:
    says = r"the server's certificate was refused \(unable to get local issuer certificate.*Connection's ca_file to its"
    with pytest.raises(OACTransportError, match=says) as caught:
        get(drive, url)
    assert (caught.value.sent, caught.value.passing) == (False, False)


def test_a_certificate_for_another_host_name_is_refused(
    drive: Drive, secure: Simulator, trusting: TransportSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tunnel leads to the right server, which is asked for by another name."""
    target = secure.ready["identity_url"].removeprefix("https://")
    with serving(Proxy(leads_to=target)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with pytest.raises(OACTransportError, match=r"certificate was refused .*oac\.example\.com"):
            get(drive, f"https://oac.example.com:{target.rpartition(':')[2]}", trusting)


def test_a_ca_file_is_not_opened_again_once_it_was_checked(url: str, secure: Simulator, tmp_path: Path) -> None:
    file = tmp_path / "company.pem"
    shutil.copy(secure.ready["ca_file"], file)
    with PlainSession(TransportSettings(ca_file=str(file))) as session:
        file.unlink()
        assert session.get(url, timeout=5).status_code == 200


def test_a_session_may_verify_as_requests_does(url: str, trusting: TransportSettings) -> None:
    with PlainSession(trusting) as session, warnings.catch_warnings(action="ignore"):
        for verify in (trusting.ca_file, False):
            assert session.get(url, verify=verify).status_code == 200
    # Other sessions share its context.
    assert trusting.ssl_context().verify_mode is ssl.CERT_REQUIRED


def test_a_server_that_speaks_no_tls_is_told_from_a_broken_network(drive: Drive) -> None:
    with answering() as server, pytest.raises(OACTransportError, match="the TLS handshake failed") as caught:
        get(drive, server.url.replace("http", "https"))
    assert (caught.value.sent, caught.value.passing, server.seen) == (False, False, [])
