"""A client of the simulator's MCP endpoint that shares no code with the provider."""

from __future__ import annotations

import json
from typing import Any

import requests

from tests.simulator.sim_caller import ADMIN, Caller

ACCEPT = "application/json, text/event-stream"


class Session:
    """One session of MCP: its id, and calls as `requests` makes them.

    :param caller: signs in.
    :param instance: where.
    :param user: who.
    :param ready: whether to send what a client has to send first.
    """

    def __init__(self, caller: Caller, instance: str = "dev", user: str = ADMIN, *, ready: bool = True) -> None:
        self._caller, self._instance, self._user = caller, instance, user
        self.headers: dict[str, str] = {}
        if ready:
            client = {"name": "test", "version": "1"}
            reply = self.post("initialize", protocolVersion="2025-06-18", capabilities={}, clientInfo=client)
            self.initialized = answer(reply)["result"]
            self.headers = {"Mcp-Session-Id": reply.headers["Mcp-Session-Id"], "MCP-Protocol-Version": "2025-06-18"}
            assert self.send({"jsonrpc": "2.0", "method": "notifications/initialized"}).status_code == 202

    def send(self, body: Any, headers: dict[str, str] | None = None, path: str = "/api/mcp") -> requests.Response:
        """Send a body: bytes as they are, anything else as JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        token = self._caller.access_token(self._user, self._instance)
        given = {"Authorization": f"Bearer {token}", "Accept": ACCEPT, "Content-Type": "application/json"}
        given |= {**self.headers, **(headers or {})}
        url = self._caller.ready["instances"][self._instance]["url"] + path
        return self._caller.session.post(url, data=data, headers=given, timeout=20, allow_redirects=False)

    def post(self, method: str, **params: Any) -> requests.Response:
        """Send a request."""
        return self.send({"jsonrpc": "2.0", "id": 7, "method": method, "params": params})

    def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool by its name without the prefix; returns the message that came."""
        return answer(self.post("tools/call", name=f"oracle_analytics-{tool}", arguments=arguments))

    def tool(self, tool: str, **arguments: Any) -> Any:
        """Call a tool that succeeds; returns what its text holds."""
        result = self.call(tool, **arguments)["result"]
        assert result["isError"] is False, result
        return json.loads(result["content"][0]["text"])

    def query(self, query: str, **arguments: Any) -> Any:
        """The answer to a query that succeeds."""
        found = self.tool("execute_logical_sql", query=query, **arguments)
        assert found["status"]["error"] is False, found["status"]
        return found

    def rows(self, query: str, **arguments: Any) -> list[dict[str, Any]]:
        """The rows of a query that succeeds."""
        return [row for batch in self.query(query, **arguments)["batches"] for row in batch["data"]]

    def refusal(self, query: str) -> str:
        """Why a query is refused."""
        return str(self.call("execute_logical_sql", query=query)["error"]["data"]["details"])


def answer(reply: requests.Response) -> dict[str, Any]:
    """The JSON-RPC message of an answer, from JSON or from the last event of a stream."""
    if not reply.headers["Content-Type"].startswith("text/event-stream"):
        return dict(reply.json())
    events = reply.content.decode().removesuffix("\n\n").split("\n\n")
    lines = events[-1].split("\n")
    return dict(json.loads("\n".join(line.removeprefix("data: ") for line in lines if line.startswith("data:"))))
