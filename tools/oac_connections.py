"""Airflow Connections that lead to a running simulator, made from its ready file; for tests and the demo."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

WAREHOUSE_PASSWORD = "Simulated-Warehouse-2026"  # noqa: S105 (of a database that does not exist)
#: Satisfies OAC's rules: 14 to 50 characters, lower and upper case letters, a digit, a special character.
SEAL_PASSWORD = "Simulated-Seal-2026!"  # noqa: S105 (protects simulated backups only)


def connection(
    ready: Mapping[str, Any], instance: str | None = None, *, user: str | None = None, **extra: str | None
) -> dict[str, Any]:
    """A Connection of type oac to one simulated instance, in Airflow's JSON form.

    :param ready: the content of the simulator's ready file.
    :param instance: name of the instance; by default the first.
    :param user: who to act as; by default the first user.
    :param extra: members of the Connection's extra to add or replace; None removes one.
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
    """Environment variables of the Connections `oac_default` (first instance), `oac_password` (the same by the grant
    password), `oac_export` (the same as an author who administers nothing), `oac_seal`, and `oac_warehouse` (the
    credentials of a data source)."""
    by_password = connection(ready, grant="password", private_key=None)
    return {
        "AIRFLOW_CONN_OAC_DEFAULT": json.dumps(connection(ready)),
        "AIRFLOW_CONN_OAC_PASSWORD": json.dumps(by_password),
        "AIRFLOW_CONN_OAC_EXPORT": json.dumps(connection(ready, user="oac.author@example.com")),
        "AIRFLOW_CONN_OAC_SEAL": json.dumps({"conn_type": "generic", "password": SEAL_PASSWORD}),
        "AIRFLOW_CONN_OAC_WAREHOUSE": json.dumps(
            {"conn_type": "generic", "login": "LOADER", "password": WAREHOUSE_PASSWORD}
        ),
    }


def restore_environment(ready: Mapping[str, Any]) -> dict[str, str]:
    """Environment variables of the Connections and Variables that promotion, drill and standby need; the simulator has
    the instances `prod` and `scratch`, which is the standby as well."""
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
