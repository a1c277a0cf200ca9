"""Credentials of the data sources that OAC connects to, each from a separate Airflow Connection."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_oac._compat import BaseHook, mask_secret
from airflow_provider_oac.client.secret_names import texts_of
from airflow_provider_oac.exceptions import OACConfigurationError
from airflow_provider_oac.hooks.extra import Extra
from airflow_provider_oac.hooks.object_storage import Destination

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


def source(data_source_conn_id: str) -> Source:
    """Return user name, password and further parameters of a data source. The secrets are masked in logs.

    :param data_source_conn_id: the Airflow Connection, of any type. Its login and password belong to the data source.
        The member ``connection_params`` of its extra, a JSON object, holds other secrets, such as a token. All texts in
        that object are treated as secrets, whatever their names.
    :raises OACConfigurationError: naming the Connection and the missing or wrong fields.
    """
    conn = BaseHook.get_connection(data_source_conn_id)
    if missing := [name for name, value in (("login", conn.login), ("password", conn.password)) if not value]:
        raise OACConfigurationError(
            f"Connection {data_source_conn_id!r} has no {' and no '.join(missing)}. OAC needs the data source's user "
            "name and password each time it creates or changes a connection. Set them as its login and password."
        )
    try:
        more = Extra(conn).value("connection_params") or {}
    except OACConfigurationError as error:
        raise OACConfigurationError(f"Connection {data_source_conn_id!r}: {error}") from None
    if not isinstance(more, dict):
        raise OACConfigurationError(
            f"Connection {data_source_conn_id!r}: connection_params in its extra is not a JSON object."
        )
    secrets = texts_of({**more, "password": conn.password})
    for secret in secrets:
        mask_secret(secret)
    return Source({**more, "username": conn.login, "password": conn.password}, secrets)


def wallet(url: str, conn_id: str | None = None) -> bytes:
    """Return the content of a wallet or key file, or the ``cwallet.sso`` in an Autonomous Database's zip archive.

    :param url: path of a file, or URL of an object in any store that Airflow's ``ObjectStoragePath`` supports.
    :param conn_id: the Airflow Connection of the store, if the URL names none.
    :raises OACConfigurationError: if the file does not exist, or cannot be a wallet.
    """
    file = Destination(url, conn_id)
    size = file.size()
    if not size or size > _LARGEST_WALLET:
        problem = "does not exist" if size is None else f"has {size:,} bytes"
        raise OACConfigurationError(
            f"The wallet {url} {problem}. Give the path of {_AUTO_LOGIN}, of the zip archive that contains it, or of a "
            f"key file, of at most {_LARGEST_WALLET:,} bytes."
        )
    data = file.read()
    return _of_archive(data, url) if zipfile.is_zipfile(io.BytesIO(data)) else data


def _of_archive(data: bytes, url: str) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        inside = [entry for entry in archive.infolist() if entry.filename.rpartition("/")[2] == _AUTO_LOGIN]
        if len(inside) != 1 or inside[0].file_size > _LARGEST_WALLET:
            raise OACConfigurationError(f"The archive {url} is not a wallet: it must contain {_AUTO_LOGIN} once.")
        return archive.read(inside[0])
