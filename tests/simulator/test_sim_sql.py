"""The subset of Logical SQL: what is refused. Rows are compared in `test_sim_sql_rows`."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from types import SimpleNamespace
from typing import Any

import pytest

from oac_simulator.mcp.data import read
from oac_simulator.mcp.model import SOURCES, Source
from oac_simulator.mcp.sql import translate
from oac_simulator.mcp.sql_errors import QueryError
from tests.simulator.sim_caller import Caller
from tests.simulator.sim_mcp import Session

SALES = '"Sales History"'
ORDERS = "XSA('admin'.'Orders')"


def expand(text: str) -> str:
    """`{Table.Column}` is a column of the subject area."""
    return re.sub(r"\{(.+?)\.(.+?)\}", rf'{SALES}."\1"."\2"', text)


def find(reference: str) -> Source:
    return next(source for source in SOURCES if source.reference == reference)


def refusal(query: str) -> str:
    with pytest.raises(QueryError) as refused:
        translate(expand(query), find)
    return refused.value.text


def test_a_division_by_zero_is_an_error_of_the_database(sim: Caller) -> None:
    assert "[nQSError: 17001]" in Session(sim).refusal(expand(f"SELECT {{Facts.Revenue}} / 0 a FROM {SALES}"))


@pytest.mark.parametrize(
    ("query", "code"),
    [
        (f"SELECT {{Facts.Nothing}} FROM {SALES}", 27005),
        (f"SELECT {{Products.Category}} a FROM {SALES} ORDER BY b", 27005),
        (f"SELECT {{Products.Category}} FROM {ORDERS}", 27005),
        (f"SELEC 1 FROM {SALES}", 27002),
        (f"SELECT 1 a FROM {SALES}; SELECT 2 a FROM {SALES}", 27002),
        (f"DELETE FROM {SALES}", 27002),
        ("SELECT 1 a", 27002),
        (f"SELECT 'a FROM {SALES}", 27002),
        (f"SELECT {{Time.Day}} a FROM {SALES} WHERE {{Time.Day}} > DATE '2026-1-1'", 27002),
        (f"SELECT ? a FROM {SALES}", 27002),
    ],
)
def test_errors_with_a_code(query: str, code: int) -> None:
    assert f"[nQSError: {code}]" in refusal(query)


@pytest.mark.parametrize("source", ['"Nothing"', "'admin'.'Orders'", "XSA('admin'.'Nothing')"])
def test_unknown_sources(sim: Caller, source: str) -> None:
    assert re.findall(r"nQSError: (\d+)", Session(sim).refusal(f"SELECT 1 a FROM {source}")) == ["10058", "43113"]


REGION, REVENUE = "{Customers.Region}", "{Facts.Revenue}"


@pytest.mark.parametrize(
    ("query", "construct"),
    [
        (f"SELECT * FROM {SALES}", "SELECT *"),
        (f"SELECT {REGION} a FROM {SALES} JOIN {ORDERS}", "JOIN"),
        (f"SELECT {REGION} a FROM {SALES}, {ORDERS}", "several sources"),
        (f"WITH x AS (SELECT 1 a FROM {SALES}) SELECT a FROM x", "WITH"),
        (f"SET VARIABLE DISABLE_CACHE_HIT=1; SELECT 1 a FROM {SALES}", "SET"),
        (f"SELECT_PHYSICAL 1 FROM {SALES}", "SELECT_PHYSICAL"),
        (f"SELECT {REGION} a FROM {SALES} UNION SELECT {REGION} a FROM {SALES}", "UNION without ALL"),
        (f"SELECT {REGION} a FROM {SALES} MINUS SELECT {REGION} a FROM {SALES}", "MINUS"),
        (f"SELECT AGO({REVENUE}, {{Time.Month}}, 1) a FROM {SALES}", "AGO"),
        (f"SELECT TOPN({REVENUE}, 3) a FROM {SALES}", "TOPN"),
        (f"SELECT REPORT_SUM({REVENUE} BY ) a FROM {SALES}", "REPORT_SUM"),
        (f"SELECT EVALUATE('f', {REVENUE}) a FROM {SALES}", "EVALUATE"),
        (f'SELECT VALUEOF(NQ_SESSION."X") a FROM {SALES}', "VALUEOF"),
        (f"SELECT {REGION} a FROM {SALES} WHERE {REVENUE} > 1", "a measure in WHERE"),
        (f"SELECT {REGION} a FROM {SALES} WHERE {REGION} NOT IN (SELECT 1 b FROM {SALES})", "NOT IN with a query"),
        (f"SELECT {REGION} a FROM {SALES} WHERE {REGION} = (SELECT 'x' b FROM {SALES})", "a query as a value"),
        (f"SELECT {REGION} a, {REVENUE} b FROM {SALES} HAVING {REVENUE} > 1", "HAVING"),
        (f"SELECT {REGION} a, {REVENUE} b FROM {SALES} ORDER BY {REGION}", "ORDER BY"),
        (f"SELECT {REGION} a, {REVENUE} b FROM {SALES} GROUP BY {{Products.Category}}", "GROUP BY does not name"),
        (f"SELECT COUNT({REVENUE}) a FROM {SALES}", "without OVERRIDEAGGR"),
        (f"SELECT SUM({REVENUE} + 1) a FROM {SALES}", "an aggregate of a measure"),
        (f"SELECT OVERRIDEAGGR({REVENUE}) a FROM {SALES}", "OVERRIDEAGGR outside"),
        (f"SELECT MIN(CASE WHEN OVERRIDEAGGR({REVENUE}) > 1 THEN 1 END) a FROM {SALES}", "OVERRIDEAGGR in"),
        (f"SELECT CASE WHEN {REGION} = 'x' THEN {REVENUE} END a FROM {SALES}", "an attribute and a measure"),
        (f"SELECT {REGION} a FROM {SALES} WHERE {{Time.Day}} = '2026-01-01'", "date and text"),
        (f"SELECT CAST({REGION} AS INTEGER) a FROM {SALES}", "CAST of a text"),
        (f'SELECT "Customers"."Region" a FROM {SALES}', "two parts"),
        (f"SELECT 1 a FROM {SALES} -- why", "comments"),
        (f"SELECT CURRENT_DATE() a FROM {SALES}", "CURRENT_DATE"),
    ],
)
def test_what_is_outside_the_subset_is_named(query: str, construct: str) -> None:
    said = refusal(query)
    assert "The simulator does not know" in said
    assert construct in said


def test_first_queries_at_one_time_see_the_same_rows(tmp_path: Path) -> None:
    world: Any = SimpleNamespace(store=SimpleNamespace(directory=tmp_path))
    together = Barrier(8)

    def count(_number: int) -> list[tuple[Any, ...]]:
        together.wait()
        return read(world, "dev", f'SELECT COUNT(*) FROM "{SOURCES[0].reference}"', 2)

    with ThreadPoolExecutor(8) as threads:
        counts = list(threads.map(count, range(8)))
    assert counts == [read(world, "dev", f'SELECT COUNT(*) FROM "{SOURCES[0].reference}"', 2)] * 8
    assert counts[0][0][0] > 0
