"""The hook that Airflow makes of a Connection of the type ``oac``: for SQL, if the package ``common.sql`` is there."""

try:
    from airflow_provider_oac.hooks.sql import OACSqlHook as ConnectionTypeHook
except ImportError as missing:
    if not (missing.name or "").startswith("airflow.providers.common"):
        raise
    from airflow_provider_oac.hooks.oac import OACHook as ConnectionTypeHook  # type: ignore[assignment]

__all__ = ["ConnectionTypeHook"]
