"""Keys made once, and the ways in which people and programs change a PEM file on its way to us."""

from __future__ import annotations

import base64
import datetime
import json
import re
import textwrap
from collections.abc import Callable
from functools import cache, partial
from urllib.parse import quote, quote_plus

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat, pkcs12
from cryptography.x509.oid import NameOID

from airflow_provider_oac.auth import keys, pem_input

# Without a folder that paths are limited to.
load_private_key = partial(keys.load_private_key, folder=None)
certificate_thumbprint = partial(keys.certificate_thumbprint, folder=None)
check_pair = partial(keys.check_pair, folder=None)
take = partial(pem_input.take, folder=None)

PASSPHRASE = "a passphrase nobody guesses"
FORMATS = {
    "PKCS#1": PrivateFormat.TraditionalOpenSSL,
    "PKCS#8": PrivateFormat.PKCS8,
    "OpenSSH": PrivateFormat.OpenSSH,
}


def rsa_key(bits: int = 2048, number: int = 0) -> rsa.RSAPrivateKey:
    """The same key for the same arguments, however they are given."""
    return _made(bits, number)


@cache
def _made(bits: int, number: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


@cache
def ec_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@cache
def ed25519_key() -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


@cache
def pem(kind: str, passphrase: str | None = None, number: int = 0) -> str:
    return pem_of(rsa_key(number=number), kind, passphrase)


def pem_of(key: PrivateKeyTypes, kind: str = "PKCS#8", passphrase: str | None = None) -> str:
    return key.private_bytes(Encoding.PEM, FORMATS[kind], _encryption(passphrase)).decode()


@cache
def der(kind: str, passphrase: str | None = None) -> bytes:
    return rsa_key().private_bytes(Encoding.DER, FORMATS[kind], _encryption(passphrase))


def of_length(tag: bytes, content: bytes) -> bytes:
    """A DER element that is longer than 255 bytes."""
    return tag + b"\x82" + len(content).to_bytes(2, "big") + content


def pss_der() -> bytes:
    """The same key, for signatures by RSA-PSS only (RFC 4055)."""
    algorithm = bytes.fromhex("300b06092a864886f70d01010a")
    return of_length(b"\x30", b"\2\1\0" + algorithm + of_length(b"\4", der("PKCS#1")))


def many_primes_der(kind: str) -> bytes:
    """A key whose version says that it has more than two primes (RFC 8017 A.1.2)."""
    inner = der("PKCS#1")
    assert inner[4:7] == b"\2\1\0"
    return der(kind).replace(inner, inner[:4] + b"\2\1\1" + inner[7:])


def keystore() -> bytes:
    return bytes.fromhex("feedfeed00000002") + b"\1" * 500


def _encryption(passphrase: str | None) -> serialization.KeySerializationEncryption:
    if passphrase is None:
        return serialization.NoEncryption()
    return serialization.BestAvailableEncryption(passphrase.encode())


@cache
def certificate(number: int = 0) -> x509.Certificate:
    key = rsa_key(number=number)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"test {number}")])
    start = datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7 + number)
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=36500))
        .sign(key, hashes.SHA256())
    )


@cache
def certificate_pem(number: int = 0) -> str:
    return certificate(number).public_bytes(Encoding.PEM).decode()


@cache
def public_pem() -> str:
    public = rsa_key().public_key()
    return public.public_bytes(Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


@cache
def bundle_pkcs12() -> bytes:
    return pkcs12.serialize_key_and_certificates(b"test", rsa_key(), certificate(), None, serialization.NoEncryption())


def plus_lost(text: str) -> str:
    """What is left of a raw PEM in the query part of a URI: no newlines, and blanks for ``+``."""
    before, begin, rest = text.replace("\n", "").partition("KEY-----")
    inner, end, after = rest.partition("-----END")
    return before + begin + inner.replace("+", " ") + end + after


def body(text: str) -> str:
    """The base64 of a PEM text, in one line."""
    return "".join(text.strip().splitlines()[1:-1])


def base64_of(content: str | bytes) -> str:
    return base64.b64encode(content.encode() if isinstance(content, str) else content).decode()


def with_form_of_label(text: str) -> str:
    """A PEM text with a label in lower case."""
    return re.sub("-----.*?-----", lambda label: label[0].lower(), text)


# What programs and people do to the whole text. The second value is what the form must name.
TRANSFORMED: dict[str, tuple[Callable[[str], str], str]] = {
    "percent-encoded": (lambda text: quote(text, safe=""), ", percent-encoded"),
    "percent-encoded but for slashes": (quote, ", percent-encoded"),
    "percent-encoded as in a form": (quote_plus, ", percent-encoded"),
    "lower-case label": (with_form_of_label, " with a lower-case label"),
    "en dashes": (lambda text: text.replace("-", "\u2013"), " with dashes instead of hyphens"),
    "an em dash for two": (lambda text: text.replace("-----", "\u2014\u2014-"), " with dashes instead of hyphens"),
    "plus and newlines lost": (
        lambda text: text.replace("+", " ").replace("\n", " "), " with blanks instead of + and newlines",
    ),
    "base64 of DER, plus lost": (
        lambda text: base64_of(base64.b64decode(body(text))).replace("+", " "), " with blanks instead of +",
    ),
}  # fmt: skip


# What happens to the newlines. The second value is the part of the form that must be named.
NEWLINES: dict[str, tuple[Callable[[str], str], str]] = {
    "real": (lambda text: text, ""),
    "no last one": (str.rstrip, ""),
    "CRLF": (lambda text: text.replace("\n", "\r\n"), "with CRLF"),
    "CR": (lambda text: text.replace("\n", "\r"), ""),
    "doubled": (lambda text: text.replace("\n", "\n\n"), ""),
    "literal": (lambda text: text.replace("\n", "\\n"), "with literal \\n"),
    "literal CRLF": (lambda text: text.replace("\n", "\\r\\n"), "with literal \\n"),
    "escaped twice": (lambda text: text.replace("\n", "\\\\n"), "with literal \\n"),
    "literal and real": (lambda text: text.replace("\n", "\\n\n"), "with literal \\n"),
    "blanks": (lambda text: text.replace("\n", " ").strip(), "with blanks instead of newlines"),
    "tabs": (lambda text: text.replace("\n", "\t"), "with blanks instead of newlines"),
    "lost": (lambda text: text.replace("\n", ""), "on one line"),
    "lost with all blanks": (lambda text: "".join(text.split()), "on one line"),
}

# What the text is put into after that.
CARRIERS: dict[str, tuple[Callable[[str], str], str]] = {
    "nothing": (lambda text: text, "PEM"),
    "JSON": (json.dumps, "with literal \\n"),
    "JSON, slashes escaped": (lambda text: json.dumps(text).replace("/", "\\/"), "with literal \\n"),
    "YAML": (lambda text: "private_key: |\n" + textwrap.indent(text, "    "), "PEM"),
    "Python bytes": (lambda text: repr(text.encode()), "with literal \\n"),
    "other text": (lambda text: f"Bag Attributes\n    name: x\n{text}OCI_API_KEY\n", "PEM"),
    "base64": (base64_of, "base64 of PEM"),
    "base64 url-safe": (lambda text: base64.urlsafe_b64encode(text.encode()).decode(), "base64 of PEM"),
    "base64 unpadded": (lambda text: base64_of(text).rstrip("="), "base64 of PEM"),
    "base64 wrapped": (lambda text: base64.encodebytes(text.encode()).decode(), "base64 of PEM"),
    "base64 as Python bytes": (lambda text: repr(base64.b64encode(text.encode())), "base64 of PEM"),
}

# What may surround any of these.
WRAPPINGS: dict[str, Callable[[str], str]] = {
    "nothing": lambda text: text,
    "blanks": lambda text: f"\n \t{text}\r\n  ",
    "double quotes": lambda text: f'"{text}"',
    "single quotes": lambda text: f" '{text}'\n",
    "JSON member": lambda text: f'"{text}",',
    "byte order mark": lambda text: f"\ufeff{text}",
}


def damaged(text: str, newlines: str = "real", carrier: str = "nothing", wrapping: str = "nothing") -> str:
    """A PEM text after all three."""
    return WRAPPINGS[wrapping](CARRIERS[carrier][0](NEWLINES[newlines][0](text)))
