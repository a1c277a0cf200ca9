"""When to look at work of which earlier runs are known: rarely as long as it cannot be done yet, often when it should
be. Pure.

The pause that costs least, in looks and in seconds until an end is noticed, goes with one over the square root of the
hazard rate: of how likely the work is to end in the next second, given that it has not ended yet.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

# How many looks to spend: less means more looks. Chosen by the simulation in tests/unit/client/test_forecast.py.
_THRIFT = 0.35
# Runs of one task differ by this share, as long as few are known; and by no less than the second.
_USUAL_SPREAD, _LEAST_SPREAD = 0.12, 0.02
# How many runs the usual spread counts for.
_WEIGHT = 3
# This share of runs ends at any other time: fails early, or takes far longer.
_UNLIKE = 0.02
# A pause may be this much longer than the one at its end.
_LEAP = 2.0
# Work takes between a second and some days.
_LONGEST = math.log(20 * 86400.0)


class Forecast:
    """How long work takes, by its earlier runs.

    :param earlier: seconds that some earlier runs took, at least one.
    """

    def __init__(self, earlier: Sequence[float]) -> None:
        logs = [math.log(max(1.0, seconds)) for seconds in earlier]
        self._middle = statistics.median(logs)
        # As a standard deviation, by the median, on which one odd run has no influence.
        spread = 1.4826 * statistics.median(abs(log - self._middle) for log in logs)
        known = (spread * len(logs) + _USUAL_SPREAD * _WEIGHT) / (len(logs) + _WEIGHT)
        self._spread = max(_LEAST_SPREAD, known)

    @property
    def seconds(self) -> float:
        """How long it probably takes."""
        return math.exp(self._middle)

    def pause(self, age: float) -> float:
        """Seconds until the next look at work of this age, without bounds."""
        age = max(1.0, age)
        pause = self._best(age)
        # It must not lead into, or beyond, a time in which looks come far more often.
        while pause > 1.0 and pause > _LEAP * min(self._best(place) for place in self._places(age, pause)):
            pause *= 0.8
        return pause

    def _places(self, age: float, pause: float) -> tuple[float, ...]:
        landing, middle = age + pause, self.seconds
        return (landing, middle) if age < middle < landing else (landing,)

    def _best(self, age: float) -> float:
        log = math.log(age)
        distance = (log - self._middle) / self._spread
        ends = (1.0 - _UNLIKE) * math.exp(-distance * distance / 2) / (math.sqrt(2 * math.pi) * self._spread * age)
        ends += _UNLIKE / (_LONGEST * age)
        lasts = (1.0 - _UNLIKE) * 0.5 * math.erfc(distance / math.sqrt(2))
        lasts += _UNLIKE * max(0.05, 1.0 - log / _LONGEST)
        return _THRIFT * math.sqrt(lasts / ends)
