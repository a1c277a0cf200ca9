"""Addresses, proxies and certificates: the rules that both drivers obey."""

from __future__ import annotations

import shutil
import ssl
from pathlib import Path

import certifi
import pytest

from airflow_provider_oac.exceptions import OACConfigurationError
from airflow_provider_oac.transport.settings import TransportSettings, checked_url


class TestAddress:
    @pytest.mark.parametrize(
        "url",
        [
            "https://idcs-0123.identity.oraclecloud.com",
            "https://login.vanity.example/",
            "https://oac.internal:8443/path?query=1",
            "https://10.0.0.7",
            "https://[2001:db8::1]:443/x%3Ay",
            "https://idcs-0123.identity.oraclegovcloud.uk",
            "http://localhost:8080",
            "http://127.0.0.1:1234/oauth2/v1/token",
            "http://127.9.9.9",
            "http://[::1]:8080",
        ],
    )
    def test_is_not_judged_by_its_host(self, url: str) -> None:
        assert checked_url(url, "The address").geturl() == url

    @pytest.mark.parametrize(
        "url",
        [
            "http://oac.example.com",
            "http://10.0.0.7",
            "http://localhost.example.com",
            "http://127.0.0.1.example.com",
            "http://example.com#localhost",
            "http://[2001:db8::1]",
            "http://0.0.0.0",
        ],
    )
    def test_plain_http_to_another_machine_is_refused(self, url: str) -> None:
        with pytest.raises(OACConfigurationError, match=r"plain http.*Use https://"):
            checked_url(url, "The address")

    @pytest.mark.parametrize(
        "url",
        [
            "https://user:pass-phrase@oac.example.com",
            "https://pass-phrase@oac.example.com",
            "https://@oac.example.com",
            "http://127.0.0.1:80@oac.example.com",
            "http://localhost@oac.example.com",
            "https://user:pass-phrase@oac.example.com:port",
            "ftp://user:pass-phrase@oac.example.com",
            "user:pass-phrase@oac.example.com",
            "https://user:pass-phrase@oac.example.com\\@x",
            # Secrets in the wrong field.
            "https://the+pass-phrase/=",
            "https://pass-phrase:pass-phrase",
            "https://pass-phrase%",
            "http://pass-phrase",
            "pass-phrase",
            f"https://{'pass-phrase' * 6}",
        ],
    )
    def test_a_login_in_it_is_refused_and_not_shown(self, url: str) -> None:
        with pytest.raises(OACConfigurationError) as caught:
            checked_url(url, "The address")
        assert str(caught.value).startswith("The address ")
        assert "pass-phrase" not in str(caught.value)

    @pytest.mark.parametrize(
        "url",
        [
            "", "oac.example.com", "//oac.example.com", "https://", "https:///path", "https:oac", "file:///etc/x",
            "https://host:port", "https://host:99999", "https://[::1", "javascript:1", "https://ho st",
            "https://a..b", "https://h$", f"https://{'a' * 64}",
            "https://host\r\nx: y", "https://host\n", " https://host", "http://localhost\\.example.com",
            "https://h\u00f6st.example", "https://host/\u00e4", "https://host/\x00",
        ],
    )  # fmt: skip
    def test_nonsense_is_refused_by_name(self, url: str) -> None:
        with pytest.raises(OACConfigurationError, match=r"^The address "):
            checked_url(url, "The address")


def test_timeouts_have_a_maximum() -> None:
    assert TransportSettings(connect_timeout=3.0, read_timeout=4.5) == TransportSettings(3.0, 4.5)
    most = TransportSettings(connect_timeout=900_000.0, read_timeout=900_000.0)
    assert (most.connect_timeout, most.read_timeout) == (60.0, 900.0)


class TestCertificates:
    def test_the_connections_file_wins_over_the_environments(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
            monkeypatch.setenv(name, f"/{name}")
            assert TransportSettings().ca_path() == f"/{name}"
        assert TransportSettings(ca_file="/own.pem").ca_path() == "/own.pem"

    def test_are_certifis_by_default(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
            monkeypatch.delenv(name, raising=False)
        assert TransportSettings().ca_path() == certifi.where()
        alike = ssl.create_default_context(cafile=certifi.where())
        assert TransportSettings().ssl_context().cert_store_stats() == alike.cert_store_stats()

    def test_are_always_verified(self) -> None:
        context = TransportSettings().ssl_context()
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname

    @pytest.mark.parametrize("content", [None, b"", b"\xff", b"-----BEGIN CERTIFICATE-----\nnonsense\n"])
    def test_a_file_that_cannot_be_used_is_named(self, content: bytes | None, tmp_path: Path) -> None:
        file = tmp_path / "ca.pem"
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(OACConfigurationError, match=r"extra, ca_file\).*path of a PEM file"):
            TransportSettings(ca_file=str(file)).ssl_context()

    def test_are_read_once_until_the_file_is_another_one(self, tmp_path: Path) -> None:
        file, other = tmp_path / "ca.pem", tmp_path / "other.pem"
        shutil.copy(certifi.where(), file)
        first = TransportSettings(ca_file=str(file)).ssl_context()
        assert TransportSettings(ca_file=str(file), read_timeout=1.0).ssl_context() is first
        # As a secret that is mounted changes: another file takes the name.
        other.write_bytes(
            file.read_bytes().partition(b"-----END CERTIFICATE-----\n")[0] + b"-----END CERTIFICATE-----\n"
        )
        other.replace(file)
        second = TransportSettings(ca_file=str(file)).ssl_context()
        assert (second.cert_store_stats()["x509"], first.cert_store_stats()["x509"] > 1) == (1, True)
