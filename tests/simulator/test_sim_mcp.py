"""MCP: messages, sessions, tools, and the shapes of answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from oac_simulator.launch import launch
from tests.simulator.sim_caller import Caller, encoded
from tests.simulator.sim_mcp import Session, answer

REVENUE = 'SELECT "Sales History"."Products"."Category" c1, "Sales History"."Facts"."Revenue" c2 FROM "Sales History"'
ORDERS = "SELECT XSA('admin'.'Orders').\"ORDERS\".\"Order ID\" c1 FROM XSA('admin'.'Orders') ORDER BY 1"
LIST = "mcp tools/list"
QUERY = "mcp tools/call execute_logical_sql"
BUDGET = f"content://catalog/workbooks/{encoded('/@Catalog/shared/Finance/Budget')}"


def tools(session: Session) -> list[dict[str, Any]]:
    return list(answer(session.post("tools/list"))["result"]["tools"])


def bare(found: list[dict[str, Any]]) -> list[str]:
    return [tool["name"].removeprefix("oracle_analytics-") for tool in found]


# ---------------------------------------------------------------------------------------------- messages


def test_initialize_describes_the_server(sim: Caller) -> None:
    session = Session(sim)
    assert session.initialized["protocolVersion"] == "2025-06-18"
    assert session.initialized["serverInfo"]["name"] == "Oracle Analytics MCP Server"
    assert session.initialized["capabilities"]["resources"] == {"subscribe": False, "listChanged": True}
    newer = session.post("initialize", protocolVersion="2025-11-25", capabilities={}, clientInfo={})
    assert newer.json()["result"]["protocolVersion"] == "2025-06-18"


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"{", {}, 400, -32700),
        ([{"jsonrpc": "2.0", "id": 1, "method": "ping"}], {}, 400, -32600),
        ({"id": 1, "method": "ping"}, {}, 400, -32600),
        ({"jsonrpc": "2.0", "id": 1, "method": "server/discover"}, {}, 200, -32601),
        ({"jsonrpc": "2.0", "id": 1, "method": "ping"}, {"Accept": "application/json"}, 406, -32600),
        ({"jsonrpc": "2.0", "id": 1, "method": "ping"}, {"Content-Type": "text/plain"}, 415, -32700),
        ({"jsonrpc": "2.0", "id": 1, "method": "ping"}, {"MCP-Protocol-Version": "1999-01-01"}, 400, -32600),
        ({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}}, {}, 200, -32602),
        ({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "no"}}, {}, 200, -32601),
    ],
    ids=["no JSON", "batch", "no JSON-RPC", "unknown", "Accept", "content type", "version", "params", "tool"],
)
def test_what_is_no_message_is_refused(sim: Caller, body: Any, headers: dict[str, str], status: int, code: int) -> None:
    reply = Session(sim).send(body, headers)
    assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize("form", ["json", "sse", "sse_lines"])
def test_answers_are_json_or_events(sim: Caller, form: str) -> None:
    sim.control.settings(mcp_reply=form)
    session = Session(sim)
    reply = session.post("tools/call", name="oracle_analytics-execute_logical_sql", arguments={"query": REVENUE})
    assert len(json.loads(answer(reply)["result"]["content"][0]["text"])["batches"][0]["data"]) == 4
    if form != "json":
        events = reply.text.removesuffix("\n\n").split("\n\n")
        assert events[0].startswith(":")
        assert "notifications/message" in events[1]
        assert (events[2].count("\ndata:") > 1) is (form == "sse_lines")


def test_the_token_is_checked_as_for_the_rest_api(sim: Caller) -> None:
    session = Session(sim)
    assert session.send({}, {"Authorization": ""}).status_code == 401
    assert session.send({}, {"Authorization": f"Bearer {sim.access_token(instance='prod')}"}).status_code == 401
    sim.control.end_tokens()
    assert session.post("ping").status_code == 401


def test_the_browsers_route_leads_to_the_sign_in_page(sim: Caller) -> None:
    reply = Session(sim).send({}, path="/ui/api/mcp")
    assert reply.status_code == 302
    assert reply.headers["Location"].startswith(sim.ready["identity_url"])


def test_a_paused_instance_answers_with_a_page(sim: Caller) -> None:
    session = Session(sim)
    sim.control.settings(paused=["dev"])
    for reply in (session.post("ping"), sim.oac("GET", "/system")):
        assert reply.status_code == 403
        assert reply.headers["Content-Type"].startswith("text/html")
        assert "<title>Instance Suspended</title>" in reply.text


def test_a_body_without_charset_is_read_as_latin_1(sim: Caller) -> None:
    session = Session(sim)
    query = "SELECT XSA('admin'.'Targets').\"Ziele\".\"Khu vực\" c1 FROM XSA('admin'.'Targets') ORDER BY 1"
    params = {"name": "oracle_analytics-execute_logical_sql", "arguments": {"query": query}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    raw = json.dumps(message, ensure_ascii=False).encode()

    def rows(reply: Any) -> list[Any]:
        return list(json.loads(reply.json()["result"]["content"][0]["text"])["batches"][0]["data"])

    assert rows(session.send(raw)) == []
    assert len(rows(session.send(raw, {"Content-Type": "application/json; charset=utf-8"}))) == 4
    assert len(rows(session.send(message))) == 4


# ---------------------------------------------------------------------------------------------- sessions


def test_a_call_needs_a_session(sim: Caller) -> None:
    session = Session(sim, ready=False)
    reply = session.post("tools/call", name="oracle_analytics-describe_data", arguments={})
    assert reply.status_code == 400
    assert reply.json()["id"] == 7
    error = reply.json()["error"]
    assert (error["code"], error["message"]) == (-32000, "Unknown error")
    assert "Mcp-Session-Id" in error["data"]
    assert "tools/call" in error["data"]
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
    other = {
        "other user": lambda: Session(sim, user="oac.author@example.com"),
        "other instance": lambda: Session(sim, "prod"),
    }
    if way == "unknown":
        session.headers["Mcp-Session-Id"] = "made-up"
    elif way in other:
        session.headers = other[way]().headers
    elif way == "too old":
        sim.control.settings(mcp_session_seconds=50, clock_offset=51)
    elif way == "ended":
        assert sim.control.end_sessions() == 1
    else:
        sim.control.fault(LIST, "lost_session")
    assert session.post("tools/list").status_code == 404
    assert session.post("tools/list").status_code == 404
    sim.control.settings(mcp_lost_session="error")
    assert session.post("tools/list").json()["error"]["code"] == -32000


def test_a_restart_ends_sessions_and_keeps_rows() -> None:
    with launch(instances=["dev"]) as simulator:
        sim = Caller(simulator)
        session = Session(sim)
        sim.control.data("dev", 'DELETE FROM "Sales History"')
        simulator.restart()
        sim = Caller(simulator)
        assert sim.control.data("dev", 'SELECT COUNT(*) FROM "Sales History"') == [[0]]
        session.headers["Authorization"] = f"Bearer {sim.access_token()}"
        assert session.post("tools/list").status_code == 404
        sim.control.reset()
        assert sim.control.data("dev", 'SELECT COUNT(*) FROM "Sales History"') == [[1200]]


# ------------------------------------------------------------------------------------------------- tools


def test_the_lists_of_tools(sim: Caller) -> None:
    session = Session(sim)
    current = tools(session)
    assert len(current) == 11
    assert "execute_oac_ansi_sql" not in bare(current)
    query = next(tool for tool in current if tool["name"].endswith("logical_sql"))
    assert query["inputSchema"]["required"] == ["query"]
    assert len(query["description"]) > 80_000
    sim.control.settings(mcp_tools="ansi")
    assert bare(tools(session)).count("execute_oac_ansi_sql") == 1
    sim.control.settings(mcp_tools="old")
    assert bare(tools(session)) == ["discoverData", "describeData", "executeLogicalSQL"]


def test_lists_of_tools_in_pages(sim: Caller) -> None:
    sim.control.settings(mcp_tools_page=4)
    session = Session(sim)
    found: list[str] = []
    more: dict[str, Any] = {}
    for _ in range(3):
        page = session.post("tools/list", **more).json()["result"]
        found += bare(page["tools"])
        more = {"cursor": page.get("nextCursor")}
    assert more == {"cursor": None}
    assert len(set(found)) == 11


def test_old_names_are_one_endpoint_with_the_new(sim: Caller) -> None:
    sim.control.settings(mcp_tools="old")
    Session(sim).tool("executeLogicalSQL", query=REVENUE)
    assert sim.control.calls("dev", QUERY) == 1


@pytest.mark.parametrize("name", ["delete_catalog_item", "export_workbook", "find_matching_datasources"])
def test_what_is_listed_and_not_carried_out(sim: Caller, name: str) -> None:
    arguments = {
        "delete_catalog_item": {"userApproved": True},
        "export_workbook": {"workbookId": "a", "format": "png"},
        "find_matching_datasources": {"nl_question": "?"},
    }
    result = Session(sim).call(name, **arguments[name])["result"]
    assert result["isError"] is True
    assert "does not carry out" in result["content"][0]["text"]
    assert sim.control.calls("dev", f"mcp tools/call {name}") == 1


@pytest.mark.parametrize("wrong", [{}, {"query": 1}, {"query": REVENUE, "maxRows": "9"}, {"query": REVENUE, "x": 1}])
def test_arguments_are_those_of_the_schema(sim: Caller, wrong: dict[str, Any]) -> None:
    assert Session(sim).call("execute_logical_sql", **wrong)["error"]["code"] == -32602


def test_a_consumer_searches_only(sim: Caller) -> None:
    sim.control.add_user("oac.reader@example.com", roles=["DVConsumer"])
    session = Session(sim, user="oac.reader@example.com")
    assert session.tool("search_catalog", search="*")["items"]
    assert session.call("execute_logical_sql", query=REVENUE)["result"]["isError"] is True
    assert len(tools(session)) == 11
    sim.control.settings(mcp_consumer="hide")
    assert bare(tools(session)) == ["search_catalog"]


def test_search_catalog(sim: Caller) -> None:
    session = Session(sim)
    found = session.tool("search_catalog", search="*", type="datasets")
    assert [item["name"] for item in found["items"]] == ["Budget Lines", "Live Orders", "Orders", "Targets"]
    assert found["items"][2]["xsaExpr"] == "XSA('admin'.'Orders')"
    assert found["hasMore"] is False
    [area] = session.tool("search_catalog", search="sales", types=["subjectAreas"])["items"]
    assert (area["name"], "xsaExpr" in area) == ("Sales History", False)
    first = session.tool("search_catalog", search="*", types=["datasets"], limit=3)
    assert first["hasMore"] is True
    rest = session.tool("search_catalog", search="*", types=["datasets"], limit=3, cursor=first["nextCursor"])
    assert [item["name"] for item in rest["items"]] == ["Targets"]
    below = session.tool("search_catalog", type="workbooks", rootFolder=encoded("/@Catalog/shared/Finance"))
    assert {item["name"] for item in below["items"]} == {"Month End Close", "Budget", "Twelve Months"}
    assert session.call("search_catalog", type="cubes")["result"]["isError"] is True


def test_search_shows_what_the_user_may_see(sim: Caller) -> None:
    author = Session(sim, user="oac.author@example.com")
    assert author.tool("search_catalog", search="Board Pack")["items"] == []
    assert len(Session(sim).tool("search_catalog", search="Board Pack")["items"]) == 1


def test_discover_data(sim: Caller) -> None:
    sim.control.settings(mcp_tools="old")
    session = Session(sim)
    found = session.tool("discoverData", fetchType="all")
    assert [area["name"] for area in found["SubjectAreas"]] == ["Sales History"]
    assert ("'admin'.'Orders'", "custom") in [(item["name"], item["model"]) for item in found["Datasets"]]
    assert session.tool("discoverData", fetchType="datasets")["SubjectAreas"] == []


def test_describe_data(sim: Caller) -> None:
    session = Session(sim)
    names = session.tool("describe_data", datamodelName="Sales History", tablesOnly=True)
    assert [table["tableName"] for table in names["tables"]] == ["Time", "Products", "Customers", "Orders", "Facts"]
    assert "columns" not in names["tables"][0]
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


@pytest.mark.parametrize("name", ["Orders", "'admin'.'Orders'", "XSA('admin'.'Nothing')", "XSA('admin'.'Live Orders')"])
def test_describe_what_is_not_there(sim: Caller, name: str) -> None:
    assert Session(sim).call("describe_data", datamodelName=name)["result"]["isError"] is True


def test_a_source_is_there_as_long_as_the_catalog_has_it(sim: Caller) -> None:
    session = Session(sim, user="oac.author@example.com")
    session.rows(ORDERS)
    sim.control.change_item("dev", "'admin'.'Orders'", acl=[])
    assert "does not exist" in session.refusal(ORDERS)
    sim.control.remove_items("dev", "'admin'.'Orders'")
    assert "does not exist" in session.refusal(ORDERS)


def test_read_the_definition_of_a_workbook(sim: Caller) -> None:
    session = Session(sim)
    [content] = session.post("resources/read", uri=BUDGET).json()["result"]["contents"]
    [item] = session.tool("search_catalog", search="Budget", type="workbooks")["items"]
    assert item["contentResource"] == content["uri"] == BUDGET
    assert len(json.loads(content["text"])["json"]["canvases"]) == 2
    for uri in (BUDGET + "AA", BUDGET.replace("content", "metadata"), "content://catalog/folders/x"):
        assert session.post("resources/read", uri=uri).json()["error"]["code"] == -32002
    author = Session(sim, user="oac.author@example.com")
    board = f"content://catalog/workbooks/{encoded('/@Catalog/shared/Board/Board Pack')}"
    assert author.post("resources/read", uri=board).json()["error"]["code"] == -32002


# ---------------------------------------------------------------------------------------------- answers


def test_rows_come_in_batches_of_a_thousand(sim: Caller) -> None:
    found = Session(sim).query(ORDERS, maxRows=5000)
    assert [batch["recordsInBatch"] for batch in found["batches"]] == [1000, 1000, 500]
    assert [batch["hasMore"] for batch in found["batches"]] == [True, True, False]
    assert found["batches"][2]["totalRecordsStreamed"] == found["summary"]["totalRecords"] == 2500
    assert found["metadata"]["batchSize"] == 1000
    assert found["status"] == {**found["status"], "result": "success", "error": False}


def test_an_answer_is_cut_at_max_rows(sim: Caller) -> None:
    session = Session(sim)
    assert [batch["hasMore"] for batch in session.query(ORDERS)["batches"]] == [True]
    for given in ({"maxRows": 2}, {"maxRows": 2, "query": f"{ORDERS} FETCH FIRST 3 ROWS ONLY"}):
        found = session.query(**{"query": ORDERS, **given})
        assert (found["batches"][0]["hasMore"], found["summary"]["totalRecords"]) == (True, 2)
    whole = session.query(f"{ORDERS} FETCH FIRST 2 ROWS ONLY", maxRows=2)
    assert whole["batches"][0]["hasMore"] is False
    sim.control.settings(mcp_max_rows=10)
    assert session.query(ORDERS, maxRows=5000)["summary"]["totalRecords"] == 10


def test_how_values_are_written(sim: Caller) -> None:
    query = (
        "SELECT CAST(NULL AS INTEGER) c1, DATE '2020-01-02' c2, CAST(1.1 AS DOUBLE) c3, 'x ' c4, 'ế' c5, "
        '"Sales History"."Orders"."Shipped At" c6, "Sales History"."Orders"."Order Number" c7 FROM "Sales History" '
        'WHERE "Sales History"."Orders"."Order Number" = 9007199254740993'
    )
    session = Session(sim)
    [row] = session.rows(query)
    assert row == {
        "c1": None, "c2": "2020-01-02 00:00:00.0", "c3": 1.1, "c4": "x", "c5": "ế", "c6": "2026-01-03 00:00:00.5",
        "c7": 9007199254740993,
    }  # fmt: skip
    sim.control.settings(mcp_nulls="missing")
    [row] = session.rows(query)
    assert "c1" not in row


def test_names_of_columns(sim: Caller) -> None:
    amount = "XSA('admin'.'Orders').\"ORDERS\".\"Amount\""
    [row] = Session(sim).rows(f"SELECT {amount}, 1 AS \"a b\", 2 twice, 3 twice FROM XSA('admin'.'Orders')")
    assert list(row) == [amount, "a b", "twice"]
    assert row["twice"] == 3


@pytest.mark.parametrize("form", ["error", "tool", "status"])
@pytest.mark.parametrize("by", ["setting", "fault"])
def test_the_places_for_the_error_of_a_query(sim: Caller, form: str, by: str) -> None:
    session = Session(sim)
    if by == "setting":
        sim.control.settings(mcp_error_form=form)
        query = REVENUE.replace("Revenue", "Nothing")
    else:
        sim.control.fault(QUERY, "query_error", form=form, body="[nQSError: 27005] ordered")
        query = REVENUE
    answer = session.call("execute_logical_sql", query=query)
    if form == "error":
        assert answer["error"]["code"] == -32000
        assert answer["error"]["message"] == "Query execution failed"
        assert answer["error"]["data"]["errorCode"] == "OBIPS-E3004"
        text = answer["error"]["data"]["details"]
    else:
        text = answer["result"]["content"][0]["text"]
        assert answer["result"]["isError"] is (form == "tool")
        if form == "status":
            assert json.loads(text)["status"]["error"] is True
    assert "[nQSError: 27005]" in text


def test_faults_of_http(sim: Caller) -> None:
    session = Session(sim)
    sim.control.fault(QUERY, "status", status=403, body={"message": "no"})
    reply = session.post("tools/call", name="oracle_analytics-execute_logical_sql", arguments={"query": REVENUE})
    assert (reply.status_code, reply.json()) == (403, {"message": "no"})
    sim.control.settings(mcp_reply="sse")
    sim.control.fault(LIST, "short", at=40)
    assert session.post("tools/list").content == b': keep-alive\n\nevent: message\ndata: {"jso'
