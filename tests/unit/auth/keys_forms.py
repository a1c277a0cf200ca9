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
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat
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


EC_KEY = ec.generate_private_key(ec.SECP256R1())
_made = cache(lambda bits, number: rsa.generate_private_key(public_exponent=65537, key_size=bits))


def rsa_key(bits: int = 2048, number: int = 0) -> rsa.RSAPrivateKey:
    """The same key for the same arguments, however they are given."""
    key: rsa.RSAPrivateKey = _made(bits, number)
    return key


@cache
def pem(kind: str, passphrase: str | None = None, number: int = 0) -> str:
    return pem_of(rsa_key(number=number), kind, passphrase)


def pem_of(key: PrivateKeyTypes, kind: str = "PKCS#8", passphrase: str | None = None) -> str:
    return key.private_bytes(Encoding.PEM, FORMATS[kind], _encryption(passphrase)).decode()


@cache
def der(kind: str, passphrase: str | None = None) -> bytes:
    return rsa_key().private_bytes(Encoding.DER, FORMATS[kind], _encryption(passphrase))


def _encryption(passphrase: str | None) -> serialization.KeySerializationEncryption:
    if passphrase is None:
        return serialization.NoEncryption()
    return serialization.BestAvailableEncryption(passphrase.encode())


def unsigned(subject: str, issuer: str, key: PrivateKeyTypes) -> x509.CertificateBuilder:
    """A certificate of a key, before it is signed: the same one for the same arguments."""
    subject_name, issuer_name = (
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in (subject, issuer)
    )
    start = datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject_name)
        .issuer_name(issuer_name)
        .public_key(key.public_key())  # type: ignore[arg-type]
        .serial_number(int.from_bytes(subject.encode()))
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=36500))
    )


@cache
def certificate(number: int = 0) -> x509.Certificate:
    key = rsa_key(number=number)
    return unsigned(f"test {number}", f"test {number}", key).sign(key, hashes.SHA256())


@cache
def certificate_pem(number: int = 0) -> str:
    return certificate(number).public_bytes(Encoding.PEM).decode()


@cache
def public_pem() -> str:
    public = rsa_key().public_key()
    return public.public_bytes(Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def plus_lost(text: str) -> str:
    """What is left of a raw PEM in the query part of a URI: no newlines, and blanks for ``+``."""
    before, begin, rest = text.replace("\n", "").partition("KEY-----")
    inner, end, after = rest.partition("-----END")
    return before + begin + inner.replace("+", " ") + end + after


def all_blank(text: str) -> str:
    """Blanks for ``+`` and newlines."""
    return text.replace("+", " ").replace("\n", " ")


def body(text: str) -> str:
    """The base64 of a PEM text, in one line."""
    return "".join(text.strip().splitlines()[1:-1])


def base64_of(content: str | bytes) -> str:
    return base64.b64encode(content.encode() if isinstance(content, str) else content).decode()


def with_form_of_label(text: str) -> str:
    """A PEM text with a label in lower case."""
    return re.sub("-----.*?-----", lambda label: label[0].lower(), text)


# What happens to the newlines, and how the form is named. Each of these tables has the kind of the key in it.
NEWLINES: dict[str, tuple[Callable[[str], str], str]] = {
    "real": (lambda text: text, "PEM {}"),
    "no last one": (str.rstrip, "PEM {}"),
    "CRLF": (lambda text: text.replace("\n", "\r\n"), "PEM {} with CRLF"),
    "CR": (lambda text: text.replace("\n", "\r"), "PEM {}"),
    "doubled": (lambda text: text.replace("\n", "\n\n"), "PEM {}"),
    "literal": (lambda text: text.replace("\n", "\\n"), "PEM {} with literal \\n"),
    "literal CRLF": (lambda text: text.replace("\n", "\\r\\n"), "PEM {} with literal \\n"),
    "escaped twice": (lambda text: text.replace("\n", "\\\\n"), "PEM {} with literal \\n"),
    "literal and real": (lambda text: text.replace("\n", "\\n\n"), "PEM {} with literal \\n"),
    "blanks": (lambda text: text.replace("\n", " ").strip(), "PEM {} with blanks instead of newlines"),
    "tabs": (lambda text: text.replace("\n", "\t"), "PEM {} with blanks instead of newlines"),
    "lost": (lambda text: text.replace("\n", ""), "PEM {} on one line"),
    "lost with all blanks": (lambda text: "".join(text.split()), "PEM {} on one line"),
}

# What the text is put into after that.
CARRIERS: dict[str, tuple[Callable[[str], str], str]] = {
    "nothing": (lambda text: text, "PEM {}"),
    "JSON": (json.dumps, "PEM {} with literal \\n"),
    "JSON, slashes escaped": (lambda text: json.dumps(text).replace("/", "\\/"), "PEM {} with literal \\n"),
    "YAML": (lambda text: "private_key: |\n" + textwrap.indent(text, "    "), "PEM {}"),
    "Python bytes": (lambda text: repr(text.encode()), "PEM {} with literal \\n"),
    "other text": (lambda text: f"Bag Attributes\n    name: x\n{text}OCI_API_KEY\n", "PEM {}"),
    "base64": (base64_of, "base64 of PEM {}"),
    "base64 url-safe": (lambda text: base64.urlsafe_b64encode(text.encode()).decode(), "base64 of PEM {}"),
    "base64 unpadded": (lambda text: base64_of(text).rstrip("="), "base64 of PEM {}"),
    "base64 wrapped": (lambda text: base64.encodebytes(text.encode()).decode(), "base64 of PEM {}"),
    "base64 as Python bytes": (lambda text: repr(base64.b64encode(text.encode())), "base64 of PEM {}"),
}

# What programs and people do to the whole text.
TRANSFORMED: dict[str, tuple[Callable[[str], str], str]] = {
    "percent-encoded": (lambda text: quote(text, safe=""), "PEM {}, percent-encoded"),
    "percent-encoded but for slashes": (quote, "PEM {}, percent-encoded"),
    "percent-encoded as in a form": (quote_plus, "PEM {}, percent-encoded"),
    "lower-case label": (with_form_of_label, "PEM {} with a lower-case label"),
    "en dashes": (lambda text: text.replace("-", "\u2013"), "PEM {} with dashes instead of hyphens"),
    "an em dash": (lambda text: text.replace("-----", "\u2014\u2014-"), "PEM {} with dashes instead of hyphens"),
    "plus lost in a URI": (plus_lost, "PEM {} with blanks instead of +"),
    "plus and newlines lost": (all_blank, "PEM {} with blanks instead of + and newlines"),
    "base64 of DER, plus lost": (lambda text: all_blank(body(text)), "base64 of DER with blanks instead of +"),
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
