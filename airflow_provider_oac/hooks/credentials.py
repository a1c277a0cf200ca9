"""Credentials other than the sign-in's, each from a separate Airflow Connection: snapshots, data sources, mail."""

from __future__ import annotations

import base64
import io
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_oac import lazy
from airflow_provider_oac._compat import BaseHook, mask_secret
from airflow_provider_oac.client.rest.mail import NO_AUTH, PASSWORD_AUTH
from airflow_provider_oac.client.rest.snapshots import UserIdAuthentication, check_password
from airflow_provider_oac.client.secret_names import secrets_of, texts_of
from airflow_provider_oac.client.snapshot_names import checked_part
from airflow_provider_oac.exceptions import OACConfigurationError
from airflow_provider_oac.hooks.extra import Extra, file_folder, refuse_invisible

if TYPE_CHECKING:
    from airflow_provider_oac._compat import Connection

# In bytes. A wallet has a few kilobytes.
_LARGEST_WALLET = 1024 * 1024
_AUTO_LOGIN = "cwallet.sso"


@dataclass(frozen=True)
class Source:
    """The credentials of a data source, from an Airflow Connection.

    :param params: user name, password and further parameters.
    :param secrets: every text in ``params`` except the user name. These texts must not appear anywhere.
    """

    params: Mapping[str, Any] = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)


@contextmanager
def _connection(conn_id: str) -> Iterator[Connection]:
    """Yield a Connection, and name it in errors about its fields."""
    conn = BaseHook.get_connection(conn_id)
    try:
        yield conn
    except OACConfigurationError as error:
        raise OACConfigurationError(f"Connection {conn_id!r}: {error}") from None


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
    # Many editors add a line break at the end of a file.
    forms = tuple(dict.fromkeys(form for form in (str(password), str(password).rstrip("\r\n")) if form))
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
    with _connection(storage_conn_id) as conn:
        extra = Extra(conn)
        names = {name: extra.text(name) or "" for name in ("region", "tenancy_id", "fingerprint")}
        names["user_id"] = (conn.login or "").strip()
        text, passphrase = extra.secret("private_key") or "", extra.secret("private_key_passphrase")
        if missing := [name for name, value in {**names, "private_key": text}.items() if not value]:
            raise OACConfigurationError(
                f"{', '.join(missing)} missing. user_id is the Connection's login; the others are fields of its extra."
            )
        for name, value in names.items():
            refuse_invisible(value, name)
        for secret in filter(None, (text, passphrase)):
            mask_secret(secret)
        pem = lazy.keys.load_private_key(text, passphrase, folder=file_folder()).pem()
    wrapped = base64.b64encode(pem).decode()
    mask_secret(wrapped)
    return UserIdAuthentication(private_key_wrapped=wrapped, **names)


def source(data_source_conn_id: str) -> Source:
    """Return user name, password and further parameters of a data source. The secrets are masked in logs.

    :param data_source_conn_id: the Airflow Connection, of any type. Its login and password belong to the data source.
        The member ``connection_params`` of its extra, a JSON object, holds other secrets, such as a token. All texts in
        that object are treated as secrets, whatever their names.
    :raises OACConfigurationError: naming the Connection and the missing or wrong fields.
    """
    with _connection(data_source_conn_id) as conn:
        if missing := [name for name, value in (("login", conn.login), ("password", conn.password)) if not value]:
            raise OACConfigurationError(
                f"{' and '.join(missing)} missing. OAC needs the data source's user name and password each time it "
                "creates or changes a connection. Set them as the Connection's login and password."
            )
        more = _json_object(conn, "connection_params") or {}
    secrets = texts_of({**more, "password": conn.password})
    for secret in secrets:
        mask_secret(secret)
    return Source({**more, "username": conn.login, "password": conn.password}, secrets)


def _json_object(conn: Connection, name: str) -> dict[str, Any] | None:
    """Return a member of a Connection's extra that must be a JSON object; ``None`` if it is unset."""
    value = Extra(conn).value(name)
    if value is not None and not isinstance(value, dict):
        raise OACConfigurationError(f"{name} in extra is not a JSON object.")
    return value


def wallet(url: str, conn_id: str | None = None) -> bytes:
    """Return the content of a wallet or key file, or the ``cwallet.sso`` in an Autonomous Database's zip archive.

    :param url: path of a file, or URL of an object in any store that Airflow's ``ObjectStoragePath`` supports.
    :param conn_id: the Airflow Connection of the store, if the URL names none.
    :raises OACConfigurationError: if the file does not exist, or cannot be a wallet.
    """
    file = lazy.object_storage.Destination(url, conn_id)
    size = file.size()
    if not size or size > _LARGEST_WALLET:
        problem = "does not exist" if size is None else f"has {size:,} bytes"
        raise OACConfigurationError(
            f"The wallet {url} {problem}. Give the path of {_AUTO_LOGIN}, of the zip archive that contains it, or of a "
            f"key file, of at most {_LARGEST_WALLET:,} bytes."
        )
    data = file.read()
    if not zipfile.is_zipfile(io.BytesIO(data)):
        return data
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        inside = [entry for entry in archive.infolist() if entry.filename.rpartition("/")[2] == _AUTO_LOGIN]
        if len(inside) != 1 or inside[0].file_size > _LARGEST_WALLET:
            raise OACConfigurationError(f"The archive {url} is not a wallet: it must contain {_AUTO_LOGIN} once.")
        return archive.read(inside[0])


def mail_account(mail_conn_id: str) -> dict[str, Any]:
    """Return a Connection's mail server settings in the form of OAC's REST API.

    The result holds ``auth``, and ``host`` and ``port`` if the Connection has them. The secrets are masked in logs.

    :param mail_conn_id: the Airflow Connection, of any type. It has either login and password
        (``USERNAME_PASSWORD_AUTH``), or the member ``auth`` in its extra, a JSON object that is sent to OAC unchanged,
        such as ``{"authType": "OAUTH2_AUTH", "clientId": …, "clientSecret": …}`` (the members that OAuth requires could
        not be established), or neither (``NO_AUTH``).
    :raises OACConfigurationError: naming the Connection and the mistake in it.
    """
    with _connection(mail_conn_id) as conn:
        auth = _json_object(conn, "auth")
        if auth is None and bool(conn.login) != bool(conn.password):
            raise OACConfigurationError("only one of login and password is set. Set both or none.")
    if auth is None and conn.login:
        auth = {"authType": PASSWORD_AUTH, "username": conn.login, "password": conn.password}
    auth = auth or {"authType": NO_AUTH}
    for secret in secrets_of(auth):
        mask_secret(secret)
    server = {"host": conn.host, "port": conn.port}
    return {**{name: value for name, value in server.items() if value}, "auth": auth}
