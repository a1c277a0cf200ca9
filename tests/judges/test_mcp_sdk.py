"""The simulator's MCP, seen by the MCP Python SDK: two clients that this project did not write."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oac_simulator.launch import Simulator, launch
from tests.simulator.sim_caller import Caller, encoded
from tools import setup_env

PROGRAM = Path(setup_env.__file__).parent / "judges" / "mcp_sdk.py"
PREFIX = "oracle_analytics-"
COUNT = ("execute_logical_sql", {"query": 'SELECT COUNT(*) n FROM "Sales History"'})
#: SDK 2 also finds out by itself that the server is of the older kind.
WAYS = [("judge-mcp-1", "legacy"), ("judge-mcp-2", "legacy"), ("judge-mcp-2", "auto")]


@pytest.fixture(scope="module")
def running() -> Iterator[Simulator]:
    with launch(instances=["dev"], access_token_ttl=3600) as simulator:
        yield simulator


def judged(running: Simulator, way: tuple[str, str], *calls: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """What the SDK of an environment reports."""
    environment, mode = way
    setup_env.install(setup_env.ENVIRONMENTS[environment])
    caller = Caller(running)
    with caller.session:
        order = {
            "url": running.ready["instances"]["dev"]["url"] + "/api/mcp",
            "token": caller.access_token(),
            "mode": mode,
            "calls": [(PREFIX + name, arguments) for name, arguments in calls],
            "resource": f"content://catalog/workbooks/{encoded('/@Catalog/shared/Finance/Budget')}",
        }
    run = subprocess.run(
        [setup_env.ENVIRONMENTS[environment].python, PROGRAM],
        input=json.dumps(order),
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return dict(json.loads(run.stdout))


def rows(result: dict[str, Any]) -> list[dict[str, Any]]:
    return [row for batch in json.loads(result["text"])["batches"] for row in batch["data"]]


@pytest.mark.parametrize("form", ["json", "sse", "sse_lines"])
@pytest.mark.parametrize("way", WAYS, ids=" ".join)
def test_the_whole_way(running: Simulator, way: tuple[str, str], form: str) -> None:
    running.control.reset()
    running.control.settings(mcp_reply=form, mcp_tools_page=5)
    unknown = {"query": 'SELECT "Sales History"."Facts"."Nothing" a FROM "Sales History"'}
    seen = judged(
        running,
        way,
        COUNT,
        ("describe_data", {"datamodelName": "Sales History", "tablesOnly": True}),
        ("describe_data", {"datamodelName": "Nothing"}),
        ("execute_logical_sql", unknown),
        ("execute_oac_ansi_sql", {"query": "SELECT 1"}),
    )
    assert seen["version"].startswith(way[0][-1])
    assert (seen["protocol"], seen["server"]) == ("2025-06-18", "Oracle Analytics MCP Server")
    assert len(seen["tools"]) == 11
    count, tables, missing, refused, absent = seen["results"]
    assert (rows(count), count["is_error"]) == ([{"n": 1200}], False)
    assert json.loads(tables["text"])["tables"][0]["tableName"] == "Time"
    assert missing["is_error"] is True
    assert refused["code"] == -32000
    assert "[nQSError: 27005]" in refused["data"]["details"]
    assert absent["code"] == -32601
    assert len(json.loads(seen["resource"])["json"]["canvases"]) == 2


@pytest.mark.parametrize("way", WAYS[:2], ids=" ".join)
def test_it_writes_utf_8_without_saying_so(running: Simulator, way: tuple[str, str]) -> None:
    """The trap of the character set catches a client of others, which is how it was found."""
    running.control.reset()
    query = "SELECT XSA('admin'.'Targets').\"Ziele\".\"Khu vực\" a FROM XSA('admin'.'Targets')"
    assert rows(judged(running, way, ("execute_logical_sql", {"query": query}))["results"][0]) == []
    running.control.settings(mcp_charset="utf8")
    assert len(rows(judged(running, way, ("execute_logical_sql", {"query": query}))["results"][0])) == 4
