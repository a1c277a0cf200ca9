"""Private keys and certificates, checked and ready to use.

:mod:`airflow_provider_oac.auth.pem_input` finds them in the input. Errors, reprs and the log contain nothing of the key
or the passphrase, and no error is raised while another exception is handled, because that exception may contain them.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from airflow_provider_oac.auth.pem_input import COPY_AGAIN, Block, Given, find, is_mask, refusal, take
from airflow_provider_oac.transport.forking import ProcessLock

__all__ = ["PrivateKey", "certificate_expiry", "certificate_thumbprint", "check_pair", "load_private_key"]

log = logging.getLogger(__name__)

MIN_RSA_BITS = 2048
"""Smallest RSA key for RS256 (documented: RFC 7518 section 3.3)."""

# Object identifier of RSASSA-PSS (RFC 4055 section 1.2). cryptography reads such a key like any RSA key.
_PSS = bytes.fromhex("06092a864886f70d01010a")
# First bytes of formats that cryptography refuses without a reason: RSA keys of version 1 (RFC 8017 A.1.2) and PKCS#12
# (RFC 7292).
_BEGINNINGS = {
    b"\2\1\1\2": "an RSA key of more than two primes, which cannot be read here",
    b"\2\1\3\x30": "a PKCS#12 bundle (extract the key from it: openssl pkcs12 -in FILE -nocerts -noenc)",
}
_LOADERS: tuple[tuple[Callable[[bytes], object], str], ...] = (
    (x509.load_der_x509_certificate, "a certificate"),
    (x509.load_der_x509_csr, "a certificate request"),
    (serialization.load_der_public_key, "a public key"),
    (lambda data: serialization.load_der_private_key(data, None), "a private key"),
)
_UNREADABLE = (ValueError, UnsupportedAlgorithm, x509.InvalidVersion)
# Keys are cached, because each signs many assertions. One thread loads at a time, so a warning is logged once.
_loading = ProcessLock()


@dataclass(frozen=True)
class PrivateKey:
    """An RSA private key that is ready to sign.

    :param key: the key.
    :param form: the form in which it was given, for people, e.g. ``PEM PKCS#8 with literal \\n``.
    :param warning: what to correct although the key works, e.g. the file's permissions. It is logged when the key is
        loaded.
    """

    key: RSAPrivateKey = field(repr=False)
    form: str
    warning: str | None = None

    def pem(self) -> bytes:
        """The key as PEM (PKCS#8), not encrypted."""
        plain = serialization.NoEncryption()
        return self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)


class _Unusable(NamedTuple):
    """Why a block contains no key, and what to do."""

    seen: str
    step: str


_LOCKED = _Unusable(
    "it is encrypted, and no passphrase is given",
    "Enter the key's passphrase in its own field, or give the key unencrypted",
)
_NOT_OPENED = _Unusable(
    "the passphrase does not open it",
    "Enter the passphrase of this key, without blanks around it. If it is right, the key "
    "is damaged or its cipher unknown here: convert it with openssl pkcs8 -topk8 -v2 aes256 -in FILE",
)
_UNSUPPORTED = _Unusable(
    "its kind or its encryption cannot be read here",
    "Give an RSA key, and one with a cipher of today: openssl pkcs8 -topk8 -v2 aes256 -in FILE",
)

_MAKE_ANOTHER = (
    "Make another key and certificate (python -m airflow_provider_oac keygen), and register that certificate in the "
    "application"
)


def load_private_key(text: str, passphrase: str | None = None, *, folder: str | None) -> PrivateKey:
    """Read an RSA private key as it was pasted.

    This process caches the last keys. A changed text, passphrase or file is read again. Errors are not cached.

    :param text: PEM (PKCS#1 or PKCS#8, encrypted or not) with newlines real, escaped, replaced by blanks or
        lost; base64 of PEM or of DER; or the absolute or ``~`` path of a file that holds any of these or
        binary DER. The text may hold other blocks, such as a certificate, besides the key.
    :param passphrase: passphrase of an encrypted key. An empty one counts as none.
    :param folder: the folder that paths are limited to, if any.
    :returns: the key, its form, and a warning if there is something to correct.
    :raises OACConfigurationError: if there is no usable RSA key of 2048 bits or more in it (RS256 is the only
        algorithm that identity domains accept: documented).
    """
    given = take(text, "private key", folder)
    with _loading:
        return _load(given, passphrase or "")


def certificate_thumbprint(certificate: str, *, folder: str | None) -> str:
    """The ``x5t`` header of a certificate: base64url of the SHA-1 of its DER form, without padding.

    Documented: RFC 7515 section 4.1.7.

    :param certificate: the certificate, in any of the forms that :func:`load_private_key` takes for a key. The first
        certificate of a chain counts.
    :param folder: the folder that paths are limited to, if any.
    :raises OACConfigurationError: if there is no certificate in it.
    """
    digest = _certificate(certificate, folder).fingerprint(hashes.SHA1())  # noqa: S303 (a name, no protection)
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def certificate_expiry(certificate: str, *, folder: str | None) -> float:
    """When a certificate expires, in seconds since the epoch.

    The parameters and the errors are those of :func:`certificate_thumbprint`.
    """
    return _certificate(certificate, folder).not_valid_after_utc.timestamp()


def check_pair(key: PrivateKey, certificate: str, *, folder: str | None) -> None:
    """Make sure that a certificate belongs to a private key.

    :param certificate: as for :func:`certificate_thumbprint`, as is ``folder``.
    :raises OACConfigurationError: if it does not, or if there is no certificate in it.
    """
    try:
        public = _certificate(certificate, folder).public_key()
    except (UnsupportedAlgorithm, ValueError):
        public = None
    if public != key.key.public_key():
        raise refusal(
            "certificate",
            "it does not belong to the private key: their public keys differ",
            "Give the certificate that was made from this key, and register the same one in the confidential "
            "application. Of a chain, the application's own certificate must come first",
        )


@lru_cache(maxsize=16)
def _load(given: Given, passphrase: str) -> PrivateKey:
    secrets = _passphrases(passphrase)
    found = find(given)
    block = found[0]
    key, form, encrypted = _open(given, block, secrets)
    if not isinstance(key, RSAPrivateKey):
        kind = type(key).__name__.lstrip("_").removesuffix("PrivateKey")
        raise refusal(given.what, f"{form}: a key of the kind {kind}, and RS256 needs an RSA key")
    if key.key_size < MIN_RSA_BITS:
        seen = f"{form}: an RSA key of {key.key_size} bits, and RS256 needs {MIN_RSA_BITS} or more"
        raise refusal(given.what, seen, _MAKE_ANOTHER)
    warnings = [given.warning] if given.warning else []
    if len(found) > 1:
        warnings.append(f"{len(found)} private keys were given and the first one is used: remove the others")
    if secrets and not encrypted:
        warnings.append("a passphrase is given but the key is not encrypted: remove the passphrase")
    warning = "; ".join(warnings) or None
    if warning:
        log.warning("The private key (%s) works, but %s.", form, warning)
    return PrivateKey(key, form, warning)


def _open(given: Given, block: Block, secrets: list[bytes]) -> tuple[PrivateKeyTypes, str, bool]:
    """The key of a block, its form, and whether it is encrypted."""
    problem, shown = _Unusable(block.damage, COPY_AGAIN), block.readings[0][1] if block.readings else ""
    for data, shape in block.readings:
        load = serialization.load_pem_private_key if block.encrypted else serialization.load_der_private_key
        if _PSS in data[:50]:
            seen = f"{block.form(shape)}: an RSA-PSS key, whose signatures by RS256 no domain accepts"
            raise refusal(given.what, seen, _MAKE_ANOTHER)
        locked = False
        for secret in (None, *secrets):
            try:
                # Without the test that the primes are primes, which stops all threads for 30 ms to seconds.
                key = load(data, secret, unsafe_skip_rsa_key_validation=True)
                if not isinstance(key, RSAPrivateKey) or _fits(key):
                    return key, block.form(shape), locked
                break
            except UnsupportedAlgorithm:
                problem, shown = _UNSUPPORTED, shape
            except TypeError:
                # It is encrypted, and the first attempt is without a passphrase.
                locked, problem, shown = True, _NOT_OPENED if secrets else _LOCKED, shape
            except ValueError:
                if not locked:
                    break
    if problem.seen == block.damage and (other := _other(block)):
        problem = _Unusable(f"it is {other}", _MAKE_ANOTHER if "two primes" in other else "")
    raise refusal(given.what, f"{block.form(shown)}: {problem.seen}", problem.step)


def _fits(key: RSAPrivateKey) -> bool:
    """Whether the numbers of a key belong together (RFC 8017 section 3.2).

    :raises ValueError: if they are no key at all.
    """
    numbers = key.private_numbers()
    p, q, d, e = numbers.p, numbers.q, numbers.d, numbers.public_numbers.e
    return (
        min(p, q) > 2
        and p * q == numbers.public_numbers.n
        and (numbers.dmp1, numbers.dmq1) == (d % (p - 1), d % (q - 1))
        and numbers.iqmp * q % p == d * e % (p - 1) == d * e % (q - 1) == 1
    )


def _other(block: Block) -> str:
    """What a block contains instead of the wanted key or certificate; empty if unknown."""
    for data, _ in block.readings:
        for load, kind in _LOADERS:
            try:
                load(data)
            except TypeError:
                return "a private key"  # an encrypted one
            except _UNREADABLE:
                continue
            return kind
    begins = {data[:50] for data, _ in block.readings}
    return next((kind for mark, kind in _BEGINNINGS.items() if any(mark in begin for begin in begins)), "")


def _certificate(text: str, folder: str | None) -> x509.Certificate:
    block = find(take(text, "certificate", folder))[0]
    for data, _ in block.readings:
        with suppress(*_UNREADABLE):
            return x509.load_der_x509_certificate(data)
    shape = block.readings[0][1] if block.readings else ""
    if other := _other(block):
        raise refusal("certificate", f"{block.form(shape)}: it is {other}")
    raise refusal("certificate", f"{block.form(shape)}: {block.damage}", COPY_AGAIN)


def _passphrases(passphrase: str) -> list[bytes]:
    """The passphrases to try: as given, then without the newline at the end of many secret files."""
    if not passphrase:
        return []
    if is_mask(passphrase):
        raise refusal(
            "private key",
            "its passphrase is only asterisks, the mask that is shown instead of a saved secret",
            "Enter the passphrase itself again",
        )
    encoded = passphrase.encode("utf-8", "surrogatepass")
    return list(dict.fromkeys([encoded, encoded.rstrip(b"\r\n") or encoded]))
