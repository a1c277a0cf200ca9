"""The `.bar` file: an archive of an instance's content, sealed with a password.

Oracle's format is not public. This one is a zip archive inside an authenticated encryption whose key is
derived from the password, so that a wrong password or a damaged file is always found out.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

_MAGIC = b"OACSIM-BAR-1\n"
_SALT, _NONCE = 16, 12


class NotABar(ValueError):
    """The file is no archive of the simulator."""


class WrongPassword(ValueError):
    """The password does not open the archive, or the file is damaged."""


def _cipher(password: str, salt: bytes) -> AESGCM:
    return AESGCM(Scrypt(salt=salt, length=32, n=2**14, r=8, p=1).derive(password.encode()))


def seal(content: dict[str, Any], instance: str, password: str) -> bytes:
    """Pack and seal an instance's content.

    Args:
        content: Section name to the section's JSON value.
        instance: Where it comes from, noted in the manifest.
        password: What opens it again.

    Returns:
        The bytes of the `.bar` file.
    """
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", json.dumps({"format": 1, "instance": instance}))
        for section, value in content.items():
            archive.writestr(f"content/{section}.json", json.dumps(value, indent=1))
    salt, nonce = os.urandom(_SALT), os.urandom(_NONCE)
    return _MAGIC + salt + nonce + _cipher(password, salt).encrypt(nonce, packed.getvalue(), _MAGIC)


def unseal(data: bytes, password: str) -> dict[str, Any]:
    """Open a `.bar` file.

    Args:
        data: Its bytes.
        password: The one it was sealed with.

    Returns:
        Section name to the section's JSON value.

    Raises:
        NotABar: The bytes do not begin as a `.bar` of the simulator does.
        WrongPassword: The password does not open it, or the bytes were changed.
    """
    if not is_bar(data):
        raise NotABar("The file is not a snapshot archive.")
    start = len(_MAGIC)
    salt, nonce = data[start : start + _SALT], data[start + _SALT : start + _SALT + _NONCE]
    try:
        packed = _cipher(password, salt).decrypt(nonce, data[start + _SALT + _NONCE :], _MAGIC)
    except InvalidTag as error:
        raise WrongPassword("The password is wrong or the archive is damaged.") from error
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        return {
            name.removeprefix("content/").removesuffix(".json"): json.loads(archive.read(name))
            for name in archive.namelist()
            if name.startswith("content/")
        }


def is_bar(data: bytes) -> bool:
    """Whether the bytes begin as a `.bar` does and are long enough to be one."""
    return data.startswith(_MAGIC) and len(data) > len(_MAGIC) + _SALT + _NONCE + 16
