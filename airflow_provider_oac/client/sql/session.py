"""A session of MCP: initialize, the session's header, the list of tools; once more if OAC forgot it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from airflow_provider_oac.client.api import Api
from airflow_provider_oac.client.sql import framing
from airflow_provider_oac.client.sql.errors import Doing
from airflow_provider_oac.exceptions import OACApiError, OACError, OACResponseError
from airflow_provider_oac.transport.retry import RetryPolicy

# The one place that says what may be called. Each of them reads (documented); none that writes is ever called.
READ_TOOLS = frozenset({"search_catalog", "discover_data", "describe_data", "execute_logical_sql"})
PROTOCOL = "2025-06-18"
_CLIENT = {"name": "airflow-provider-oac", "version": "1"}
_PREFIX = re.compile(r"^oracle_analytics[-_]")
_MOST_PAGES = 100
# OAC cannot cancel a query, so that one which was lost after a minute is left to the task's own retry.
POLICY = RetryPolicy(attempts=4, patience=60.0)


class McpSession:
    """A session, which begins with the first request and lives in memory only. One request at a time.

    A session that OAC has forgotten is begun anew and the request repeated, once. A token that is renewed meanwhile
    does not end it (observed).
    """

    def __init__(self) -> None:
        self._headers: dict[str, str] | None = None
        self._tools: dict[str, str] | None = None
        self._number = 0

    async def tool(self, api: Api, name: str, arguments: Mapping[str, Any], doing: Doing) -> dict[str, Any]:
        """Call a tool that reads; returns what its result holds.

        :param name: its name without prefix, such as ``describe_data``.
        :raises OACQueryError: if OAC refuses it.
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
        """Names on the wire of all tools, by the name without prefix in small letters and underscores.

        They were spelled ``oracle_analytics-describeData`` before ``oracle_analytics-describe_data`` (observed).
        """
        if self._tools is None:
            found: list[dict[str, Any]] = []
            params: dict[str, Any] = {}
            for _ in range(_MOST_PAGES):
                page = await self.request(api, "tools/list", params, Doing("list the tools of OAC's MCP server"))
                found += objects(page, "tools")
                if not page.get("nextCursor"):
                    break
                params = {"cursor": page["nextCursor"]}
            self._tools = {_plain_name(str(tool.get("name"))): str(tool.get("name")) for tool in found}
        return self._tools

    async def request(self, api: Api, method: str, params: Mapping[str, Any], doing: Doing) -> dict[str, Any]:
        """Send a request that reads, and again in a new session if OAC forgot this one; returns its result."""
        for last in (False, True):
            self._headers = self._headers or await self._begun(api)
            try:
                message, _ = await self._send(api, method, params, doing, self._headers)
            except OACApiError as error:
                if last or error.status != 404:
                    raise
            else:
                if last or not _is_lost(message):
                    return _result(message, doing)
            self._headers = None
        raise AssertionError("unreachable")

    async def _begun(self, api: Api) -> dict[str, str]:
        """The headers of a new session."""
        params, doing = (
            {"protocolVersion": PROTOCOL, "capabilities": {}, "clientInfo": _CLIENT},
            Doing("begin a session of MCP"),
        )
        message, session = await self._send(api, "initialize", params, doing, {})
        headers = {"MCP-Protocol-Version": str(_result(message, doing).get("protocolVersion") or PROTOCOL)}
        if session:
            headers["Mcp-Session-Id"] = session
        # Without it OAC refuses what follows, or answers with empty lists (observed).
        await api.perform(framing.notification("notifications/initialized", headers), POLICY)
        return headers

    async def _send(
        self, api: Api, method: str, params: Mapping[str, Any], doing: Doing, headers: Mapping[str, str]
    ) -> tuple[framing.Message, str | None]:
        self._number += 1
        return await api.perform(framing.request(doing, method, params, self._number, headers), POLICY)


def _plain_name(name: str) -> str:
    return re.sub(r"(?<=[a-z])([A-Z]+)", lambda found: "_" + found[1].lower(), _PREFIX.sub("", name)).lower()


def _is_lost(message: framing.Message) -> bool:
    """Whether a message says that there is no such session (documented for a missing one: -32000, with a text)."""
    error = message.get("error")
    text = f"{error.get('message')} {error.get('data')}" if isinstance(error, dict) else ""
    return "session" in text.lower() and "nQSError" not in text


def _result(message: framing.Message, doing: Doing) -> dict[str, Any]:
    if "error" in message:
        error = message["error"] if isinstance(message["error"], dict) else {}
        data = error.get("data")
        details = data.get("details") or data.get("errorCode") if isinstance(data, dict) else data
        raise doing.refused(f"{error.get('message')} ({error.get('code')}). {details or ''}")
    if not isinstance(message["result"], dict):
        raise OACResponseError(f"Could not {doing.text}: the result from OAC is not a JSON object.")
    return message["result"]


def _held(result: Mapping[str, Any]) -> Any:
    """What the result of a tool holds: JSON inside its text (observed); a text that is none is a message."""
    if result.get("structuredContent") is not None:
        return result["structuredContent"]
    text = "".join(str(block.get("text") or "") for block in objects(result, "content"))
    try:
        return framing.loads(text)
    except OACResponseError:
        return text


def objects(holder: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """The objects in a list of a result; none if there is no such list."""
    found = holder.get(name)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
