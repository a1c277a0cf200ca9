"""Reads the account with which OAC signs in at its mail server, from an Airflow Connection."""

from __future__ import annotations

from typing import Any

from airflow_provider_oac._compat import BaseHook, mask_secret
from airflow_provider_oac.client.rest.mail import NO_AUTH, PASSWORD_AUTH
from airflow_provider_oac.client.secret_names import secrets_of
from airflow_provider_oac.exceptions import OACConfigurationError
from airflow_provider_oac.hooks.extra import Extra


def mail_account(mail_conn_id: str) -> dict[str, Any]:
    """Return a Connection's mail server settings in the form of OAC's REST API.

    The result holds ``auth``, and ``host`` and ``port`` if the Connection has them. The secrets are masked in logs.

    :param mail_conn_id: the Airflow Connection, of any type. It has either login and password
        (``USERNAME_PASSWORD_AUTH``), or the member ``auth`` in its extra, a JSON object that is sent to OAC unchanged,
        such as ``{"authType": "OAUTH2_AUTH", "clientId": …, "clientSecret": …}`` (the members that OAuth requires could
        not be established), or neither (``NO_AUTH``).
    :raises OACConfigurationError: naming the Connection and the mistake in it.
    """
    conn = BaseHook.get_connection(mail_conn_id)
    try:
        auth = Extra(conn).value("auth")
    except OACConfigurationError as error:
        raise OACConfigurationError(f"Connection {mail_conn_id!r}: {error}") from None
    if auth is not None and not isinstance(auth, dict):
        raise OACConfigurationError(f"Connection {mail_conn_id!r}: auth in its extra is not a JSON object.")
    if bool(conn.login) != bool(conn.password) and auth is None:
        raise OACConfigurationError(
            f"Connection {mail_conn_id!r} has only one of login and password. Set both or none."
        )
    if auth is None and conn.login:
        auth = {"authType": PASSWORD_AUTH, "username": conn.login, "password": conn.password}
    auth = auth or {"authType": NO_AUTH}
    for secret in secrets_of(auth):
        mask_secret(secret)
    place = {"host": conn.host, "port": conn.port}
    return {**{name: value for name, value in place.items() if value}, "auth": auth}
