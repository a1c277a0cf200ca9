"""How many polls of one instance run at once, and when none do. Pure decisions."""

from __future__ import annotations

import math

from airflow_provider_oac.client.flows.polling import asked_pause
from airflow_provider_oac.client.paging import index_not_ready
from airflow_provider_oac.exceptions import OACApiError, OACAuthError, OACError

# Sockets by default, and where rate x latency needs more.
FEW = 8
MANY = 64
# How much more than rate x latency, so that a queue that was built up is worked off.
_SURPLUS = 1.5
# The weight of the last response in the latency that is reckoned with. A quick one counts for more: where a busy
# machine makes responses late, more connections would not help.
_QUICK_SHARE, _SLOW_SHARE = 0.3, 0.02
# So many answers must have come before it is reckoned with: the first ones hold handshakes and the sign-in.
_ANSWERS = 32
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
        self._latency = 0.0
        self._answers = 0
        self._allowed = MANY
        self._rest = _FIRST_REST
        self._slowed_at = -math.inf

    def at_once(self, rate: float) -> int:
        """How many polls may be under way.

        :param rate: polls per second that are wanted.
        """
        needed = math.ceil(round(rate * self._latency * _SURPLUS, 3)) if self._answers >= _ANSWERS else FEW
        return min(self._allowed, max(FEW, min(needed, MANY)))

    def answered(self, seconds: float) -> None:
        """A poll was answered.

        :param seconds: how long it was waited for, less what this process was busy with other things meanwhile.
        """
        share = 1.0 if not self._answers else _QUICK_SHARE if seconds < self._latency else _SLOW_SHARE
        self._answers += 1
        self._latency += (seconds - self._latency) * share
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
