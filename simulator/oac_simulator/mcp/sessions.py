"""MCP sessions: `Mcp-Session-Id`, from `initialize` until the server drops it.

The header and the error without it are documented. Lifetime, binding to the user, and the reply for a session that is
gone are unknown; settings select plausible values. Sessions are in memory, so a restart ends them all.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from oac_simulator.world import World


@dataclass(slots=True)
class Session:
    """One session.

    :param instance: name of the instance.
    :param user: name of the user.
    :param used: time of last use, in seconds since the epoch.
    :param ready: whether the client has sent `notifications/initialized`.
    """

    instance: str
    user: str
    used: float
    ready: bool = False


class Sessions:
    """The sessions of all instances."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._open: dict[str, Session] = {}

    def begin(self, instance: str, user: str) -> str:
        """Start a session and return its ID."""
        key = str(uuid.uuid4())
        self._open[key] = Session(instance, user, self._world.clock.now())
        return key

    def find(self, key: str, instance: str, user: str) -> Session | None:
        """Return this user's session unless it is unknown or expired; each use restarts its lifetime (inferred)."""
        session, now, lifetime = self._open.get(key), self._world.clock.now(), self._world.settings.mcp_session_seconds
        if session is None or (session.instance, session.user) != (instance, user):
            return None
        if lifetime and now - session.used >= lifetime:
            self.end(key)
            return None
        session.used = now
        return session

    def end(self, key: str) -> None:
        """End a session."""
        self._open.pop(key, None)

    def end_all(self) -> int:
        """End all sessions and return how many there were."""
        count = len(self._open)
        self._open.clear()
        return count
