"""Which hook Airflow makes of a Connection of the type ``oac``."""

from __future__ import annotations

import importlib
import sys

import pytest

from airflow_provider_oac.exceptions import OACConfigurationError
from airflow_provider_oac.hooks import connection_type
from airflow_provider_oac.hooks.oac import OACHook
from airflow_provider_oac.hooks.sql import OACSqlHook


def reloaded(monkeypatch: pytest.MonkeyPatch, missing: str | None) -> type:
    try:
        with monkeypatch.context() as patch:
            if missing:
                patch.delitem(sys.modules, "airflow_provider_oac.hooks.sql")
                patch.setitem(sys.modules, missing, None)
            return importlib.reload(connection_type).ConnectionTypeHook
    finally:
        importlib.reload(connection_type)


def test_it_is_for_sql_if_common_sql_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    assert reloaded(monkeypatch, None) is OACSqlHook
    assert reloaded(monkeypatch, "airflow.providers.common.sql.hooks.sql") is OACHook


def test_a_defect_is_not_taken_for_a_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ImportError):
        reloaded(monkeypatch, "airflow_provider_oac.client.sql")


def test_hook_params_that_do_not_fit_are_named() -> None:
    with pytest.raises(OACConfigurationError, match="max_rows must be a whole number"):
        OACSqlHook(max_rows="many")
