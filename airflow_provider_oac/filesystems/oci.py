"""``oci://`` for Airflow's ``ObjectStoragePath``: OCI Object Storage through Oracle's ``ocifs`` (the extra ``oci``).

An address is ``oci://<connection>@<bucket>/<path>``, with the Airflow Connection before the ``@``. ocifs alone expects
the namespace of Object Storage after an ``@``; here the Connection holds the namespace.
"""

from __future__ import annotations

from typing import Any

from airflow_provider_oac import lazy
from airflow_provider_oac._compat import BaseHook, Connection, mask_secret
from airflow_provider_oac.exceptions import OACConfigurationError
from airflow_provider_oac.hooks.extra import Extra, file_folder
from airflow_provider_oac.plain_text import word_or_length

schemes = ["oci"]

# The principals, as ocifs names them. ocifs also knows API keys, which need more fields.
_PRINCIPALS = ("resource_principal", "instance_principal", "oke_principal")


def get_fs(conn_id: str | None, storage_options: dict[str, Any] | None = None) -> Any:
    """Return the file system; Airflow calls this.

    :param conn_id: the Airflow Connection; see :func:`options`. Without one, ocifs finds the credentials: it uses the
        environment variable ``OCIFS_IAM_TYPE``, else a resource principal.
    :param storage_options: options of ``ocifs.OCIFileSystem``; they override the Connection.
    :raises OACConfigurationError: if ocifs is not installed, or the Connection cannot work.
    """
    try:
        # An optional package.
        from ocifs import OCIFileSystem
    except ImportError as missing:
        raise OACConfigurationError(
            f"oci:// needs the package ocifs ({missing}). Install airflow-provider-oac[oci] wherever tasks run."
        ) from None
    try:
        own = options(BaseHook.get_connection(conn_id)) if conn_id else {}
    except OACConfigurationError as error:
        error.of(f"Connection {conn_id!r}")
        raise
    return OCIFileSystem(**{**own, **(storage_options or {})})


def options(conn: Connection) -> dict[str, Any]:
    """Return the options of ocifs for a Connection.

    For an API key, login is the user's OCID, and extra holds ``tenancy_id``, ``fingerprint``, ``private_key`` (in any
    form that an ``oac`` Connection accepts), ``region`` and, if the key has one, ``private_key_passphrase``. A
    snapshot's ``storage_conn_id`` takes the same Connection. For a principal, extra holds ``iam_type``:
    ``resource_principal``, ``instance_principal`` or ``oke_principal``. Optional fields of extra: ``namespace`` of
    Object Storage (by default the tenancy's), ``region``, ``service_endpoint``.

    :raises OACConfigurationError: naming the missing or wrong fields.
    """
    extra = Extra(conn)
    found: dict[str, Any] = {name: value for name in ("namespace", "region") if (value := extra.text(name))}
    if endpoint := extra.text("service_endpoint"):
        found["config_kwargs"] = {"service_endpoint": endpoint}
    principal = extra.text("iam_type")
    if principal is None:
        return {**found, **_api_key(conn, extra)}
    if principal not in _PRINCIPALS:
        raise OACConfigurationError(
            f"iam_type is {word_or_length(principal, extra.secrets)}, but must be one of {', '.join(_PRINCIPALS)}, or "
            "absent for an API key."
        )
    return {**found, "iam_type": principal}


def _api_key(conn: Connection, extra: Extra) -> dict[str, Any]:
    # An optional package.
    from oci.signer import Signer

    names = {name: extra.text(name) or "" for name in ("tenancy_id", "fingerprint", "region")}
    names["login (the user's OCID)"] = user = (conn.login or "").strip()
    text, passphrase = extra.secret("private_key") or "", extra.secret("private_key_passphrase")
    missing = [name for name, value in {**names, "private_key": text}.items() if not value]
    if missing:
        raise OACConfigurationError(
            f"{', '.join(missing)} missing. For a principal instead of an API key, set iam_type to one of "
            f"{', '.join(_PRINCIPALS)}."
        )
    for secret in (text, passphrase):
        if secret:
            mask_secret(secret)
    pem = lazy.keys.load_private_key(text, passphrase, folder=file_folder()).pem()
    # The key goes into the signer, because ocifs logs the configuration at the level DEBUG. The SDK still requires a
    # key file in the configuration.
    tenancy, fingerprint = names["tenancy_id"], names["fingerprint"]
    config = {"tenancy": tenancy, "user": user, "fingerprint": fingerprint, "region": names["region"]}
    signer = Signer(tenancy, user, fingerprint, None, private_key_content=pem.decode())
    return {"signer": signer, "config": {**config, "key_file": "held by the signer"}}
