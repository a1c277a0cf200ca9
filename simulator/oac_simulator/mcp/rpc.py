"""`POST /api/mcp`: JSON-RPC, one message per request (documented), as Streamable HTTP of MCP 2025-06-18.

Each method is an endpoint for counters and faults: `mcp initialize`, `mcp tools/list`,
`mcp tools/call execute_logical_sql`, `mcp resources/read`; `mcp` for an invalid message.
"""

from __future__ import annotations

import inspect
import json
import re
from typing import Any

from aiohttp import web

from oac_simulator.endpoint import answer
from oac_simulator.faults import Fault
from oac_simulator.identity.domain import Domain
from oac_simulator.mcp import inventory, tools
from oac_simulator.mcp.results import RpcError, ToolError, block
from oac_simulator.mcp.sessions import Session, Sessions
from oac_simulator.oac.api import OACError
from oac_simulator.oac.guard import admit
from oac_simulator.oac.items import compact
from oac_simulator.replies import LongReply, json_reply
from oac_simulator.store import Record
from oac_simulator.world import ADMINISTRATOR, CONTENT_AUTHOR, Instance

PATH = "/api/mcp"
#: The protocol version of OAC, and other versions that clients may name (documented, observed).
VERSION = "2025-06-18"
_VERSIONS = (VERSION, "2025-03-26", "2025-11-25")
_INITIALIZED = {
    "protocolVersion": VERSION,
    "capabilities": {
        "prompts": {"listChanged": True}, "resources": {"subscribe": False, "listChanged": True},
        "tools": {"listChanged": True},
    },
    "serverInfo": {
        "name": "Oracle Analytics MCP Server", "title": "Oracle Analytics MCP Server", "version": "1.0.0",
    },
}  # fmt: skip
#: The methods besides `initialize` and `tools/call`; the latter is one endpoint for each tool.
_SESSION_METHODS = (
    "notifications/initialized", "ping", "tools/list", "resources/list", "prompts/list", "resources/read",
)  # fmt: skip
_NO_SESSION = "The Mcp-Session-Id header is required for {}"
Message = dict[str, Any]


class Mcp:
    """The MCP endpoint of one instance.

    :param domain: the identity domain, which checks tokens.
    :param sessions: the sessions of all instances.
    :param instance: the instance.
    """

    def __init__(self, domain: Domain, sessions: Sessions, instance: Instance) -> None:
        self._domain, self._sessions, self._instance = domain, sessions, instance
        self._world = domain.world

    async def post(self, request: web.Request) -> web.StreamResponse:
        """Handle one message."""
        message: Message | RpcError
        try:
            message = _message(request, await request.read(), self._world.settings.mcp_charset)
        except RpcError as error:
            message = error

        async def handle(request: web.Request) -> web.StreamResponse:
            return await self._answer(request, message)

        return await answer(self._world, self._instance.name, _name(message), handle, request)

    def register(self) -> None:
        """Make the endpoints known."""
        add, place = self._world.endpoints.add, self._instance.name
        add(place, "mcp", ("expired_token",))
        add(place, "mcp initialize", ("expired_token",))
        for method in _SESSION_METHODS:
            add(place, f"mcp {method}", ("expired_token", "lost_session"))
        for tool in inventory.all_names():
            query = ("query_error",) if tool.startswith("execute_") else ()
            add(place, f"mcp tools/call {tool}", ("expired_token", "lost_session", *query))

    async def other(self, request: web.Request) -> web.StreamResponse:
        """Refuse GET and DELETE (inferred; the specification allows 405)."""
        return json_reply({"code": "MethodNotAllowed", "message": "POST only."}, 405, {"Allow": "POST"})

    async def _answer(self, request: web.Request, message: Message | RpcError) -> web.StreamResponse:
        try:
            user = admit(self._world, self._domain.access, self._instance, (), request)
        except OACError as error:
            return error.reply()
        number = None if isinstance(message, RpcError) else message.get("id")
        try:
            if isinstance(message, RpcError):
                raise message
            if message["method"] == "initialize":
                _check_initialize(message.get("params"))
                key = self._sessions.begin(self._instance.name, user["name"])
                return self._reply(number, {"result": _INITIALIZED}, headers={"Mcp-Session-Id": key})
            session = self._session(request, user, message["method"])
            if number is None:
                # A notification gets no result, whatever its method (documented: 202).
                if session is not None and message["method"] == "notifications/initialized":
                    session.ready = True
                return web.Response(status=202)
            result = await self._result(request, user, session, message)
            return self._reply(number, {"result": result})
        except ToolError as error:
            return self._reply(number, {"result": {**block(str(error)), "isError": True}})
        except RpcError as error:
            return self._reply(number, {"error": error.body}, error.status)

    def _session(self, request: web.Request, user: Record, method: str) -> Session | None:
        """Return the session of the request.

        :raises RpcError: if the session is gone, or missing although the method needs one (observed, documented).
        """
        world, key = self._world, request.headers.get("Mcp-Session-Id")
        status = world.settings.mcp_session_status
        if key is None:
            if method in ("tools/list", "ping") and not world.settings.mcp_list_needs_session:
                return None
            raise RpcError(-32000, "Unknown error", _NO_SESSION.format(method), status)
        version = request.headers.get("MCP-Protocol-Version", VERSION)
        if version not in _VERSIONS:
            raise RpcError(-32600, f"Unsupported protocol version {version}", None, 400)
        fault = request.get("fault")
        if isinstance(fault, Fault) and fault.fault == "lost_session":
            self._sessions.end(key)
        session = self._sessions.find(key, self._instance.name, user["name"])
        if session is None and world.settings.mcp_lost_session == "404":
            raise RpcError(-32001, "Session not found", None, 404)
        if session is None:
            raise RpcError(-32000, "Unknown error", _NO_SESSION.format(method), status)
        return session

    async def _result(self, request: web.Request, user: Record, session: Session | None, message: Message) -> Any:
        method, params = message["method"], message.get("params", {})
        if not isinstance(params, dict):
            raise RpcError(-32602, "Invalid params: params is an object")
        # Before `notifications/initialized`, lists are empty and other methods are refused (observed).
        ready = session is None or session.ready
        match method:
            case "ping":
                return {}
            case "tools/list":
                return self._tools(user, params) if ready else {"tools": []}
            case "resources/list" | "prompts/list":
                return {method.partition("/")[0]: []}
        if not ready:
            raise RpcError(-32000, "Unknown error", f"notifications/initialized is required before {method}")
        fault = request.get("fault")
        call = tools.ToolCall(
            self._world, self._instance, user, params.get("arguments", {}), fault if isinstance(fault, Fault) else None
        )
        match method:
            case "tools/call":
                return await self._call(call, str(params.get("name")))
            case "resources/read":
                return tools.workbook(call, str(params.get("uri")))
        raise RpcError(-32601, f"Method not found: {method}")

    def _may(self, user: Record, name: str) -> bool:
        """Return whether the user's role may call a tool (documented: consumers can only search)."""
        roles = {compact(role) for role in user["instance_roles"].get(self._instance.name, user["roles"])}
        return name == "search_catalog" or bool({compact(ADMINISTRATOR), compact(CONTENT_AUTHOR)} & roles)

    def _tools(self, user: Record, params: Message) -> Message:
        """Return the list of tools, in pages if the setting says so."""
        settings = self._world.settings
        found = [
            inventory.listed(raw, name) for raw, name in inventory.names(settings.mcp_tools).items()
            if settings.mcp_consumer != "hide" or self._may(user, name)
        ]  # fmt: skip
        begin, size = params.get("cursor", "0"), settings.mcp_tools_page or len(found)
        if not re.fullmatch(r"\d{1,9}", str(begin)):
            raise RpcError(-32602, "Invalid params: the cursor is not of this server")
        end = int(begin) + size
        return {"tools": found[int(begin) : end], **({"nextCursor": str(end)} if end < len(found) else {})}

    async def _call(self, call: tools.ToolCall, raw: str) -> Message:
        settings = self._world.settings
        name = inventory.names(settings.mcp_tools).get(raw)
        if name is None:
            raise RpcError(int(settings.mcp_unknown_tool), f"Unknown tool: {raw}")
        tools.check(name, call.arguments)
        if not self._may(call.user, name):
            raise ToolError(f"Tool dispatch failed: user {call.user['name']} lacks the role for {raw}.")
        answer = tools.ANSWERS.get(name)
        if answer is None:
            raise ToolError(f"The simulator does not carry out {raw}.")
        result = answer(call)
        return await result if inspect.isawaitable(result) else result

    # ------------------------------------------------------------------------------------------- replies

    def _reply(
        self, number: Any, body: Message, status: int = 200, headers: dict[str, str] | None = None
    ) -> web.StreamResponse:
        """Build the reply as JSON or as an event stream (which one OAC sends is unknown). HTTP errors are JSON."""
        full = {"jsonrpc": "2.0", "id": number, **body}
        form = self._world.settings.mcp_reply
        if form == "json" or status != 200:
            return json_reply(full, status, headers)
        text = json.dumps(full, ensure_ascii=False, indent=1 if form == "sse_lines" else None)
        note = {"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "working"}}
        events = [": keep-alive\n\n", _event(json.dumps(note)), _event(text)]
        pieces = [event.encode() for event in events]

        def up_to(stop: int) -> Any:
            for piece in pieces:
                if stop > 0:
                    yield piece[:stop]
                stop -= len(piece)

        kind = {"Content-Type": "text/event-stream", "Cache-Control": "no-cache", **(headers or {})}
        return LongReply(up_to, sum(len(piece) for piece in pieces), kind, announced=False)


def _check_initialize(params: Any) -> None:
    """Check the members that the specification requires. Any protocol version is accepted.

    :raises RpcError: if a member is missing or has another type.
    """
    for name, kind in (("protocolVersion", str), ("capabilities", dict), ("clientInfo", dict)):
        if not isinstance(params, dict) or not isinstance(params.get(name), kind):
            raise RpcError(-32602, f"Invalid params: {name} is missing, or of another type")


def _event(text: str) -> str:
    """Format an event; the client joins its `data` lines with line feeds (specification of server-sent events)."""
    return "event: message\n" + "".join(f"data: {line}\n" for line in text.split("\n")) + "\n"


def _message(request: web.Request, raw: bytes, charset: str) -> Message:
    """Read the message from a body.

    Without `charset` in the content type, a body is read as ISO-8859-1 (observed).

    :raises RpcError: if the body is not a message.
    """
    if request.content_type != "application/json":
        raise RpcError(-32700, "Parse error: the content type is not application/json", None, 415)
    accepted = request.headers.get("Accept", "")
    if "application/json" not in accepted or "text/event-stream" not in accepted:
        raise RpcError(-32600, "Accept needs application/json and text/event-stream", None, 406)
    try:
        message = json.loads(raw.decode(request.charset or ("latin-1" if charset == "latin1" else "utf-8")))
    except (ValueError, LookupError):
        raise RpcError(-32700, "Parse error", None, 400) from None
    if isinstance(message, list):
        raise RpcError(-32600, "Batches are not supported", None, 400)
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0" or not isinstance(message.get("method"), str):
        raise RpcError(-32600, "Invalid Request", None, 400)
    return message


def _name(message: Message | RpcError) -> str:
    """Return the endpoint's name for counters and faults, with the new name of a tool."""
    if isinstance(message, RpcError):
        return "mcp"
    method, params = message["method"], message.get("params")
    if method != "tools/call" or not isinstance(params, dict):
        return f"mcp {method}"
    bare = str(params.get("name")).removeprefix(inventory.PREFIX)
    snake = re.sub(r"(?<=[a-z])([A-Z]+)", lambda match: "_" + match[1].lower(), bare)
    return f"mcp tools/call {snake}"


def add(app: web.Application, mcp: Mcp) -> None:
    """Add the endpoint to the application of an instance."""
    mcp.register()
    app.router.add_post(PATH, mcp.post)
    app.router.add_get(PATH, mcp.other)
    app.router.add_delete(PATH, mcp.other)
