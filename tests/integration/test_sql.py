"""Queries through OAC's MCP endpoint: results, sessions, errors."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_oac.client import ids, sql
from airflow_provider_oac.client.api import Api
from airflow_provider_oac.client.paging import collected
from airflow_provider_oac.client.sql.session import READ_TOOLS
from airflow_provider_oac.exceptions import OACApiError, OACError, OACQueryError, OACResponseError
from oac_simulator.control import Control
from oac_simulator.launch import Simulator
from tests.integration.flows import Oac

SH, ORDERS = '"Sales History"', "XSA('admin'.'Orders')"
CATEGORIES = f'SELECT {SH}."Products"."Category", {SH}."Facts"."Orders" FROM {SH} ORDER BY 1'
ALL = f'SELECT {ORDERS}."ORDERS"."Order ID" id, {ORDERS}."ORDERS"."Customer" customer FROM {ORDERS}'
CALL, BEGIN = "mcp tools/call execute_logical_sql", "mcp initialize"
CONSUMER = "oac.consumer@example.com"


def refusal(run: Oac, text: str, parameters: Any = None, **changes: Any) -> OACError:
    with pytest.raises(OACError) as failure:
        run(sql.query(text, parameters, **changes))
    return failure.value


def read(run: Oac, text: str, **plan: Any) -> list[sql.Rows]:
    pages: list[sql.Rows] = run(collected(lambda api: sql.pages(api, text, **plan)))
    return pages


# ------------------------------------------------------------------------------------------------- results


@pytest.mark.parametrize(
    "settings",
    [{}, {"mcp_reply": "sse"}, {"mcp_reply": "sse_lines"}, {"mcp_tools": "old"}, {"mcp_tools_page": 2}],
    ids=["JSON", "events", "events of lines", "former names of tools", "pages of tools"],
)
def test_rows_come_in_order_with_names(clean: Simulator, run: Oac, settings: dict[str, Any]) -> None:
    clean.control.settings(**settings)
    found = run(sql.query(CATEGORIES))
    assert found.columns == ("Category", "Orders")
    assert found.rows == [(f"Category {number}", 300) for number in range(4)]
    assert not found.truncated


@pytest.mark.parametrize("nulls", ["null", "missing"])
def test_values(clean: Simulator, run: Oac, nulls: str) -> None:
    clean.control.settings(mcp_nulls=nulls)
    query = (
        f'SELECT MAX({SH}."Orders"."Shipped At") shipped, {SH}."Orders"."Order Number" n, {SH}."Facts"."Revenue" r, '
        f'{SH}."Facts"."Discount" d, NULL FROM {SH} WHERE {SH}."Orders"."Order Number" IN (?, ?) ORDER BY 2'
    )
    first = 9_007_199_254_740_993
    found = run(sql.query(query, [first, first + 1]))
    # Dates have no zone, whole numbers keep their digits, fractions are exact, and NULL is None wherever it is.
    assert found.rows == [
        (datetime(2026, 1, 3, 0, 0, 0, 500_000), first, 5, None, None),
        (None, first + 1, Decimal("10.74"), 25, None),
    ]
    assert [type(value) for value in found.data[2]] == [int, Decimal]


def test_a_part_of_the_rows_is_an_error_unless_it_is_wanted(clean: Simulator, run: Oac) -> None:
    assert len(run(sql.query(ALL, max_rows=2500))) == 2500
    assert "OAC has more than the first 2499 rows" in str(refusal(run, ALL, max_rows=2499))
    some = run(sql.query(ALL, max_rows=100, allow_truncated=True))
    assert (len(some), some.truncated) == (100, True)
    clean.control.settings(mcp_max_rows=1000)
    assert "OAC has more than the first 1000 rows" in str(refusal(run, ALL, max_rows=2500))


@pytest.mark.parametrize(("text", "key"), [(ALL, "ID"), (f"{ALL} ORDER BY 1", None)])
@pytest.mark.parametrize("limit", [0, 700])
def test_pages_hold_each_row_once(clean: Simulator, run: Oac, text: str, key: str | None, limit: int) -> None:
    """Also where OAC sends fewer rows than it was asked for."""
    clean.control.settings(mcp_max_rows=limit)
    pages = read(run, text, page_rows=1000, key=key)
    assert [value for page in pages for value in page.data[0]] == list(range(1, 2501))
    assert max(map(len, pages)) == (limit or 1000)


def test_no_rows_are_one_empty_page(run: Oac) -> None:
    (page,) = read(run, f'{ALL} WHERE {ORDERS}."ORDERS"."Order ID" < 0', key="id")
    assert (page.columns, page.rows) == (("id", "customer"), [])


@pytest.mark.parametrize(
    ("text", "key", "problem"),
    [
        (ALL, "customer", "its key customer has"),
        (f'{ALL} WHERE {ORDERS}."ORDERS"."Order ID" = 8', "customer", "its key customer has NULL"),
        (ALL, "no such", "the key no such is not one of its columns: id, customer"),
    ],
)
def test_a_key_that_would_lose_rows_is_refused(run: Oac, text: str, key: str, problem: str) -> None:
    with pytest.raises(OACQueryError, match=problem):
        read(run, text, page_rows=100, key=key)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ([{"x": 1}], "it has 1 rows, but reports 2"),
        ([{"x": 1}, {"X": 2}], "it has 2 columns, not the 1 of the query"),
        ([{"x": 1, "y": 1}, {"x": 2}], "it has 2 columns, not the 1 of the query"),
    ],
)
def test_rows_that_do_not_fit_are_noticed(clean: Simulator, run: Oac, data: list[dict[str, int]], problem: str) -> None:
    text = json.dumps({"batches": [{"data": data}], "summary": {"totalRecords": 2}})
    body = json.dumps({"jsonrpc": "2.0", "id": 3, "result": {"content": [{"type": "text", "text": text}]}})
    clean.control.fault(CALL, "status", status=200, body=body, headers={"Content-Type": "application/json"})
    with pytest.raises(OACResponseError, match=problem):
        run(sql.query('SELECT 1 x FROM "Sales History"'))


# ------------------------------------------------------------------------------------------------- sources


def test_sources_are_listed_and_described(run: Oac) -> None:
    listed = {source.name: source.reference for source in run(sql.datasets())}
    assert listed["Orders"] == ORDERS
    assert [source.name for source in run(sql.datasets("Budget"))] == ["Budget Lines"]
    assert [source.reference for source in run(sql.subject_areas())] == [SH]
    columns = {column.reference: column for column in run(sql.describe(SH))}
    revenue, day = columns[f'{SH}."Facts"."Revenue"'], columns[f'{SH}."Time"."Day"']
    assert (revenue.table, revenue.type, revenue.measure, revenue.aggregation) == ("Facts", "NUMERIC", True, "sum")
    assert (day.measure, day.name) == (False, "Day")
    assert {column.measure for column in run(sql.describe(ORDERS))} == {True, False}


def test_a_definition_is_read(run: Oac) -> None:
    workbook = ids.catalog_id("/@Catalog/shared/Sales/Pipeline")
    assert isinstance(run(sql.read_workbook(workbook)), dict)
    with pytest.raises(OACQueryError, match=r"definition of workbook '/@Catalog/shared/None'.*does not exist"):
        run(sql.read_workbook(ids.catalog_id("/@Catalog/shared/None")))


def test_only_tools_that_read_are_ever_called(run: Oac) -> None:
    assert all("save" not in name and "delete" not in name for name in READ_TOOLS)

    async def flow(api: Api) -> Any:
        return await sql.McpSession().tool(api, "delete_catalog_item", {}, None)  # type: ignore[arg-type]

    with pytest.raises(ValueError, match="delete_catalog_item is not a tool that only reads"):
        run(flow)


# ------------------------------------------------------------------------------------------------ sessions


def test_one_session_serves_several_queries(clean: Simulator, run: Oac) -> None:
    async def flow(api: Api) -> None:
        session = sql.McpSession()
        for _ in range(3):
            await api.run(sql.query(CATEGORIES, session=session))

    run(flow)
    assert (clean.control.calls("dev", BEGIN), clean.control.calls("dev", "mcp tools/list")) == (1, 1)


@pytest.mark.parametrize("signal", ["404", "error"])
@pytest.mark.parametrize("status", [400, 200])
def test_a_lost_session_is_begun_anew_once(clean: Simulator, run: Oac, signal: str, status: int) -> None:
    clean.control.settings(mcp_lost_session=signal, mcp_session_status=status)
    clean.control.fault(CALL, "lost_session")
    assert len(run(sql.query(CATEGORIES))) == 4
    assert clean.control.calls("dev", BEGIN) == 2
    clean.control.fault(CALL, "lost_session", times=None)
    error = refusal(run, CATEGORIES)
    assert clean.control.calls("dev", BEGIN) == 4
    assert 'Could not query "Sales History"' in str(error)


def test_a_session_that_was_half_begun_is_not_used(clean: Simulator, run: Oac) -> None:
    clean.control.fault("mcp notifications/initialized", "status", status=400)
    session = sql.McpSession()
    with pytest.raises(OACApiError, match="Could not send notifications/initialized"):
        run(sql.query(CATEGORIES, session=session))
    assert len(run(sql.query(CATEGORIES, session=session))) == 4
    assert clean.control.calls("dev", BEGIN) == 2


@pytest.mark.parametrize(
    "fault", [{"fault": "expired_token"}, {"fault": "status", "status": 503}, {"fault": "drop_after"}]
)
def test_a_token_that_expires_or_a_response_that_is_lost_in_the_middle_costs_one_call(
    clean: Simulator, run: Oac, fault: dict[str, Any]
) -> None:
    clean.control.fault(CALL, **fault, after=1)
    pages = read(run, ALL, page_rows=1000, key="id")
    assert sum(map(len, pages)) == 2500
    # Five calls without the fault.
    assert (clean.control.calls("dev", BEGIN), clean.control.calls("dev", CALL)) == (1, 6)


# -------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("form", ["error", "tool", "status"])
def test_a_refused_query_is_not_sent_again(clean: Simulator, run: Oac, form: str) -> None:
    clean.control.settings(mcp_error_form=form)
    error = refusal(run, f'SELECT {SH}."Products"."Catgory" c FROM {SH}')
    assert isinstance(error, OACQueryError)
    assert error.code == 27005
    assert "the source has no column of this name" in str(error)
    assert clean.control.calls("dev", CALL) == 1


#: What docs/sql.md shows the error of: the query, its values, and what the simulator is to do.
BAD_INPUT: dict[str, tuple[str, Any, Callable[[Control], Any]]] = {
    "A column that does not exist": (f'SELECT {SH}."Products"."Catgory" c FROM {SH}', None, lambda _: None),
    "A syntax error": (f'SELECT {SH}."Products"."Category" c FRM {SH}', None, lambda _: None),
    "Two statements": (f"{CATEGORIES}; {CATEGORIES}", None, lambda _: None),
    "A subject area or dataset that does not exist": ('SELECT "No"."T"."C" c FROM "No"', None, lambda _: None),
    "A value that has no literal": (f"{ALL} WHERE 1 = ?", [["1"]], lambda _: None),
    "More rows than `max_rows`, or than OAC sends": (ALL, None, lambda control: control.settings(mcp_max_rows=1000)),
    "A token that OAC refuses, also after a renewal": (
        CATEGORIES, None, lambda control: control.fault(CALL, "expired_token", times=None)
    ),
    "A paused instance": (CATEGORIES, None, lambda control: control.settings(paused=["dev"])),
}  # fmt: skip


def test_the_documentation_shows_each_error(clean: Simulator, run: Oac) -> None:
    text = (Path(__file__).parents[2] / "docs" / "sql.md").read_text()
    shown = dict(re.findall(r"^\| (.+) \| `(Could .+)` \|$", text, re.MULTILINE))
    assert shown.keys() == BAD_INPUT.keys()
    for what, (query, values, prepare) in BAD_INPUT.items():
        clean.control.reset()
        prepare(clean.control)
        error = str(refusal(run, query, values))
        assert re.fullmatch(".+".join(map(re.escape, shown[what].split("…"))), error), error


def test_an_instance_without_mcp_is_named(clean: Simulator, run: Oac) -> None:
    clean.control.fault(BEGIN, "status", status=404, body={"message": "Not Found"})
    assert "this instance has no MCP server" in str(refusal(run, CATEGORIES))


@pytest.mark.parametrize(
    ("consumer", "told"),
    [("hide", "has no tool execute_logical_sql. It has: "), ("refuse", "lacks the role")],
)
def test_a_consumer_may_not_query(clean: Simulator, run: Oac, consumer: str, told: str) -> None:
    clean.control.add_user(CONSUMER, roles=["DVConsumer"])
    clean.control.settings(mcp_consumer=consumer)
    with pytest.raises(OACError, match=told):
        run(sql.query(CATEGORIES), CONSUMER)


def test_no_value_of_a_query_is_in_an_error(clean: Simulator, run: Oac) -> None:
    body = "[nQSError: 17001] ORA-01722: invalid number: 4711-4712 near 'Jane Doe' of jane@example.com"
    clean.control.fault(CALL, "query_error", body=body)
    text = str(refusal(run, f"{ALL} WHERE 'Jane Doe' = ? AND 1 = 2", ["4711-4712"]))
    assert "invalid number: *** near '…' of …@…" in text
