#!/usr/bin/env python3
"""Run many tasks against a simulator with random faults and tokens of 100 s, and look for leaks.

    .venv/bin/python tools/soak.py                 ten minutes (`make soak`)
    .venv/bin/python tools/soak.py --minutes 2

A complete Airflow executes one DAG run after the other (tools/soak_airflow.py). At the same time, a triggerer's event
loop with twenty concurrent triggers and a worker that runs one operator after the other share their tokens in a file
store (both use the provider's own classes, in processes that live as long as the run). Meanwhile connections break, and
responses are late, cut, refused or wrong. Every two seconds the program counts sockets, descriptors, threads, memory,
and lock and temporary files. The run fails on growth after the warm-up beyond the bounds of tools/leaks.py, on any
error
that is not the provider's, on a failed DAG run, and on a duplicate or incomplete snapshot or file.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from oac_simulator.control import Control
from oac_simulator.launch import launch
from tools.leaks import BOUNDS, judged, sample
from tools.oac_connections import connection_environment
from tools.soak_airflow import SoakedAirflow, variables

ROOT = Path(__file__).resolve().parent.parent
EVERY = 2.0
#: Longer than any backoff after a fault; without calls for this time, something hangs.
STANDSTILL = 90.0
ROLES = ("triggerer", "worker")
WORK_SECONDS = (0.5, 8.0)
#: Each is injected for one call to any endpoint.
FAULTS: tuple[dict[str, Any], ...] = (
    {"fault": "drop_before"}, {"fault": "drop_after"}, {"fault": "drop_middle"}, {"fault": "truncate"},
    {"fault": "garbage"}, {"fault": "non_json"}, {"fault": "delay", "seconds": 0.5}, {"fault": "status", "status": 503},
    {"fault": "status", "status": 429, "headers": {"Retry-After": "1"}}, {"fault": "status", "status": 401},
)  # fmt: skip


def environment(ready: dict[str, Any], home: Path) -> dict[str, str]:
    """Return the Airflow environment of the processes: Connections, a Fernet key, a token store."""
    from cryptography.fernet import Fernet

    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "_AIRFLOW"))}
    return {
        **kept, **connection_environment(ready), "AIRFLOW_HOME": str(home), "TMPDIR": str(home / "tmp"),
        "AIRFLOW__CORE__UNIT_TEST_MODE": "True", "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__FERNET_KEY": Fernet.generate_key().decode(),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__OAC__STORE": "file", "AIRFLOW__OAC__STORE_FOLDER": str(home / "store"),
    }  # fmt: skip


def asked(control: Control) -> int:
    """Return the number of all calls to the simulated OAC."""
    return sum(control.counters()["calls"].get("dev", {}).values())


def soak(minutes: float, home: Path) -> int:
    """Run the soak test and return the number of leaks and failures."""
    for name in ("tmp", "exports"):
        (home / name).mkdir()
    with launch(work_seconds=0.5, access_token_ttl=100) as simulator:
        control, env = simulator.control, environment(simulator.ready, home)
        whole = SoakedAirflow(Path(sys.prefix), home / "airflow", variables(env, home / "airflow"))
        with whole.stack:
            until = time.time() + minutes * 60
            whole.begin(until)
            arguments = [simulator.ready["control_url"], str(home / "exports"), str(until)]
            running = {role: started(role, arguments, env, home) for role in ROLES}
            try:
                samples = watched(control, whole, running, until, home)
                for process in running.values():
                    # If a process ended too early, do not wait for the others.
                    process.wait(timeout=180 if time.time() >= until else 0.1)
            except subprocess.TimeoutExpired:
                print("a process ended before its time, or does not end:")
            finally:
                for process in running.values():
                    process.kill()
                    process.wait()
            wrong = sum(report(role, samples[role], running[role].returncode, home) for role in ROLES)
            if any(process.returncode for process in running.values()):
                return wrong
            control.clear_faults()
            print(f"tokens issued: {control.counters()['issued']}")
            return wrong + whole.end(control) + leaks("Airflow's triggerer", whole.samples)


def started(role: str, arguments: list[str], env: dict[str, str], home: Path) -> subprocess.Popen[bytes]:
    """Start the process of one of ROLES."""
    command = [sys.executable, str(ROOT / "tools" / "soak_process.py"), role, *arguments]
    # Log to files: an unread pipe fills up after a minute or two and blocks the process.
    with (home / f"{role}.out").open("wb") as out, (home / f"{role}.log").open("wb") as log:
        return subprocess.Popen(command, env=env, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out, stderr=log)


def watched(
    control: Control, whole: SoakedAirflow, running: Mapping[str, subprocess.Popen[bytes]], until: float, home: Path
) -> dict[str, list[dict[str, float]]]:
    """Inject faults and take samples until the time is over.

    :raises RuntimeError: if OAC gets no call for STANDSTILL seconds.
    """
    folders = (home / "store", home / "tmp", home / "exports")
    samples: dict[str, list[dict[str, float]]] = {role: [] for role in running}
    ordered, calls, moved = 0, 0, time.time()
    while time.time() < until and all(process.poll() is None for process in running.values()):
        time.sleep(EVERY)
        whole.look()
        for role, process in running.items():
            # The process may have just ended.
            with suppress(OSError):
                samples[role].append(sample(process.pid, folders))
        now_calls = asked(control)
        if now_calls != calls:
            calls, moved = now_calls, time.time()
        elif time.time() - moved > STANDSTILL:
            raise RuntimeError(f"nobody has asked OAC for {STANDSTILL:.0f} s: something stands still")
        # Inject new faults only after all have hit, or rare callers would get nothing but faults.
        if all(fault["hits"] for fault in control.faults()):
            control.clear_faults()
            # Short work ends before a deferral; longer work is deferred.
            control.settings(work_seconds=random.choice(WORK_SECONDS))  # noqa: S311
            for fault in random.sample(FAULTS, 3):
                control.fault("*", **fault)
            ordered += 3
    print(f"{ordered} faults ordered; {calls} calls of OAC")
    return samples


def report(role: str, samples: list[dict[str, float]], code: int, home: Path) -> int:
    """Print the results of one process and return the number of failures."""
    if code:
        tail = (home / f"{role}.log").read_text(errors="replace").splitlines()[-30:]
        print(f"{role} ended with exit code {code}:", *tail, sep="\n")
        return 1
    did = json.loads((home / f"{role}.out").read_text(errors="replace").splitlines()[-1])
    return leaks(f"{role}: {did}", samples)


def leaks(who: str, samples: list[dict[str, float]]) -> int:
    """Print the growth of a process and return the number of leaks."""
    print(f"{who}; {len(samples)} samples")
    found = judged(samples)
    for growth in found:
        verdict = "LEAK" if growth.is_leak else "good"
        print(f"  {growth.name:12} {growth.before:8.1f} -> {growth.after:8.1f}  (bound +{growth.bound:g})  {verdict}")
    return sum(growth.is_leak for growth in found)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long (10)")
    options = parser.parse_args()
    if options.minutes * 60 / EVERY < 20:
        parser.error("less than a minute tells no trend")
    with tempfile.TemporaryDirectory(prefix="oac-soak-") as home:
        wrong = soak(options.minutes, Path(home))
    print("FAILED" if wrong else f"nothing leaks (bounds: {dict(BOUNDS)})")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
