"""MCP: messages, sessions, tools, and the shapes of answers."""

from __future__ import annotations

from tests.simulator.sim_caller import Caller
from tests.simulator.sim_mcp import Session


def test_the_way_to_a_row(sim: Caller) -> None:
    session = Session(sim)
    assert session.initialized["protocolVersion"] == "2025-06-18"
    names = [tool["name"] for tool in session.post("tools/list").json()["result"]["tools"]]
    assert "oracle_analytics-execute_logical_sql" in names
    query = (
        'SELECT "Sales History"."Products"."Category" c1, "Sales History"."Facts"."Revenue" c2 '
        'FROM "Sales History" ORDER BY 1 FETCH FIRST 2 ROWS ONLY'
    )
    rows = session.rows(query)
    assert [row["c1"] for row in rows] == ["Category 0", "Category 1"]
    [[revenue]] = sim.control.data(
        "dev", 'SELECT SUM("Facts.Revenue") FROM "Sales History" WHERE "Products.Category" = ?', "Category 0"
    )
    assert rows[0]["c2"] == revenue
