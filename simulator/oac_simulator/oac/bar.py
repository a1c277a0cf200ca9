"""The `.bar` file: a password-protected archive of an instance's content.

A `.bar` is an ordinary zip file: it can be unpacked without a password, changed, packed again and restored with the
same
password. Workbooks and folders are below `content/catalog/root/shared/` (both observed). The rest is the simulator's
own format: a JSON file for each catalog item and section, and `manifest.json` with a check value for the password.
"""

from __future__ import annotations

import hmac
import io
import json
import os
import zipfile
import zlib
from typing import Any
from urllib.parse import quote

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

_MANIFEST = "manifest.json"
_ITEMS = "content/catalog/root/"
#: Folder for items without a path, whose ID is a quoted pair of owner and name.
_OBJECTS = "content/catalog/objects/"
_SECTIONS = "content/"
_CATALOG = "/@Catalog/"
#: Cost of a password check: `n` of scrypt (RFC 7914). A test that seals thousands of archives lowers it.
COST = 2**14


class NotABar(ValueError):
    """The file is not an archive of the simulator, or it is damaged."""


class WrongPassword(ValueError):
    """The password does not match the archive."""


def seal(content: dict[str, Any], instance: str, password: str) -> bytes:
    """Pack an instance's content.

    :param content: section name to the section's JSON value; `catalog` is a list of items.
    :param instance: name of the instance, recorded in the manifest.
    :param password: the password that a restore needs.
    :returns: the bytes of the `.bar` file.
    """
    salt = os.urandom(16)
    manifest = {"format": 2, "instance": instance, "salt": salt.hex(), "check": _check(password, salt).hex()}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(_MANIFEST, json.dumps(manifest))
        for section, value in content.items():
            if section == "catalog":
                for item in value:
                    archive.writestr(_place(item), json.dumps(item, indent=1))
            else:
                archive.writestr(f"{_SECTIONS}{section}.json", json.dumps(value, indent=1))
    return packed.getvalue()


def unseal(data: bytes, password: str) -> dict[str, Any]:
    """Open a `.bar` file.

    :param data: its bytes.
    :param password: the password of the archive.
    :returns: section name to the section's JSON value.
    :raises NotABar: if it is not an archive of the simulator, or a checksum does not match.
    :raises WrongPassword: if the password does not match.
    """
    content: dict[str, Any] = {"catalog": []}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            manifest = json.loads(archive.read(_MANIFEST))
            salt, check = bytes.fromhex(manifest["salt"]), bytes.fromhex(manifest["check"])
            for name in archive.namelist():
                if not name.endswith(".json") or name == _MANIFEST:
                    continue
                value = json.loads(archive.read(name))
                if name.startswith((_ITEMS, _OBJECTS)):
                    content["catalog"].append(value)
                else:
                    content[name.removeprefix(_SECTIONS).removesuffix(".json")] = value
    except (zipfile.BadZipFile, zlib.error, KeyError, ValueError, EOFError, NotImplementedError) as error:
        raise NotABar("The file is not a snapshot archive.") from error
    if not hmac.compare_digest(check, _check(password, salt)):
        raise WrongPassword("The password is wrong.")
    return content


def is_bar(data: bytes) -> bool:
    """Return whether the bytes are a zip archive with a manifest."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _MANIFEST in archive.namelist()
    except zipfile.BadZipFile:
        return False


def _check(password: str, salt: bytes) -> bytes:
    return Scrypt(salt=salt, length=32, n=COST, r=8, p=1).derive(password.encode())


def _place(item: dict[str, Any]) -> str:
    """Return an item's path in the archive. It includes the type, so a folder and its content do not collide."""
    plain, kind = str(item["plain"]), item["type"]
    if plain.startswith(_CATALOG):
        return f"{_ITEMS}{plain.removeprefix(_CATALOG)}.{kind}.json"
    return f"{_OBJECTS}{quote(plain, safe=' ')}.{kind}.json"
