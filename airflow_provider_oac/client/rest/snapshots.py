"""Snapshots.

Source: "Snapshots REST Endpoints" (documented), unless noted otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_oac.client.calls import Call, nothing, segment
from airflow_provider_oac.client.ids import visible
from airflow_provider_oac.client.models import Model, member, model, text
from airflow_provider_oac.client.rest.work_requests import accepted_id
from airflow_provider_oac.exceptions import OACConfigurationError

RESOURCE_PRINCIPAL = "OCI_RESOURCE_PRINCIPAL"
USER_ID = "OSS_AUTH_OCI_USER_ID"


@dataclass(frozen=True)
class UserIdAuthentication:
    """Access to the bucket as an OCI user with an API key: ``OSS_AUTH_OCI_USER_ID`` (documented as deprecated).

    :param region: OCI region of the user's API calls.
    :param tenancy_id: OCID of the tenancy.
    :param user_id: OCID of the user.
    :param fingerprint: fingerprint of the API key.
    :param private_key_wrapped: base64 of the complete PEM file of the API key (observed).
    """

    region: str
    tenancy_id: str
    user_id: str
    fingerprint: str
    private_key_wrapped: str = field(repr=False)


@dataclass(frozen=True)
class Storage:
    """The bucket that holds the file of a snapshot.

    :param bucket: name of the bucket.
    :param region: its OCI region, if it is not the instance's (documented since March 2025).
    :param namespace: its Object Storage namespace, if it is in another tenancy (documented since March 2025).
    :param user: OCI user as whom the instance signs in to the bucket; by default it uses a resource principal.
    """

    bucket: str
    region: str | None = None
    namespace: str | None = None
    user: UserIdAuthentication | None = None

    def body(self) -> dict[str, Any]:
        """Build the JSON that the REST API expects."""
        auth: dict[str, Any] = {"type": RESOURCE_PRINCIPAL}
        if self.user:
            auth = {
                "type": USER_ID,
                "ociRegion": self.user.region,
                "ociTenancyId": self.user.tenancy_id,
                "ociUserId": self.user.user_id,
                "ociKeyFingerprint": self.user.fingerprint,
                "ociPrivateKeyWrapped": self.user.private_key_wrapped,
            }
        place = {"bucketOciRegion": self.region, "bucketOciNamespace": self.namespace}
        given = {name: value for name, value in place.items() if value}
        return {"type": "OCI_NATIVE", "bucket": self.bucket, "auth": auth, **given}


def _visible(value: Any) -> str:
    return visible(text(value))


def _only_text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


@model
class Snapshot(Model):
    """A snapshot as OAC lists it, without a state and without the work request that made it (documented).

    :param created: time of creation as OAC writes it.
    :param bar_uri: ``file:///…``, the path of its file in the bucket.
    """

    id: str = member("id", read=visible, required=True)
    name: str = member("name", read=_visible)
    created: str = member("timeCreated", read=_visible)
    created_by: str = member("createdByUser", read=_visible)
    bar_uri: str = member("bar.uri", read=_visible)
    bucket: str | None = member("storage.bucket", read=_only_text)
    region: str | None = member("storage.bucketOciRegion", read=_only_text)
    namespace: str | None = member("storage.bucketOciNamespace", read=_only_text)
    raw: Mapping[str, Any] = field(repr=False)

    def lies_in(self, storage: Storage) -> bool:
        """Whether its file is in this bucket."""
        # OAC lists region and namespace only if they differ from the instance's own (inferred), so a missing one counts
        # as equal.
        pairs = ((self.region, storage.region), (self.namespace, storage.namespace))
        return self.bucket == storage.bucket and all(
            not listed or not wanted or listed == wanted for listed, wanted in pairs
        )


def list_all() -> Call[list[Snapshot]]:
    """List the snapshots made or registered through the REST API; those made in the console do not appear (documented).

    Operation ``GET /snapshots``. It has no paging (documented by absence) and no documented order.
    """
    read = Snapshot.list_reader("A snapshot", "the list of snapshots")
    return Call("list the snapshots", "GET", "/snapshots", read, repeatable=True)


def get(snapshot_id: str) -> Call[Snapshot]:
    """Get one snapshot.

    Operation ``GET /snapshots/{snapshotId}`` (documented).
    """
    path = f"/snapshots/{segment(snapshot_id)}"
    return Call(f"read snapshot {snapshot_id}", "GET", path, Snapshot.reader("A snapshot"), repeatable=True)


def create(name: str, bar_uri: str, storage: Storage, password: str) -> Call[str]:
    """Take a snapshot of the whole instance into a bucket.

    Operation ``POST /snapshots``, type CREATE (documented; its response is observed). OAC has no idempotency key: a
    second call takes a second snapshot.

    :param name: its name in OAC's list, which keeps only the name and the path.
    :param bar_uri: ``file:///folder/name.bar`` (observed: OAC refuses other forms). It may overwrite an existing file.
    :param storage: the bucket.
    :param password: seals the file; see :func:`check_password`. OAC cannot return it.
    :returns: a call whose result is the id of the work request.
    :raises OACConfigurationError: if OAC would refuse the password or the path.
    """
    check_password(password)
    secrets = (password, storage.user.private_key_wrapped) if storage.user else (password,)
    return _start("CREATE", name, storage, {"uri": checked_uri(bar_uri), "password": password}, secrets)


def register(name: str, bar_uri: str, storage: Storage) -> Call[str]:
    """Make an existing file in a bucket known as a snapshot.

    Operation ``POST /snapshots``, type REGISTER (documented); it takes no password (observed).

    :returns: a call whose result is the id of the work request.
    :raises OACConfigurationError: if OAC would refuse the path.
    """
    secrets = (storage.user.private_key_wrapped,) if storage.user else ()
    return _start("REGISTER", name, storage, {"uri": checked_uri(bar_uri)}, secrets)


def delete(snapshot_id: str, *, delete_storage: bool = False) -> Call[None]:
    """Remove a snapshot from the list.

    Operation ``DELETE /snapshots/{snapshotId}`` (documented).

    :param delete_storage: whether to delete the file in the bucket as well; by default it stays.
    """
    path, query = f"/snapshots/{segment(snapshot_id)}", {"deleteStorage": bool(delete_storage)}
    return Call(f"delete snapshot {snapshot_id}", "DELETE", path, nothing, query=query, repeatable=True)


def check_password(password: str) -> None:
    """Refuse a snapshot password that OAC would refuse.

    It needs 14 to 50 characters with a digit, a lower-case letter, an upper-case letter and a special character
    (documented in March 2025).

    :raises OACConfigurationError: naming what is missing, never the password.
    """
    missing = [] if 14 <= len(password) <= 50 else [f"14 to 50 characters (it has {len(password)})"]
    # It is not documented which characters count, so letters and digits of other scripts do not count for any class.
    classes = {"a digit": "[0-9]", "a lower-case letter": "[a-z]", "an upper-case letter": "[A-Z]"}
    missing += [what for what, pattern in classes.items() if not re.search(pattern, password)]
    if not any(sign.isprintable() and not (sign.isalnum() or sign.isspace()) for sign in password):
        missing.append("a special character")
    if missing:
        raise OACConfigurationError(
            f"The snapshot password does not follow OAC's rules; it needs {', '.join(missing)}. Next step: put another "
            "password into a new Connection. Never change the password of a Connection that sealed snapshots."
        )


def checked_uri(uri: str) -> str:
    """Refuse a path that OAC would refuse, or that could be resolved to another one.

    :raises OACConfigurationError: saying which form is expected.
    """
    form = re.fullmatch(r"file:///(?P<folders>(?:[^/]+/)*)(?P<file>[^/]+)\.bar", uri)
    if not form or {".", ".."} & set(form["folders"].split("/")) or not uri.isprintable():
        raise OACConfigurationError(
            f"The path of a snapshot's file must look like file:///folder/name.bar, not {uri!r}."
        )
    return uri


def _start(kind: str, name: str, storage: Storage, bar: dict[str, str], secrets: tuple[str, ...]) -> Call[str]:
    body = {"type": kind, "name": name, "storage": storage.body(), "bar": bar}
    return Call(f"{kind.lower()} snapshot {name!r}", "POST", "/snapshots", accepted_id, body=body, secrets=secrets)
