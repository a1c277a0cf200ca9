"""Helpers that build replies."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from aiohttp import web

_dumps = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def json_reply(
    body: Any, status: int = 200, headers: Mapping[str, str] | None = None, *, cached: bool = True
) -> web.Response:
    """Build a JSON reply.

    :param body: the value to encode.
    :param status: the HTTP status.
    :param headers: extra headers.
    :param cached: False adds `Cache-Control: no-store`, which token replies must have (RFC 6749 section 5.1).
    """
    reply = web.Response(body=_dumps(body).encode(), status=status, content_type="application/json")
    if headers:
        reply.headers.update(headers)
    if not cached:
        reply.headers["Cache-Control"] = "no-store"
        reply.headers["Pragma"] = "no-cache"
    return reply


class LongReply(web.StreamResponse):
    """A reply whose body is generated while it is sent, in constant memory.

    :param pieces: generates the body up to a number of bytes.
    :param length: length of the body in bytes.
    :param headers: the headers.
    :param status: the HTTP status.
    :param announced: whether the reply has `Content-Length`; otherwise the body is chunked (RFC 9112, 7.1).
    """

    def __init__(
        self,
        pieces: Callable[[int], Iterator[bytes]],
        length: int,
        headers: Mapping[str, str],
        status: int = 200,
        *,
        announced: bool = True,
    ) -> None:
        super().__init__(status=status, headers=headers)
        self.pieces, self.length = pieces, length
        if announced:
            self.content_length = length

    async def transmit(self, request: web.Request, size: int | None = None, pause: float = 0.0) -> None:
        """Send the head and the body.

        :param request: the request.
        :param size: number of bytes to send, followed by neither an end nor a reset; None for all.
        :param pause: seconds to wait after each piece.
        """
        try:
            await self.prepare(request)
            for piece in self.pieces(self.length if size is None else size):
                await self.write(piece)
                if pause:
                    await asyncio.sleep(pause)
            if size is None:
                await self.write_eof()
        except ConnectionError:
            # The client may hang up.
            return
