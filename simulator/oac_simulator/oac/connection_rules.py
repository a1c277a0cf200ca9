"""Checks of a connection's body: JSON, or a form with a wallet."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from oac_simulator.oac.api import Call, OACError, bad_request

#: Members of `connectionParams` that a source needs besides user name and password (inferred). Sources that are not
#: listed need no more.
_NEEDED: dict[str, tuple[str, ...]] = {
    "oracle-database": ("host", "port", "serviceName"),
    "mysql": ("host",),
    "postgresql": ("host",),
    "sqlserver": ("host",),
    "snowflake": ("host",),
}
#: Types without their own schema: OAC lists what is missing for each schema that it tries (observed).
_UNSUITABLE = ("idljdbc",)
_SECRETS = ("password", "clientSecret", "privateKey")
#: The content types of a form's parts; a wallet may have either (observed).
_TEXT, _WALLET = ("text/plain",), ("text/plain", "application/octet-stream")


@dataclass(frozen=True)
class Sent:
    """The connection that a call describes.

    :param envelope: the JSON object.
    :param params: its `content.connectionParams`.
    :param wallet: bytes of the part `cert`, if present.
    :param folder: path of the target folder, if the call names one.
    """

    envelope: dict[str, Any]
    params: dict[str, Any]
    wallet: bytes | None
    folder: str | None


def refused(call: Call, message: str) -> OACError:
    """Return a 400 with the body `{"error": ...}` (observed), or the documented body."""
    if call.world.settings.connection_error == "mixed":
        return OACError(400, "", "", body={"error": message})
    return bad_request(message)


async def read(call: Call) -> Sent:
    """Read the body, JSON or form.

    :raises OACError: if the body is neither, or a member is missing (400).
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
    """Check that a new connection has the members that its source needs.

    :raises OACError: 400 with the observed message.
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
        # With a wallet, a connect string can replace the service name (observed).
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
    """Return the connection as the simulator stores it: only digests of secrets and wallets, for tests to compare."""
    made = {name: value for name, value in sent.params.items() if name not in _SECRETS}
    for name in _SECRETS:
        if isinstance(sent.params.get(name), str):
            made[f"{name}Sha256"] = sha256(sent.params[name].encode()).hexdigest()
    if sent.wallet is not None:
        made["walletSha256"], made["walletBytes"] = sha256(sent.wallet).hexdigest(), len(sent.wallet)
    return made


def _parts(call: Call, body: bytes) -> dict[str, bytes]:
    """Read the parts of a form (RFC 7578): text/plain; the wallet may be application/octet-stream (observed).

    :raises OACError: if the form is malformed, or a part has another type (400).
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
