"""Decide how many polls of one instance may run at once, and when none may."""

from __future__ import annotations

import math

from airflow_provider_oac.client.flows.polling import asked_pause
from airflow_provider_oac.client.paging import index_not_ready
from airflow_provider_oac.exceptions import OACApiError, OACAuthError, OACError

# Lower and upper bound of the limit.
FEW = 8
MANY = 512
# Factors by which the limit grows while due polls wait, and shrinks while none does: slowly, because polls come in
# waves.
_GROWTH, _SHRINKING = 1.25, 0.995
# Headroom above rate times latency; at most this many times rate times the shortest latency, since a latency far above
# the shortest one comes from a queue at the server, which more connections lengthen.
_SURPLUS, _MOST = 1.2, 1.5
# Weight of the latest responses in the average latency.
_WEIGHT = 0.2
# Seconds without any poll after a 429 or 503 without Retry-After; doubled for each one that follows, up to the longest.
_FIRST_REST, _LONGEST_REST = 1.0, 30.0
# Statuses that a gateway returns for an instance that does not answer.
_UNANSWERED = frozenset({502, 504})


class Throttle:
    """Limits all polls of one instance.

    It reads no clock; the caller passes times of any clock that is never set back.
    """

    def __init__(self) -> None:
        self.quiet_until = -math.inf
        # The error that started the pause until then.
        self.reason = ""
        self._limit = float(FEW)
        # The average, and the shortest one.
        self._latency, self._least = 0.0, math.inf
        # Totals of the responses since the last adaptation.
        self._seconds, self._responses = 0.0, 0
        self._allowed = MANY
        self._rest = _FIRST_REST
        self._slowed_at = -math.inf

    @property
    def at_once(self) -> int:
        """How many polls may run at once."""
        return min(self._allowed, math.ceil(self._limit))

    def adapt(self, rate: float, waiting: bool, disturbed: bool = False) -> None:
        """Adapt the limit: at most rate times latency (Little's law), plus headroom.

        :param rate: desired polls per second.
        :param waiting: whether due polls wait because of the limit.
        :param disturbed: whether this process itself delayed the latest responses, so more connections would not help.
        """
        if self._responses and not disturbed:
            latest = self._seconds / self._responses
            self._least = min(self._least, latest)
            self._latency += (latest - self._latency) * (_WEIGHT if self._latency else 1.0)
        self._seconds, self._responses = 0.0, 0
        if not waiting:
            self._limit = max(FEW, self._limit * _SHRINKING)
        elif not disturbed:
            enough = min(rate * min(_SURPLUS * self._latency, _MOST * self._least), MANY)
            self._limit = max(self._limit, min(self._limit * _GROWTH, enough))

    def answered(self, seconds: float | None) -> None:
        """Record a poll that was answered.

        :param seconds: how long the response took; ``None`` if that includes a handshake or a sign-in.
        """
        if seconds is not None:
            self._seconds += seconds
            self._responses += 1
        self._keeps_up()
        self._rest = _FIRST_REST

    def _keeps_up(self) -> None:
        if self._allowed < MANY:
            # After a pause, the number of allowed polls grows one by one.
            self._allowed += 1

    def refused(self, error: OACError, began: float, now: float) -> None:
        """Record a poll that failed; if the instance or the identity domain is overloaded, all polls pause.

        :param began: when the poll began. A poll that began before the pause extends it only with a Retry-After.
        """
        if not overloaded(error):
            if isinstance(error, OACApiError) and error.status not in _UNANSWERED and began >= self._slowed_at:
                # The instance answers, whatever the status: during a restore it may return 401 for minutes after the
                # first 503.
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
            # Only the text is kept: an error would keep its stack frames alive.
            self.quiet_until, self.reason = now + rest, str(error)


def overloaded(error: OACError) -> bool:
    """Whether this error asks for fewer requests; an index that is being built affects only searches."""
    if not isinstance(error, OACApiError | OACAuthError) or error.status not in (429, 503):
        return False
    return not (isinstance(error, OACApiError) and index_not_ready(error))
