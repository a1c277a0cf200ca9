"""TLS with a CA of one's own, alike in both drivers."""

from __future__ import annotations

import shutil
import ssl
import warnings
from pathlib import Path

import pytest

from airflow_provider_oac.client.rest import snapshots
from airflow_provider_oac.exceptions import OACTransportError
from airflow_provider_oac.transport.blocking import PlainSession
from airflow_provider_oac.transport.io import Request, Response
from airflow_provider_oac.transport.settings import TransportSettings
from oac_simulator.launch import Simulator
from tests.drivers import Drive, SignIn, each_driver  # noqa: F401
from tests.integration.servers import Proxy, answering, serving

BEARER = {"Authorization": "Bearer the-token"}


def get(drive: Drive, simulator: Simulator, ca_file: str | None = None) -> Response:
    url = simulator.ready["identity_url"] + "/.well-known/openid-configuration"
    return drive(lambda io: io.send(Request("GET", url, BEARER)), TransportSettings(ca_file=ca_file))


def test_a_ca_file_of_the_connection_is_trusted(drive: Drive, secure: Simulator) -> None:
    settings = TransportSettings(ca_file=secure.ready["ca_file"])
    assert drive(SignIn(secure.ready).performing(snapshots.list_all()), settings) == [[]]


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_a_ca_file_of_the_environment_is_trusted(
    name: str, drive: Drive, secure: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, secure.ready["ca_file"])
    assert get(drive, secure).status == 200


def test_a_certificate_of_an_unknown_ca_is_refused_with_the_way_out(drive: Drive, secure: Simulator) -> None:
    with pytest.raises(OACTransportError) as caught:
        get(drive, secure)
    assert "the server's certificate was refused (" in str(caught.value)
    assert "unable to get local issuer certificate" in str(caught.value)
    assert "set the Connection's ca_file to its path" in str(caught.value)
    assert (caught.value.sent, caught.value.passing) == (False, False)


def test_a_certificate_for_another_host_name_is_refused(
    drive: Drive, secure: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tunnel leads to the right server, which is asked for by another name."""
    target = secure.ready["identity_url"].removeprefix("https://")
    url = "https://oac.example.com:" + target.rpartition(":")[2]
    with serving(Proxy(leads_to=target)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with pytest.raises(OACTransportError, match=r"certificate was refused .*oac\.example\.com"):
            drive(lambda io: io.send(Request("GET", url)), TransportSettings(ca_file=secure.ready["ca_file"]))


def test_a_ca_file_is_not_opened_again_once_it_was_checked(secure: Simulator, tmp_path: Path) -> None:
    file = tmp_path / "company.pem"
    shutil.copy(secure.ready["ca_file"], file)
    with PlainSession(TransportSettings(ca_file=str(file))) as session:
        file.unlink()
        url = secure.ready["identity_url"] + "/.well-known/openid-configuration"
        assert session.get(url, timeout=5).status_code == 200


def test_a_session_may_verify_as_requests_does(secure: Simulator) -> None:
    url = secure.ready["identity_url"] + "/.well-known/openid-configuration"
    settings = TransportSettings(ca_file=secure.ready["ca_file"])
    with PlainSession(settings) as session:
        assert session.get(url, verify=secure.ready["ca_file"]).status_code == 200
        with warnings.catch_warnings(action="ignore"):
            assert session.get(url, verify=False).status_code == 200
    # Other sessions share its context.
    assert settings.ssl_context().verify_mode is ssl.CERT_REQUIRED


def test_a_server_that_speaks_no_tls_is_told_from_a_broken_network(drive: Drive) -> None:
    with answering() as server, pytest.raises(OACTransportError) as caught:
        drive(lambda io: io.send(Request("POST", server.url.replace("http", "https"), BEARER, b"body")))
    assert "the TLS handshake failed" in str(caught.value)
    assert (caught.value.sent, caught.value.passing) == (False, False)
    assert server.seen == []
