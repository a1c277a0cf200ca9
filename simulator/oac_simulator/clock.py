"""The simulator's clock, which a test can offset."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from email.utils import formatdate

from oac_simulator.settings import Settings


class Clock:
    """The time on the simulated machines.

    The offset in the settings applies to tokens, assertions and all displayed times, but not to the duration of work.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._second = -1
        self._formatted = ""

    def now(self) -> float:
        """Return the seconds since the epoch, with the offset."""
        return time.time() + self._settings.clock_offset

    def http_date(self) -> str:
        """Return the value of the `Date` header."""
        second = int(self.now())
        if second != self._second:
            self._second, self._formatted = second, formatdate(second, usegmt=True)
        return self._formatted

    def iso(self, real: float) -> str:
        """Format a real time (seconds since the epoch) as OAC does, with the offset applied."""
        moment = datetime.fromtimestamp(real + self._settings.clock_offset, UTC)
        return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
