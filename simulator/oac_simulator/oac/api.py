"""The call, route and error that the areas of the REST API share."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from oac_simulator.faults import Fault
from oac_simulator.replies import json_reply
from oac_simulator.store import Record
from oac_simulator.world import Instance, World


class OACError(Exception):
    """OAC refuses a call.

    :param status: the HTTP status.
    :param code: machine-readable error code. The shape `{code, message}` is documented, the codes are inferred.
    :param message: human-readable message.
    :param body: a body of another shape, in place of code and message.
    :param headers: extra headers.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.body = {"code": code, "message": message} if body is None else body
        self.headers = headers

    def reply(self) -> web.Response:
        """Build the HTTP reply."""
        if isinstance(self.body, str):
            return web.Response(text=self.body, status=self.status, headers=self.headers, content_type="text/html")
        return json_reply(self.body, self.status, self.headers)


def bad_request(message: str) -> OACError:
    """Return the error for a malformed request."""
    return OACError(400, "BadRequest", message)


def not_found(what: str) -> OACError:
    """Return the error for something that does not exist."""
    return OACError(404, "NotFound", f"{what} was not found.")


@dataclass(frozen=True, slots=True)
class Call:
    """One authorized call."""

    world: World
    instance: Instance
    user: Record
    request: web.Request

    @property
    def fault(self) -> Fault | None:
        """The fault for this call, if any."""
        fault = self.request.get("fault")
        return fault if isinstance(fault, Fault) else None

    async def json(self) -> dict[str, Any]:
        """Read the body, which must be a JSON object.

        :raises OACError: if it is not a JSON object.
        """
        try:
            body = json.loads(await self.request.read())
        except ValueError as error:
            raise bad_request("The body is not JSON.") from error
        if not isinstance(body, dict):
            raise bad_request("The body is not a JSON object.")
        return body

    def need_length(self) -> None:
        """Refuse a POST without `Content-Length` (observed: 411, from the gateway).

        :raises OACError: if there is no `Content-Length`.
        """
        if self.world.settings.length_required and "Content-Length" not in self.request.headers:
            raise OACError(411, "", "", body="<html><body><h1>411 Length Required</h1></body></html>")

    def flag(self, name: str) -> bool:
        """Return a boolean query parameter, false if absent.

        :raises OACError: if it is neither `true` nor `false`.
        """
        value = self.request.query.get(name)
        if value not in (None, "true", "false"):
            raise bad_request(f"The parameter {name} is true or false.")
        return value == "true"


#: The `faults` of an operation that starts work.
STARTS_WORK = ("fail_work",)
CallHandler = Callable[[Call], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Route:
    """One operation: method, path below the API's base, required roles, and handler.

    The user needs one of `roles`; if empty, any user of the domain may call. `faults` are those that the handler
    implements.
    """

    method: str
    path: str
    handler: CallHandler
    roles: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The endpoint's name for counters and faults."""
        return f"{self.method} {self.path}"


def member(data: Mapping[str, Any], name: str, kind: type, where: str) -> Any:
    """Return a required member of the right type.

    :raises OACError: if it is missing or has another type.
    """
    value = data.get(name)
    if not isinstance(value, kind) or value == "":
        words: dict[type, str] = {str: "a text", dict: "an object"}
        raise bad_request(f"{where}{name} is missing or not {words.get(kind, kind.__name__)}.")
    return value
