"""What every endpoint does: it counts calls, applies injected faults, and sets the `Date` header."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from urllib.parse import parse_qsl

from aiohttp import web

from oac_simulator.faults import meet
from oac_simulator.replies import LongReply
from oac_simulator.world import World

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def endpoint(
    world: World, place: str, name: str, handler: Handler, *, has_grant: bool = False, faults: Collection[str] = ()
) -> Handler:
    """Make an endpoint known and wrap its handler with counters, injected faults and the `Date` header.

    :param world: the simulated world.
    :param place: `identity` or the name of an instance, for counters and faults.
    :param name: the endpoint's name, for counters and faults.
    :param handler: the handler that answers.
    :param has_grant: whether the form names a grant, which counters and faults distinguish.
    :param faults: the faults that only some handlers implement, and that this handler implements.
    """
    world.endpoints.add(place, name, faults)

    async def wrapped(request: web.Request) -> web.StreamResponse:
        return await answer(world, place, name, handler, request, await _grant(request) if has_grant else None)

    return wrapped


async def answer(
    world: World, place: str, name: str, handler: Handler, request: web.Request, grant: str | None = None
) -> web.StreamResponse:
    """Answer a call of an endpoint; for the parameters see :func:`endpoint`."""
    world.counters.call(place, name, grant)
    fault = world.faults.take(place, name, grant)
    reply = await (handler(request) if fault is None else meet(fault, request, handler))
    if not reply.prepared:
        reply.headers["Date"] = world.clock.http_date()
    world.counters.reply(place, reply.status)
    if isinstance(reply, LongReply) and not reply.prepared:
        await reply.transmit(request)
    return reply


async def _grant(request: web.Request) -> str:
    """Return the last part of the grant's name, or `none`."""
    for name, value in parse_qsl((await request.read()).decode("latin-1")):
        if name == "grant_type":
            return value.rpartition(":")[2]
    return "none"
