"""A session of MCP: initialize, the session's header, the list of tools; once more if OAC forgot it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from airflow_provider_oac.client.api import Api
from airflow_provider_oac.client.sql import framing
from airflow_provider_oac.client.sql.errors import query_error
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

    async def tool(
        self, api: Api, name: str, arguments: Mapping[str, Any], doing: str, values: Sequence[str] = ()
    ) -> Any:
        """Call a tool that reads; returns what its result holds.

        :param name: its name without prefix, such as ``describe_data``.
        :param doing: what it does, for messages: ``query "Sales"``.
        :param values: texts of the arguments that must not come back in a message.
        :raises OACQueryError: if OAC refuses it.
        """
        if name not in READ_TOOLS:
            raise ValueError(f"{name} is not a tool that only reads")
        tools = await self.tools(api)
        if name not in tools:
            raise OACError(
                f"Could not {doing}: the MCP server of OAC has no tool {name}; it has {', '.join(sorted(tools))}. "
                "Likely cause: the user lacks the role DV Content Author, or OAC renamed the tool. Next step: grant "
                "the role, or look for a newer version of this provider."
            )
        result = await self.request(
            api, doing, "tools/call", {"name": tools[name], "arguments": dict(arguments)}, values
        )
        held = _held(result)
        if result.get("isError") or isinstance(held, str):
            raise query_error(doing, str(held), values)
        return held

    async def tools(self, api: Api) -> Mapping[str, str]:
        """Names on the wire of all tools, by the name without prefix in small letters and underscores.

        They were spelled ``oracle_analytics-describeData`` before ``oracle_analytics-describe_data`` (observed).
        """
        if self._tools is None:
            found, cursor = [], None
            for _ in range(_MOST_PAGES):
                page = await self.request(api, "list the tools", "tools/list", {"cursor": cursor} if cursor else {})
                found += [tool["name"] for tool in _objects(page, "tools") if isinstance(tool.get("name"), str)]
                cursor = page.get("nextCursor")
                if not cursor:
                    break
            self._tools = {_plain_name(name): name for name in found}
        return self._tools

    async def request(
        self, api: Api, doing: str, method: str, params: Mapping[str, Any], values: Sequence[str] = ()
    ) -> dict[str, Any]:
        """Send a request that reads, and again in a new session if OAC forgot this one; returns its result."""
        for last in (False, True):
            if self._headers is None:
                await self._begin(api)
            try:
                message, _ = await self._send(api, doing, method, params)
            except OACApiError as error:
                if last or error.status != 404:
                    raise
            else:
                if last or not _is_lost(message):
                    return _result(message, doing, values)
            self._headers = None
        raise AssertionError("unreachable")

    async def _begin(self, api: Api) -> None:
        params = {"protocolVersion": PROTOCOL, "capabilities": {}, "clientInfo": _CLIENT}
        self._headers = {}
        try:
            message, session = await self._send(api, "begin a session of MCP", "initialize", params)
            version = _result(message, "begin a session of MCP").get("protocolVersion")
            headers = {
                "MCP-Protocol-Version": str(version or PROTOCOL),
                **({"Mcp-Session-Id": session} if session else {}),
            }
            # Without it OAC refuses what follows, or answers with empty lists (observed).
            await api.perform(framing.notification("notifications/initialized", headers), POLICY)
        except BaseException:
            self._headers = None
            raise
        self._headers = headers

    async def _send(
        self, api: Api, doing: str, method: str, params: Mapping[str, Any]
    ) -> tuple[framing.Message, str | None]:
        self._number += 1
        return await api.perform(framing.request(doing, method, params, self._number, self._headers or {}), POLICY)


def _plain_name(name: str) -> str:
    return re.sub(r"(?<=[a-z])([A-Z]+)", lambda found: "_" + found[1].lower(), _PREFIX.sub("", name)).lower()


def _is_lost(message: framing.Message) -> bool:
    """Whether a message says that there is no such session (documented for a missing one: -32000, with a text)."""
    error = message.get("error")
    text = f"{error.get('message')} {error.get('data')}" if isinstance(error, dict) else ""
    return "session" in text.lower() and "nQSError" not in text


def _result(message: framing.Message, doing: str, values: Sequence[str] = ()) -> dict[str, Any]:
    if "error" in message:
        error = message["error"] if isinstance(message["error"], dict) else {}
        data = error.get("data")
        details = data.get("details") or data.get("errorCode") if isinstance(data, dict) else data
        raise query_error(doing, f"{error.get('message')} ({error.get('code')}). {details or ''}", values)
    result = message.get("result")
    if not isinstance(result, dict):
        raise OACResponseError(f"Could not {doing}: the result from OAC is {type(result).__name__}, not a JSON object.")
    return result


def _held(result: Mapping[str, Any]) -> Any:
    """What the result of a tool holds: JSON inside its text (observed); a text that is none is a message."""
    if result.get("structuredContent") is not None:
        return result["structuredContent"]
    text = "".join(str(block.get("text") or "") for block in _objects(result, "content"))
    try:
        return framing.loads(text)
    except OACResponseError:
        return text


def _objects(holder: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    found = holder.get(name)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
