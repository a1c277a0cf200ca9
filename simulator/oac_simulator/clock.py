"""The simulator's clock, which a test can set wrong on purpose."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from email.utils import formatdate

from oac_simulator.settings import Settings


class Clock:
    """What the simulated machines believe the time to be.

    Tokens, assertions and everything that is shown follow the offset in the settings; the duration of work
    does not, because setting a clock does not make a machine faster.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._second = -1
        self._formatted = ""

    def now(self) -> float:
        """Seconds since the epoch, with the offset."""
        return time.time() + self._settings.clock_offset

    def http_date(self) -> str:
        """The value of the `Date` header."""
        second = int(self.now())
        if second != self._second:
            self._second, self._formatted = second, formatdate(second, usegmt=True)
        return self._formatted

    def iso(self, real: float) -> str:
        """A moment of real time (seconds since the epoch) as OAC writes it, with the offset applied."""
        moment = datetime.fromtimestamp(real + self._settings.clock_offset, UTC)
        return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
