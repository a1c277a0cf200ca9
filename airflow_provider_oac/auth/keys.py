"""Private keys and certificates, in every form in which people paste them into a Connection.

A web form, an environment variable, a JSON or YAML file and a Connection URI each damage a PEM file in a way
of their own. What can be undone without guessing is undone here: a result counts only if it is a complete DER
structure and, for a private key, if its numbers fit together. Everything else is an error that names the form
seen and the next step. Neither errors nor reprs ever hold a part of the key or of the passphrase, and an
error is never raised while another exception is being handled, because that one may hold them.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import stat
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import unquote, unquote_plus, urlsplit

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from airflow_provider_oac.exceptions import OACConfigurationError

__all__ = ["PrivateKey", "certificate_thumbprint", "check_pair", "load_private_key"]

MIN_RSA_BITS = 2048
"""Smallest RSA key for RS256 (documented: RFC 7518 section 3.3)."""

CACHE_SIZE = 16
_MAX_BYTES = 128 * 1024
_MAX_DEPTH = 3

_DASHES = "[-\u2010-\u2015\u2212]{2,10}"  # word processors turn hyphens into dashes
_BEGIN = rf"{_DASHES}\s{{0,10}}BEGIN"
_ARMOUR = re.compile(
    rf"{_BEGIN}(?P<label>[A-Z0-9\s]{{0,40}}?)\s{{0,10}}{_DASHES}(?P<body>.*?)"
    rf"(?:{_DASHES}\s{{0,10}}END[A-Z0-9\s]{{0,40}}(?={_DASHES})|(?={_BEGIN})|\Z)",
    re.DOTALL,
)
_LEGACY = re.compile(
    r"\s*Proc-Type:\s*4,\s*ENCRYPTED\s*DEK-Info:\s*"
    r"(?P<info>DES[A-Z0-9-]{0,20},\s*[0-9A-F]{16}|[A-Z0-9-]{3,20},\s*[0-9A-F]{32})",
    re.IGNORECASE,
)
_INVISIBLE = re.compile("[\u200b-\u200d\u2060\ufeff]")
_PYTHON_LITERAL = re.compile(r"^[bru]{1,2}['\"]")
_AROUND = " \t\r\n\"'`,;"
_PERCENT = re.compile(r"%(?:0A|0D|2[0257BF]|3D)", re.IGNORECASE)
_ESCAPED_CHARACTER = re.compile(r"\\+(?:u00|x)([0-9a-fA-F]{2})")
_ESCAPED_NEWLINE = re.compile(r"\\+[nrt]")
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,3}")

_OPENSSH_MAGIC = b"openssh-key-v1\0"
_JKS_MAGIC = b"\xfe\xed\xfe\xed"
_DER = "DER"  # stands for the label where there is no PEM armour
_KEYS = {
    "PRIVATEKEY": "PKCS#8",
    "ENCRYPTEDPRIVATEKEY": "encrypted PKCS#8",
    "RSAPRIVATEKEY": "PKCS#1",
    "ECPRIVATEKEY": "EC key",
    "DSAPRIVATEKEY": "DSA key",
    "OPENSSHPRIVATEKEY": "OpenSSH key",
}
_CERTIFICATES = {"CERTIFICATE", "X509CERTIFICATE"}
_OTHERS = {
    "PUBLICKEY": "a public key",
    "RSAPUBLICKEY": "a public key",
    "SSH2PUBLICKEY": "a public key",
    "TRUSTEDCERTIFICATE": "a certificate in OpenSSL's own format",
    "CERTIFICATEREQUEST": "a certificate request",
    "NEWCERTIFICATEREQUEST": "a certificate request",
    "PKCS7": "a PKCS#7 bundle of certificates",
    "JKS": "a Java key store",
    **dict.fromkeys(_CERTIFICATES, "a certificate"),
    **dict.fromkeys(_KEYS, "a private key"),
}
_UNREADABLE = (
    (r"ssh-|ecdsa-", "an OpenSSH public key", ""),
    (r"PuTTY-User-Key-File", "a PuTTY key file", "Export it in PuTTYgen as an OpenSSH key. "),
    (r'(?s).*"kty"\s*:', "a JSON Web Key", "Convert it to PEM. "),
    (r"\$|\{\{|<", "a variable or placeholder that nothing has replaced", ""),
    (
        r"[\w.-][\w./-]*\.(?:pem|key|der|p8|pk8|crt|cer|txt)\Z",
        "a relative path",
        "Give an absolute path: a task's working directory is not predictable. ",
    ),
)
_NOT_BASE64 = "its body is not base64, so characters are missing, replaced or added"
_COPY_AGAIN = "Copy the whole file again, from its BEGIN line to its END line"
_CORRUPT = ": its parts do not fit together, so characters were changed"
_LOCKED = ": it is encrypted, and no passphrase is given"
_NOT_OPENED = ": the passphrase does not open it"
_UNSUPPORTED = ": its kind or its encryption cannot be read here"
_TOO_SHORT = f", and RS256 needs {MIN_RSA_BITS} or more"
_STEPS = {
    _CORRUPT: _COPY_AGAIN,
    _LOCKED: "Enter the key's passphrase in its own field, or give the key unencrypted",
    _NOT_OPENED: "Enter the passphrase of this very key, without blanks around it. If it is right, the key "
    "is damaged or its cipher unknown here: convert it with openssl pkcs8 -topk8 -v2 aes256 -in FILE",
    _UNSUPPORTED: "Convert it to PKCS#8 where it was made: openssl pkcs8 -topk8 -in FILE, or for an OpenSSH "
    "key ssh-keygen -p -m PKCS8 -f COPY_OF_FILE",
    _TOO_SHORT: "Make a new key and certificate, and register that certificate in the application",
}
_WANTED = {
    "private key": "Give the RSA private key that belongs to the certificate registered in the confidential "
    "application: the file whose first line says BEGIN PRIVATE KEY or BEGIN RSA PRIVATE KEY, or its absolute "
    "path",
    "certificate": "Give the X.509 certificate registered in the confidential application: the file whose "
    "first line says BEGIN CERTIFICATE, or its absolute path",
}


@dataclass(frozen=True)
class PrivateKey:
    """An RSA private key that is ready to sign.

    :param key: the key itself. Its text is not kept.
    :param form: the form in which it was given, for people, e.g. ``PEM PKCS#8 with literal \\n``.
    :param warning: what somebody should put right although the key works, e.g. the file's permissions.
    """

    key: RSAPrivateKey = field(repr=False)
    form: str
    warning: str | None = None


@dataclass(frozen=True)
class _Block:
    """One thing found in what was pasted: a PEM block, or DER without armour."""

    label: str
    data: bytes = field(repr=False)
    prefix: str
    shape: str = ""
    damage: str = ""
    legacy: str = ""

    @property
    def form(self) -> str:
        if self.legacy:
            kind = "encrypted PKCS#1"
        elif self.label in _CERTIFICATES:
            kind = "certificate"
        else:
            kind = _structure(self.data) or _KEYS.get(self.label, "")
        return f"{self.prefix} {kind}".rstrip() + self.shape


_cache: OrderedDict[bytes, PrivateKey] = OrderedDict()
_cache_lock = threading.Lock()


def load_private_key(text: str, passphrase: str | None = None) -> PrivateKey:
    """Read an RSA private key as it was pasted.

    Checking the key's numbers takes some 30 ms and a key signs many assertions, so the last keys are kept in
    this process under a SHA-256 of what was given. A changed text, passphrase or file is read anew. Errors
    are not kept.

    :param text: PEM (PKCS#1, PKCS#8, encrypted or not, OpenSSH) with newlines real, escaped, replaced by
        blanks or lost; base64 of PEM or of DER; or the absolute path, ``~`` path or ``file:`` URL of a file
        that holds any of these or binary DER. Other blocks, such as a certificate, may stand beside the key.
    :param passphrase: of an encrypted key. An empty one counts as none.
    :returns: the key, the form seen, and a warning if there is something to put right.
    :raises OACConfigurationError: if there is no usable RSA key of 2048 bits or more in it (RS256 is the only
        algorithm that identity domains accept: documented).
    """
    digest = hashlib.sha256()
    for part in (text, passphrase or "", _file_state(text)):
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
    name = digest.digest()
    with _cache_lock:
        if name in _cache:
            _cache.move_to_end(name)
            return _cache[name]
    key = _load(text, passphrase)
    with _cache_lock:
        _cache[name] = key
        while len(_cache) > CACHE_SIZE:
            _cache.popitem(last=False)
    return key


def certificate_thumbprint(certificate_pem: str) -> str:
    """The ``x5t`` header of a certificate: base64url of the SHA-1 of its DER form, without padding
    (documented: RFC 7515 section 4.1.7).

    :param certificate_pem: the certificate, in any of the forms that :func:`load_private_key` takes for a
        key. Of a chain, the first one counts.
    :raises OACConfigurationError: if there is no certificate in it.
    """
    _, der = _certificate(certificate_pem)
    digest = hashlib.sha1(der, usedforsecurity=False).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def check_pair(key: PrivateKey, certificate: str) -> None:
    """Make sure that a certificate belongs to a private key.

    :param certificate: as for :func:`certificate_thumbprint`.
    :raises OACConfigurationError: if it does not, or if there is no certificate in it.
    """
    parsed, _ = _certificate(certificate)
    try:
        public = parsed.public_key()
    except (UnsupportedAlgorithm, ValueError):
        public = None
    if public != key.key.public_key():
        raise _refusal(
            "certificate",
            "it does not belong to the private key: their public keys differ",
            "Give the certificate that was made from this key, and register the same one in the confidential "
            "application. Of a chain, the application's own certificate must come first",
        )


# ---------------------------------------------------------------------------- from blocks to a key


def _load(text: str, passphrase: str | None) -> PrivateKey:
    secrets = _passphrases(passphrase)
    blocks, warning = _read(text, "private key")
    keys = [block for block in blocks if block.label in _KEYS or block.label == _DER]
    if not keys:
        raise _refusal("private key", f"it is {_contents(blocks)}")
    block = keys[0]
    if block.damage:
        raise _refusal("private key", f"{block.form}: {block.damage}", _COPY_AGAIN)
    key, encrypted = _open(block, secrets)
    form = f"{block.form}, encrypted" if encrypted and "encrypted" not in block.form else block.form
    if isinstance(key, str):
        raise _refusal("private key", f"{form}{key}", _STEPS.get(key, ""))
    if not isinstance(key, RSAPrivateKey):
        kind = type(key).__name__.lstrip("_").removesuffix("PrivateKey")
        raise _refusal("private key", f"{form}: a key of the kind {kind}, and RS256 needs an RSA key")
    if key.key_size < MIN_RSA_BITS:
        raise _refusal("private key", f"{form}: an RSA key of {key.key_size} bits{_TOO_SHORT}", _STEPS[_TOO_SHORT])
    warnings = [warning] if warning else []
    if len(keys) > 1:
        warnings.append(f"{len(keys)} private keys were given and the first one is used: remove the others")
    if secrets and not encrypted:
        warnings.append("a passphrase is given but the key is not encrypted: remove the passphrase")
    return PrivateKey(key=key, form=form, warning="; ".join(warnings) or None)


def _open(block: _Block, secrets: list[bytes]) -> tuple[PrivateKeyTypes | str, bool]:
    """The key, or the reason why there is none; and whether it is encrypted."""
    load: Callable[[bytes, bytes | None], PrivateKeyTypes] = serialization.load_der_private_key
    data = block.data
    if block.label == "OPENSSHPRIVATEKEY":
        load, data = serialization.load_ssh_private_key, _pem("OPENSSH PRIVATE KEY", data)
    elif block.legacy:
        kind = block.label.removesuffix("PRIVATEKEY")
        headers = f"Proc-Type: 4,ENCRYPTED\nDEK-Info: {block.legacy}\n\n"
        load, data = serialization.load_pem_private_key, _pem(f"{kind} PRIVATE KEY".strip(), data, headers)
    reason, encrypted = "", False
    for secret in (None, *secrets):
        try:
            return load(data, secret), encrypted
        except TypeError:  # what cryptography raises if a passphrase is needed and none is given
            reason, encrypted = _LOCKED, True
        except UnsupportedAlgorithm:
            return _UNSUPPORTED, encrypted
        except ValueError:
            reason = _NOT_OPENED if encrypted else _CORRUPT
            if not encrypted:
                break
    if reason == _CORRUPT and block.label == _DER and (other := _other_der(data)):
        reason = f": it is {other}"
    return reason, encrypted


def _pem(label: str, data: bytes, headers: str = "") -> bytes:
    body = base64.encodebytes(data).decode("ascii")
    return f"-----BEGIN {label}-----\n{headers}{body}-----END {label}-----\n".encode("ascii")


def _other_der(der: bytes) -> str:
    """What DER holds that is no private key; empty if it is not known."""
    if _structure(der) == "PKCS#12":
        return "a PKCS#12 bundle (extract the key from it: openssl pkcs12 -in FILE -nocerts -noenc)"
    kinds: tuple[tuple[Callable[[bytes], object], str], ...] = (
        (x509.load_der_x509_certificate, "a certificate"),
        (x509.load_der_x509_csr, "a certificate request"),
        (serialization.load_der_public_key, "a public key"),
    )
    for load, kind in kinds:
        try:
            load(der)
        except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion):
            continue
        return kind
    return ""


def _certificate(text: str) -> tuple[x509.Certificate, bytes]:
    blocks, _ = _read(text, "certificate")
    found = [block for block in blocks if block.label in _CERTIFICATES or block.label == _DER]
    if not found:
        raise _refusal("certificate", f"it is {_contents(blocks)}")
    block = found[0]
    if block.damage:
        raise _refusal("certificate", f"{block.form}: {block.damage}", _COPY_AGAIN)
    try:
        return x509.load_der_x509_certificate(block.data), block.data
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion):
        opened, encrypted = _open(block, [])
    is_key = encrypted or not isinstance(opened, str)
    if other := "a private key" if is_key else _other_der(block.data):
        raise _refusal("certificate", f"{block.form}: it is {other}")
    raise _refusal("certificate", f"{block.form}{_CORRUPT}", _COPY_AGAIN)


def _refusal(what: str, seen: str, step: str = "") -> OACConfigurationError:
    return OACConfigurationError(f"The {what} cannot be used: {seen}. {step or _WANTED[what]}.")


def _contents(blocks: list[_Block]) -> str:
    return " and ".join(dict.fromkeys(_OTHERS.get(b.label, "a PEM block of another kind") for b in blocks))


def _passphrases(passphrase: str | None) -> list[bytes]:
    """What to try: the passphrase, then without the newline that a secret file often ends with."""
    if not passphrase:
        return []
    if _is_mask(passphrase):
        raise _refusal(
            "private key",
            "its passphrase is only asterisks, the mask that is shown instead of a saved secret",
            "Enter the passphrase itself again",
        )
    encoded = passphrase.encode("utf-8", "surrogatepass")
    return list(dict.fromkeys([encoded, encoded.rstrip(b"\r\n") or encoded]))


def _is_mask(text: str) -> bool:
    return len(text) >= 3 and set(text) == {"*"}


# ------------------------------------------------------------------------------- from text to blocks


def _read(text: str, what: str) -> tuple[list[_Block], str | None]:
    """Find what was pasted or what the file named holds: at least one block, and a warning about the file."""
    text = _clean(text)
    if not text:
        raise _refusal(what, "it is empty")
    if _is_mask(text):
        raise _refusal(
            what,
            "it is only asterisks, the mask that is shown instead of a saved secret",
            f"Enter the {what} itself again",
        )
    warning = None
    path = _path(text, what)
    if path is not None:
        raw, warning = _read_file(path, what)
        blocks, seen = _unpack_bytes(raw, "file with "), f"a file of {len(raw)} bytes that holds neither"
        text = _clean(raw.decode("utf-8", "replace"))
    else:
        if len(text) > _MAX_BYTES:
            raise _refusal(what, f"{len(text)} characters are too many for a {what}")
        blocks, seen = _unpack(text, ""), f"text of {len(text)} characters that is neither"
    if not blocks:
        hint = next(((found, step) for start, found, step in _UNREADABLE if re.match(start, text)), None)
        found, step = hint or (f"{seen} PEM nor DER, nor base64 of one of them", "")
        raise _refusal(what, f"it is {found}", step + _WANTED[what])
    return blocks, warning


def _clean(text: str) -> str:
    """Take off what does not belong: invisible characters, white space, quotes, Python's ``b'...'``."""
    text = _INVISIBLE.sub("", text).strip(_AROUND)
    return _PYTHON_LITERAL.sub("", text).strip(_AROUND)


def _unpack_bytes(raw: bytes, origin: str, depth: int = 0) -> list[_Block]:
    total = _der_length(raw)
    if total is not None and (raw[1] >= 0x80 or total == len(raw)):
        data, damage = _fit(raw)
        return [_Block(_DER, data, f"{origin}DER" if depth else f"{origin}binary DER", damage=damage)]
    if raw.startswith(_OPENSSH_MAGIC):
        return [_Block("OPENSSHPRIVATEKEY", raw, origin.rstrip())]
    if raw.startswith(_JKS_MAGIC):
        return [_Block("JKS", b"", origin.rstrip())]
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = raw.decode("utf-16", "replace")
    else:  # PowerShell writes UTF-16, and its base64 of text often has no byte order mark
        text = raw.decode("utf-16-le" if b"\0" in raw[1:64:2] else "utf-8", "replace")
    return _unpack(_clean(text), origin, depth)


def _unpack(text: str, origin: str, depth: int = 0) -> list[_Block]:
    """Undo what happened to newlines and characters, then read PEM blocks, else base64 of something."""
    shape = " with CRLF" if "\r\n" in text else ""
    for _ in range(_MAX_DEPTH):
        if not _PERCENT.search(text):
            break
        shape = ", percent-encoded"
        text = unquote_plus(text) if re.search(r"BEGIN\+", text) else unquote(text)
    text = _ESCAPED_CHARACTER.sub(lambda found: chr(int(found[1], 16)), text)
    if _ESCAPED_NEWLINE.search(text):
        shape = " with literal \\n"
    text = _clean(_ESCAPED_NEWLINE.sub("\n", text).replace("\\", ""))
    blocks = [
        _armoured("".join(found["label"].split()), found["body"], origin, shape) for found in _ARMOUR.finditer(text)
    ]
    if not blocks and depth < _MAX_DEPTH:
        for raw, _ in _from_base64(text):
            blocks = blocks or _unpack_bytes(raw, f"{origin}base64 of ", depth + 1)
    return blocks


def _armoured(label: str, body: str, origin: str, shape: str) -> _Block:
    inner = body.strip()
    if not shape and not re.search(r"[\r\n]", inner):
        shape = " with blanks instead of newlines" if re.search(r"\s", inner) else " on one line"
    legacy = _LEGACY.search(body)
    info = "".join(legacy["info"].split()).upper() if legacy else ""
    readings = _from_base64(body[legacy.end() :] if legacy else body)
    data, damage = b"", _NOT_BASE64 if inner else "it is empty"
    if readings and (info or label == "OPENSSHPRIVATEKEY"):  # neither starts with a length to compare with
        data = readings[0][0]
        damage = "bytes are missing" if info and len(data) % 8 else ""
    elif readings:
        fits = [(*_fit(raw), note) for raw, note in readings]
        data, damage, note = next((fit for fit in fits if not fit[1]), fits[0])
        shape = shape if damage else note or shape
    if damage and inner.startswith("nMII"):
        damage = "the backslash of every \\n is lost, and only the n is left"
    return _Block(label, data, f"{origin}PEM", shape, damage, info)


def _from_base64(text: str) -> list[tuple[bytes, str]]:
    """Decode standard or url-safe base64, padded or not, without regard to white space.

    A second reading takes blanks for ``+``, which the query part of a Connection URI turns into blanks; it comes
    with a note that says so.
    """
    text = re.sub(r"[\"',;]", "", text).strip().translate(str.maketrans("-_", "+/"))
    readings = [("".join(text.split()), "")]
    if " " in (line := "".join(text.splitlines())):
        readings.append((line.replace(" ", "+"), " with blanks instead of +"))
    decoded = []
    for reading, note in readings:
        bare = reading.rstrip("=")
        if _BASE64.fullmatch(reading) and len(bare) % 4 != 1:
            decoded.append((base64.b64decode(bare + "=" * (-len(bare) % 4)), note))
    return decoded


def _der_length(raw: bytes) -> int | None:
    """How many bytes the DER sequence at the start says it has, its header included."""
    if len(raw) < 2 or raw[0] != 0x30:
        return None
    if raw[1] < 0x80:
        return 2 + raw[1]
    digits = raw[1] & 0x7F
    if not 1 <= digits <= 4 or len(raw) < 2 + digits:
        return None
    return 2 + digits + int.from_bytes(raw[2 : 2 + digits], "big")


def _fit(raw: bytes) -> tuple[bytes, str]:
    """Cut to the length that the DER header states, and say what is wrong with it, if anything."""
    total = _der_length(raw)
    if total is None:
        return raw, "its first bytes are missing or damaged"
    if total > len(raw):
        return raw, f"it is cut off: {len(raw)} of {total} bytes are there"
    if raw[total:].strip(b"\r\n\0 "):
        return raw, f"{len(raw) - total} bytes too many follow it"
    return raw[:total], ""


def _structure(der: bytes) -> str:
    """Tell the kinds of key files apart by their first members (RFC 8017 A.1.2, RFC 5958, RFC 7292)."""
    if len(der) < 2 or der[0] != 0x30:
        return ""
    start = der[2 + (der[1] & 0x7F if der[1] >= 0x80 else 0) :][:4]
    known = {
        b"\2\1\0\2": "PKCS#1",
        b"\2\1\0\x30": "PKCS#8",
        b"\2\1\1\x30": "PKCS#8",
        b"\2\1\3\x30": "PKCS#12",
    }
    return known.get(start, "")


# ------------------------------------------------------------------------------------------- files


def _path(text: str, what: str) -> str | None:
    """The path that a cleaned text names, or nothing if it is the thing itself.

    No key in base64 starts with a slash: DER starts with M, PEM in base64 with L.
    """
    if "\n" in text or "\0" in text or _ARMOUR.search(text):
        return None
    if text[:5].lower() == "file:":
        try:
            url = urlsplit(text)
            host, path = url.netloc, unquote(url.path)
        except ValueError:
            host, path = "", ""
        if host not in ("", "localhost") or not path.startswith("/") or "\0" in path:
            raise _refusal(what, "it is a file: URL without an absolute path", "Write it as file:///directory/file")
        return path
    if text[0] != "~":
        return text if text[0] == "/" else None
    try:
        return os.path.expanduser(text)
    except ValueError:  # not encodable, so no user's name
        return text


def _file_state(text: str) -> str:
    """What changes when the file named changes; empty if there is none."""
    cleaned = _clean(text)
    try:
        path = _path(cleaned, "private key") if cleaned else None
        info = os.stat(path) if path else None
    except (OSError, ValueError):
        return ""  # loading it says what is wrong
    return f"{info.st_mtime_ns} {info.st_size} {info.st_ino} {info.st_mode}" if info else ""


def _read_file(path: str, what: str) -> tuple[bytes, str | None]:
    """Read a file, and warn if others may read it too.

    Only what exists of the path is shown: the rest may be a piece of a key that starts with a slash.
    """
    raw, mode, problem = b"", 0, ""
    step = f"Give the absolute path of a file with the {what} on the machine that runs the task"
    try:
        info = os.stat(path)
        mode = stat.S_IMODE(info.st_mode)
        if stat.S_ISDIR(info.st_mode):
            problem = "is a directory"
        elif not stat.S_ISREG(info.st_mode):
            problem = "is not a regular file"
        elif info.st_size > _MAX_BYTES:
            problem = f"has {info.st_size} bytes, too many for a {what}"
        else:
            with open(path, "rb") as file:
                raw = file.read(_MAX_BYTES)
            problem = "" if raw else "is empty"
    except (FileNotFoundError, NotADirectoryError):
        problem = "does not exist on this machine"
    except PermissionError:
        problem = f"may not be read by this process (user id {os.geteuid()})"
    except (OSError, ValueError) as error:
        problem = f"cannot be read ({type(error).__name__})"
    if problem:
        raise _refusal(what, f"it is a path, and the file {problem}. Of the path there is {_existing(path)!r}", step)
    if what == "private key" and mode & 0o077:
        return raw, f"the key file is open to other users of the machine (mode {mode:04o}): chmod 600 it"
    return raw, None


def _existing(path: str) -> str:
    """The longest part of a path that exists; empty if there is none (an unknown user's ``~``)."""
    while path:
        try:
            os.lstat(path)
        except (OSError, ValueError):
            path = "" if path == os.path.dirname(path) else os.path.dirname(path)
        else:
            break
    return path
