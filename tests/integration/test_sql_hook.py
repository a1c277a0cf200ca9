"""Airflow's operators and sensors for SQL on subject areas, by the Connection of the type oac."""

from __future__ import annotations

import contextlib
import sqlite3
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.sql.hooks.sql import DbApiHook
from airflow.providers.common.sql.operators import sql as operators
from airflow.providers.common.sql.operators.generic_transfer import GenericTransfer

from airflow_provider_oac import _compat
from airflow_provider_oac._compat import BaseHook
from airflow_provider_oac.client.sql import dbapi
from airflow_provider_oac.exceptions import OACConfigurationError, OACError
from airflow_provider_oac.hooks.oac import OACHook
from airflow_provider_oac.hooks.sql import OACSqlHook
from oac_simulator.launch import Simulator

SH, ORDERS = '"Sales History"', "XSA('admin'.'Orders')"
CATEGORY, REVENUE, NUMBER, REGION = (
    f'{SH}."Products"."Category"', f'{SH}."Facts"."Revenue"', f'{SH}."Orders"."Order Number"',
    f'{SH}."Customers"."Region"',
)  # fmt: skip
COUNT = f"SELECT COUNT({NUMBER}) FROM {SH}"
ROWS = f"SELECT {CATEGORY}, {REVENUE} FROM {SH} WHERE {CATEGORY} IN (?, ?) ORDER BY 1"

pytestmark = pytest.mark.usefixtures("connections")


def execute(kind: Any, **arguments: Any) -> Any:
    operator = kind(task_id="a_task", conn_id="oac_default", retry_on_failure=False, **arguments)
    return operator.execute({})


def fails(kind: Any, **arguments: Any) -> str:
    with pytest.raises(Exception) as failure:  # noqa: PT011 - Airflow's class differs between its lines
        execute(kind, **arguments)
    assert not isinstance(failure.value, OACError)
    return str(failure.value)


# ----------------------------------------------------------------------------------------- common operators


def test_a_query_and_its_values() -> None:
    ((category, revenue),) = execute(
        operators.SQLExecuteQueryOperator, sql=f"{ROWS};", parameters=["Category 1", "it's"]
    )
    assert (category, type(revenue)) == ("Category 1", Decimal)


def test_columns_are_checked() -> None:
    checks = {
        NUMBER: {"null_check": {"equal_to": 0}, "unique_check": {"equal_to": 0}, "min": {"geq_to": 1}},
        REGION: {"null_check": {"greater_than": 0}, "distinct_check": {"equal_to": 3}},
    }
    execute(
        operators.SQLColumnCheckOperator, table=SH, column_mapping=checks, partition_clause=f"{CATEGORY} <> 'UNION ALL'"
    )
    checks[REGION]["null_check"] = {"equal_to": 0}
    assert "null_check" in fails(operators.SQLColumnCheckOperator, table=SH, column_mapping=checks)


def test_tables_are_checked() -> None:
    checks = {
        "complete": {"check_statement": f"COUNT({NUMBER}) = 1200"},
        "known": {"check_statement": f"{CATEGORY} LIKE 'Category%'", "partition_clause": f"{REGION} IS NOT NULL"},
    }
    execute(operators.SQLTableCheckOperator, table=SH, checks=checks)
    checks["known"]["check_statement"] = f"{CATEGORY} <> 'Category 2'"
    assert "known" in fails(operators.SQLTableCheckOperator, table=SH, checks=checks)


def test_values_are_checked() -> None:
    execute(operators.SQLCheckOperator, sql=COUNT)
    execute(operators.SQLValueCheckOperator, sql=COUNT, pass_value=1200)
    execute(operators.SQLThresholdCheckOperator, sql=COUNT, min_threshold=1, max_threshold=COUNT)
    assert "failed" in fails(operators.SQLCheckOperator, sql=f"SELECT COUNT({NUMBER}) - 1200 FROM {SH}").lower()
    # Its queries name days by templates.
    interval = operators.SQLIntervalCheckOperator(
        task_id="a_task", conn_id="oac_default", table=SH, date_filter_column=f'{SH}."Time"."Month"',
        metrics_thresholds={f"COUNT({NUMBER})": 1.5},
    )  # fmt: skip
    interval.sql1, interval.sql2 = (sql.replace("{{ ds }}", "2026-02") for sql in (interval.sql1, interval.sql1))
    interval.execute({})


class Target(DbApiHook):
    """Another database."""

    conn_name_attr = "target_conn_id"
    _placeholder = "?"

    def __init__(self, database: sqlite3.Connection) -> None:
        super().__init__()
        self.database = database

    def get_conn(self) -> Any:
        return self.database

    connection_extra: Any = {}  # noqa: RUF012
    dialect_name = "default"


def test_rows_go_to_another_database(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "target.db")) as database:
        database.execute("CREATE TABLE orders (id, status)")
        transfer = GenericTransfer(
            task_id="a_task", sql=f'SELECT {ORDERS}."ORDERS"."Order ID" id, {ORDERS}."ORDERS"."Status" FROM {ORDERS}',
            source_conn_id="oac_default", destination_conn_id="target", destination_table="orders",
        )  # fmt: skip
        transfer.__dict__["destination_hook"] = Target(sqlite3.connect(tmp_path / "target.db"))
        transfer.execute({})
        assert database.execute("SELECT COUNT(*), COUNT(DISTINCT id) FROM orders").fetchall() == [(2500, 2500)]


def test_two_statements_run_if_they_are_split() -> None:
    assert execute(operators.SQLExecuteQueryOperator, sql=f"{COUNT}; {COUNT}", split_statements=True) == [(1200,)]


def test_hook_params() -> None:
    some = {"max_rows": "2", "allow_truncated": True}
    assert len(execute(operators.SQLExecuteQueryOperator, sql=f"SELECT {CATEGORY} FROM {SH}", hook_params=some)) == 2
    with pytest.raises(OACConfigurationError, match="allow_truncated must be True or False, but is 'false'"):
        execute(operators.SQLExecuteQueryOperator, sql=COUNT, hook_params={"allow_truncated": "false"})


def test_the_hook_logs_no_query(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
    OACSqlHook().get_records(ROWS, ["Category 1", "secret value"])
    assert "secret value" not in caplog.text + "".join(capsys.readouterr())


def test_the_connection_is_tested_as_ever() -> None:
    works, text = BaseHook.get_hook("oac_default").test_connection()
    assert (works, text) == OACHook().test_connection()


# ------------------------------------------------------------------------------------------------- PEP 249


def test_a_cursor() -> None:
    connection = OACSqlHook().get_conn()
    with contextlib.closing(connection), contextlib.closing(connection.cursor()) as cursor:
        assert (cursor.description, cursor.rowcount, cursor.fetchone()) == (None, -1, None)
        cursor.execute(f"SELECT {CATEGORY}, 7 x FROM {SH} ORDER BY 1")
        assert [column[0] for column in cursor.description or ()] == ["Category", "x"]
        assert {len(column) for column in cursor.description or ()} == {7}
        assert (cursor.rowcount, cursor.fetchone()) == (4, ("Category 0", 7))
        assert cursor.fetchmany(2) == [("Category 1", 7), ("Category 2", 7)]
        assert list(cursor) == [("Category 3", 7)]
        assert cursor.fetchall() == []
        with pytest.raises(dbapi.NotSupportedError, match="OAC only answers queries"):
            cursor.executemany("SELECT ? x", [[1], [2]])
        with pytest.raises(dbapi.ProgrammingError):
            cursor.execute("SELEC")
    connection.commit()
    connection.rollback()
    assert (dbapi.apilevel, dbapi.paramstyle, dbapi.threadsafety) == ("2.0", "qmark", 1)


@pytest.mark.filterwarnings("ignore:pandas only supports SQLAlchemy")
def test_data_frames() -> None:
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    hook = BaseHook.get_hook("oac_default")
    frame = hook.get_df(ROWS, ["Category 1", "Category 2"])
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame["Category"]) == ["Category 1", "Category 2"]
    # common.sql passes no list of values on to polars.
    frame = hook.get_df(COUNT, df_type="polars")
    assert isinstance(frame, polars.DataFrame)
    assert frame.rows() == [(1200,)]


@pytest.mark.usefixtures("clean")
def test_hook_lineage_hears_the_text_the_parameters_and_the_number_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    lineage = pytest.importorskip("airflow.providers.common.sql.hooks.lineage")
    # Airflow's own, which it gives only where a plugin reads it.
    collector = import_module(_compat.get_hook_lineage_collector.__module__).HookLineageCollector()
    if not hasattr(collector, "add_extra"):
        pytest.skip("the collector has extras from Airflow 3.2 on")
    monkeypatch.setattr(lineage, "get_hook_lineage_collector", lambda: collector)
    hook, values = OACSqlHook(), ["Category 1", "Category 2"]
    hook.get_records(ROWS, values)
    (extra,) = collector.collected_assets.extra
    assert (extra.context, extra.key) == (hook, "sql_job")
    assert (extra.value["sql"], extra.value["sql_parameters"], extra.value["row_count"]) == (ROWS, values, 2)


@pytest.mark.usefixtures("openlineage")
def test_lineage_names_the_sources(clean: Simulator) -> None:
    hook = OACSqlHook()
    hook.get_records(COUNT)
    hook.get_first(f'SELECT {ORDERS}."ORDERS"."Order ID" FROM {ORDERS} WHERE 1 = 2')
    host = clean.ready["instances"]["dev"]["url"].partition("://")[2]
    found = hook.get_openlineage_database_specific_lineage(None)
    assert [(one.namespace, one.name) for one in found.inputs] == [
        (f"oac://{host}", "subject-areas/Sales History"), (f"oac://{host}", "catalog/'admin'.'Orders'"),
    ]  # fmt: skip
