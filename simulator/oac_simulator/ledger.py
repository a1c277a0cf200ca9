"""A record of the secrets that the token endpoint handled, for tests that prove that no secret leaks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Members of forms and replies that are credentials.
_SECRET = frozenset(
    {
        "access_token", "assertion", "client_assertion", "client_secret", "device_code", "password", "refresh_token",
    }
)  # fmt: skip
_MOST = 10_000


class Ledger:
    """Keeps the secrets that were sent and issued, in memory only, and drops the oldest when there are too many."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all secrets."""
        # A dict keeps the order: each value once, with the name of the first member that contained it.
        self._names: dict[str, str] = {}
        self._forgotten = 0

    def see(self, members: Mapping[str, Any]) -> None:
        """Record the secrets among the members of a form or a reply."""
        for name, value in members.items():
            if name in _SECRET and isinstance(value, str) and value:
                self._names.setdefault(value, name)
        while len(self._names) > _MOST:
            del self._names[next(iter(self._names))]
            self._forgotten += 1

    def as_dict(self) -> dict[str, Any]:
        """Return `seen`, a list of `name` and `value`, and `forgotten`, the number of dropped secrets."""
        seen = [{"name": name, "value": value} for value, name in self._names.items()]
        return {"seen": seen, "forgotten": self._forgotten}
