"""The checks before OAC accepts a snapshot. They are hand-written for speed."""

from __future__ import annotations

import base64
import string
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oac_simulator.oac.api import bad_request, member
from oac_simulator.store import Record
from oac_simulator.world import NAMESPACE, REGION, World

_USER_AUTH = ("ociRegion", "ociTenancyId", "ociUserId", "ociKeyFingerprint", "ociPrivateKeyWrapped")
_PREFIX = "file:///"
_LONGEST_NAME = 255


@dataclass(frozen=True)
class Wanted:
    """A valid request for a snapshot."""

    name: str
    uri: str
    storage: Record
    password: str | None


def read(body: Record) -> Wanted:
    """Check the body of `POST /snapshots`.

    :raises OACError: if a member is missing or not allowed (400).
    """
    kind = body.get("type")
    if kind not in ("CREATE", "REGISTER"):
        raise bad_request("type is CREATE or REGISTER.")
    name = member(body, "name", str, "")
    if len(name) > _LONGEST_NAME or not name.isprintable() or name.strip() != name:
        raise bad_request("name is longer than 255 characters or holds characters that are not allowed.")
    storage = _storage(member(body, "storage", dict, ""))
    bar = member(body, "bar", dict, "")
    uri = member(bar, "uri", str, "bar.")
    _check_uri(uri)
    password = None
    if kind == "CREATE":
        password = member(bar, "password", str, "bar.")
        _check_password(password)
    return Wanted(name, uri, storage, password)


def _storage(storage: Record) -> Record:
    """Return the storage as replies show it, without keys."""
    if storage.get("type") != "OCI_NATIVE":
        raise bad_request("storage.type is OCI_NATIVE.")
    shown: Record = {"type": "OCI_NATIVE", "bucket": member(storage, "bucket", str, "storage.")}
    for name in ("bucketOciRegion", "bucketOciNamespace"):
        if name in storage:
            shown[name] = member(storage, name, str, "storage.")
    auth = member(storage, "auth", dict, "storage.")
    kind = auth.get("type")
    if kind == "OSS_AUTH_OCI_USER_ID":
        _check_user_auth(auth)
    elif kind != "OCI_RESOURCE_PRINCIPAL":
        raise bad_request("storage.auth.type is OCI_RESOURCE_PRINCIPAL or OSS_AUTH_OCI_USER_ID.")
    shown["auth"] = {"type": kind}
    return shown


def _check_user_auth(auth: Record) -> None:
    for name in _USER_AUTH:
        member(auth, name, str, "storage.auth.")
    try:
        key = base64.b64decode(auth["ociPrivateKeyWrapped"], validate=True)
    except ValueError as error:
        raise bad_request("storage.auth.ociPrivateKeyWrapped is not base64.") from error
    if not key.startswith(b"-----BEGIN"):
        raise bad_request("storage.auth.ociPrivateKeyWrapped is not the base64 of a whole PEM file.")


def _check_uri(uri: str) -> None:
    """Check for `file:///[folder/]name.bar` (observed: OAC refuses other forms with this text)."""
    path = uri.removeprefix(_PREFIX)
    parts = path.split("/")
    wrong = (
        not uri.startswith(_PREFIX)
        or not path.endswith(".bar")
        or parts[-1] == ".bar"
        or any(part in ("", ".", "..") for part in parts)
        or not path.isprintable()
        or any(character in path for character in "\\?#")
        or len(path.encode()) > 1024
        or any(len(part.encode()) > 250 for part in parts)
    )
    if wrong:
        raise bad_request("Invalid Snapshot BAR URI")


def _check_password(password: str) -> None:
    """Check for 14 to 50 characters with digit, lower and upper case letter and special character (documented)."""
    classes = (
        any(character.isdigit() for character in password),
        any(character.islower() for character in password),
        any(character.isupper() for character in password),
        any(character in string.punctuation for character in password),
    )
    if not 14 <= len(password) <= 50 or not all(classes):
        raise bad_request(
            "bar.password has 14 to 50 characters, with at least one digit, one lower case letter, "
            "one upper case letter and one special character."
        )


def bucket_problem(world: World, storage: Record) -> str | None:
    """Return why the bucket cannot be reached, or None."""
    bucket: str = storage["bucket"]
    elsewhere = (
        storage.get("bucketOciRegion", REGION) != REGION or storage.get("bucketOciNamespace", NAMESPACE) != NAMESPACE
    )
    plain = bucket not in (".", "..") and "/" not in bucket and "\0" not in bucket
    if elsewhere or not plain or len(bucket.encode()) > 250 or not (world.bucket_dir / bucket).is_dir():
        return (
            f"Either the bucket named '{bucket}' does not exist in the namespace or the instance "
            "is not authorized to access it."
        )
    return None


def bar_path(world: World, snapshot: dict[str, Any]) -> Path:
    """Return the path of a snapshot's `.bar`."""
    bucket: str = snapshot["storage"]["bucket"]
    return world.bucket_dir / bucket / str(snapshot["uri"]).removeprefix(_PREFIX)
