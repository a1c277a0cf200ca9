"""From what people paste for a private key or a certificate to the blocks of bytes that were meant.

A web form, an environment variable, a JSON file and a Connection URI each damage a PEM file in a way of their
own. What can be undone without guessing is undone here: a result counts only if it is one complete DER
structure. Everything else is an error that names the form seen and the next step. Errors and reprs hold
nothing of what was pasted, and none is raised while another exception is handled, because that one may.
"""

from __future__ import annotations

import base64
import codecs
import os
import re
import stat
from contextlib import suppress
from dataclasses import dataclass, field, replace
from urllib.parse import unquote

from airflow_provider_oac.exceptions import OACSetupError
from airflow_provider_oac.transport.files import NamedFileError, read_file

__all__ = ["COPY_AGAIN", "Block", "Given", "find", "is_mask", "is_path", "refusal", "take"]

MAX_BYTES = 128 * 1024
COPY_AGAIN = "Copy the whole file again, from its BEGIN line to its END line"

# Bounded repeats only: what is pasted may be anything, and must not take long.
_ARMOUR = re.compile(
    r"-{2,5}\s?BEGIN(?P<label>[A-Z0-9\s]{0,40}?)-{2,5}(?P<body>.*?)(?=-{2,5}\s?(?:END|BEGIN)|\Z)",
    re.DOTALL | re.IGNORECASE,
)
_LEGACY = re.compile(
    r"\s*Proc-Type:\s*4,\s*ENCRYPTED\s*DEK-Info:\s*"
    r"(?P<info>DES[A-Z0-9-]{0,20},\s*[0-9A-F]{16}|[A-Z0-9-]{3,20},\s*[0-9A-F]{32})",
    re.IGNORECASE,
)
_ESCAPED_NEWLINE = re.compile(r"\\+[nrt]")
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,3}")
_PERCENT = re.compile(r"%(?:0[AD]|2[0BDF]|3D)", re.IGNORECASE)
_LABEL_WITH_PLUS = re.compile(r"--(?:BEGIN|END)[A-Z0-9+]{1,40}--", re.IGNORECASE)
# What word processors make of hyphens.
_DASHES = str.maketrans(dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"))
# The first bytes of Java's keystores, JKS and JCEKS.
_KEYSTORE = (bytes.fromhex("feedfeed"), bytes.fromhex("cececece"))
# How base64 of JKS and of PEM in UTF-16 begins, which is no path.
_BASE64_WITH_SLASH = ("/u3+7Q", "//4t", "/v8ALQ")
_AROUND = " \t\r\n\"'`,;\ufeff"

_DER = "DER"  # stands for the label where there is no PEM armor
_KEYS = {
    "PRIVATEKEY": "PKCS#8",
    "ENCRYPTEDPRIVATEKEY": "encrypted PKCS#8",
    "RSAPRIVATEKEY": "PKCS#1",
    "ECPRIVATEKEY": "EC key",
    "DSAPRIVATEKEY": "DSA key",
}
_CERTIFICATES = {"CERTIFICATE": "certificate", "X509CERTIFICATE": "certificate"}
_LABELS = {"private key": _KEYS, "certificate": _CERTIFICATES}
_OTHERS = {
    **dict.fromkeys(_KEYS, "a private key"),
    **dict.fromkeys(_CERTIFICATES, "a certificate"),
    "OPENSSHPRIVATEKEY": "a private key in OpenSSH's own format (convert a copy of the file: "
    "ssh-keygen -p -m PKCS8 -f COPY_OF_FILE)",
    "PUBLICKEY": "a public key",
    "RSAPUBLICKEY": "a public key",
    "SSH2PUBLICKEY": "a public key",
    "TRUSTEDCERTIFICATE": "a certificate in OpenSSL's own format",
    "CERTIFICATEREQUEST": "a certificate request",
    "NEWCERTIFICATEREQUEST": "a certificate request",
    "JKS": "a Java keystore (convert a copy of it: keytool -importkeystore -srckeystore FILE -destkeystore FILE.p12 "
    "-deststoretype PKCS12, then openssl pkcs12 -in FILE.p12 -nocerts -noenc)",
    "PKCS7": "a PKCS#7 bundle of certificates",
}
_UNREADABLE = (
    (r"ssh-|ecdsa-", "an OpenSSH public key", ""),
    (r"\$|\{\{|<", "a variable or placeholder that nothing has replaced", ""),
    (r"(?i)file:", "a file: URL", "Give the path alone. "),
    (
        r"[\w.-][\w./-]*\.(?:pem|key|der|p8|pk8|crt|cer|txt)\Z",
        "a relative path",
        "Give an absolute path: a task's working directory is not predictable. ",
    ),
)
_WANTED = {
    "private key": "Give the RSA private key that belongs to the certificate registered in the confidential "
    "application: the file whose first line says BEGIN PRIVATE KEY or BEGIN RSA PRIVATE KEY, or its absolute "
    "path",
    "certificate": "Give the X.509 certificate registered in the confidential application: the file whose "
    "first line says BEGIN CERTIFICATE, or its absolute path",
}

# How the members of a DER sequence begin (RFC 8017 A.1.2, RFC 5958, RFC 5915, RFC 7292).
_BEGINNINGS = {
    b"\2\1\0\2": "PKCS#1",
    b"\2\1\0\x30": "PKCS#8",
    b"\2\1\1\x30": "PKCS#8",
    b"\2\1\1\4": "EC key",
    b"\2\1\3\x30": "PKCS#12",
}
# RFC 4055 section 1.2 in PKCS#8, and RFC 8017 A.1.2 alone or in PKCS#8.
_LENGTH = rb"(?:[\x00-\x7f]|\x81.|\x82..|\x83...)"
_PKCS8 = rb"\x30" + _LENGTH + rb"\x02\x01\x00\x30" + _LENGTH + rb"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01"
_PSS = re.compile(_PKCS8 + rb"\x0a", re.DOTALL)
_MANY_PRIMES = re.compile(
    rb"(?:" + _PKCS8 + rb"\x01\x05\x00\x04" + _LENGTH + rb")?\x30" + _LENGTH + rb"\x02\x01\x01\x02", re.DOTALL
)
# The object identifiers 1.2.840.113549.1.5 and .1.12.1: encryption by a passphrase (RFC 8018, RFC 7292).
_BY_PASSPHRASE = (bytes.fromhex("2a864886f70d0105"), bytes.fromhex("2a864886f70d010c01"))


@dataclass(frozen=True)
class Given:
    """What was pasted, or what the file named holds.

    :param what: what it should be: ``private key`` or ``certificate``.
    :param raw: its bytes.
    :param origin: ``file with`` and a blank if it is from a file.
    :param warning: what is wrong with the file although it can be read.
    """

    what: str
    raw: bytes = field(repr=False)
    origin: str = ""
    warning: str | None = None


@dataclass(frozen=True)
class Block:
    """One thing found in it: a PEM block, or DER without armor.

    :param label: what the BEGIN line says, without blanks.
    :param data: the decoded body.
    :param source: where it was, e.g. ``file with PEM``.
    :param shape: what had happened to it, e.g. ``on one line``.
    :param damage: why it cannot be used.
    :param legacy: cipher and start value of an encrypted PKCS#1 key, which stand before its body.
    """

    label: str
    data: bytes = field(repr=False)
    source: str
    shape: str = ""
    damage: str = ""
    legacy: str = ""

    @property
    def kind(self) -> str:
        """What it holds, by its content or else by its label; empty if neither tells."""
        if self.legacy:
            return f"encrypted {_KEYS.get(self.label, '')}".rstrip()
        return _structure(self.data) or _KEYS.get(self.label) or _CERTIFICATES.get(self.label, "")

    @property
    def form(self) -> str:
        """The form for people, e.g. ``PEM PKCS#8 with literal \\n``."""
        return f"{self.source} {self.kind}".rstrip() + self.shape

    @property
    def for_pss_only(self) -> bool:
        """Whether it is an RSA key that may sign by PSS only."""
        return bool(_PSS.match(self.data))

    @property
    def many_primes(self) -> bool:
        """Whether it is an RSA key of more than two primes."""
        return bool(_MANY_PRIMES.match(self.data))

    @property
    def encrypted(self) -> bool:
        return self.kind.startswith("encrypted")


def refusal(what: str, seen: str, step: str = "") -> OACSetupError:
    """The error for something that is no usable key or certificate, to be raised outside of any handler."""
    return OACSetupError(f"The {what} cannot be used: {seen}. {step or _WANTED[what]}.")


def is_mask(text: str) -> bool:
    """Whether a text is what Airflow's pages show instead of a saved secret."""
    return len(text) >= 3 and set(text) == {"*"}


def is_path(text: str) -> bool:
    """Whether a text names a file instead of being a key or a certificate."""
    text = text.strip(_AROUND)
    # Other keys in base64 do not start with a slash: DER starts with M, PEM in base64 with L.
    starts = text[:1] in ("/", "~") and not text.startswith(_BASE64_WITH_SLASH)
    return starts and "\n" not in text and "-----" not in text


def take(text: str, what: str, folder: str | None) -> Given:
    """Take what was pasted, or read the file whose absolute or ``~`` path was.

    :param folder: the folder that such paths are limited to, if they are.
    :raises OACConfigurationError: if there is nothing to read.
    """
    text = text.strip(_AROUND).removeprefix("b'")  # as Python prints what b64encode returns
    if not text:
        raise refusal(what, "it is empty")
    if is_mask(text):
        seen = "it is only asterisks, the mask that is shown instead of a saved secret"
        raise refusal(what, seen, f"Enter the {what} itself again")
    if is_path(text):
        return _read_file(text, what, folder)
    raw = text.encode("utf-8", "surrogatepass")
    if len(raw) > MAX_BYTES:
        raise refusal(what, f"{len(raw)} bytes are too many for a {what}")
    return Given(what, raw)


def find(given: Given) -> list[Block]:
    """Find what may be the key or the certificate wanted: at least one block, and the first is whole.

    A block without a label may still turn out to be something else.

    :raises OACConfigurationError: saying what it is instead, or how the first one is damaged.
    """
    blocks = _from_bytes(given.raw, given.origin)
    if not blocks:
        text = given.raw.decode("utf-8", "replace")
        seen = f"{'a file' if given.origin else 'text'} of {len(given.raw)} bytes that is neither PEM nor DER"
        hint = next((row[1:] for row in _UNREADABLE if re.match(row[0], text)), None)
        found, step = hint or (f"{seen}, nor base64 of one of them", "")
        raise refusal(given.what, f"it is {found}", step + _WANTED[given.what])
    wanted = [block for block in blocks if block.label == _DER or block.label in _LABELS[given.what]]
    if not wanted:
        kinds = dict.fromkeys(_OTHERS.get(block.label, "a PEM block of another kind") for block in blocks)
        raise refusal(given.what, f"it is {' and '.join(kinds)}")
    if wanted[0].damage:
        raise refusal(given.what, f"{wanted[0].form}: {wanted[0].damage}", COPY_AGAIN)
    return wanted


def _from_bytes(raw: bytes, origin: str, inside: bool = False) -> list[Block]:
    """Blocks in a file's content or, inside of another, in what base64 held."""
    total = _length(raw)
    if total is not None and (raw[1] >= 0x80 or total == len(raw)):  # else a text that starts with 0
        data, damage = _fit(raw)
        return [Block(_DER, data, f"{origin}DER" if inside else f"{origin}binary DER", damage=damage)]
    if raw.startswith(_KEYSTORE):
        return [Block("JKS", b"", origin)]
    text, encoding, shape = _text(raw)
    blocks = [_armoured(found["label"], found["body"], origin + encoding, shape) for found in _ARMOUR.finditer(text)]
    if blocks or inside:
        return blocks
    readings = [
        [replace(block, shape=block.shape + shape + note) for block in found]
        for decoded, note in _decode(text)
        if (found := _from_bytes(decoded, f"{origin}base64 of ", inside=True))
    ]
    return next((found for found in readings if not found[0].damage), readings[0] if readings else [])


def _text(raw: bytes) -> tuple[str, str, str]:
    """A text without what programs put between its characters, its encoding if that is unusual, and what was undone."""
    encoding = shape = ""
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    elif len(raw) > 3 and not any(raw[1:200:2]):
        encoding = "utf-16-le"
    elif len(raw) > 3 and not any(raw[0:200:2]):
        encoding = "utf-16-be"
    text = raw.decode(encoding or "utf-8", "replace")
    if "\r\n" in text:
        shape = " with CRLF"
    if _PERCENT.search(text):
        # In forms, a + in a label is a blank. That of base64 is %2B there.
        text = unquote(_LABEL_WITH_PLUS.sub(lambda found: found[0].replace("+", " "), text))
        shape = ", percent-encoded"
    if (plain := text.translate(_DASHES)) != text:
        text, shape = plain, shape + " with dashes instead of hyphens"
    if _ESCAPED_NEWLINE.search(text):
        shape = " with literal \\n"
    return _ESCAPED_NEWLINE.sub("\n", text).replace("\\", "").strip(_AROUND), "UTF-16 " if encoding else "", shape


def _armoured(label: str, body: str, origin: str, shape: str) -> Block:
    inner = body.strip()
    if not shape and not re.search(r"[\r\n]", inner):
        shape = " with blanks instead of newlines" if re.search(r"\s", inner) else " on one line"
    data, damage, legacy = b"", "it is empty", ""
    if headers := _LEGACY.match(body):
        legacy, body = "".join(headers["info"].split()).upper(), body[headers.end() :]
    if inner:
        damage = "its body is not base64, so characters are missing, replaced or added"
    readings = _decode(body)
    if readings and legacy:  # encrypted through and through: nothing in it tells whether it is whole
        data, damage = readings[0][0], ""
    elif readings:
        fits = [(*_fit(raw), note) for raw, note in readings]
        data, damage, note = next((fit for fit in fits if not fit[1]), fits[0])
        shape = shape if damage else note or shape
    if damage and inner.startswith("nMII"):
        damage = "the backslash of every \\n is lost, and only the n is left"
    elif damage and " " in inner.strip() and "+" not in inner and len(inner) > 500:
        damage += "; every + may have become a blank, as in a URI: write it as %2B there"
    if label != label.upper():
        shape += " with a lower-case label"
    return Block("".join(label.upper().split()), data, f"{origin}PEM", shape, damage, legacy)


def _decode(text: str) -> list[tuple[bytes, str]]:
    """Decode standard or url-safe base64, padded or not, without regard to white space.

    Other readings take blanks for ``+``, which the query part of a Connection URI turns into blanks; they come with
    a note that says so. A blank at either end may be one too, or not.
    """
    text = re.sub(r"[\"',;]", "", text).translate(str.maketrans("-_", "+/"))
    readings = [("".join(text.split()), "")]
    line = "".join(text.splitlines())
    for part in dict.fromkeys((line.strip(), line, line[1:-1])):
        if " " in part:
            readings.append((part.replace(" ", "+"), " with blanks instead of +"))
    if re.fullmatch(r"(?:.{64} )+.{1,64}", line := text.strip()):
        lines = [line[start : start + 64].replace(" ", "+") for start in range(0, len(line), 65)]
        readings.append(("".join(lines), " with blanks instead of + and newlines"))
    decoded = []
    for reading, note in readings:
        bare = reading.rstrip("=")
        if _BASE64.fullmatch(reading) and len(bare) % 4 != 1:
            decoded.append((base64.b64decode(bare + "=" * (-len(bare) % 4)), note))
    return decoded


def _header(raw: bytes) -> int:
    """How many bytes of a DER sequence stand before its first member."""
    return 2 + (raw[1] & 0x7F if raw[1] >= 0x80 else 0)


def _length(raw: bytes) -> int | None:
    """How many bytes the DER sequence at the start says it has, its header included."""
    if len(raw) < 2 or raw[0] != 0x30:
        return None
    header = _header(raw)
    return header + (raw[1] if raw[1] < 0x80 else int.from_bytes(raw[2:header], "big"))


def _fit(raw: bytes) -> tuple[bytes, str]:
    """Cut to the length that the DER header states, and say what is wrong with it, if anything."""
    total = _length(raw)
    if total is None:
        return raw, "its first bytes are missing or damaged"
    if total > len(raw):
        return raw, f"it is cut off: {len(raw)} of {total} bytes are there"
    if raw[total:].strip(b"\r\n\0 "):
        return raw, f"{len(raw) - total} bytes too many follow it"
    return raw[:total], ""


def _structure(der: bytes) -> str:
    """Tell the kinds of key files apart by their first members; empty if it is none of them."""
    if _length(der) is None:
        return ""
    start = der[_header(der) :][:20]
    if any(name in start for name in _BY_PASSPHRASE):
        return "encrypted PKCS#8"
    return _BEGINNINGS.get(start[:4], "")


def _read_file(path: str, what: str, folder: str | None) -> Given:
    """Read a file, and warn if others may read a private key too.

    An error shows only what exists of the path: the rest may be a piece of a key that starts with a slash.
    """
    file, problem, outside = None, "", False
    try:
        file = read_file(path, folder, MAX_BYTES)
    except NamedFileError as error:
        problem, outside = str(error), error.outside
    if file is None:
        if outside:
            step = f"Put the file with the {what} into that folder, or enter the {what} itself"
            raise refusal(what, f"it is a path, and the file {problem}", step)
        step = f"Give the absolute path of a file with the {what} on the machine that runs the task"
        seen = f"it is a path, and the file {problem}. Of the path there is {_existing(path)!r}"
        raise refusal(what, seen, step)
    warning = None
    mode = stat.S_IMODE(file.info.st_mode)
    if what == "private key" and mode & 0o077:
        warning = f"the file {path!r} is open to other users of the machine (mode {mode:04o}): chmod 600 it"
    return Given(what, file.content, "file with ", warning)


def _existing(path: str) -> str:
    """The longest part of a path that exists; empty if there is none (an unknown user's ``~``)."""
    with suppress(ValueError):
        path = os.path.expanduser(path)
    while path:
        try:
            os.lstat(path)
        except (OSError, ValueError):
            path = "" if path == os.path.dirname(path) else os.path.dirname(path)
        else:
            break
    return path
