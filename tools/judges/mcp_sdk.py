"""Test an MCP endpoint with the MCP Python SDK, in an environment with the SDK and without this project.

    python mcp_sdk.py < order.json > report.json

The order has `url`, `token`, `mode` (of SDK 2: `legacy` or `auto`), `calls` (a list of tool name and arguments) and
`resource` (a URI). The report has `version`, `protocol`, `server`, `tools`, `results` (for each call `text` and
`is_error`, or `code` of a JSON-RPC error) and `resource` (its text). Standard library and SDK only.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from mcp.client.streamable_http import streamable_http_client

VERSION = version("mcp")
TIMEOUT = 30.0


@asynccontextmanager
async def connected(order: dict[str, Any]) -> AsyncIterator[tuple[Any, str, str]]:
    """Connect a client; yield it with the protocol version and the server's name."""
    headers = {"Authorization": f"Bearer {order['token']}"}
    if VERSION.startswith("1."):
        import httpx
        from mcp import ClientSession

        async with (
            httpx.AsyncClient(headers=headers, timeout=TIMEOUT, trust_env=False) as http,
            streamable_http_client(order["url"], http_client=http) as (read, write, _),
            ClientSession(read, write) as session,
        ):
            done = await session.initialize()
            yield session, str(done.protocolVersion), done.serverInfo.name
    else:
        import httpx2
        from mcp.client.client import Client

        async with (
            httpx2.AsyncClient(headers=headers, timeout=TIMEOUT, trust_env=False) as http,
            Client(streamable_http_client(order["url"], http_client=http), mode=order["mode"]) as client,
        ):
            server = client.server_info
            yield client, client.protocol_version, server.name if server else ""


async def report(order: dict[str, Any]) -> dict[str, Any]:
    """Connect, list tools, call them, read the resource, and return the report."""
    # SDK 1 and 2 have the error class in different modules, under different names.
    try:
        from mcp import McpError as RpcError
    except ImportError:
        from mcp import MCPError as RpcError

    async with connected(order) as (client, protocol, server):
        tools: list[str] = []
        more: dict[str, Any] = {}
        while True:
            page = await client.list_tools(**more)
            tools += [tool.name for tool in page.tools]
            cursor = page.nextCursor if hasattr(page, "nextCursor") else page.next_cursor
            if cursor is None:
                break
            more = {"cursor": cursor}
        results: list[dict[str, Any]] = []
        for name, arguments in order["calls"]:
            try:
                result = await client.call_tool(name, arguments)
            except RpcError as error:
                results.append({"code": error.error.code, "data": error.error.data})
            else:
                failed = result.isError if hasattr(result, "isError") else result.is_error
                results.append({"text": result.content[0].text, "is_error": failed})
        resource = await client.read_resource(order["resource"])
        return {
            "version": VERSION,
            "protocol": protocol,
            "server": server,
            "tools": tools,
            "results": results,
            "resource": resource.contents[0].text,
        }


if __name__ == "__main__":
    json.dump(asyncio.run(report(json.load(sys.stdin))), sys.stdout)
