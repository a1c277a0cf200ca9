"""Reading the body of a control request."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web


class ControlError(ValueError):
    """A control request is invalid."""


async def read_json(request: web.Request) -> dict[str, Any]:
    """Read the body as a JSON object; an empty body is an empty object.

    :raises ControlError: if it is not a JSON object.
    """
    data = await request.read()
    try:
        body = json.loads(data) if data else {}
    except ValueError as error:
        raise ControlError("The body is not JSON.") from error
    if not isinstance(body, dict):
        raise ControlError("The body is not a JSON object.")
    return body
