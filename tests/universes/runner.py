"""Many universes in several processes, a table of them, and the reduction and replay of one that fails."""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import os
import re
import sys
import time
import traceback
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.universes.chance import shrink
from tests.universes.scenarios import SCENARIOS
from tests.universes.universe import Universe, quiet_logs

FAILED = Path(__file__).with_name("failed.txt")
_SLICE = 25


def run(name: str, seed: int, events: Mapping[str, int] | None = None) -> Universe:
    """Run one universe."""
    universe = Universe(SCENARIOS[name], seed, events)
    try:
        universe.run()
    except Exception as error:
        universe.complaints = [f"{type(error).__name__}: {error}\n{traceback.format_exc(limit=-6)}"]
    return universe


def kind_of(complaints: list[str]) -> str:
    """What a failure has in common with one that was reduced."""
    return re.sub(r"[0-9a-f-]{8,}|\d+", "#", complaints[0].partition("\n")[0])[:60] if complaints else ""


def reduced(name: str, seed: int, failed: Universe) -> dict[str, int]:
    """The events that it takes for this universe to fail."""
    kind = kind_of(failed.complaints)
    return shrink(failed.chance.events, lambda events: kind_of(run(name, seed, events).complaints) == kind)


def _slice(job: tuple[str, int, int]) -> tuple[str, int, dict[int, list[str]], Counter[str]]:
    """Run some seeds; returns the complaints of those that failed."""
    name, first, count = job
    failed, counts = {}, Counter[str]()
    gc.disable()
    with quiet_logs():
        for seed in range(first, first + count):
            universe = run(name, seed)
            counts["events"] += len(universe.chance.events)
            counts["hours"] += int(universe.kernel.elapsed)
            if universe.complaints:
                failed[seed] = universe.complaints
    gc.enable()
    gc.collect()
    return name, count, failed, counts


def many(names: list[str], seeds: int, first: int, minutes: float | None, processes: int) -> int:
    """Run many universes and print a table; returns the exit code."""
    began = time.monotonic()
    done, totals = Counter[str](), Counter[str]()
    failures: dict[str, dict[int, list[str]]] = {name: {} for name in names}
    # Slices of seeds, spread evenly over the operators.
    last = first + seeds
    jobs = ((name, at, min(_SLICE, last - at)) for at in range(first, last, _SLICE) for name in names)
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        for name, count, failed, counts in pool.imap_unordered(_slice, jobs):
            done[name] += count
            totals += counts
            failures[name] |= failed
            if minutes is not None and time.monotonic() - began > 60 * minutes:
                pool.terminate()
                break
    seconds, total = time.monotonic() - began, sum(done.values())
    print(f"{'operator':40} {'universes':>10} {'failed':>7}")
    for name in names:
        print(f"{name:40} {done[name]:10} {len(failures[name]):7}")
    print(
        f"{total} universes in {seconds:.0f} s, {60 * total / max(seconds, 0.001):.0f} a minute: "
        f"{totals['events']} events in {totals['hours'] / 86400:.0f} days of virtual time"
    )
    for name, failed in failures.items():
        kinds: dict[str, list[int]] = {}
        for seed, complaints in sorted(failed.items()):
            kinds.setdefault(kind_of(complaints), []).append(seed)
        for alike in kinds.values():
            print(f"\n{name}, seed {alike[0]} ({len(alike)} alike)")
            explain(name, alike[0])
    return 1 if any(failures.values()) else 0


def explain(name: str, seed: int, events: Mapping[str, int] | None = None, logs: bool = False) -> int:
    """Run one universe, reduce it if it fails, and print it."""
    with quiet_logs():
        universe = run(name, seed, events)
        if universe.complaints and events is None:
            events = reduced(name, seed, universe)
            universe = run(name, seed, events)
    for complaint in universe.complaints:
        print(f"  WRONG: {complaint}")
    for line in universe.story:
        print(f"  {line}")
    if logs:
        print(*universe.lines, sep="\n")
    print(f"  {len(universe.chance.events) if events is None else len(events)} events")
    if universe.complaints:
        print(f"  replay: python -m tests.universes {name} --seed {seed} --events '{json.dumps(events or {})}'")
    return 1 if universe.complaints else 0


def known() -> list[tuple[str, int, dict[str, int] | None]]:
    """The universes that failed once: an operator, a seed, and maybe the events to which it was reduced."""
    lines = [line.split(maxsplit=2) for line in FAILED.read_text().splitlines() if line.strip() and line[0] != "#"]
    return [(name, int(seed), json.loads(events[0]) if events else None) for name, seed, *events in lines]


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.universes", description="Deterministic simulation testing.")
    parser.add_argument("operators", nargs="*", metavar="OPERATOR", help=", ".join(SCENARIOS))
    parser.add_argument("--seeds", type=int, default=10_000, help="how many for each operator")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--minutes", type=float, help="end after so many minutes")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, help="run this universe only, and tell its story")
    parser.add_argument("--events", help="the only events of that universe, as JSON")
    parser.add_argument("--logs", action="store_true", help="with all log lines")
    options: Any = parser.parse_args(arguments)
    if unknown := set(options.operators) - set(SCENARIOS):
        parser.error(f"no scenario for {', '.join(sorted(unknown))}; there are {', '.join(SCENARIOS)}")
    names = options.operators or list(SCENARIOS)
    if options.seed is not None:
        events = json.loads(options.events) if options.events else None
        return max(explain(name, options.seed, events, options.logs) for name in names)
    bad = 0
    if not options.operators:
        with quiet_logs():
            for name, seed, events in known():
                if complaints := run(name, seed, events).complaints:
                    bad = 1
                    print(f"It failed before and fails again: {name} --seed {seed}: {complaints[0]}")
    sys.stdout.flush()
    return many(names, options.seeds, options.first, options.minutes, options.processes) or bad
