"""How many polls of one instance run at once, and when none do. Pure decisions."""

from __future__ import annotations

import math

from airflow_provider_oac.client.flows.polling import asked_pause
from airflow_provider_oac.client.paging import index_not_ready
from airflow_provider_oac.exceptions import OACApiError, OACAuthError, OACError

# Connections at least, and at most.
FEW = 8
MANY = 512
# By what factor the limit grows while due polls wait, and shrinks while none does: slowly, because polls come in waves.
_GROWTH, _SHRINKING = 1.25, 0.995
# How much more than rate times latency it may become.
_SURPLUS = 1.2
# The weight of the latest responses in the average latency.
_WEIGHT = 0.2
# Seconds without any poll after a 429 or 503 that names no time: doubled as long as they follow each other.
_FIRST_REST, _LONGEST_REST = 1.0, 30.0
# What a gateway says in the place of an instance that does not answer.
_UNANSWERED = frozenset({502, 504})


class Throttle:
    """Limits all polls of one instance. Knows no clock; times are of any clock that is never set back."""

    def __init__(self) -> None:
        self.quiet_until = -math.inf
        # What began the rest that lasts until then.
        self.reason = ""
        self._limit = float(FEW)
        self._latency = 0.0
        # Of the responses since the last adaptation.
        self._seconds, self._responses = 0.0, 0
        self._allowed = MANY
        self._rest = _FIRST_REST
        self._slowed_at = -math.inf

    @property
    def at_once(self) -> int:
        """How many polls may be under way."""
        return min(self._allowed, math.ceil(self._limit))

    def adapt(self, rate: float, waiting: bool, disturbed: bool = False) -> None:
        """Adapt how many polls may be under way: at most rate times latency (Little's law) and a surplus.

        :param rate: polls per second that are wanted.
        :param waiting: whether due polls wait because too few may be under way.
        :param disturbed: whether this process itself delayed the latest responses: more connections would not help.
        """
        if self._responses and not disturbed:
            latest = self._seconds / self._responses
            self._latency += (latest - self._latency) * (_WEIGHT if self._latency else 1.0)
        self._seconds, self._responses = 0.0, 0
        if not waiting:
            self._limit = max(FEW, self._limit * _SHRINKING)
        elif not disturbed:
            enough = min(rate * self._latency * _SURPLUS, MANY)
            self._limit = max(self._limit, min(self._limit * _GROWTH, enough))

    def answered(self, seconds: float | None) -> None:
        """A poll was answered.

        :param seconds: how long the response took; ``None`` if that includes a handshake or a sign-in.
        """
        if seconds is not None:
            self._seconds += seconds
            self._responses += 1
        self._keeps_up()
        self._rest = _FIRST_REST

    def _keeps_up(self) -> None:
        if self._allowed < MANY:
            # One by one, after a rest.
            self._allowed += 1

    def refused(self, error: OACError, began: float, now: float) -> None:
        """A poll failed; if the instance or the identity domain cannot keep up, all polls rest.

        :param began: when the poll began. Those that were under way when the rest began lengthen it only if they
            brought a Retry-After.
        """
        if not overloaded(error):
            if isinstance(error, OACApiError) and error.status not in _UNANSWERED and began >= self._slowed_at:
                # It answers, whatever it says: a restore may mean 401 for minutes after the first 503.
                self._keeps_up()
            return
        asked = asked_pause(error)
        rest = asked
        if began >= self._slowed_at:
            rest = max(asked, self._rest)
            self._rest = min(_LONGEST_REST, self._rest * 2)
            self._slowed_at = now
        self._allowed = 1
        if now + rest > self.quiet_until:
            # The text: an error holds on to the frames that it came through.
            self.quiet_until, self.reason = now + rest, str(error)


def overloaded(error: OACError) -> bool:
    """Whether this error asks for fewer requests. An index that is being built concerns searches only."""
    if not isinstance(error, OACApiError | OACAuthError) or error.status not in (429, 503):
        return False
    return not (isinstance(error, OACApiError) and index_not_ready(error))
