"""What waiting costs, computed with the plan itself and a virtual clock. `make bench` shows the same figures."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

from airflow_provider_oac.client.flows.polling import WaitPlan

JOBS = 4000
SHORTEST, LONGEST = 1.0, 7200.0
# Seconds until the first poll.
FIRST = 1.0

OURS = "5 % of the age, 1 to 30 s"
FIXED = {seconds: f"every {seconds} s" for seconds in (5, 30, 60)}


@dataclass(frozen=True)
class Outcome:
    """Of all jobs: seconds from an end until it is noticed, as mean, median and 95th percentile; polls per job."""

    delay: float
    median: float
    p95: float
    polls: float


def jobs() -> list[float]:
    """Seconds that jobs take: from 1 s to 2 h, evenly over the orders of magnitude."""
    return [SHORTEST * (LONGEST / SHORTEST) ** ((number + 0.5) / JOBS) for number in range(JOBS)]


def polled(seconds: float, pause: Callable[[float], float]) -> tuple[float, int]:
    """How late the end of one job is noticed, and with how many polls."""
    age, polls = FIRST, 1
    while age < seconds:
        age += pause(age)
        polls += 1
    return age - seconds, polls


def compared() -> dict[str, Outcome]:
    """All ways of waiting, on the same jobs."""
    fixed = {name: _outcome(lambda _age, pause=seconds: pause) for seconds, name in FIXED.items()}  # type: ignore[misc]
    return {OURS: _outcome(WaitPlan().pause), **fixed}


def _outcome(pause: Callable[[float], float]) -> Outcome:
    all_polls = [polled(seconds, pause) for seconds in jobs()]
    delays = sorted(delay for delay, _ in all_polls)
    return Outcome(
        statistics.mean(delays),
        statistics.median(delays),
        delays[int(0.95 * len(delays))],
        statistics.mean(polls for _, polls in all_polls),
    )
