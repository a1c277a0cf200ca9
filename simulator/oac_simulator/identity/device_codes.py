"""The codes of the device flow (RFC 8628): handed out, decided by a person, polled by a client."""

from __future__ import annotations

import secrets

from oac_simulator.identity.client_auth import Client
from oac_simulator.identity.errors import OAuthError
from oac_simulator.store import Record
from oac_simulator.world import World

_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"


class DecisionError(ValueError):
    """A decision that cannot be taken, with the reason for the person who tries."""


class DeviceCodes:
    """The codes that were handed out."""

    def __init__(self, world: World) -> None:
        self._world = world

    def start(self, app: Record, scope: str) -> tuple[str, str]:
        """Hand out a device code and a user code of eight letters."""
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
        """Approve or deny, as a person does on the page.

        :param user_code: the code as typed; case, spaces and dashes do not matter.
        :param name: who signs in. Federated users can (observed).
        :param password: their password; None skips the check, for the control address.
        :param approve: False denies.
        :raises DecisionError: for a wrong code or user.
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
        """The decided record; each code gives one sign-in.

        The error names are those of RFC 8628 section 3.5; a real domain's are documented nowhere (inferred).

        :raises OAuthError: if it is not decided yet, polled too fast, denied, expired, or used.
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
            # A tenth of a second is the network's, not the client's.
            early = record["polled"] is not None and now - record["polled"] < record["interval"] - 0.1
            interval = record["interval"] + 5 if early else record["interval"]
            self._world.device_codes.put(device_code, {**record, "polled": now, "interval": interval})
            if early:
                raise OAuthError("slow_down", "The client polls too fast.")
            raise OAuthError("authorization_pending", "The user has not decided yet.")
        self._world.device_codes.put(device_code, {**record, "status": "used"})
        return record
