"""The command keygen: creates a key and its certificate, and prints what to do with them."""

from __future__ import annotations

import argparse
import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from airflow_provider_oac.cli.process import CommandFailed, say

_INSTRUCTIONS = """\
Key          {key}  (mode 0600; only Airflow needs it)
Certificate  {certificate}  (public)
Valid until  {ends:%Y-%m-%d}. After that day, the sign-in may fail: put the day into your calendar.

1. Identity domain's console, Integrated applications, your confidential application, OAuth configuration:
   - allowed grant types: tick JWT assertion AND Client credentials,
   - client type: Trusted; under it, import the certificate {certificate}
     with the alias        {alias}
   - activate the application.
2. Airflow's Connection (type oac):
   grant                   jwt_assertion
   certificate_alias       {alias}
   private_key             the content of {key}, or its path on the workers
   certificate             the content of {certificate}  (optional: `check` then warns 30 days before it ends)
3. python -m airflow_provider_oac check

To replace the key without a gap: run keygen again with another --name, import the new certificate under that name as a
second alias (the application accepts both), and change private_key, certificate and certificate_alias of the Connection
together. Remove the old alias when `check` works and all tasks that began before the change have ended.

A user who has the key can act as any active user of the domain: protect it like a root password.
"""


def keygen(arguments: argparse.Namespace) -> None:
    """``keygen``: create a key and a self-signed certificate."""
    name, folder = arguments.name, Path(arguments.folder).expanduser()
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise CommandFailed(f"--name {name!r} cannot be an alias. Use letters, digits, dots, dashes and underscores.")
    if not 1 <= arguments.days <= 3650:
        raise CommandFailed(f"--days {arguments.days} is not between 1 and 3650.")
    key_path, certificate_path = folder / f"{name}.key", folder / f"{name}.crt"
    for path in (key_path, certificate_path):
        if os.path.lexists(path):
            raise CommandFailed(f"{path} exists and is not overwritten. Choose another --name or --folder.")
    key = rsa.generate_private_key(public_exponent=65537, key_size=arguments.bits)
    certificate = _self_signed(key, name, arguments.days)
    encoding, encryption = serialization.Encoding.PEM, serialization.NoEncryption()
    pem = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, encryption)
    _write(key_path, pem, 0o600)
    _write(certificate_path, certificate.public_bytes(encoding), 0o644)
    text = _INSTRUCTIONS.format(
        key=key_path.resolve(),
        certificate=certificate_path.resolve(),
        ends=certificate.not_valid_after_utc,
        alias=name,
    )
    say(text, end="")


def _self_signed(key: rsa.RSAPrivateKey, name: str, days: int) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    # Valid from five minutes ago: the identity domain's clock may be behind this one.
    begins = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )


def _write(path: Path, content: bytes, mode: int) -> None:
    """Create a new file, with its mode set from the beginning."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode), "wb") as file:
            file.write(content)
    except OSError as error:
        raise CommandFailed(f"{path} cannot be written: {error.strerror}.") from None
