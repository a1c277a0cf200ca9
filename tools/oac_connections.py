"""Airflow Connections to a running simulator, made from its ready file, for tests and the demo."""

from __future__ import annotations

import json
import ssl
import urllib.request
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

WAREHOUSE_PASSWORD = "Simulated-Warehouse-2026"  # noqa: S105 (for a fictitious database)
MAIL_PASSWORD = "Simulated-Mail-2026"  # noqa: S105 (for a fictitious mail server)
#: Satisfies OAC's password rules: 14 to 50 characters, lower and upper case letters, a digit, a special character.
SEAL_PASSWORD = "Simulated-Seal-2026!"  # noqa: S105 (protects simulated backups only)


def connection(
    ready: Mapping[str, Any], instance: str | None = None, *, user: str | None = None, **extra: str | None
) -> dict[str, Any]:
    """Return a Connection of type oac to one simulated instance, in Airflow's JSON form.

    :param ready: content of the simulator's ready file.
    :param instance: name of the instance; by default the first.
    :param user: the OAC user; by default the first.
    :param extra: members of the Connection's extra to add or replace; None removes a member.
    """
    name = instance or next(iter(ready["instances"]))
    who = user or next(iter(ready["users"]))
    members: dict[str, str | None] = {
        "identity_url": ready["identity_url"],
        "grant": "jwt_assertion",
        "scope": ready["instances"][name]["scope"],
        "user": who,
        "user_password": ready["users"][who],
        "certificate_alias": ready["certificate_alias"],
        "private_key": Path(ready["private_key_file"]).read_text(),
        "ca_file": ready.get("ca_file"),
        "instance": name,
        **extra,
    }
    return {
        "conn_type": "oac",
        "host": ready["instances"][name]["url"],
        "login": ready["client_id"],
        "password": ready["client_secret"],
        "extra": {key: value for key, value in members.items() if value is not None},
    }


def connection_environment(ready: Mapping[str, Any]) -> dict[str, str]:
    """Return the environment variables of the Connections for the demo and tests.

    They are `oac_default` (first instance, by JWT assertion), `oac_export` (the same as an author without
    administration
    rights), `oac_seal`, `oac_warehouse` (credentials of a data source), and `oac_mail` (credentials of OAC's mail
    server)."""
    return {
        "AIRFLOW_CONN_OAC_DEFAULT": json.dumps(connection(ready)),
        "AIRFLOW_CONN_OAC_EXPORT": json.dumps(connection(ready, user="oac.author@example.com")),
        "AIRFLOW_CONN_OAC_SEAL": json.dumps({"conn_type": "generic", "password": SEAL_PASSWORD}),
        "AIRFLOW_CONN_OAC_WAREHOUSE": json.dumps(
            {"conn_type": "generic", "login": "LOADER", "password": WAREHOUSE_PASSWORD}
        ),
        "AIRFLOW_CONN_OAC_MAIL": json.dumps({"conn_type": "generic", "login": "oac", "password": MAIL_PASSWORD}),
    }


def restore_environment(ready: Mapping[str, Any]) -> dict[str, str]:
    """Return the environment variables of the Connections and Variables for promotion, drill and standby.

    The simulator needs the instances `prod` and `scratch`; `scratch` is also the standby."""
    hosts = {name: found["url"].partition("://")[2] for name, found in ready["instances"].items()}
    adw = {"conn_type": "generic", "login": "reader_of_production", "password": "Simulated-Data-Source-1"}
    return {
        "AIRFLOW_CONN_OAC_PROD": json.dumps(connection(ready, "prod")),
        "AIRFLOW_CONN_OAC_SCRATCH": json.dumps(connection(ready, "scratch")),
        "AIRFLOW_CONN_OAC_STANDBY": json.dumps(connection(ready, "scratch")),
        "AIRFLOW_CONN_ADW_PROD": json.dumps(adw),
        "AIRFLOW_VAR_OAC_PROD_HOST": hosts["prod"],
        "AIRFLOW_VAR_OAC_SCRATCH_HOST": hosts["scratch"],
        "AIRFLOW_VAR_OAC_STANDBY_HOST": hosts["scratch"],
        "AIRFLOW_VAR_OAC_REPLICA_BUCKET": "oac-backups-replica",
        "AIRFLOW_VAR_OAC_PRIMARY_INSTANCE": next(iter(ready["instances"])),
    }


def spare_environment(ready: Mapping[str, Any], instances: Iterable[str]) -> dict[str, str]:
    """Return the environment variables of a Connection `oac_<instance>` and a Variable with its host, per instance."""
    made = {}
    for instance in instances:
        name = f"OAC_{instance.upper().replace('-', '_')}"
        made[f"AIRFLOW_CONN_{name}"] = json.dumps(connection(ready, instance))
        made[f"AIRFLOW_VAR_{name}_HOST"] = ready["instances"][instance]["url"].partition("://")[2]
    return made


def grant_environment(ready: Mapping[str, Any]) -> dict[str, str]:
    """Return the environment variables of a Connection `oac_<grant>` for each grant.

    Grants with a refresh token need a token store: `oac_refresh_token` starts with a newly issued token,
    `oac_device_code` needs a login.
    """
    without = {"private_key": None, "certificate_alias": None}
    chained = {**without, "user_password": None}
    made = {
        "jwt_assertion": connection(ready),
        "password": connection(ready, grant="password", **without),
        "device_code": device_connection(ready),
        "refresh_token": connection(ready, grant="refresh_token", refresh_token=refresh_token(ready), **chained),
    }
    return {f"AIRFLOW_CONN_OAC_{grant.upper()}": json.dumps(made) for grant, made in made.items()}


def device_connection(ready: Mapping[str, Any]) -> dict[str, Any]:
    """Return a Connection for which a person signs in once with a code; it needs a token store."""
    removed = {"private_key": None, "certificate_alias": None, "user_password": None}
    return connection(ready, user="oac.federated@example.com", grant="device_code", **removed)


def refresh_token(ready: Mapping[str, Any]) -> str:
    """Return a refresh token of the first user, like one from the console; obtained with that user's password."""
    user, password = next(iter(ready["users"].items()))
    form = {
        "grant_type": "password",
        "username": user,
        "password": password,
        "client_id": ready["client_id"],
        "client_secret": ready["client_secret"],
        "scope": f"{next(iter(ready['instances'].values()))['scope']} offline_access",
    }
    # Bypass any proxy, because the simulator is on this machine; with TLS, trust the simulator's CA.
    tls = ssl.create_default_context(cafile=ready["ca_file"]) if ready.get("ca_file") else None
    handlers = [urllib.request.ProxyHandler({}), *([urllib.request.HTTPSHandler(context=tls)] if tls else [])]
    opener = urllib.request.build_opener(*handlers)
    with opener.open(f"{ready['identity_url']}/oauth2/v1/token", urlencode(form).encode(), timeout=30) as answer:
        return str(json.load(answer)["refresh_token"])
