"""The secrets that crossed the token endpoint, for tests that prove that nobody wrote one down."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Members of forms and replies that let whoever has them sign in or act as somebody.
_SECRET = frozenset(
    {
        "access_token", "assertion", "client_assertion", "client_secret", "device_code", "password", "refresh_token",
    }
)  # fmt: skip
_MOST = 10_000


class Ledger:
    """Remembers, in memory only, what was sent and what was issued; the oldest goes when there is too much."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Know nothing."""
        # A dict for its order: each value once, with the name of the member in which it was first seen.
        self._names: dict[str, str] = {}
        self._forgotten = 0

    def see(self, members: Mapping[str, Any]) -> None:
        """Remember the secrets among the members of a form or a reply."""
        for name, value in members.items():
            if name in _SECRET and isinstance(value, str) and value:
                self._names.setdefault(value, name)
        while len(self._names) > _MOST:
            del self._names[next(iter(self._names))]
            self._forgotten += 1

    def as_dict(self) -> dict[str, Any]:
        """`seen`, a list of `name` and `value`; and `forgotten`, how many went."""
        seen = [{"name": name, "value": value} for value, name in self._names.items()]
        return {"seen": seen, "forgotten": self._forgotten}
