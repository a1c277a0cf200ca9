"""The wrapper of every endpoint: counters, injected faults, the `Date` header."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl

from aiohttp import web

from oac_simulator import faults
from oac_simulator.replies import LongReply
from oac_simulator.world import World

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def endpoint(
    world: World, place: str, name: str, handler: Handler, *, has_grant: bool = False
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Wrap a handler with counters, injected faults and the `Date` header.

    :param world: the simulated world.
    :param place: `identity` or the name of an instance, for counters and faults.
    :param name: the endpoint's name, for counters and faults.
    :param handler: the handler that answers.
    :param has_grant: whether the form names a grant, which counters and faults distinguish.
    """

    async def answer(request: web.Request) -> web.StreamResponse:
        grant = await _grant(request) if has_grant else None
        world.counters.call(place, name, grant)
        fault = world.faults.take(place, name, grant)
        reply = await (handler(request) if fault is None else faults.meet(fault, request, handler))
        if not reply.prepared:
            reply.headers["Date"] = world.clock.http_date()
        world.counters.reply(place, reply.status)
        if isinstance(reply, LongReply) and not reply.prepared:
            await reply.transmit(request)
        return reply

    return answer


async def _grant(request: web.Request) -> str:
    """Return the last part of the grant's name, or `none`."""
    for name, value in parse_qsl((await request.read()).decode("latin-1")):
        if name == "grant_type":
            return value.rpartition(":")[2]
    return "none"
