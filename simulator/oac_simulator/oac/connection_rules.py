"""What a connection's body must hold, and how it arrives: JSON, or a form with a wallet."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from oac_simulator.oac.api import Call, OACError, bad_request

#: Members of `connectionParams` that a source needs beside user name and password (inferred). Sources that are not
#: here need nothing more.
_NEEDED: dict[str, tuple[str, ...]] = {
    "oracle-database": ("host", "port", "serviceName"),
    "mysql": ("host",),
    "postgresql": ("host",),
    "sqlserver": ("host",),
    "snowflake": ("host",),
}
#: Types without a schema of their own: OAC lists what each of the schemas that it tries is missing (observed).
_UNSUITABLE = ("idljdbc",)
_SECRETS = ("password", "clientSecret", "privateKey")
#: The content types of a form's parts: a wallet came as either (observed).
_TEXT, _WALLET = ("text/plain",), ("text/plain", "application/octet-stream")


@dataclass(frozen=True)
class Sent:
    """What a call says about a connection.

    :param envelope: the JSON object.
    :param params: its `content.connectionParams`.
    :param wallet: bytes of the part `cert`, if there is one.
    :param folder: path of the folder to put it into, if the call names one.
    """

    envelope: dict[str, Any]
    params: dict[str, Any]
    wallet: bytes | None
    folder: str | None


def refused(call: Call, message: str) -> OACError:
    """A 400 in the form seen of this area, `{"error": ...}` (observed), or in the documented one."""
    if call.world.settings.connection_error == "mixed":
        return OACError(400, "", "", body={"error": message})
    return bad_request(message)


async def read(call: Call) -> Sent:
    """Read a body of either kind.

    :raises OACError: if it is neither, or a member is missing (400).
    """
    body, kind = await call.request.read(), call.request.content_type
    wallet, folder = None, None
    if kind == "multipart/form-data":
        parts = _parts(call, body)
        if "connectionParams" not in parts:
            raise refused(call, "The part connectionParams is missing.")
        text, wallet = parts["connectionParams"], parts.get("cert")
        folder = parts["folderPath"].decode("utf-8", "replace") if "folderPath" in parts else None
    elif kind == "application/json":
        text = body
    else:
        raise refused(call, f"The content type {kind} is neither application/json nor multipart/form-data.")
    try:
        envelope = json.loads(text)
    except ValueError as error:
        raise refused(call, "Failed to parse the input json.") from error
    return _checked(call, envelope, wallet, folder)


def _checked(call: Call, envelope: Any, wallet: bytes | None, folder: str | None) -> Sent:
    if not isinstance(envelope, dict):
        raise refused(call, "The input json is not an object.")
    for name in ("version", "type", "name"):
        value = envelope.get(name)
        if not isinstance(value, str) or not value:
            raise refused(call, f"{name} is not specified in the input json")
    if envelope["type"] != "connection":
        raise refused(call, "type must be connection.")
    content = envelope.get("content")
    params = content.get("connectionParams") if isinstance(content, dict) else None
    if not isinstance(params, dict):
        raise refused(call, _problem("$.content: required property 'connectionParams' not found"))
    folder = folder or envelope.get("folderPath")
    if folder is not None and not isinstance(folder, str):
        raise refused(call, "folderPath is not a text.")
    return Sent(envelope, params, wallet, folder)


def check_new(call: Call, sent: Sent) -> None:
    """Check a new connection against what its source needs.

    :raises OACError: 400 with the words that were observed.
    """
    kind = sent.params.get("connectionType")
    if not isinstance(kind, str) or not kind:
        raise refused(call, _missing("connectionType"))
    if kind in _UNSUITABLE:
        raise refused(call, _missing("serviceName", "password", "password", "connectionString"))
    needed = ("username", "password", *_NEEDED.get(kind, ()))
    if kind.startswith("oracle-autonomous"):
        walletless = sent.params.get("sslType") == "ServerAuthentication"
        if not walletless and sent.wallet is None:
            raise refused(call, "The wallet is missing: send it as the part cert, or use sslType ServerAuthentication.")
        # With a wallet, a connect string can stand in for the service name (observed).
        connect = walletless or sent.params.get("connectionString")
        needed = ("username", "password", "connectionString" if connect else "serviceName")
    for name in needed:
        if sent.params.get(name) in (None, ""):
            raise refused(call, _missing(name))


def _missing(*names: str) -> str:
    return _problem(", ".join(f"$.content.connectionParams: required property '{name}' not found" for name in names))


def _problem(what: str) -> str:
    return (
        "Failed to create the connection. Failed to parse the input json. Validation failed. "
        f"Handle the following errors. ({what})"
    )


def kept(sent: Sent) -> dict[str, Any]:
    """What the simulator keeps of a connection: of secrets and wallets only a digest, for tests to compare."""
    made = {name: value for name, value in sent.params.items() if name not in _SECRETS}
    for name in _SECRETS:
        if isinstance(sent.params.get(name), str):
            made[f"{name}Sha256"] = sha256(sent.params[name].encode()).hexdigest()
    if sent.wallet is not None:
        made["walletSha256"], made["walletBytes"] = sha256(sent.wallet).hexdigest(), len(sent.wallet)
    return made


def _parts(call: Call, body: bytes) -> dict[str, bytes]:
    """The parts of a form (RFC 7578). They are text/plain, the wallet also application/octet-stream (observed).

    :raises OACError: if it is not well formed, or a part has another type (400).
    """
    boundary = call.request.headers.get("Content-Type", "")
    named = re.search(r'boundary="?([^";]+)"?', boundary)
    if named is None:
        raise refused(call, "The form has no boundary.")
    found: dict[str, bytes] = {}
    for part in (b"\r\n" + body).split(b"\r\n--" + named[1].encode("latin-1", "replace"))[1:]:
        if part.startswith(b"--"):
            return found
        head, gap, data = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        text = head.decode("utf-8", "replace")
        name = re.search(r'[; ]name="?([^";\r\n]+)"?', text)
        if not gap or name is None:
            raise refused(call, "A part of the form has no name.")
        typed = re.search(r"^content-type:\s*([^;\r\n]+)", text, re.IGNORECASE | re.MULTILINE)
        kind = typed[1].strip().lower() if typed else "no content type" if "filename=" in text else "text/plain"
        allowed = _WALLET if name[1] == "cert" else _TEXT
        if kind not in allowed:
            raise refused(call, f"The part {name[1]} has {kind}; it must be {' or '.join(allowed)}.")
        found[name[1]] = data
    raise refused(call, "The form does not end.")
