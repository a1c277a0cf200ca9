"""Modules that only a running task or trigger needs, each imported when it is first used.

Airflow imports operators, sensors, triggers and hooks whenever it parses a DAG file. They write
``lazy.snapshots.list_all()`` in place of an import, so parsing loads neither the client nor an HTTP library.
If two packages have a module of the same name, the first one in ``_PACKAGES`` counts.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # The same for type checkers and editors.
    # fmt: off
    # isort: off
    from airflow_provider_oac.client.rest import (
        acl, catalog, connections, data_flows, datasets, jobs, mail, safe_domains, sequences, settings, snapshots,
        system, work_requests, workbooks,
    )
    from airflow_provider_oac.client.flows import (
        acl_changes, acl_report, any_call, catalog_changes, catalog_diff, catalog_search, catalog_watch,
        create_connection, create_snapshot, download, export, polling, register_snapshot, restore, retention, start_run,
        submit, system_settings, throttle, writers,
    )
    from airflow_provider_oac.client import (
        api, calls, errors, file_names, ids, models, paging, secret_names, snapshot_names, sql,
    )
    from airflow_provider_oac.hooks import (
        connection, connection_test, credentials, defer_decision, oac, object_storage,
        requests_session, shared_poller, stores, token_mask,
    )
    from airflow_provider_oac.auth import keys, session
    from airflow_provider_oac.transport import blocking, io, redaction
    # fmt: on
    # isort: on

_PACKAGES = ("client.rest", "client.flows", "client", "hooks", "auth", "transport")


def __getattr__(name: str) -> Any:
    for package in _PACKAGES:
        path = f"{__package__}.{package}.{name}"
        try:
            module = import_module(path)
        except ModuleNotFoundError as error:
            if error.name != path:
                raise
        else:
            globals()[name] = module
            return module
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
