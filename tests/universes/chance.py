"""What the seed decides, and how a failing universe is reduced to the events that matter."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any


class Chance:
    """The decisions of one universe.

    Each decision has a name and a number. What it comes to depends on the seed and these only, so that a decision that
    is taken back changes no other one. The first option of each is that nothing happens.

    :param seed: of the universe.
    :param events: the only decisions that are not the first option; ``None`` lets the seed decide.
    """

    def __init__(self, seed: int, events: Mapping[str, int] | None = None) -> None:
        self.seed = seed
        self._given = events
        self._counts: Counter[str] = Counter()
        #: What was decided and is not the first option.
        self.events: dict[str, int] = {}
        #: Whether anything goes wrong from now on; a night has a calm end.
        self.calm = False
        #: So many events happened, of so many at most.
        self.happened, self.most = 0, 4 + int(24 * self.random("most"))

    def random(self, name: str) -> float:
        """A number in [0, 1) that is no event: the same whatever else happens."""
        self._counts[name] += 1
        return self._number(f"{name}#{self._counts[name]}")

    def order(self, options: int) -> int:
        """Which of several that could run now comes first."""
        return self._decide("order", 0.25, lambda number: int(number * options)) % options

    def pick(self, name: str, options: Sequence[Any]) -> Any:
        """One of several ways in which a universe can be; the first is the plain one."""
        return options[self._decide(name, 1.0, lambda number: int(number * len(options))) % len(options)]

    def event(self, name: str, kinds: Sequence[str], rate: float) -> str | None:
        """Which of these happens now, if any.

        :param rate: how probable it is that one of them does.
        """
        if self.calm or not kinds:
            return None
        if self.happened >= self.most:
            self.calm = True
            return None
        chosen = self._decide(name, rate, lambda number: 1 + int(number * len(kinds)))
        if not chosen:
            return None
        self.happened += 1
        return kinds[(chosen - 1) % len(kinds)]

    def _decide(self, name: str, rate: float, choose: Callable[[float], int]) -> int:
        self._counts[name] += 1
        key = f"{name}#{self._counts[name]}"
        if self._given is not None:
            return self._given.get(key, 0)
        number = self._number(key)
        value = choose(number / rate) if number < rate else 0
        if value:
            self.events[key] = value
        return value

    def _number(self, key: str) -> float:
        digest = hashlib.blake2b(f"{self.seed}/{key}".encode(), digest_size=7).digest()
        return int.from_bytes(digest, "big") / (1 << 56)


def shrink(events: Mapping[str, int], fails: Callable[[Mapping[str, int]], bool], most: int = 300) -> dict[str, int]:
    """Leave out events as long as the universe fails: halves first, single ones in the end.

    :param fails: whether a universe with these events fails in the same way.
    :param most: how many universes to try.
    """
    left = dict(events)
    size = max(1, len(left) // 2)
    while left and most > 0:
        names, removed = list(left), False
        for start in range(0, len(names), size):
            chunk = set(names[start : start + size])
            rest = {name: value for name, value in left.items() if name not in chunk}
            most -= 1
            if len(rest) < len(left) and fails(rest):
                left, removed = rest, True
            if most <= 0:
                return left
        if not removed and size == 1:
            return left
        size = max(1, size // 2)
    return left
