"""What waiting costs, computed with the plan itself and a made-up clock. `make bench` shows the same figures."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from airflow_provider_oac.client.waiting import WaitPlan

TASKS, RUNS = 90, 40
SHORTEST, LONGEST = 1.0, 7200.0
# This share of runs fails early, and as many take up to three times as long.
ODD = 0.01
# After this many seconds everybody looks for the first time.
FIRST = 1.0

ADAPTIVE = "ours, earlier runs known"
UNINFORMED = "ours, nothing known"
FIXED = {seconds: f"every {seconds} s" for seconds in (5, 30, 60)}


@dataclass(frozen=True)
class Outcome:
    """Of all jobs: seconds from an end until it is noticed, in the mean, the median and 95 of 100; looks per job."""

    delay: float
    median: float
    p95: float
    looks: float


def jobs(spread: float) -> list[list[float]]:
    """Seconds that the runs of some tasks take: tasks from 1 s to 2 h, evenly over the orders of magnitude.

    :param spread: standard deviation of the logarithm from run to run.
    """
    chance = random.Random(7)
    tasks = []
    for number in range(TASKS):
        usual = SHORTEST * (LONGEST / SHORTEST) ** ((number + 0.5) / TASKS)
        runs = []
        for _ in range(RUNS):
            kind, seconds = chance.random(), usual * math.exp(chance.gauss(0.0, spread))
            if kind < ODD:
                seconds = usual * chance.uniform(0.01, 0.9)
            elif kind < 2 * ODD:
                seconds = usual * chance.uniform(1.5, 3.0)
            runs.append(min(LONGEST, max(SHORTEST, seconds)))
        tasks.append(runs)
    return tasks


def watched(seconds: float, pause: Callable[[float], float]) -> tuple[float, int]:
    """How late the end of one job is noticed, and with how many looks."""
    age, looks = FIRST, 1
    while age < seconds:
        age += pause(age)
        looks += 1
    return age - seconds, looks


@cache
def compared(spread: float) -> dict[str, Outcome]:
    """All ways of waiting, on the same jobs."""
    tasks = jobs(spread)
    return {
        ADAPTIVE: _outcome([watched(job, WaitPlan(earlier=earlier).pause) for job, earlier in _with_earlier(tasks)]),
        UNINFORMED: _outcome([watched(job, WaitPlan().pause) for job, _ in _with_earlier(tasks)]),
        **{
            name: _outcome([watched(job, lambda _age, fixed=seconds: fixed) for job, _ in _with_earlier(tasks)])  # type: ignore[misc]
            for seconds, name in FIXED.items()
        },
    }


def _with_earlier(tasks: list[list[float]]) -> list[tuple[float, tuple[float, ...]]]:
    return [(job, tuple(runs[max(0, number - 10) : number])) for runs in tasks for number, job in enumerate(runs)]


def _outcome(watches: list[tuple[float, int]]) -> Outcome:
    delays = sorted(delay for delay, _ in watches)
    return Outcome(
        statistics.mean(delays),
        statistics.median(delays),
        delays[int(0.95 * len(delays))],
        statistics.mean(looks for _, looks in watches),
    )
