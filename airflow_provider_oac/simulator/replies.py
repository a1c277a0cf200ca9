"""Small helpers that every area uses to answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

_dumps = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def json_reply(
    body: Any, status: int = 200, headers: Mapping[str, str] | None = None, *, cached: bool = True
) -> web.Response:
    """A JSON answer.

    Args:
        body: What to encode.
        status: The HTTP status.
        headers: Extra headers.
        cached: False adds `Cache-Control: no-store`, as token replies must have it (RFC 6749 section 5.1).
    """
    reply = web.Response(body=_dumps(body).encode(), status=status, content_type="application/json")
    if headers:
        reply.headers.update(headers)
    if not cached:
        reply.headers["Cache-Control"] = "no-store"
        reply.headers["Pragma"] = "no-cache"
    return reply
