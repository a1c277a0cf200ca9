"""Injected faults: which endpoint fails, how often, and how."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from aiohttp import web

from oac_simulator.replies import LongReply, json_reply

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: Faults with which the server carries out the call. With the others, it does not act by default.
_ACTING = {
    "delay", "delay_after", "drop_after", "drop_middle", "truncate", "non_json", "garbage", "empty", "huge",
    "fail_work", "unknown_status", "drip", "short",
}  # fmt: skip
KINDS = _ACTING | {
    "drop_before", "status", "redirect", "consumed_token", "expired_token", "lost_session", "query_error",
}  # fmt: skip
#: Faults that the handlers of some endpoints implement, because they know the wording of their protocol.
_HANDLERS_OWN = {"fail_work", "unknown_status", "consumed_token", "expired_token", "lost_session", "query_error"}
#: Where an MCP reply can report a failed query.
FORMS = ("error", "tool", "status")


class FaultError(ValueError):
    """The description of a fault is invalid."""


@dataclass
class Fault:
    """One injected fault.

    :param endpoint: `token`, `device`, `GET /snapshots`, ..., or `*` for every endpoint.
    :param fault: the kind of fault, one of KINDS.
    :param instance: only at this instance (or `identity`); None for any.
    :param grant: only for token calls with this grant; None for any.
    :param times: number of calls that it affects; None for no limit.
    :param after: number of matching calls that it skips first.
    :param seconds: time to wait first (`delay_after`: after acting; `drip`: spread over the whole body).
    :param act: whether the server carries out the call; None for the default of the kind.
    :param status: HTTP status of `status`, `redirect`, `non_json`, `garbage`, `empty` and `huge`.
    :param headers: extra headers of the reply.
    :param body: body of the reply: a string unchanged, anything else as JSON.
    :param location: target of `redirect`.
    :param errors: `Errors` of the work request that fails (`fail_work`).
    :param work_status: status that `unknown_status` shows.
    :param size: bytes that `huge` sends.
    :param at: number of bytes after which `truncate`, `drop_middle` and `short` end the body; None for half of it.
    :param form: where `query_error` reports the failure, one of FORMS; None for the setting `mcp_error_form`.
    """

    endpoint: str
    fault: str
    instance: str | None = None
    grant: str | None = None
    times: int | None = 1
    after: int = 0
    seconds: float = 0.0
    act: bool | None = None
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    location: str = ""
    errors: list[dict[str, str]] = field(default_factory=list)
    work_status: str = "SUSPENDED"
    size: int = 64 * 1024 * 1024
    at: int | None = None
    form: str | None = None
    seen: int = 0
    hits: int = 0

    @classmethod
    def of(cls, data: Any) -> Fault:
        """Read a fault from its JSON form.

        :raises FaultError: if a member or the kind of fault is unknown or invalid.
        """
        if not isinstance(data, dict):
            raise FaultError("A fault is a JSON object.")
        known = {item.name for item in fields(Fault)} - {"seen", "hits"}
        unknown = sorted(set(data) - known)
        if unknown:
            raise FaultError(f"A fault has no {', '.join(unknown)}. Known: {', '.join(sorted(known))}.")
        if not isinstance(data.get("endpoint"), str) or data.get("fault") not in KINDS:
            raise FaultError(f"A fault needs `endpoint` and a `fault` out of {', '.join(sorted(KINDS))}.")
        if data.get("form") not in (None, *FORMS):
            raise FaultError(f"The `form` of a fault is one of {', '.join(FORMS)}.")
        return cls(**data)

    def matches(self, place: str, endpoint: str, grant: str | None) -> bool:
        """Return whether the fault applies to this call."""
        if self.endpoint not in ("*", endpoint) or self.instance not in (None, place):
            return False
        return self.grant is None or (grant is not None and self.grant.rpartition(":")[2] == grant)

    @property
    def needs(self) -> str | None:
        """The fault if only some endpoints have it, else None."""
        return self.fault if self.fault in _HANDLERS_OWN else None

    @property
    def acts(self) -> bool:
        """Whether the server carries out the call."""
        return self.fault in _ACTING if self.act is None else self.act


class Faults:
    """The injected faults, oldest first."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Add a fault."""
        self._faults.append(fault)

    def clear(self) -> None:
        """Remove all faults."""
        self._faults.clear()

    def as_list(self) -> list[dict[str, Any]]:
        """Return all faults, each with the number of calls that it saw and hit."""
        return [asdict(fault) for fault in self._faults]

    def take(self, place: str, endpoint: str, grant: str | None) -> Fault | None:
        """Return the fault for this call, if any, and count the hit."""
        for fault in self._faults:
            if not fault.matches(place, endpoint, grant):
                continue
            if fault.times is not None and fault.hits >= fault.times:
                continue
            fault.seen += 1
            if fault.seen <= fault.after:
                continue
            fault.hits += 1
            return fault
        return None


async def meet(fault: Fault, request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer a call with the fault applied.

    :param fault: the fault.
    :param request: the call; handlers find the fault in it under `fault`.
    :param handler: the handler that answers without the fault.
    """
    request["fault"] = fault
    if fault.seconds and fault.fault not in ("delay_after", "drip"):
        await asyncio.sleep(fault.seconds)
    await request.read()
    reply = await handler(request) if fault.acts else web.Response()
    if fault.fault == "delay" or fault.needs:
        return reply if fault.acts else await handler(request)
    match fault.fault:
        case "delay_after":
            await asyncio.sleep(fault.seconds)
            return reply
        case "drop_before" | "drop_after":
            reset(request)
            return web.Response()
        case "truncate" | "drop_middle":
            return await _cut(request, _long(reply), fault)
        case "short":
            return _short(_long(reply), fault)
        case "drip":
            return await _drip(request, _long(reply), fault.seconds)
        case "huge":
            return await _huge(request, fault)
    return _instead(fault)


def reset(request: web.Request) -> None:
    """Cut the connection with a TCP reset, without a normal close."""
    transport = request.transport
    if transport is None:
        return
    connection = transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _instead(fault: Fault) -> web.Response:
    """Return the reply that replaces the real one."""
    match fault.fault:
        case "redirect":
            return web.Response(status=fault.status or 302, headers={"Location": fault.location, **fault.headers})
        case "non_json":
            page = "<html><body><h1>Service Unavailable</h1></body></html>"
            body, kind = fault.body if isinstance(fault.body, str) else page, "text/html"
            return web.Response(text=body, status=fault.status or 200, content_type=kind, headers=fault.headers)
        case "garbage":
            raw = b'{"id": "\xff\xfe'
            return _typed(raw, fault)
        case "empty":
            return _typed(b"", fault)
    if fault.body is None:
        status = fault.status or 500
        return json_reply({"code": str(status), "message": "Fault ordered by a test"}, status, fault.headers)
    if isinstance(fault.body, str):
        return _typed(fault.body.encode(), fault, "text/plain", 500)
    return _typed(json.dumps(fault.body).encode(), fault, default_status=500)


def _typed(
    body: bytes, fault: Fault, content_type: str = "application/json", default_status: int = 200
) -> web.Response:
    reply = web.Response(body=body, status=fault.status or default_status, content_type=content_type)
    reply.headers.update(fault.headers)
    return reply


def _long(reply: web.StreamResponse) -> LongReply:
    """Convert the real reply to one that is sent in pieces (with a body of at least two bytes)."""
    if isinstance(reply, LongReply):
        return reply
    body = reply.body if isinstance(reply, web.Response) and isinstance(reply.body, bytes) else b""
    if len(body) < 2:
        body = b'{"message": "cut short"}'
    return LongReply(lambda stop: iter([body[:stop]]), len(body), reply.headers, reply.status)


def _place(reply: LongReply, fault: Fault) -> int:
    """Return the position at which the body ends."""
    return reply.length // 2 if fault.at is None else min(fault.at, reply.length)


async def _cut(request: web.Request, reply: LongReply, fault: Fault) -> web.StreamResponse:
    """Send part of the announced body, then end the connection with a normal close or a reset."""
    await reply.transmit(request, _place(reply, fault))
    if fault.fault == "drop_middle":
        # Let the socket send the data before the reset discards the rest.
        await asyncio.sleep(0.02)
        reset(request)
    elif request.transport is not None:
        request.transport.close()
    return reply


def _short(reply: LongReply, fault: Fault) -> LongReply:
    """Return part of the body with a matching length: only the content of the file reveals the loss."""
    announced = reply.content_length is not None
    reply.headers.popall("Content-Length", None)
    return LongReply(reply.pieces, _place(reply, fault), reply.headers, reply.status, announced=announced)


async def _drip(request: web.Request, reply: LongReply, seconds: float) -> web.StreamResponse:
    """Send the real body in about ten pieces, spread over the time."""
    step = max(1, -(-reply.length // 10))

    def pieces(stop: int) -> Iterator[bytes]:
        waiting = bytearray()
        for piece in reply.pieces(stop):
            waiting += piece
            while len(waiting) >= step:
                yield bytes(waiting[:step])
                del waiting[:step]
        yield bytes(waiting)

    slow = LongReply(pieces, reply.length, reply.headers, reply.status)
    await slow.transmit(request, pause=seconds / 10)
    return slow


async def _huge(request: web.Request, fault: Fault) -> web.StreamResponse:
    """Send a JSON string of the given size."""
    stream = web.StreamResponse(status=fault.status or 200, headers={"Content-Type": "application/json"})
    stream.headers.update(fault.headers)
    stream.content_length = fault.size
    await stream.prepare(request)
    left = fault.size - 2
    await stream.write(b'"')
    while left > 0:
        piece = min(left, 65536)
        await stream.write(b"x" * piece)
        left -= piece
    await stream.write(b'"')
    return stream
