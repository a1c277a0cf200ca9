"""Small helpers that every area uses to answer."""

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
    """A JSON answer.

    :param body: what to encode.
    :param status: the HTTP status.
    :param headers: extra headers.
    :param cached: False adds `Cache-Control: no-store`, as token replies must have it (RFC 6749 section 5.1).
    """
    reply = web.Response(body=_dumps(body).encode(), status=status, content_type="application/json")
    if headers:
        reply.headers.update(headers)
    if not cached:
        reply.headers["Cache-Control"] = "no-store"
        reply.headers["Pragma"] = "no-cache"
    return reply


class LongReply(web.StreamResponse):
    """An answer whose body is made while it is sent, so that it costs no memory.

    :param pieces: makes the bytes up to a number of them.
    :param length: how many there are.
    :param headers: the headers.
    :param status: the HTTP status.
    :param announced: whether the length is announced; otherwise the body is sent in chunks (RFC 9112, 7.1).
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

        :param request: what is answered.
        :param size: only so many bytes of the body, and then neither an end nor a reset; None for all.
        :param pause: how many seconds to wait after each piece.
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
            # The client hung up, which it may.
            return
