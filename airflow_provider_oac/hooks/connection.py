"""Reads an Airflow Connection of the type ``oac``: every field, in every form in which Airflow stores it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import SplitResult

from airflow_provider_oac import __version__
from airflow_provider_oac.auth.settings import DEFAULT_AUDIENCE, JWT_ASSERTION, AuthSettings
from airflow_provider_oac.client.snapshot_names import checked_part
from airflow_provider_oac.exceptions import OACConfigurationError
from airflow_provider_oac.hooks.extra import Extra, file_folder, invisible, refuse_invisible, unmasked
from airflow_provider_oac.provider_info import CONNECTION_FIELDS
from airflow_provider_oac.transport.settings import TransportSettings, checked_url

if TYPE_CHECKING:
    from airflow_provider_oac._compat import Connection


@dataclass(frozen=True)
class ConnectionSettings:
    """The settings that a Connection holds.

    :param conn_id: the Connection's ID.
    :param address: address of the OAC instance, without a path.
    :param instance: name of the instance in the names of its snapshots.
    :param auth: how to sign in.
    :param transport: timeouts and the CA file.
    :param warnings: likely mistakes in the Connection, as sentences for the user. The Connection may still work.
    """

    conn_id: str
    address: str
    instance: str
    auth: AuthSettings
    transport: TransportSettings
    warnings: tuple[str, ...] = field(default=(), compare=False)


def read_connection(conn: Connection, mask: Callable[[str], None] | None = None) -> ConnectionSettings:
    """Read a Connection.

    Missing, empty and null fields are treated alike, because the form stores unset fields as null. A field may also
    have the name ``extra__oac__<field>``, as Airflow 2 wrote it. An address may omit ``https://``, and its path, such
    as ``/ui/``, is ignored.

    :param mask: receives each token and assertion before it is sent for the first time.
    :raises OACConfigurationError: naming the Connection, the field, and the value that it needs.
    """
    warnings: list[str] = []
    try:
        return _read(conn, warnings, mask)
    except OACConfigurationError as error:
        raise OACConfigurationError(" ".join([f"Connection {conn.conn_id!r}: {error}", *warnings])) from None


def _read(conn: Connection, warnings: list[str], mask: Callable[[str], None] | None) -> ConnectionSettings:
    extra = Extra(conn)
    warnings += extra.misspelt(CONNECTION_FIELDS)
    address = _address(conn.host, conn.port, conn.schema, "The OAC address (Connection: host)")
    parts = checked_url(address, "The OAC address (Connection: host, port)")
    identity_url = extra.text("identity_url")
    if not identity_url:
        raise OACConfigurationError(
            "The identity domain's address (Connection: extra, identity_url) is missing. It looks like "
            "https://idcs-….identity.oraclecloud.com; the identity domain's console shows it as Domain URL."
        )
    secret = "The client secret (Connection: password)"  # noqa: S105 (the name of a field)
    auth = AuthSettings(
        identity_url=_address(identity_url, None, None, "The identity domain's address (identity_url)"),
        client_id=(conn.login or "").strip(),
        client_secret=_secret(unmasked(conn.password or "", secret), secret, warnings),
        scope=extra.text("scope") or "",
        grant=extra.text("grant") or JWT_ASSERTION,
        user=extra.text("user"),
        private_key=(extra.secret("private_key") or "").strip() or None,
        private_key_passphrase=extra.secret("private_key_passphrase"),
        certificate_alias=extra.text("certificate_alias"),
        certificate=extra.text("certificate"),
        user_password=_secret(extra.secret("user_password"), "user_password (Connection: extra)", warnings),
        refresh_token=(extra.secret("refresh_token") or "").strip() or None,
        audience=extra.texts("assertion_audience") or (DEFAULT_AUDIENCE,),
        client_authentication=extra.text("client_authentication"),
        file_folder=(folder := file_folder()),
        # One spelling for all addresses of a server: lower case, with the port (RFC 6454 section 4).
        resource=f"{parts.scheme}://{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}",
        name=conn.conn_id or "",
        mask=mask,
    )
    auth.check()
    for text, what in (
        (auth.client_id, "The client id (Connection: login)"),
        (auth.scope, "The scope (Connection: extra, scope)"),
        (auth.certificate_alias or "", "The certificate's alias (Connection: extra, certificate_alias)"),
    ):
        refuse_invisible(text, what)
    if found := invisible(auth.user or ""):
        # A warning only: names in some writing systems need such characters.
        warnings.append(f"The user (Connection: extra, user) contains the invisible character {found}.")
    transport = TransportSettings(
        connect_timeout=extra.seconds("connect_timeout", 10.0),
        read_timeout=extra.seconds("read_timeout", 60.0),
        ca_file=extra.text("ca_file"),
        file_folder=folder,
        user_agent=f"airflow-provider-oac/{__version__}",
    )
    if instance := extra.text("instance"):
        instance = checked_part(instance, "The instance's name (Connection: extra, instance)", show=False)
    return ConnectionSettings(
        conn_id=conn.conn_id or "",
        address=address,
        instance=instance or _instance(parts),
        auth=auth,
        transport=transport,
        warnings=tuple(warnings),
    )


def _secret(text: str | None, what: str, warnings: list[str]) -> str | None:
    """Return a secret without the line break that many editors add at the end. Add a warning if there was one."""
    if not text:
        return None
    bare = text.rstrip("\r\n")
    if bare != text:
        warnings.append(f"{what} ends in a line break, which is ignored. Save it without the line break.")
    return bare or None


def _address(host: str | None, port: int | None, scheme: str | None, what: str) -> str:
    """Return the address without a path: ``https://host[:port]``."""
    text = (host or "").strip()
    if not text:
        raise OACConfigurationError(
            f"{what} is missing; it looks like https://myinstance-namespace-ia.analytics.ocp.oraclecloud.com."
        )
    if "://" not in text:
        text = f"{scheme if scheme in ('http', 'https') else 'https'}://{text}"
    parts = checked_url(text, what)
    netloc = parts.netloc
    if port and not parts.port:
        netloc = f"{netloc}:{port}"
    return f"{parts.scheme}://{netloc}"


def _instance(parts: SplitResult) -> str:
    """Return a name for the instance: the first label of its host name, or its whole IP address."""
    host = parts.hostname or ""
    name = host if re.fullmatch(r"[\d.:]+", host) else host.partition(".")[0]
    if parts.port not in (None, 443):
        name = f"{name}-{parts.port}"
    return re.sub(r"-{2,}", "-", re.sub(r"[^A-Za-z0-9._-]", "-", name)).strip("-")
