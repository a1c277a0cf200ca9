"""The state that the endpoints of the identity domain share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from oac_simulator.endpoint import Handler
from oac_simulator.identity.device_codes import DeviceCodes
from oac_simulator.identity.errors import OAuthError
from oac_simulator.identity.tokens import AccessTokens, RefreshTokens
from oac_simulator.world import World

DomainHandler = Callable[["Domain", web.Request], Awaitable[web.Response]]


class Domain:
    """The identity domain: tokens, device codes and the simulated world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.access = AccessTokens(world)
        self.refresh = RefreshTokens(world)
        self.device = DeviceCodes(world)

    def handler(self, function: DomainHandler) -> Handler:
        """Wrap a handler to return OAuth error replies."""

        async def answer(request: web.Request) -> web.Response:
            try:
                return await function(self, request)
            except OAuthError as error:
                basic = request.headers.get("Authorization", "")[:6].lower() == "basic "
                return error.reply(basic=basic)

        return answer
