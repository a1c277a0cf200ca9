"""An MCP session: initialization, the session's header, the list of tools, and a new session if OAC forgot it."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any

from airflow_provider_oac.client.api import Api
from airflow_provider_oac.client.sql import framing
from airflow_provider_oac.client.sql.errors import Doing, SessionLostError
from airflow_provider_oac.exceptions import OACApiError, OACError, OACResponseError
from airflow_provider_oac.transport.retry import RetryPolicy

# The only tools that this package calls; all of them only read (documented).
READ_TOOLS = frozenset({"search_catalog", "describe_data", "execute_logical_sql"})
PROTOCOL = "2025-06-18"
_CLIENT = {"name": "airflow-provider-oac", "version": "1"}
_PREFIX = re.compile(r"^oracle_analytics[-_]")
_MOST_PAGES = 500
# OAC cannot cancel a query, so a query that is lost after a minute is left to the task's own retry.
POLICY = RetryPolicy(attempts=4, patience=60.0)


class McpSession:
    """A session that begins with the first request and lives in memory only; one request at a time.

    If OAC has forgotten the session, a new one begins and the request is repeated, once. A token that is renewed
    meanwhile does not end the session (observed).
    """

    def __init__(self) -> None:
        self._headers: dict[str, str] | None = None
        self._tools: dict[str, str] | None = None
        self._number = 0

    async def tool(self, api: Api, name: str, arguments: Mapping[str, Any], doing: Doing) -> dict[str, Any]:
        """Call a tool that reads, and return the content of its result.

        :param name: its name without prefix, such as ``describe_data``.
        :raises OACQueryError: if OAC refuses the call.
        """
        if name not in READ_TOOLS:
            raise ValueError(f"{name} is not a tool that only reads")
        tools = await self.tools(api)
        if name not in tools:
            raise OACError(
                f"Could not {doing.text}: the MCP server of OAC has no tool {name}; it has {', '.join(sorted(tools))}. "
                "Likely cause: the user lacks the role DV Content Author, or OAC renamed the tool. Next step: grant "
                "the role, or look for a newer version of this provider."
            )
        result = await self.request(api, "tools/call", {"name": tools[name], "arguments": arguments}, doing)
        held = _held(result)
        if result.get("isError") or not isinstance(held, dict):
            raise doing.refused(str(held))
        return held

    async def tools(self, api: Api) -> Mapping[str, str]:
        """Return OAC's names of all tools, by plain name: without prefix, in lower case with underscores.

        OAC spelled them ``oracle_analytics-describeData`` before ``oracle_analytics-describe_data`` (observed).
        """
        if self._tools is None:
            doing = Doing("list the tools of OAC's MCP server")
            pages = each("tools", lambda asked: self.request(api, "tools/list", asked, doing), {})
            names = [str(tool.get("name")) async for tool in pages]
            self._tools = {_plain_name(name): name for name in names}
        return self._tools

    async def request(self, api: Api, method: str, params: Mapping[str, Any], doing: Doing) -> dict[str, Any]:
        """Send a request that reads, again in a new session if OAC forgot this one; return its result."""
        headers = self._headers or await self._begin(api)
        try:
            return (await self._send(api, method, params, doing, headers))[0]
        except SessionLostError:
            pass
        except OACApiError as error:
            if error.status != 404:
                raise
        return (await self._send(api, method, params, doing, await self._begin(api)))[0]

    async def _begin(self, api: Api) -> dict[str, str]:
        """Begin a session, and return its headers."""
        asked = {"protocolVersion": PROTOCOL, "capabilities": {}, "clientInfo": _CLIENT}
        found, session = await self._send(api, "initialize", asked, Doing("begin a session of MCP"), {})
        headers = {"MCP-Protocol-Version": str(found.get("protocolVersion") or PROTOCOL)}
        headers |= {"Mcp-Session-Id": session} if session else {}
        # Without this notification OAC refuses later requests, or answers with empty lists (observed).
        await api.perform(framing.notification("notifications/initialized", headers), POLICY)
        self._headers = headers
        return headers

    async def _send(
        self, api: Api, method: str, params: Mapping[str, Any], doing: Doing, headers: Mapping[str, str]
    ) -> tuple[dict[str, Any], str | None]:
        self._number += 1
        return await api.perform(framing.request(doing, method, params, self._number, headers), POLICY)


def _plain_name(name: str) -> str:
    return re.sub(r"(?<=[a-z])([A-Z]+)", lambda found: "_" + found[1].lower(), _PREFIX.sub("", name)).lower()


def _held(result: Mapping[str, Any]) -> Any:
    """Return the content of a tool's result: JSON inside its text (observed), else the text, which is a message."""
    if result.get("structuredContent") is not None:
        return result["structuredContent"]
    text = "".join(str(block.get("text") or "") for block in objects(result, "content"))
    try:
        return framing.loads(text)
    except OACResponseError:
        return text


def objects(holder: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """Return the objects in a list of a result; an empty list if there is no such list."""
    found = holder.get(name)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


async def each(
    name: str, ask: Callable[[dict[str, Any]], Awaitable[dict[str, Any]]], asked: dict[str, Any]
) -> AsyncGenerator[dict[str, Any], None]:
    """Yield the objects in a paged list of a result; each page names the next one by a cursor.

    :param name: name of the list.
    :param ask: requests a page, with arguments.
    :param asked: arguments for the first page.
    :raises OACResponseError: if the list has no end.
    """
    for _ in range(_MOST_PAGES):
        page = await ask(asked)
        for item in objects(page, name):
            yield item
        if not page.get("nextCursor"):
            return
        asked = {**asked, "cursor": page["nextCursor"]}
    raise OACResponseError(f"OAC lists {name} without end: {_MOST_PAGES} pages came. Narrow the search.")
