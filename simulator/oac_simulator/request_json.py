"""Reading what a control request says."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web


class ControlError(ValueError):
    """A control request that makes no sense."""


async def read_json(request: web.Request) -> dict[str, Any]:
    """The body as a JSON object; an empty body is an empty object.

    :raises ControlError: if it is not one.
    """
    data = await request.read()
    try:
        body = json.loads(data) if data else {}
    except ValueError as error:
        raise ControlError("The body is not JSON.") from error
    if not isinstance(body, dict):
        raise ControlError("The body is not a JSON object.")
    return body
