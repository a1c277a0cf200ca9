"""What is said when no answer came."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from airflow_provider_oac.transport.failures import transport_error
from airflow_provider_oac.transport.io import Request
from tests.unit.auth import keys_forms as forms

REQUEST = Request(
    "POST", "https://oac.example.com/x?code=the-query", {"Authorization": "Bearer the-token"}, b"the-body"
)


def chain(folder: Path, fault: str) -> tuple[Path, Path]:
    """A CA and a certificate that it signed, with a fault; paths of the CA and of what the server shows."""
    ca_key, public = forms.rsa_key(), forms.rsa_key().public_key()
    basic, usage = x509.BasicConstraints(True, None), x509.KeyUsage(*[False] * 5, True, True, False, False)
    ca = forms.unsigned("Company CA", "Company CA", ca_key).add_extension(basic, critical=fault != "CA not critical")
    ca = ca.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    ca = ca if fault == "CA without usage" else ca.add_extension(usage, critical=True)
    names = x509.SubjectAlternativeName([x509.DNSName("oac.example.com")])
    leaf = forms.unsigned("oac.example.com", "Company CA", forms.EC_KEY).add_extension(names, critical=False)
    if fault != "no authority key identifier":
        leaf = leaf.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
    authority, shown = folder / "ca.pem", folder / "shown.pem"
    for path, made in ((authority, ca), (shown, leaf)):
        path.write_bytes(made.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    shown.write_text(shown.read_text() + forms.pem_of(forms.EC_KEY))
    return authority, shown


def refusal(authority: Path | None, shown: Path) -> ssl.SSLError:
    """How a client refuses a certificate, as strictly as Python 3.13 does."""
    trusting = ssl.create_default_context(cafile=authority) if authority else ssl.create_default_context()
    trusting.verify_flags |= ssl.VERIFY_X509_STRICT
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(shown)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting.wrap_bio(down, up, server_hostname="oac.example.com")
    server = serving.wrap_bio(up, down, server_side=True)
    for _ in range(10):
        for end in (client, server):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError as error:
                return error
    raise AssertionError("it was not refused")


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("no authority key identifier", "reissue the server's certificate (or the intermediate CA's) with"),
        ("CA not critical", "reissue its CA certificate without this fault"),
        ("CA without usage", "reissue its CA certificate without this fault"),
    ],
)
def test_a_certificate_that_newer_pythons_refuse_is_to_be_reissued(fault: str, says: str, tmp_path: Path) -> None:
    error = transport_error(REQUEST, refusal(*chain(tmp_path, fault)), sent=False)
    assert "breaks RFC 5280, which Python 3.13 and newer refuse (" in str(error)
    assert says in str(error)
    assert "set the Connection's ca_file" not in str(error)
    assert (error.sent, error.passing) == (False, False)


def test_a_certificate_of_an_unknown_ca_needs_a_ca_file(tmp_path: Path) -> None:
    _authority, shown = chain(tmp_path, "none")
    assert "set the Connection's ca_file to its path" in str(transport_error(REQUEST, refusal(None, shown), sent=False))


def test_what_a_library_says_is_kept_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:pass-%2Fphrase@proxy.example:3128")
    text = "the-token code=the-query user:pass-/phrase pass-%2Fphrase dXNlcjpwYXNzLS9waHJhc2U= \x1b[2J broken"
    said = str(transport_error(REQUEST, ConnectionResetError(text), sent=True))
    assert "(ConnectionResetError: *** " in said
    assert "\ufffd broken). The server may have acted" in said
    assert not any(word in said for word in ("the-token", "the-query", "phrase", "dXNl"))
