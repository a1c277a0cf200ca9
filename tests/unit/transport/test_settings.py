"""Addresses, proxies and certificates: the rules that both drivers obey."""

from __future__ import annotations

import shutil
import ssl
from pathlib import Path

import certifi
import pytest

from airflow_provider_oac.exceptions import OACConfigurationError
from airflow_provider_oac.transport.settings import TransportSettings, checked_url


@pytest.mark.parametrize(
    "url",
    [
        "https://idcs-0123.identity.oraclecloud.com", "https://idcs-0123.identity.oraclegovcloud.uk",
        "https://login.vanity.example/", "https://oac.internal:8443/path?query=1", "https://10.0.0.7",
        "https://[2001:db8::1]:443/x%3Ay", "http://localhost:8080", "http://127.0.0.1:1234/oauth2/v1/token",
        "http://127.9.9.9", "http://[::1]:8080",
    ],
)  # fmt: skip
def test_an_address_is_not_judged_by_its_host(url: str) -> None:
    assert checked_url(url, "The address").geturl() == url


PLAIN = [
    "http://oac.example.com", "http://10.0.0.7", "http://localhost.example.com", "http://127.0.0.1.example.com",
    "http://example.com#localhost", "http://[2001:db8::1]", "http://0.0.0.0", "http://pass-phrase",
]  # fmt: skip
LOGIN = [
    "https://user:pass-phrase@oac.example.com", "https://pass-phrase@oac.example.com", "https://@oac.example.com",
    "http://127.0.0.1:80@oac.example.com", "http://localhost@oac.example.com",
]  # fmt: skip
NONSENSE = [
    "https://user:pass-phrase@oac.example.com:port", "ftp://user:pass-phrase@oac.example.com",
    "user:pass-phrase@oac.example.com", "https://user:pass-phrase@oac.example.com\\@x",
    # Secrets in the wrong field.
    "https://the+pass-phrase/=", "https://pass-phrase:pass-phrase", "https://pass-phrase%", "pass-phrase",
    f"https://{'pass-phrase' * 6}",
    "", "oac.example.com", "//oac.example.com", "https://", "https:///path", "https:oac", "file:///etc/x",
    "https://host:port", "https://host:99999", "https://[::1", "javascript:1", "https://ho st",
    "https://a..b", "https://h$", f"https://{'a' * 64}",
    "https://host\r\nx: y", "https://host\n", " https://host", "http://localhost\\.example.com",
    "https://h\u00f6st.example", "https://host/\u00e4", "https://host/\x00",
]  # fmt: skip


@pytest.mark.parametrize(
    ("url", "said"),
    [
        *((url, "is plain http, which sends .*Use https://") for url in PLAIN),
        *((url, "must not hold a user name or password") for url in LOGIN),
        *((url, "") for url in NONSENSE),
    ],
)
def test_an_address_to_which_nothing_must_be_sent_is_refused_and_not_shown(url: str, said: str) -> None:
    with pytest.raises(OACConfigurationError, match=f"^The address {said}") as caught:
        checked_url(url, "The address")
    assert "pass-phrase" not in str(caught.value)


def test_timeouts_have_a_maximum() -> None:
    assert TransportSettings(connect_timeout=3.0, read_timeout=4.5) == TransportSettings(3.0, 4.5)
    most = TransportSettings(900_000.0, 900_000.0)
    assert (most.connect_timeout, most.read_timeout) == (60.0, 900.0)


class TestCertificates:
    def test_are_the_connections_or_the_environments_or_certifis(self, monkeypatch: pytest.MonkeyPatch) -> None:
        names = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
        for name in names:
            monkeypatch.setenv(name, f"/{name}")
        assert TransportSettings(ca_file="/own.pem").ca_path() == "/own.pem"
        for name in names:
            assert TransportSettings().ca_path() == f"/{name}"
            monkeypatch.delenv(name)
        assert TransportSettings().ca_path() == certifi.where()
        alike = ssl.create_default_context(cafile=certifi.where())
        assert TransportSettings().ssl_context().cert_store_stats() == alike.cert_store_stats()

    def test_are_always_verified(self) -> None:
        context = TransportSettings().ssl_context()
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)

    @pytest.mark.parametrize("content", [b"\xff", b"-----BEGIN CERTIFICATE-----\nnonsense\n"])
    def test_a_file_that_cannot_be_used_is_named(self, content: bytes, tmp_path: Path) -> None:
        file = tmp_path / "ca.pem"
        file.write_bytes(content)
        with pytest.raises(OACConfigurationError, match=r"extra, ca_file\).*path of a PEM file"):
            TransportSettings(ca_file=str(file)).ssl_context()

    def test_are_read_once_until_the_file_is_another_one(self, tmp_path: Path) -> None:
        file, other = tmp_path / "ca.pem", tmp_path / "other.pem"
        shutil.copy(certifi.where(), file)
        first = TransportSettings(ca_file=str(file)).ssl_context()
        assert TransportSettings(ca_file=str(file), read_timeout=1.0).ssl_context() is first
        # As a secret that is mounted changes: another file takes the name.
        end = b"-----END CERTIFICATE-----\n"
        other.write_bytes(file.read_bytes().partition(end)[0] + end)
        other.replace(file)
        assert first.cert_store_stats()["x509"] > 1
        assert TransportSettings(ca_file=str(file)).ssl_context().cert_store_stats()["x509"] == 1
