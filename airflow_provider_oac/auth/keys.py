"""Private keys and certificates, checked and ready to use.

:mod:`airflow_provider_oac.auth.pem_input` finds them in whatever was pasted; here their numbers must fit together
and suit the algorithm. Errors, reprs and the log never hold a part of the key or of the passphrase, and an
error is never raised while another exception is being handled, because that one may hold them.
"""

from __future__ import annotations

import base64
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from airflow_provider_oac.auth.pem_input import COPY_AGAIN, Block, Given, find, is_mask, refusal, take
from airflow_provider_oac.transport.forking import ProcessLock

__all__ = ["PrivateKey", "certificate_expiry", "certificate_thumbprint", "check_pair", "load_private_key"]

log = logging.getLogger(__name__)

MIN_RSA_BITS = 2048
"""Smallest RSA key for RS256 (documented: RFC 7518 section 3.3)."""

CACHE_SIZE = 16


@dataclass(frozen=True)
class PrivateKey:
    """An RSA private key that is ready to sign.

    :param key: the key itself. Its text is not kept.
    :param form: the form in which it was given, for people, e.g. ``PEM PKCS#8 with literal \\n``.
    :param warning: what somebody should put right although the key works, e.g. the file's permissions.
        It is logged when the key is loaded.
    """

    key: RSAPrivateKey = field(repr=False)
    form: str
    warning: str | None = None

    def pem(self) -> bytes:
        """The key as PEM (PKCS#8), not encrypted."""
        plain = serialization.NoEncryption()
        return self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)


class _Unusable(NamedTuple):
    """Why a block gives no key, and what to do."""

    seen: str
    step: str


_CORRUPT = _Unusable("its parts do not fit together, so characters were changed", COPY_AGAIN)
_LOCKED = _Unusable(
    "it is encrypted, and no passphrase is given",
    "Enter the key's passphrase in its own field, or give the key unencrypted",
)
_NOT_OPENED = _Unusable(
    "the passphrase does not open it",
    "Enter the passphrase of this very key, without blanks around it. If it is right, the key "
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
_MANY_PRIMES = _Unusable("an RSA key of more than two primes, which cannot be read here", _MAKE_ANOTHER)

_cache: OrderedDict[bytes, PrivateKey] = OrderedDict()
_cache_lock = ProcessLock()


def load_private_key(text: str, passphrase: str | None = None, *, folder: str | None) -> PrivateKey:
    """Read an RSA private key as it was pasted.

    A key signs many assertions, so the last keys are kept in this process under a SHA-256 of what was given, or of
    what the file holds: a changed text, passphrase or file is read anew. The key's warning is logged at that moment
    only. Errors are not kept.

    :param text: PEM (PKCS#1 or PKCS#8, encrypted or not) with newlines real, escaped, replaced by blanks or
        lost; base64 of PEM or of DER; or the absolute or ``~`` path of a file that holds any of these or
        binary DER. Other blocks, such as a certificate, may stand beside the key.
    :param passphrase: of an encrypted key. An empty one counts as none.
    :param folder: the folder that paths are limited to, if they are.
    :returns: the key, the form seen, and a warning if there is something to put right.
    :raises OACConfigurationError: if there is no usable RSA key of 2048 bits or more in it (RS256 is the only
        algorithm that identity domains accept: documented).
    """
    given = take(text, "private key", folder)
    digest = hashlib.sha256()
    for part in (given.raw, passphrase or "", given.origin, given.warning or ""):
        encoded = part if isinstance(part, bytes) else part.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
    name = digest.digest()
    with _cache_lock:
        if name in _cache:
            _cache.move_to_end(name)
            return _cache[name]
    key = _load(given, passphrase)
    with _cache_lock:
        if name in _cache:  # another thread was faster, and has warned
            return _cache[name]
        _cache[name] = key
        while len(_cache) > CACHE_SIZE:
            _cache.popitem(last=False)
    if key.warning:
        log.warning("The private key (%s) works, but %s.", key.form, key.warning)
    return key


def certificate_thumbprint(certificate: str, *, folder: str | None) -> str:
    """The ``x5t`` header of a certificate: base64url of the SHA-1 of its DER form, without padding
    (documented: RFC 7515 section 4.1.7).

    :param certificate: the certificate, in any of the forms that :func:`load_private_key` takes for a key. Of a
        chain, the first one counts.
    :param folder: the folder that paths are limited to, if they are.
    :raises OACConfigurationError: if there is no certificate in it.
    """
    _, der = _certificate(certificate, folder)
    digest = hashlib.sha1(der, usedforsecurity=False).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def certificate_expiry(certificate: str, *, folder: str | None) -> float:
    """When a certificate ends, in seconds since the epoch.

    The parameters and the errors are those of :func:`certificate_thumbprint`.
    """
    parsed, _ = _certificate(certificate, folder)
    return parsed.not_valid_after_utc.timestamp()


def check_pair(key: PrivateKey, certificate: str, *, folder: str | None) -> None:
    """Make sure that a certificate belongs to a private key.

    :param certificate: as for :func:`certificate_thumbprint`, as is ``folder``.
    :raises OACConfigurationError: if it does not, or if there is no certificate in it.
    """
    parsed, _ = _certificate(certificate, folder)
    try:
        public = parsed.public_key()
    except (UnsupportedAlgorithm, ValueError):
        public = None
    if public != key.key.public_key():
        raise refusal(
            "certificate",
            "it does not belong to the private key: their public keys differ",
            "Give the certificate that was made from this key, and register the same one in the confidential "
            "application. Of a chain, the application's own certificate must come first",
        )


def _load(given: Given, passphrase: str | None) -> PrivateKey:
    secrets = _passphrases(passphrase)
    found = find(given)
    block = found[0]
    key = _open(block, secrets)
    if isinstance(key, _Unusable):
        raise refusal(given.what, f"{block.form}: {key.seen}", key.step)
    if not isinstance(key, RSAPrivateKey):
        kind = type(key).__name__.lstrip("_").removesuffix("PrivateKey")
        raise refusal(given.what, f"{block.form}: a key of the kind {kind}, and RS256 needs an RSA key")
    if block.for_pss_only:
        raise refusal(
            given.what,
            f"{block.form}: an RSA-PSS key, whose signatures by RS256 nobody accepts",
            _MAKE_ANOTHER,
        )
    if key.key_size < MIN_RSA_BITS:
        raise refusal(
            given.what,
            f"{block.form}: an RSA key of {key.key_size} bits, and RS256 needs {MIN_RSA_BITS} or more",
            _MAKE_ANOTHER,
        )
    warnings = [given.warning] if given.warning else []
    if len(found) > 1:
        warnings.append(f"{len(found)} private keys were given and the first one is used: remove the others")
    if secrets and not block.encrypted:
        warnings.append("a passphrase is given but the key is not encrypted: remove the passphrase")
    return PrivateKey(key=key, form=block.form, warning="; ".join(warnings) or None)


def _fits(key: RSAPrivateKey) -> bool:
    """Whether the numbers of a key belong together (RFC 8017 section 3.2).

    The library's own validation also makes sure that the primes are primes, which takes 30 ms in which no other thread
    moves, and which no changed character can leave untrue alone.
    """
    try:
        numbers = key.private_numbers()
    except ValueError:
        return False
    p, q, d, public = numbers.p, numbers.q, numbers.d, numbers.public_numbers
    return (
        min(p, q) > 2
        and p * q == public.n
        and numbers.dmp1 == d % (p - 1)
        and numbers.dmq1 == d % (q - 1)
        and numbers.iqmp * q % p == 1
        and d * public.e % (p - 1) == 1
        and d * public.e % (q - 1) == 1
    )


def _open(block: Block, secrets: list[bytes]) -> PrivateKeyTypes | _Unusable:
    load, data = serialization.load_der_private_key, block.data
    if block.legacy:
        load, data = serialization.load_pem_private_key, _legacy_pem(block)
    if block.many_primes:
        return _MANY_PRIMES
    problem = _LOCKED if block.encrypted else _CORRUPT
    for secret in secrets if block.encrypted else [None]:
        try:
            key = load(data, secret, unsafe_skip_rsa_key_validation=True)
            return _CORRUPT if isinstance(key, RSAPrivateKey) and not _fits(key) else key
        except UnsupportedAlgorithm:
            return _UNSUPPORTED
        except (TypeError, ValueError):
            problem = _NOT_OPENED if block.encrypted else _CORRUPT
    if problem is _CORRUPT and (other := _other_than_key(block)):
        return _Unusable(f"it is {other}", "")
    return problem


def _legacy_pem(block: Block) -> bytes:
    """An encrypted PKCS#1 key as its reader wants it: in lines, with its headers."""
    label = f"{block.label.removesuffix('PRIVATEKEY')} PRIVATE KEY".strip()
    headers = f"Proc-Type: 4,ENCRYPTED\nDEK-Info: {block.legacy}\n\n"
    body = base64.encodebytes(block.data).decode("ascii")
    return f"-----BEGIN {label}-----\n{headers}{body}-----END {label}-----\n".encode("ascii")


def _other_than_key(block: Block) -> str:
    """What DER holds that is no private key; empty if it is not known."""
    if block.kind == "PKCS#12":
        return "a PKCS#12 bundle (extract the key from it: openssl pkcs12 -in FILE -nocerts -noenc)"
    kinds: tuple[tuple[Callable[[bytes], object], str], ...] = (
        (x509.load_der_x509_certificate, "a certificate"),
        (x509.load_der_x509_csr, "a certificate request"),
        (serialization.load_der_public_key, "a public key"),
    )
    for load, kind in kinds:
        try:
            load(block.data)
        except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion):
            continue
        return kind
    return ""


def _certificate(text: str, folder: str | None) -> tuple[x509.Certificate, bytes]:
    block = find(take(text, "certificate", folder))[0]
    try:
        return x509.load_der_x509_certificate(block.data), block.data
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion):
        is_key = block.kind not in ("", "certificate", "PKCS#12")
    if other := "a private key" if is_key else _other_than_key(block):
        raise refusal("certificate", f"{block.form}: it is {other}")
    raise refusal("certificate", f"{block.form}: {_CORRUPT.seen}", _CORRUPT.step)


def _passphrases(passphrase: str | None) -> list[bytes]:
    """What to try: the passphrase, then without the newline that a secret file often ends with."""
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
