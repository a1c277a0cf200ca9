"""Queries to files, fresh data, and definitions of workbooks."""

from __future__ import annotations

import csv
import hashlib
import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_oac._compat import AirflowSensorTimeout
from airflow_provider_oac.client import ids
from airflow_provider_oac.client.rest import catalog
from airflow_provider_oac.exceptions import (
    OACConfigurationError,
    OACContentError,
    OACError,
    OACKilledError,
    OACQueryError,
)
from airflow_provider_oac.hooks.oac import OACHook
from airflow_provider_oac.operators.sql import OACSqlToStorageOperator, OACWorkbookBackupOperator
from airflow_provider_oac.sensors.sql import OACFreshnessSensor
from oac_simulator.launch import Simulator
from tests.tasks import Task

SH, O = '"Sales History"', "XSA('admin'.'Orders')"  # noqa: E741
QUERY = (
    f'SELECT {O}."ORDERS"."Order ID" id, {O}."ORDERS"."Ordered At" ordered_at, {O}."ORDERS"."Customer", '
    f'{O}."ORDERS"."Amount" amount FROM {O}'
)
CALL, PIPELINE = "mcp tools/call execute_logical_sql", "/@Catalog/shared/Sales/Pipeline"

pytestmark = pytest.mark.usefixtures("connections")


def task(destination: Path, **changes: Any) -> Task:
    arguments = {"sql": QUERY, "destination": str(destination), "page_rows": 1000, "page_key": "id", **changes}
    return Task(lambda: OACSqlToStorageOperator(task_id="extract", **arguments))


# ------------------------------------------------------------------------------------------- query to file


def test_csv(tmp_path: Path) -> None:
    target = tmp_path / "orders.csv"
    assert OACSqlToStorageOperator.template_ext == (".sql",)
    result = task(target, manifest=True).attempt()
    data = target.read_bytes()
    assert result == {
        "path": str(target), "format": "csv", "rows": 2500, "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(), "columns": ["id", "ordered_at", "Customer", "amount"],
        "manifest": f"{target}.manifest.json",
    }  # fmt: skip
    rows = list(csv.reader(data.decode().splitlines()))
    assert rows[:2] == [["id", "ordered_at", "Customer", "amount"], ["1", "2026-01-01 00:00:00", "Customer 00", "10"]]
    assert rows[50][3] == ""
    assert json.loads(Path(f"{target}.manifest.json").read_text()) == {**result, "sources": [O]}


def test_json_lines(tmp_path: Path) -> None:
    task(tmp_path / "orders.jsonl", file_format="jsonl").attempt()
    lines = (tmp_path / "orders.jsonl").read_text().splitlines()
    assert json.loads(lines[1], parse_float=str) == {
        "id": 2, "ordered_at": "2026-01-01T01:37:00", "Customer": "Customer 01", "amount": "89.19"
    }  # fmt: skip
    assert (len(lines), json.loads(lines[49])["amount"]) == (2500, None)


def test_parquet(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    target = tmp_path / "orders.parquet"
    task(target, file_format="parquet").attempt()
    table = parquet.read_table(target)
    assert [str(field.type) for field in table.schema] == ["int64", "timestamp[us]", "string", "double"]
    assert table.column("id").to_pylist() == list(range(1, 2501))
    assert parquet.ParquetFile(target).num_row_groups == 3
    types = {"amount": "decimal128(10, 2)", "ordered_at": "date32", "id": "string"}
    task(target, file_format="parquet", column_types=types).attempt()
    row = parquet.read_table(target).to_pylist()[1]
    assert row == {"id": "2", "ordered_at": date(2026, 1, 1), "Customer": "Customer 01", "amount": Decimal("89.19")}


def test_a_column_whose_first_page_misleads(tmp_path: Path, clean: Simulator) -> None:
    pytest.importorskip("pyarrow")
    clean.control.data("dev", f'UPDATE "{O}" SET "ORDERS.Amount" = 7 WHERE "ORDERS.Order ID" <= 1000')
    clean.control.data("dev", f'UPDATE "{O}" SET "ORDERS.Amount" = 7.25 WHERE "ORDERS.Order ID" = 2000')
    target = tmp_path / "orders.parquet"
    with pytest.raises(OACContentError, match=r"Column amount .*column_types=\{'amount': 'double'\}"):
        task(target, file_format="parquet").attempt()
    assert list(tmp_path.iterdir()) == []
    assert task(target, file_format="parquet", column_types={"amount": "double"}).attempt()["rows"] == 2500


@pytest.mark.parametrize("file_format", ["csv", "jsonl", "parquet"])
def test_no_rows_are_a_file(tmp_path: Path, file_format: str) -> None:
    target = tmp_path / "none"
    result = task(target, sql=f'{QUERY} WHERE {O}."ORDERS"."Order ID" = 0', file_format=file_format).attempt()
    assert (result["rows"], target.stat().st_size) == (0, result["size"])


@pytest.mark.parametrize(
    ("changes", "error", "told"),
    [
        ({"column_types": {"id": "money"}, "file_format": "parquet"}, OACConfigurationError, "is 'money'"),
        ({"column_types": {"no": "int64"}, "file_format": "parquet"}, OACConfigurationError, "The columns are id, "),
        ({"page_rows": None, "page_key": None, "max_rows": 100}, OACQueryError, "more than the first 100 rows"),
        ({"sql": f'SELECT {SH}."Time"."Day", {SH}."Time"."Day" FROM {SH}', "page_key": "Day"}, OACConfigurationError,
         "Their names must differ"),
    ],
)  # fmt: skip
def test_what_cannot_work(tmp_path: Path, changes: dict[str, Any], error: type[OACError], told: str) -> None:
    with pytest.raises(error, match=told):
        task(tmp_path / "x.csv", **changes).attempt()
    assert list(tmp_path.iterdir()) == []


def test_a_failure_in_the_middle_leaves_the_old_file(tmp_path: Path, clean: Simulator) -> None:
    target = tmp_path / "x.csv"
    target.write_text("old")
    clean.control.fault(CALL, "query_error", after=2)
    extract = task(target)
    with pytest.raises(OACQueryError, match="17001"):
        extract.attempt()
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]
    assert extract.attempt()["rows"] == 2500


def test_a_query_that_is_told_to_stop_ends(tmp_path: Path, clean: Simulator) -> None:
    operator = OACSqlToStorageOperator(task_id="extract", sql=QUERY, destination=f"file://{tmp_path}/x.csv")
    operator.on_kill()
    # Without the stop it would wait for OAC to come back.
    clean.control.fault("*", "status", status=503, times=None)
    with pytest.raises(OACKilledError, match="The query may continue in OAC"):
        Task(lambda: operator).attempt()


@pytest.mark.usefixtures("openlineage")
def test_the_rows_are_an_event_and_lineage(tmp_path: Path) -> None:
    operator = OACSqlToStorageOperator(task_id="extract", sql=QUERY, destination=f"file://{tmp_path}/x.csv")
    operator.execute(task(tmp_path).context())
    found = operator.get_openlineage_facets_on_complete(None)
    assert [one.name for one in (*found.inputs, *found.outputs)] == ["catalog/'admin'.'Orders'", f"{tmp_path}/x.csv"]


# ---------------------------------------------------------------------------------------------- fresh data


def sensor(**changes: Any) -> OACFreshnessSensor:
    arguments: dict[str, Any] = {
        "sql": f'SELECT MAX({SH}."Time"."Day") d FROM {SH}', "max_age": timedelta(days=1), "timeout": 20,
        "poke_interval": timedelta(seconds=0.05),
    }  # fmt: skip
    return OACFreshnessSensor(task_id="wait", **{**arguments, **changes})


def poke(**changes: Any) -> bool:
    return sensor(**changes).poke({}).is_done


def newest(clean: Simulator) -> datetime:
    """Make the newest day of the subject area three hours ago, in UTC."""
    day = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=3)
    clean.control.data("dev", 'UPDATE "Sales History" SET "Time.Day" = ?', f"{day:%Y-%m-%d %H:%M:%S}.0")
    return day


def test_fresh_data_end_the_wait(clean: Simulator, deferrable: bool) -> None:
    day = newest(clean)
    assert Task(lambda: sensor(deferrable=deferrable)).attempt() == day.isoformat()


def test_the_zone_is_the_sources(clean: Simulator) -> None:
    """Three hours ago in UTC is a time to come in New York, and too long ago in Tokyo for two."""
    newest(clean)
    assert poke(timezone="America/New_York", max_age=timedelta(hours=1))
    assert not poke(timezone="Asia/Tokyo", max_age=timedelta(hours=11))


def test_old_data_none_and_trouble_are_waited_for(clean: Simulator) -> None:
    assert not poke()
    assert not poke(sql=f'SELECT MAX({SH}."Time"."Day") d FROM {SH} WHERE 1 = ?', parameters=[2])
    with pytest.raises(AirflowSensorTimeout, match=r'A date of "Sales History", at most 1 day, 0:00:00 old did not'):
        Task(lambda: sensor(deferrable=True, timeout=0.5)).attempt()
    clean.control.settings(paused=["dev"])
    assert not poke()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"sql": f'SELECT MAX({SH}."Time"."Month") d FROM {SH}'}, "the first column is not a date"),
        ({"sql": f"SELECT 1 d FROM {SH}"}, "the first column is not a date"),
        ({"sql": f'SELECT {SH}."Time"."Day" d FROM {SH}'}, "more than the first 1 rows"),
        ({"timezone": "Mars/Olympus"}, "Mars/Olympus"),
    ],
)
def test_a_question_that_has_no_date_as_answer(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(OACError, match=told) as caught:
        poke(**changes)
    # That exception would hold the value.
    assert "isoformat" not in str(caught.value.__context__)


# --------------------------------------------------------------------------------------------- definitions


def backup(destination: Path, folder: str = "/@Catalog/shared") -> Any:
    arguments = {"folder_path": folder, "destination": str(destination)}
    return Task(lambda: OACWorkbookBackupOperator(task_id="backup", **arguments)).attempt()


def definitions(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*.json")}


def test_definitions_are_files(tmp_path: Path) -> None:
    assert backup(tmp_path) == {"path": str(tmp_path), "manifest": f"{tmp_path}/manifest.json", "workbooks": 7}
    files = definitions(tmp_path)
    pipeline = {"file": "Sales/Pipeline.json", "path": PIPELINE, "id": ids.catalog_id(PIPELINE)}
    assert pipeline in json.loads(files[tmp_path / "manifest.json"])["workbooks"]
    assert len(files) == 8
    assert isinstance(json.loads(files[tmp_path / "Sales/Pipeline.json"]), dict)
    # The same definitions are the same bytes.
    backup(tmp_path)
    assert files == definitions(tmp_path)


def test_names_that_differ_in_signs_are_different_files(tmp_path: Path) -> None:
    for name in ("A*B", "A?B", "a?b", "Manifest"):
        OACHook().run(catalog.copy("workbooks", ids.catalog_id(PIPELINE), name=name))
    backup(tmp_path, "/@Catalog/shared/Sales")
    names = [path.name for path in tmp_path.iterdir()]
    assert len({name.casefold() for name in names}) == len(names) == 8
