"""Find the key or certificate in pasted text or in a file.

A web form, an environment variable, a JSON file and a Connection URI each change a PEM file in their own way. This
module undoes these changes, and ``cryptography`` decides whether the result can be used. If not, an error names the
form and the next step. Errors and reprs contain nothing of the input, and no error is raised while another exception is
handled, because that exception may contain it.
"""

from __future__ import annotations

import base64
import codecs
import re
from dataclasses import dataclass, field, replace
from urllib.parse import unquote

from airflow_provider_oac.exceptions import OACSetupError
from airflow_provider_oac.transport.files import NamedFileError, read_file

__all__ = ["COPY_AGAIN", "Block", "Given", "find", "is_mask", "is_path", "refusal", "take"]

MAX_BYTES = 128 * 1024
COPY_AGAIN = "Copy the whole file again, from its BEGIN line to its END line"
_DAMAGED = "it is incomplete or damaged: characters are missing, added or changed"

# Bounded repeats only, so no input makes the search slow.
_ARMOR = re.compile(
    r"-{2,5}\s?BEGIN(?P<label>[A-Z0-9\s]{0,40}?)-{2,5}(?P<body>.*?)(?=-{2,5}\s?(?:END|BEGIN)|\Z)",
    re.DOTALL | re.IGNORECASE,
)
_LEGACY = re.compile(
    r"\s*Proc-Type:\s*4,\s*ENCRYPTED\s*DEK-Info:\s*"
    r"(?P<info>DES[A-Z0-9-]{0,20},\s*[0-9A-F]{16}|[A-Z0-9-]{3,20},\s*[0-9A-F]{32})",
    re.IGNORECASE,
)
# A DER sequence: a long one, or a short one that begins with a number or a sequence. No text begins like this.
_DER_START = re.compile(rb"\x30(?:[\x81-\x84]|.\x02|.\x30[^\t\n\r -\xff])", re.DOTALL)
_ESCAPED_NEWLINE = re.compile(r"\\+[nrt]")
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,3}")
_PERCENT = re.compile(r"%(?:0[AD]|2[0BDF]|3D)", re.IGNORECASE)
_LABEL_WITH_PLUS = re.compile(r"--(?:BEGIN|END)[A-Z0-9+]{1,40}--", re.IGNORECASE)
# Word processors replace hyphens with these.
_DASHES = str.maketrans(dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"))
# The first bytes of Java's keystores, JKS and JCEKS.
_KEYSTORE = (bytes.fromhex("feedfeed"), bytes.fromhex("cececece"))
# Base64 of JKS and of PEM in UTF-16 begins with a slash, but is not a path.
_BASE64_WITH_SLASH = ("/u3+7Q", "//4t", "/v8ALQ")
_AROUND = " \t\r\n\"'`,;\ufeff"

_DER = "DER"  # the label of a block without PEM armor
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


@dataclass(frozen=True)
class Given:
    """The pasted text, or the content of the named file.

    :param what: the expected content: ``private key`` or ``certificate``.
    :param raw: the bytes.
    :param origin: ``file with`` and a blank for a file, else empty.
    :param warning: a problem with a file that can be read.
    """

    what: str
    raw: bytes = field(repr=False)
    origin: str = ""
    warning: str | None = None


@dataclass(frozen=True)
class Block:
    """A PEM block, or DER without armor.

    :param label: the label of the BEGIN line, without blanks.
    :param source: where it was, e.g. ``file with PEM``.
    :param readings: what the block may contain, the most likely first: DER (for an encrypted PKCS#1 key: PEM), and how
        it was written, e.g. ``on one line``.
    :param damage: what is wrong if none of them can be used.
    :param encrypted: whether PEM headers say that the key is encrypted.
    """

    label: str
    source: str
    readings: tuple[tuple[bytes, str], ...] = field(repr=False)
    damage: str = _DAMAGED
    encrypted: bool = False

    def form(self, shape: str) -> str:
        """Describe the form for people, e.g. ``PEM PKCS#8 with literal \\n``.

        :param shape: how the reading was written.
        """
        kind = _KEYS.get(self.label) or _CERTIFICATES.get(self.label, "")
        return f"{self.source} {'encrypted ' * self.encrypted}{kind}".rstrip() + shape


def refusal(what: str, seen: str, step: str = "") -> OACSetupError:
    """The error for an unusable key or certificate. Raise it outside of any handler."""
    return OACSetupError(f"The {what} cannot be used: {seen}. {step or _WANTED[what]}.")


def is_mask(text: str) -> bool:
    """Whether a text is the mask that Airflow's pages show instead of a saved secret."""
    return len(text) >= 3 and set(text) == {"*"}


def is_path(text: str) -> bool:
    """Whether a text names a file."""
    text = text.strip(_AROUND)
    # Keys in other forms of base64 do not begin with a slash: DER begins with M, PEM with L.
    starts = text[:1] in ("/", "~") and not text.startswith(_BASE64_WITH_SLASH)
    return starts and "\n" not in text and "-----" not in text


def take(text: str, what: str, folder: str | None) -> Given:
    """Take pasted text, or read the file whose absolute or ``~`` path it is.

    :param what: ``private key`` or ``certificate``.
    :param folder: the folder that paths are limited to, if any.
    :raises OACConfigurationError: if there is nothing to read.
    """
    text = text.strip(_AROUND).removeprefix("b'")  # Python prints the result of b64encode like this
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
    """Find the blocks that may be the wanted key or certificate, at least one.

    A block without a label may contain something else.

    :raises OACConfigurationError: naming what is there instead.
    """
    blocks = _blocks(given.raw, given.origin)
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
    return wanted


def _blocks(raw: bytes, origin: str, inside: bool = False) -> list[Block]:
    """The blocks in a text or file or, with ``inside``, in decoded base64."""
    if _DER_START.match(raw):
        return [Block(_DER, f"{origin}binary DER", tuple((data, "") for data in _ends(raw)))]
    if raw.startswith(_KEYSTORE):
        return [Block("JKS", origin, ())]
    text, encoding, shape = _text(raw)
    blocks = [_armored(found["label"], found["body"], origin + encoding, shape) for found in _ARMOR.finditer(text)]
    if blocks or inside:
        return blocks
    decoded = _decode(text)
    if der := tuple((end, shape + note) for data, note in decoded if _DER_START.match(data) for end in _ends(data)):
        return [Block(_DER, f"{origin}base64 of DER", der)]
    inner = (_blocks(data, f"{origin}base64 of ", inside=True) for data, _ in decoded)
    return [
        replace(block, readings=tuple((data, form + shape) for data, form in block.readings))
        for block in next(filter(None, inner), [])
    ]


def _text(raw: bytes) -> tuple[str, str, str]:
    """The text without escapes, its encoding if that is unusual, and the change that was undone."""
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
        # In form encoding, a + in a label means a blank. A + of base64 is written as %2B.
        text = unquote(_LABEL_WITH_PLUS.sub(lambda found: found[0].replace("+", " "), text))
        shape = ", percent-encoded"
    if (plain := text.translate(_DASHES)) != text:
        text, shape = plain, shape + " with dashes instead of hyphens"
    if _ESCAPED_NEWLINE.search(text):
        shape = " with literal \\n"
    return _ESCAPED_NEWLINE.sub("\n", text).replace("\\", "").strip(_AROUND), "UTF-16 " if encoding else "", shape


def _armored(label: str, body: str, origin: str, shape: str) -> Block:
    headers = _LEGACY.match(body)
    body = body[headers.end() :] if headers else body
    inner, decoded, damage = body.strip(), _decode(body), _DAMAGED
    if not shape and not re.search(r"[\r\n]", inner):
        shape = " with blanks instead of newlines" if re.search(r"\s", inner) else " on one line"
    if not inner:
        damage = "it is empty"
    elif inner.startswith("nMII"):
        damage = "the backslash of every \\n is lost, and only the n is left"
    elif not decoded:
        damage = "its body is not base64, so characters are missing, replaced or added"
    elif " " in inner and "+" not in inner and len(inner) > 500:
        damage += "; every + may have become a blank, as in a URI: write it as %2B there"
    if headers:
        info, kind = "".join(headers["info"].split()).upper(), "EC" if label.strip().upper().startswith("EC") else "RSA"
        decoded = [(_legacy_pem(data, info, kind), note) for data, note in decoded[:1]]
    case = "" if label == label.upper() else " with a lower-case label"
    readings = tuple((end, (note or shape) + case) for data, note in decoded for end in _ends(data))
    return Block("".join(label.upper().split()), f"{origin}PEM", readings, damage, bool(headers))


def _ends(data: bytes) -> list[bytes]:
    """The data, and the data without up to three line breaks, blanks or zero bytes that editors and commands add."""
    added = min(3, len(data) - len(data.rstrip(b"\r\n\0 ")))
    return [data[: len(data) - count] for count in range(added + 1)]


def _legacy_pem(data: bytes, info: str, kind: str) -> bytes:
    """An encrypted PKCS#1 or EC key as ``cryptography`` reads it: in lines, with its headers."""
    body = base64.encodebytes(data).decode("ascii")
    headers = f"Proc-Type: 4,ENCRYPTED\nDEK-Info: {info}\n\n"
    return f"-----BEGIN {kind} PRIVATE KEY-----\n{headers}{body}-----END {kind} PRIVATE KEY-----\n".encode("ascii")


def _decode(text: str) -> list[tuple[bytes, str]]:
    """Decode standard or URL-safe base64, padded or not, without regard to white space.

    The query part of a Connection URI turns ``+`` into blanks, so further readings turn blanks back into ``+``, each
    with a note that says so. A blank at either end may or may not have been a ``+``: both are tried.
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


def _read_file(path: str, what: str, folder: str | None) -> Given:
    """Read a file, with a warning if other users may read a private key.

    An error does not show the whole path: it may be a piece of a key that starts with a slash.
    """
    try:
        content, mode = read_file(path, folder, MAX_BYTES)
    except NamedFileError as error:
        problem = str(error)
    else:
        warning = None
        if what == "private key" and mode & 0o077:
            warning = f"the file {path!r} is open to other users of the machine (mode {mode:04o}): chmod 600 it"
        return Given(what, content, "file with ", warning)
    step = f"Give the {what} itself, or the absolute path of its file on the machine that runs the task"
    raise refusal(what, f"it is a path, and the file {problem}", step)
