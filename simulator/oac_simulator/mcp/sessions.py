"""Sessions of MCP: `Mcp-Session-Id`, from `initialize` until the server forgets it.

The header and the refusal without it are documented. Lifetime, binding to the user, and the answer for a session that
is gone are unknown; settings switch between the plausible ones. Sessions are in memory: a restart ends them all.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from oac_simulator.world import World


@dataclass(slots=True)
class Session:
    """One session.

    :param instance: where.
    :param user: whose.
    :param used: when it was last used, in seconds since the epoch.
    :param ready: whether `notifications/initialized` has come.
    """

    instance: str
    user: str
    used: float
    ready: bool = False


class Sessions:
    """All sessions of a simulation."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._open: dict[str, Session] = {}

    def begin(self, instance: str, user: str) -> str:
        """A new session; returns its id."""
        key = str(uuid.uuid4())
        self._open[key] = Session(instance, user, self._world.clock.now())
        return key

    def find(self, key: str, instance: str, user: str) -> Session | None:
        """The session of this user, unless it is unknown or too old; using it begins its time anew (inferred)."""
        session, now, lifetime = self._open.get(key), self._world.clock.now(), self._world.settings.mcp_session_seconds
        if session is None or (session.instance, session.user) != (instance, user):
            return None
        if lifetime and now - session.used >= lifetime:
            self.end(key)
            return None
        session.used = now
        return session

    def end(self, key: str) -> None:
        """Forget a session."""
        self._open.pop(key, None)

    def end_all(self) -> int:
        """Forget all sessions; returns how many there were."""
        count = len(self._open)
        self._open.clear()
        return count
