"""Keys and certificates: the domain's signing key, the application's key, and a small CA for `--tls`."""

from __future__ import annotations

import ipaddress
import os
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
_VALID = timedelta(days=3650)


def write_private(path: Path, data: bytes) -> None:
    """Write a file atomically, readable by its owner only."""
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    os.replace(temporary, path)


def pem(key: PrivateKey) -> bytes:
    """Encode a private key as unencrypted PKCS#8 PEM."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def rsa_key(path: Path) -> rsa.RSAPrivateKey:
    """Return the RSA key in a file; create it on first use (2048 bits, mode 0600)."""
    if not path.exists():
        write_private(path, pem(rsa.generate_private_key(public_exponent=65537, key_size=2048)))
    try:
        return _loaded(path.read_bytes())
    except TypeError as error:
        raise TypeError(f"{path}: {error}") from error


@lru_cache(maxsize=16)
def _loaded(data: bytes) -> rsa.RSAPrivateKey:
    """Load the RSA key from a PEM file and cache it, because loading takes 50 ms."""
    key = serialization.load_pem_private_key(data, password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError(f"This is a {type(key).__name__}; the simulator signs with RSA keys.")
    return key


def self_signed(path: Path, key: rsa.RSAPrivateKey, name: str) -> x509.Certificate:
    """Return the self-signed certificate in a file; create it on first use."""
    if not path.exists():
        write_private(path, _certificate(name, key, name, key).public_bytes(serialization.Encoding.PEM))
    return x509.load_pem_x509_certificate(path.read_bytes())


@lru_cache(maxsize=64)
def certificate_key(certificate_pem: str) -> rsa.RSAPublicKey:
    """Return the public key of a PEM certificate."""
    key = x509.load_pem_x509_certificate(certificate_pem.encode()).public_key()
    if not isinstance(key, rsa.RSAPublicKey):
        raise TypeError("The certificate holds no RSA key; IDCS documents RS256 only.")
    return key


def server_certificate(directory: Path, hosts: list[str]) -> tuple[Path, Path, Path]:
    """Create a server certificate for these hosts, and its CA.

    The CA stays the same for one state directory, so a client that trusts it survives a restart.

    :param directory: folder for the files.
    :param hosts: names and addresses for the subject alternative names.
    :returns: the paths of the CA certificate, the server certificate and the server's key.
    """
    ca_file, ca_key_file = directory / "ca.pem", directory / "ca-key.pem"
    if not (ca_file.exists() and ca_key_file.exists()):
        fresh = ec.generate_private_key(ec.SECP256R1())
        ca = _certificate("OAC simulator CA", fresh, "OAC simulator CA", fresh, authority=True)
        write_private(ca_key_file, pem(fresh))
        write_private(ca_file, ca.public_bytes(serialization.Encoding.PEM))
    ca_key = serialization.load_pem_private_key(ca_key_file.read_bytes(), password=None)
    if not isinstance(ca_key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{ca_key_file} holds no elliptic curve key.")
    key = ec.generate_private_key(ec.SECP256R1())
    server = _certificate(hosts[0], key, "OAC simulator CA", ca_key, hosts=hosts)
    cert_file, key_file = directory / "server.pem", directory / "server-key.pem"
    write_private(key_file, pem(key))
    write_private(cert_file, server.public_bytes(serialization.Encoding.PEM))
    return ca_file, cert_file, key_file


def _certificate(
    subject: str,
    key: PrivateKey,
    issuer: str,
    issuer_key: PrivateKey,
    *,
    authority: bool = False,
    hosts: list[str] | None = None,
) -> x509.Certificate:
    now = datetime.now(UTC)
    issuer_public = issuer_key.public_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _VALID)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=0 if authority else None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_public), critical=False)
        .add_extension(_key_usage(authority), critical=True)
    )
    if hosts:
        names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        builder = builder.add_extension(names, critical=False).add_extension(usage, critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _key_usage(authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
