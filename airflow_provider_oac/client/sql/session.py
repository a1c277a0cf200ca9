"""An MCP session: JSON-RPC 2.0 over one HTTP POST per message (MCP's Streamable HTTP), and its tools.

A response is JSON or a stream of server-sent events. If OAC forgot the session, a new one begins.

Sources: the specification of MCP, revision 2025-06-18, "Transports"; "Server-sent events" of the HTML standard.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from decimal import Decimal
from functools import partial
from typing import Any

from airflow_provider_oac.client.api import Api
from airflow_provider_oac.client.calls import Call, nothing
from airflow_provider_oac.client.sql.errors import Doing, SessionLostError, secret_texts
from airflow_provider_oac.exceptions import OACApiError, OACError, OACQueryError, OACResponseError
from airflow_provider_oac.transport.io import Response, media_type
from airflow_provider_oac.transport.redaction import error_object
from airflow_provider_oac.transport.retry import RetryPolicy

PATH = "/api/mcp"
_JSON, _EVENTS = "application/json", "text/event-stream"
_CAUSES = {
    403: "the user may not use the MCP server, or it does not accept this kind of token",
    404: "this instance has no MCP server (a preview), or OAC ended the session",
}
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
                f"Could not {doing.text}: OAC's MCP server has no tool {name}. It has: "
                f"{', '.join(sorted(tools)) or 'none'}. Likely cause: the user lacks the role DV Content Author, or "
                "OAC renamed the tool. Next step: grant the role, or check for a newer version of this provider."
            )
        result = await self.request(api, "tools/call", {"name": tools[name], "arguments": arguments}, doing)
        content = _content(result)
        if result.get("isError") or not isinstance(content, dict):
            raise doing.refused(str(content))
        return content

    async def tools(self, api: Api) -> Mapping[str, str]:
        """Return OAC's names of all tools, by plain name: without prefix, in lower case with underscores.

        OAC spelled them ``oracle_analytics-describeData`` before ``oracle_analytics-describe_data`` (observed).
        """
        if self._tools is None:
            doing = Doing("list the tools of OAC's MCP server")
            pages = each("tools", lambda params: self.request(api, "tools/list", params, doing), {})
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
        params = {"protocolVersion": PROTOCOL, "capabilities": {}, "clientInfo": _CLIENT}
        found, session = await self._send(api, "initialize", params, Doing("begin an MCP session"), {})
        headers = {"MCP-Protocol-Version": str(found.get("protocolVersion") or PROTOCOL)}
        headers |= {"Mcp-Session-Id": session} if session else {}
        # Without this notification OAC refuses later requests, or answers with empty lists (observed).
        await api.perform(notification("notifications/initialized", headers), POLICY)
        self._headers = headers
        return headers

    async def _send(
        self, api: Api, method: str, params: Mapping[str, Any], doing: Doing, headers: Mapping[str, str]
    ) -> tuple[dict[str, Any], str | None]:
        self._number += 1
        return await api.perform(request(doing, method, params, self._number, headers), POLICY)


def _plain_name(name: str) -> str:
    return re.sub(r"(?<=[a-z])([A-Z]+)", lambda found: "_" + found[1].lower(), _PREFIX.sub("", name)).lower()


def _content(result: Mapping[str, Any]) -> Any:
    """Return the content of a tool's result: JSON inside its text (observed), else the text, which is a message."""
    if result.get("structuredContent") is not None:
        return result["structuredContent"]
    text = "".join(str(block.get("text") or "") for block in objects(result, "content"))
    try:
        return loads(text)
    except OACResponseError:
        return text


def objects(holder: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """Return the objects in a list of a result; an empty list if there is no such list."""
    found = holder.get(name)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


async def each(
    name: str, fetch: Callable[[dict[str, Any]], Awaitable[dict[str, Any]]], params: dict[str, Any]
) -> AsyncGenerator[dict[str, Any], None]:
    """Yield the objects in a paged list of a result; each page names the next one by a cursor.

    :param name: name of the list.
    :param fetch: requests a page, with parameters.
    :param params: parameters for the first page.
    :raises OACResponseError: if the list has no end.
    """
    for _ in range(_MOST_PAGES):
        page = await fetch(params)
        for item in objects(page, name):
            yield item
        if not page.get("nextCursor"):
            return
        params = {**params, "cursor": page["nextCursor"]}
    raise OACResponseError(f"OAC's list of {name} has more than {_MOST_PAGES} pages. Next step: narrow the search.")


def request(
    doing: Doing, method: str, params: Mapping[str, Any], number: int, headers: Mapping[str, str]
) -> Call[tuple[dict[str, Any], str | None]]:
    """Build a call that expects a response: its result, and the id of the session if OAC names one.

    :param method: JSON-RPC method, such as ``tools/call``. It must only read, because the request is repeated if the
        response is lost.
    :param params: parameters of the method.
    :param number: id of the request, which identifies the response among other messages.
    :param headers: headers of the session.
    :raises SessionLostError: on reading, if OAC does not know the session.
    :raises OACQueryError: on reading, if the response is another error.
    """
    return _call(doing, {"id": number, "method": method, "params": params}, headers, partial(_read, doing, number))


def notification(method: str, headers: Mapping[str, str]) -> Call[None]:
    """Build a call that expects no message in response."""
    return _call(Doing(f"send {method}"), {"method": method}, headers, nothing)


def _call(doing: Doing, message: Mapping[str, Any], headers: Mapping[str, str], read: Any) -> Call[Any]:
    return Call(
        doing.text, "POST", PATH, read, headers=headers, base="", repeatable=True, secrets=secret_texts(doing.values),
        # ASCII bytes: OAC reads others as ISO-8859-1 unless the content type says UTF-8 (observed).
        body=json.dumps({"jsonrpc": "2.0", **message}).encode("ascii"), content_type=f"{_JSON}; charset=utf-8",
        accept=f"{_JSON}, {_EVENTS}", causes=_CAUSES, reads=_is_error_message,
    )  # fmt: skip


def _is_error_message(response: Response) -> bool:
    """Whether an HTTP error carries an error of JSON-RPC.

    A 401 is about the token and a 404 about the session, so these do not count.
    """
    return response.status not in (401, 404) and "jsonrpc" in error_object(response)


def _read(doing: Doing, number: int, response: Response) -> tuple[dict[str, Any], str | None]:
    kind = media_type(response.headers)
    if kind not in (_JSON, _EVENTS):
        what = "a web page, such as a sign-in page," if kind == "text/html" else f"a body of {kind}"
        raise OACResponseError(f"HTTP {response.status} brought {what} in place of JSON.")
    for text in events(response.body) if kind == _EVENTS else [response.body]:
        message = loads(text)
        # An error about a request that the server could not read has no id.
        if not isinstance(message, dict) or message.get("id") not in (number, None):
            continue
        if "error" in message:
            raise _refused(doing, message["error"])
        if isinstance(message.get("result"), dict):
            return message["result"], response.headers.get("mcp-session-id")
    raise OACResponseError(f"HTTP {response.status} brought no JSON-RPC response to request {number}.")


def _refused(doing: Doing, error: Any) -> OACQueryError:
    error = error if isinstance(error, dict) else {}
    data = error.get("data")
    details = data.get("details") or data.get("errorCode") if isinstance(data, dict) else data
    said = f"{error.get('message')} ({error.get('code')}). {details or ''}"
    # OAC returns -32000 with a text for a missing session (documented), and -32000 for a query as well.
    lost = "session" in said.lower() and "nQSError" not in said
    return doing.refused(said, SessionLostError if lost else OACQueryError)


def loads(text: str | bytes) -> Any:
    """Parse JSON, with fractions as :class:`~decimal.Decimal`, because their precision is unknown.

    :raises OACResponseError: if the text is not JSON.
    """
    try:
        return json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError):
        pass
    # Raised outside the except block, because the parser's exception contains the text, and so data.
    raise OACResponseError(f"{len(text)} characters came in place of JSON.")


def events(body: bytes) -> Iterator[str]:
    """Yield the data of each event of a stream.

    The last event may lack the empty line that ends it: HTTP itself shows whether a body is complete.
    """
    data: list[str] = []
    for line in [*re.split(r"\r\n|\n|\r", body.decode("utf-8", "replace").removeprefix("\ufeff")), ""]:
        name, _, value = line.partition(":")
        if not line and data:
            yield "\n".join(data)
            data = []
        elif name == "data":
            data.append(value.removeprefix(" "))
