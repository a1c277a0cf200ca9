"""Reading an Airflow Connection of the type ``oac``: every field, in every form in which Airflow hands it over."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_oac import __version__
from airflow_provider_oac.auth.settings import DEFAULT_AUDIENCE, JWT_ASSERTION, AuthSettings
from airflow_provider_oac.client.snapshot_names import checked_part
from airflow_provider_oac.exceptions import OACConfigurationError
from airflow_provider_oac.transport.settings import TransportSettings, checked_url

if TYPE_CHECKING:
    from airflow_provider_oac._compat import Connection


@dataclass(frozen=True)
class ConnectionSettings:
    """What a Connection says.

    :param conn_id: its id.
    :param address: address of the OAC instance, without a path.
    :param instance: name of the instance in the names of its snapshots.
    :param auth: how to sign in.
    :param transport: timeouts, certificates.
    """

    conn_id: str
    address: str
    instance: str
    auth: AuthSettings
    transport: TransportSettings


def read_connection(conn: Connection) -> ConnectionSettings:
    """Read a Connection.

    Fields that are missing, empty or null are alike: the form stores unset fields as null. A field may also stand
    under ``extra__oac__<field>``, as Airflow 2 wrote it. What people paste as an address is understood: with or
    without ``https://``, with a path such as ``/ui/``.

    :raises OACConfigurationError: naming the Connection, the field, and what to put there.
    """
    try:
        return _read(conn)
    except OACConfigurationError as error:
        raise OACConfigurationError(f"Connection {conn.conn_id!r}: {error}") from None


def _read(conn: Connection) -> ConnectionSettings:
    extra = _extra(conn)
    address = _address(conn.host, conn.port, conn.schema, "The OAC address (Connection: host)")
    identity_url = _text(extra, "identity_url")
    if not identity_url:
        raise OACConfigurationError(
            "The identity domain's address (Connection: extra, identity_url) is missing; it looks like "
            "https://idcs-….identity.oraclecloud.com and stands in the identity domain's console as Domain URL."
        )
    auth = AuthSettings(
        identity_url=_address(identity_url, None, None, "The identity domain's address (identity_url)"),
        client_id=(conn.login or "").strip(),
        client_secret=conn.password or None,
        scope=_text(extra, "scope") or "",
        grant=_text(extra, "grant") or JWT_ASSERTION,
        user=_text(extra, "user"),
        private_key=_text(extra, "private_key"),
        private_key_passphrase=_secret(extra, "private_key_passphrase"),
        certificate_alias=_text(extra, "certificate_alias"),
        certificate=_text(extra, "certificate"),
        user_password=_secret(extra, "user_password"),
        audience=_list(extra, "assertion_audience") or (DEFAULT_AUDIENCE,),
        client_authentication=_text(extra, "client_authentication"),
    )
    auth.check()
    transport = TransportSettings(
        connect_timeout=_seconds(extra, "connect_timeout", 10.0),
        read_timeout=_seconds(extra, "read_timeout", 60.0),
        ca_file=_text(extra, "ca_file"),
        user_agent=f"airflow-provider-oac/{__version__}",
    )
    instance = _text(extra, "instance")
    return ConnectionSettings(
        conn_id=conn.conn_id or "",
        address=address,
        instance=checked_part(instance, "The instance's name (instance)") if instance else _instance(address),
        auth=auth,
        transport=transport,
    )


def _extra(conn: Connection) -> Mapping[str, Any]:
    if not conn.extra:
        return {}
    try:
        extra = json.loads(conn.extra)
    except ValueError:
        extra = None
    if not isinstance(extra, dict):
        raise OACConfigurationError("Its extra is not a JSON object.")
    return extra


def _value(extra: Mapping[str, Any], name: str) -> Any:
    value = extra.get(name)
    return extra.get(f"extra__oac__{name}") if value in (None, "") else value


def _text(extra: Mapping[str, Any], name: str) -> str | None:
    value = _value(extra, name)
    return str(value).strip() or None if value is not None else None


def _secret(extra: Mapping[str, Any], name: str) -> str | None:
    """A password: blanks at its ends belong to it."""
    value = _value(extra, name)
    return str(value) or None if value is not None else None


def _list(extra: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = _value(extra, name)
    items = value if isinstance(value, list) else re.split(r"[,\s]+", str(value or ""))
    return tuple(str(item).strip() for item in items if str(item).strip())


def _seconds(extra: Mapping[str, Any], name: str, default: float) -> float:
    value = _value(extra, name)
    if value in (None, ""):
        return default
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = -1.0
    if not 0 < seconds < 1e6:
        raise OACConfigurationError(f"{name} must be a positive number of seconds, but is {value!r}.")
    return seconds


def _address(host: str | None, port: int | None, scheme: str | None, what: str) -> str:
    """The address without a path: ``https://host[:port]``."""
    text = (host or "").strip()
    if not text:
        raise OACConfigurationError(f"{what} is missing.")
    if "://" not in text:
        text = f"{scheme if scheme in ('http', 'https') else 'https'}://{text}"
    parts = checked_url(text, what)
    netloc = parts.netloc
    if port and not parts.port:
        netloc = f"{netloc}:{port}"
    return f"{parts.scheme}://{netloc}"


def _instance(address: str) -> str:
    """A name for the instance by its host: the first label of a host name, or the whole of an IP address."""
    parts = checked_url(address, "The OAC address")
    host = parts.hostname or ""
    name = host if re.fullmatch(r"[\d.:]+", host) else host.partition(".")[0]
    if parts.port not in (None, 443):
        name = f"{name}-{parts.port}"
    return re.sub(r"-{2,}", "-", re.sub(r"[^A-Za-z0-9._-]", "-", name)).strip("-")
