"""Counters of calls, for tests that must prove that a call was made or not made."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any


class Counters:
    """Calls per place and endpoint, token calls per grant, connections per place.

    A place is `identity`, `control`, or the name of an instance.
    """

    def __init__(self) -> None:
        self._open: dict[str, Callable[[], int]] = {}
        self.reset()

    def reset(self) -> None:
        """Set all counters to zero; open connections still count as open."""
        self._calls: dict[str, Counter[str]] = defaultdict(Counter)
        self._replies: dict[str, Counter[str]] = defaultdict(Counter)
        self._grants: Counter[str] = Counter()
        self._issued: Counter[str] = Counter()
        self._accepted: Counter[str] = Counter()
        self._peak: dict[str, int] = {place: count() for place, count in self._open.items()}

    def call(self, place: str, endpoint: str, grant: str | None) -> None:
        """Count a request."""
        self._calls[place][endpoint] += 1
        if grant is not None:
            self._grants[grant] += 1

    def reply(self, place: str, status: int) -> None:
        """Count a reply."""
        self._replies[place][str(status)] += 1

    def issued(self, grant: str) -> None:
        """Count an issued token."""
        self._issued[grant] += 1

    def watch(self, place: str, count: Callable[[], int]) -> None:
        """Register the function that counts the open connections of a place."""
        self._open[place] = count
        self._peak[place] = 0

    def accepted(self, place: str) -> None:
        """Count a connection that is being accepted and is not among the open ones yet."""
        self._accepted[place] += 1
        self._peak[place] = max(self._peak[place], self._open[place]() + 1)

    def calls(self, place: str, endpoint: str) -> int:
        """Return the number of calls to an endpoint of a place."""
        return self._calls[place][endpoint] if place in self._calls else 0

    def grants(self, grant: str) -> int:
        """Return the number of token calls with a grant."""
        return self._grants[grant]

    def as_dict(self) -> dict[str, Any]:
        """Return all counters, ready for JSON."""
        return {
            "calls": {place: dict(counter) for place, counter in self._calls.items()},
            "replies": {place: dict(counter) for place, counter in self._replies.items()},
            "grants": dict(self._grants),
            "issued": dict(self._issued),
            "connections": {
                place: {"open": count(), "accepted": self._accepted[place], "peak": self._peak[place]}
                for place, count in self._open.items()
            },
        }
