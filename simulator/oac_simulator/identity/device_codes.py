"""The codes of the device flow (RFC 8628): the server issues them, a user decides, the client polls."""

from __future__ import annotations

import secrets

from oac_simulator.identity.client_auth import Client
from oac_simulator.identity.errors import OAuthError
from oac_simulator.store import Record
from oac_simulator.world import World

_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"


class DecisionError(ValueError):
    """A decision is not possible; the message gives the user the reason."""


class DeviceCodes:
    """The issued codes."""

    def __init__(self, world: World) -> None:
        self._world = world

    def start(self, app: Record, scope: str) -> tuple[str, str]:
        """Issue a device code and a user code of eight letters."""
        device_code = secrets.token_hex(17)[:33]
        user_code = "".join(secrets.choice(_LETTERS) for _ in range(8))
        record = {
            "user_code": user_code, "client_id": app["client_id"], "scope": scope, "status": "pending",
            "user": None, "polled": None, "interval": self._world.settings.device_interval,
            "expires": self._world.clock.now() + self._world.settings.device_expires,
        }  # fmt: skip
        self._world.device_codes.put(device_code, record)
        return device_code, user_code

    def decide(self, user_code: str, name: str, password: str | None, *, approve: bool) -> None:
        """Approve or deny a code, as a user does on the page.

        :param user_code: the code as typed; case, spaces and dashes are ignored.
        :param name: the user, who may be federated (observed).
        :param password: the user's password; None skips the check, for the control API.
        :param approve: whether to approve or deny.
        :raises DecisionError: if the code or the user is wrong.
        """
        typed = "".join(letter for letter in user_code.upper() if letter.isalpha())
        user = self._world.user(name)
        if user is None or not user["active"] or (password is not None and user["password"] != password):
            raise DecisionError("The user name or password is incorrect.")
        for key, record in self._world.device_codes.items():
            if record["user_code"] == typed and record["status"] == "pending":
                if record["expires"] <= self._world.clock.now():
                    raise DecisionError("The code has expired.")
                status = "approved" if approve else "denied"
                self._world.device_codes.put(key, {**record, "status": status, "user": user["name"]})
                return
        raise DecisionError("The code is not valid.")

    def poll(self, device_code: str, client: Client) -> Record:
        """Return the record of an approved code; each code allows one sign-in.

        The error names follow RFC 8628 section 3.5; those of a real domain are not documented (inferred).

        :raises OAuthError: if the code is pending, polled too fast, denied, expired, or used.
        """
        record = self._world.device_codes.get(device_code)
        if record is None or record["client_id"] != client.client_id or record["status"] == "used":
            raise OAuthError("invalid_grant", "The device code is not valid.")
        now = self._world.clock.now()
        if record["expires"] <= now:
            raise OAuthError("expired_token", "The device code has expired.")
        if record["status"] == "denied":
            raise OAuthError("access_denied", "The user denied the request.")
        if record["status"] == "pending":
            # Allow a tenth of a second for network jitter.
            early = record["polled"] is not None and now - record["polled"] < record["interval"] - 0.1
            interval = record["interval"] + 5 if early else record["interval"]
            self._world.device_codes.put(device_code, {**record, "polled": now, "interval": interval})
            if early:
                raise OAuthError("slow_down", "The client polls too fast.")
            raise OAuthError("authorization_pending", "The user has not decided yet.")
        self._world.device_codes.put(device_code, {**record, "status": "used"})
        return record
