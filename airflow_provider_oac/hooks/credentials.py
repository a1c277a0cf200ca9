"""Credentials for snapshots, each from a separate Airflow Connection."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from airflow_provider_oac import lazy
from airflow_provider_oac._compat import BaseHook, mask_secret
from airflow_provider_oac.client.rest.snapshots import UserIdAuthentication, check_password
from airflow_provider_oac.client.snapshot_names import checked_part
from airflow_provider_oac.exceptions import OACConfigurationError
from airflow_provider_oac.hooks.extra import Extra, file_folder, refuse_invisible, without_line_break

if TYPE_CHECKING:
    from airflow_provider_oac._compat import Connection


def seal(seal_conn_id: str) -> tuple[str, str]:
    """Return the password that seals a snapshot, and the name of its Connection.

    The name becomes part of the snapshot's name, which shows years later which Connection opens the snapshot. To
    rotate the password, add a Connection and use its ID; never edit a Connection that has sealed snapshots.

    :param seal_conn_id: the Airflow Connection (of any type) that holds the password.
    :returns: name and password.
    :raises OACConfigurationError: if the password breaks OAC's rules, or the ID cannot be part of a name.
    """
    name = checked_part(seal_conn_id, "seal_conn_id")
    password, *others = sealed_with(seal_conn_id)
    if others:
        raise OACConfigurationError(
            f"The password of Connection {seal_conn_id!r} ends in a line break, which cannot be typed when a snapshot "
            "is restored. Create a new Connection whose password has no line break, and set seal_conn_id to it. Keep "
            "a Connection that has sealed snapshots unchanged."
        )
    try:
        check_password(password)
    except OACConfigurationError as error:
        raise OACConfigurationError(f"Connection {seal_conn_id!r}: {error}") from None
    return name, password


def sealed_with(seal_conn_id: str) -> tuple[str, ...]:
    """Return the password that sealed a snapshot, without applying today's rules for passwords.

    :param seal_conn_id: the Airflow Connection (of any type) that holds the password.
    :returns: the password unchanged; if it ends in a line break, also the password without it.
    :raises OACConfigurationError: if the Connection has no password.
    """
    password = BaseHook.get_connection(seal_conn_id).password
    if not password:
        raise OACConfigurationError(
            f"Connection {seal_conn_id!r} has no password. Set it to the password that seals the snapshots: 14 to 50 "
            "characters with a digit, a lower-case letter, an upper-case letter and a special character."
        )
    forms = tuple(dict.fromkeys(form for form in (str(password), without_line_break(str(password))) if form))
    for form in forms:
        mask_secret(form)
    return forms


def storage_user(storage_conn_id: str) -> UserIdAuthentication:
    """Return an OCI user with an API key, for the bucket of a snapshot.

    Documented as deprecated. The default, a resource principal, needs no credential.

    :param storage_conn_id: the Airflow Connection: login is the user's OCID, extra holds ``region``,
        ``tenancy_id``, ``fingerprint`` and ``private_key`` (in any form that an ``oac`` Connection accepts), and
        ``private_key_passphrase`` if the key has one.
    :raises OACConfigurationError: naming the Connection and the missing or wrong fields.
    """
    try:
        return _storage_user(BaseHook.get_connection(storage_conn_id))
    except OACConfigurationError as error:
        raise OACConfigurationError(f"Connection {storage_conn_id!r}: {error}") from None


def _storage_user(conn: Connection) -> UserIdAuthentication:
    extra = Extra(conn)
    names = {name: extra.text(name) or "" for name in ("region", "tenancy_id", "fingerprint")}
    names["user_id"] = (conn.login or "").strip()
    text, passphrase = extra.secret("private_key") or "", extra.secret("private_key_passphrase")
    missing = [name for name, value in {**names, "private_key": text}.items() if not value]
    if missing:
        raise OACConfigurationError(
            f"{', '.join(missing)} missing. user_id is the Connection's login; the others are fields of its extra."
        )
    for name, value in names.items():
        refuse_invisible(value, name)
    for secret in (text, passphrase):
        if secret:
            mask_secret(secret)
    pem = lazy.keys.load_private_key(text, passphrase, folder=file_folder()).pem()
    wrapped = base64.b64encode(pem).decode()
    mask_secret(wrapped)
    return UserIdAuthentication(private_key_wrapped=wrapped, **names)
