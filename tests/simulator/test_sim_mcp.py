"""MCP: messages, sessions, tools, and the shapes of answers.

`tests/judges` holds it against the MCP Python SDK, and `tests/integration/test_sql.py` against the provider: forms of
answers and errors, pages of tools, lost sessions, old names, and cut rows are shown there.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.simulator.sim_caller import ADMIN, AUTHOR, SHARED, Caller, encoded, pair
from tests.simulator.sim_mcp import Session, answer

REVENUE = 'SELECT "Sales History"."Products"."Category" c1, "Sales History"."Facts"."Revenue" c2 FROM "Sales History"'
ORDERS = "SELECT XSA('admin'.'Orders').\"ORDERS\".\"Order ID\" c1 FROM XSA('admin'.'Orders') ORDER BY 1"
LIST, CALL = "mcp tools/list", "mcp tools/call "
BUDGET = f"content://catalog/workbooks/{encoded(f'{SHARED}/Finance/Budget')}"
BOARD = f"content://catalog/workbooks/{encoded(f'{SHARED}/Board/Board Pack')}"
PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}


def tools(session: Session) -> list[dict[str, Any]]:
    return list(answer(session.post("tools/list"))["result"]["tools"])


def bare(found: list[dict[str, Any]]) -> list[str]:
    return [tool["name"].removeprefix("oracle_analytics-") for tool in found]


def names(found: dict[str, Any]) -> list[str]:
    return [item["name"] for item in found["items"]]


def test_initialize_describes_the_server(sim: Caller) -> None:
    session = Session(sim)
    assert session.initialized["capabilities"]["resources"] == {"subscribe": False, "listChanged": True}
    newer = session.post("initialize", protocolVersion="2025-11-25", capabilities={}, clientInfo={})
    assert newer.json()["result"]["protocolVersion"] == "2025-06-18"


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"{", {}, 400, -32700),
        ([PING], {}, 400, -32600),
        ({"id": 1, "method": "ping"}, {}, 400, -32600),
        ({**PING, "method": "server/discover"}, {}, 200, -32601),
        (PING, {"Accept": "application/json"}, 406, -32600),
        (PING, {"Content-Type": "text/plain"}, 415, -32700),
        (PING, {"MCP-Protocol-Version": "1999-01-01"}, 400, -32600),
        ({**PING, "method": "initialize", "params": {}}, {}, 200, -32602),
        ({**PING, "method": "tools/call", "params": {"name": "no"}}, {}, 200, -32601),
    ],
    ids=["no JSON", "batch", "no JSON-RPC", "unknown", "Accept", "content type", "version", "params", "tool"],
)
def test_what_is_no_message_is_refused(sim: Caller, body: Any, headers: dict[str, str], status: int, code: int) -> None:
    reply = Session(sim).send(body, headers)
    assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)


def test_events_begin_with_a_comment_and_a_notification(sim: Caller) -> None:
    for form in ("sse", "sse_lines"):
        sim.control.settings(mcp_reply=form)
        events = Session(sim).post("ping").text.removesuffix("\n\n").split("\n\n")
        assert events[0].startswith(":")
        assert "notifications/message" in events[1]
        assert (events[2].count("\ndata:") > 1) is (form == "sse_lines")
    sim.control.fault(LIST, "short", at=40)
    assert Session(sim).post("tools/list").content == b': keep-alive\n\nevent: message\ndata: {"jso'


def test_a_body_without_a_charset_is_read_as_latin_1(sim: Caller) -> None:
    call = {
        "name": "oracle_analytics-execute_logical_sql",
        "arguments": {"query": "SELECT 'ế' a FROM \"Sales History\""},
    }
    message = {**PING, "method": "tools/call", "params": call}
    raw, kind = json.dumps(message, ensure_ascii=False).encode(), "application/json"
    for body, charset, text in (
        (message, "", "ế"), (raw, "; charset=utf-8", "ế"), (raw, "", "ế".encode().decode("latin-1")),
    ):  # fmt: skip
        found = answer(Session(sim).send(body, {"Content-Type": kind + charset}))["result"]["content"][0]["text"]
        assert json.loads(found)["batches"][0]["data"] == [{"a": text}]


def test_the_token_is_checked_as_for_the_rest_api(sim: Caller) -> None:
    session = Session(sim)
    for header in ("", f"Bearer {sim.access_token(instance='prod')}"):
        assert session.send({}, {"Authorization": header}).status_code == 401
    sim.control.end_tokens()
    assert session.post("ping").status_code == 401
    browser = session.send({}, path="/ui/api/mcp")
    assert (browser.status_code, browser.headers["Location"].startswith(sim.ready["identity_url"])) == (302, True)


def test_a_call_needs_a_session(sim: Caller) -> None:
    session = Session(sim, ready=False)
    reply = session.post("tools/call", name="oracle_analytics-describe_data", arguments={})
    error = reply.json()["error"]
    assert (reply.status_code, reply.json()["id"]) == (400, 7)
    assert (error["code"], error["message"]) == (-32000, "Unknown error")
    assert [word for word in ("Mcp-Session-Id", "tools/call") if word not in error["data"]] == []
    assert len(tools(session)) == 11
    sim.control.settings(mcp_list_needs_session=True)
    assert session.post("tools/list").json()["error"]["code"] == -32000


def test_a_session_begins_with_initialized(sim: Caller) -> None:
    session = Session(sim, ready=False)
    first = session.post("initialize", protocolVersion="2025-06-18", capabilities={}, clientInfo={})
    session.headers = {"Mcp-Session-Id": first.headers["Mcp-Session-Id"]}
    assert tools(session) == []
    assert session.call("describe_data", datamodelName="Sales History")["error"]["code"] == -32000


@pytest.mark.parametrize("way", ["unknown", "other user", "other instance", "too old", "ended", "fault"])
def test_a_session_that_is_gone(sim: Caller, way: str) -> None:
    session = Session(sim)
    match way:
        case "unknown":
            session.headers["Mcp-Session-Id"] = "made-up"
        case "other user":
            session.headers = Session(sim, user=AUTHOR).headers
        case "other instance":
            session.headers = Session(sim, "prod").headers
        case "too old":
            sim.control.settings(mcp_session_seconds=50, clock_offset=51)
        case "ended":
            assert sim.control.end_sessions() == 1
        case "fault":
            sim.control.fault(LIST, "lost_session")
    assert [session.post("tools/list").status_code for _ in range(2)] == [404, 404]
    sim.control.settings(mcp_lost_session="error")
    assert session.post("tools/list").json()["error"]["code"] == -32000


def test_the_lists_of_tools(sim: Caller) -> None:
    session = Session(sim)
    current = tools(session)
    assert (len(current), "execute_oac_ansi_sql" in bare(current)) == (11, False)
    query = next(tool for tool in current if tool["name"].endswith("logical_sql"))
    assert query["inputSchema"]["required"] == ["query"]
    assert len(query["description"]) > 80_000
    sim.control.settings(mcp_tools="ansi")
    assert bare(tools(session)).count("execute_oac_ansi_sql") == 1
    sim.control.settings(mcp_tools="old")
    assert bare(tools(session)) == ["discoverData", "describeData", "executeLogicalSQL"]
    session.tool("executeLogicalSQL", query=REVENUE)
    assert sim.control.calls("dev", f"{CALL}execute_logical_sql") == 1
    found = session.tool("discoverData", fetchType="all")
    assert [area["name"] for area in found["SubjectAreas"]] == ["Sales History"]
    assert (pair("Orders"), "custom") in [(item["name"], item["model"]) for item in found["Datasets"]]
    assert session.tool("discoverData", fetchType="datasets")["SubjectAreas"] == []


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("delete_catalog_item", {"userApproved": True}),
        ("export_workbook", {"workbookId": "a", "format": "png"}),
        ("find_matching_datasources", {"nl_question": "?"}),
    ],
)
def test_what_is_listed_and_not_carried_out(sim: Caller, name: str, arguments: dict[str, Any]) -> None:
    result = Session(sim).call(name, **arguments)["result"]
    assert (result["isError"], "does not carry out" in result["content"][0]["text"]) == (True, True)
    assert sim.control.calls("dev", CALL + name) == 1


@pytest.mark.parametrize("wrong", [{}, {"query": 1}, {"query": REVENUE, "maxRows": "9"}, {"query": REVENUE, "x": 1}])
def test_arguments_are_those_of_the_schema(sim: Caller, wrong: dict[str, Any]) -> None:
    assert Session(sim).call("execute_logical_sql", **wrong)["error"]["code"] == -32602


def test_search_catalog(sim: Caller) -> None:
    sim.control.add_user("oac.reader@example.com", roles=["DVConsumer"])
    session, author, reader = (Session(sim, user=user) for user in (ADMIN, AUTHOR, "oac.reader@example.com"))
    found = session.tool("search_catalog", search="*", type="datasets")
    assert (names(found), found["hasMore"]) == (["Budget Lines", "Live Orders", "Orders", "Targets"], False)
    assert found["items"][2]["xsaExpr"] == "XSA('admin'.'Orders')"
    [area] = session.tool("search_catalog", search="sales", types=["subjectAreas"])["items"]
    assert (area["name"], "xsaExpr" in area) == ("Sales History", False)
    first = session.tool("search_catalog", search="*", types=["datasets"], limit=3)
    assert first["hasMore"] is True
    rest = session.tool("search_catalog", search="*", types=["datasets"], limit=3, cursor=first["nextCursor"])
    assert names(rest) == ["Targets"]
    below = session.tool("search_catalog", type="workbooks", rootFolder=encoded(f"{SHARED}/Finance"))
    assert set(names(below)) == {"Month End Close", "Budget", "Twelve Months"}
    assert session.call("search_catalog", type="cubes")["result"]["isError"] is True
    assert [len(one.tool("search_catalog", search="Board Pack")["items"]) for one in (session, author)] == [1, 0]
    assert reader.tool("search_catalog", search="*")["items"], "a consumer may search, but nothing else"


def test_describe_data(sim: Caller) -> None:
    session = Session(sim)
    [time, facts] = session.tool("describe_data", datamodelName="Sales History", tableNames=["Facts", "Time"])["tables"]
    assert time["fullQualifiedName"] == '"Sales History"."Time"'
    day, month = time["columns"]
    assert (day["dataType"], day["columnType"], day["aggregation"]) == ("DATE", "attribute", "isTimeDimension")
    assert (month["aggregation"], month["nullable"], month["precision"]) == ("none", "0", "0")
    rules = {column["name"]: column["aggregation"] for column in facts["columns"]}
    assert rules["Unit Price"] == "avg"
    [orders] = session.tool("describe_data", datamodelName="XSA('admin'.'Orders')", tableName="ORDERS")["tables"]
    [amount] = [column for column in orders["columns"] if column["name"] == "Amount"]
    assert amount["fullyQualifiedName"] == "XSA('admin'.'Orders').\"ORDERS\".\"Amount\""
    assert (amount["columnType"], amount["aggregation"], amount["nullable"]) == ("measure", None, "1")
    for name in ("Orders", "'admin'.'Orders'", "XSA('admin'.'Nothing')", "XSA('admin'.'Live Orders')"):
        assert session.call("describe_data", datamodelName=name)["result"]["isError"] is True


def test_a_source_is_there_as_long_as_the_catalog_has_it(sim: Caller) -> None:
    session = Session(sim, user=AUTHOR)
    session.rows(ORDERS)
    sim.control.change_item("dev", pair("Orders"), acl=[])
    assert "does not exist" in session.refusal(ORDERS)
    sim.control.remove_items("dev", pair("Orders"))
    assert "does not exist" in session.refusal(ORDERS)


def test_read_the_definition_of_a_workbook(sim: Caller) -> None:
    session = Session(sim)
    [content] = session.post("resources/read", uri=BUDGET).json()["result"]["contents"]
    [item] = session.tool("search_catalog", search="Budget", type="workbooks")["items"]
    assert item["contentResource"] == content["uri"] == BUDGET
    author = Session(sim, user=AUTHOR)
    for uri in (BUDGET + "AA", BUDGET.replace("content", "metadata"), "content://catalog/folders/x", BOARD):
        assert author.post("resources/read", uri=uri).json()["error"]["code"] == -32002


def test_rows_come_in_batches_of_a_thousand(sim: Caller) -> None:
    found = Session(sim).query(ORDERS, maxRows=5000)
    batches = [(batch["recordsInBatch"], batch["hasMore"]) for batch in found["batches"]]
    assert batches == [(1000, True), (1000, True), (500, False)]
    assert found["batches"][2]["totalRecordsStreamed"] == found["summary"]["totalRecords"] == 2500
    assert (found["metadata"]["batchSize"], found["status"]["result"]) == (1000, "success")


def test_more_rows_than_asked_for(sim: Caller) -> None:
    for query, more in ((ORDERS, True), (f"{ORDERS} FETCH FIRST 3 ROWS ONLY", True),
                        (f"{ORDERS} FETCH FIRST 2 ROWS ONLY", False)):  # fmt: skip
        found = Session(sim).query(query, maxRows=2)
        assert (found["batches"][0]["hasMore"], found["summary"]["totalRecords"]) == (more, 2)


def test_how_values_are_written(sim: Caller) -> None:
    query = (
        "SELECT CAST(NULL AS INTEGER) c1, DATE '2020-01-02' c2, CAST(1.1 AS DOUBLE) c3, 'x ' c4, 'ế' c5, "
        '"Sales History"."Orders"."Shipped At" c6, "Sales History"."Orders"."Order Number" c7 FROM "Sales History" '
        'WHERE "Sales History"."Orders"."Order Number" = 9007199254740993'
    )
    [row] = Session(sim).rows(query)
    assert row == {
        "c1": None, "c2": "2020-01-02 00:00:00.0", "c3": 1.1, "c4": "x", "c5": "ế", "c6": "2026-01-03 00:00:00.5",
        "c7": 9007199254740993,
    }  # fmt: skip


def test_names_of_columns(sim: Caller) -> None:
    amount = "XSA('admin'.'Orders').\"ORDERS\".\"Amount\""
    [row] = Session(sim).rows(f"SELECT {amount}, 1 AS \"a b\", 2 twice, 3 twice FROM XSA('admin'.'Orders')")
    assert (list(row), row["twice"]) == ([amount, "a b", "twice"], 3)
    assert Session(sim).rows("SELECT 0 a, 'x' b FROM \"Sales History\"") == [{"a": 0, "b": "x"}]
