"""Error replies of the identity domain."""

from __future__ import annotations

import secrets

from aiohttp import web

from oac_simulator.replies import json_reply

CONSUMED = "The token has already been consumed"


class OAuthError(Exception):
    """The identity domain refuses a request.

    :param error: OAuth error code (RFC 6749 section 5.2).
    :param description: human-readable message.
    :param status: the HTTP status.
    """

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(f"{error}: {description}")
        self.error = error
        self.description = description
        self.status = status

    def reply(self, *, basic: bool) -> web.Response:
        """Build the HTTP reply.

        The error's ID is in the header `X-ORACLE-DMS-ECID` and may be in the body as `ecId` (observed).

        :param basic: whether the client used Basic; a 401 must then name it (RFC 6749 section 5.2).
        """
        ecid = f"{secrets.token_hex(8)}^{secrets.token_hex(4)}"
        body = {"error": self.error, "error_description": self.description, "ecId": ecid}
        headers = {
            "X-ORACLE-DMS-ECID": ecid, "X-ORACLE-DMS-RID": "0", "Content-Type": "application/json;charset=utf-8",
        }  # fmt: skip
        if self.status == 401 and basic:
            headers["WWW-Authenticate"] = 'Basic realm="identity domain"'
        return json_reply(body, self.status, headers, cached=False)


def system_error(status: int) -> OAuthError:
    """Return the domain's unspecific error (text observed, status and code inferred)."""
    return OAuthError("server_error", "A system error has occurred. Please contact your administrator.", status)
