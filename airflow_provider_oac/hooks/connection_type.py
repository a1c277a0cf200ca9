"""The hook for Connections of the type ``oac``: the SQL hook if the package ``common.sql`` is installed."""

try:
    from airflow_provider_oac.hooks.sql import OACSqlHook as ConnectionTypeHook
except ImportError as missing:
    if not (missing.name or "").startswith("airflow.providers.common"):
        raise
    from airflow_provider_oac.hooks.oac import OACHook as ConnectionTypeHook  # type: ignore[assignment]

__all__ = ["ConnectionTypeHook"]
