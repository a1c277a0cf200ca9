#!/usr/bin/env python3
"""Measure the cost of the provider, its peers and the floor, and write docs/benchmarks.md: `make bench`.

Every row is a ratio of figures measured one after the other in this run, because absolute figures depend on the
machine. CPU time is the time of the process that does the work. A run takes some twenty-five minutes, twelve with
`--quick`. With `--repeat`, only the last run measures the waiting of the peers.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
from tools.bench.exports import SIZE, exported
from tools.bench.queries import queried
from tools.bench.serving import Serving, forget_foreign, measured, own_environment, serving
from tools.bench.tasks import FURTHER
from tools.bench.waiting import INTERVAL

PEERS = ("databricks", "dbt", "airbyte", "powerbi")


def small(server: Serving, *what: str) -> dict[str, Any]:
    """Run small.py in a separate process."""
    program = [sys.executable, str(Path(__file__).with_name("small.py")), *what]
    environment = own_environment(server)
    done = subprocess.run(program, capture_output=True, text=True, timeout=600, env=environment, check=False)
    for line in done.stderr.splitlines():
        if line.startswith("RESULT "):
            return dict(json.loads(line.removeprefix("RESULT ")))
    raise RuntimeError(f"{what} failed:\n{done.stderr[-2000:]}")


def in_turns(server: Serving, what: str, kinds: tuple[str, ...], rounds: int) -> dict[str, dict[str, Any]]:
    """Return the medians of rounds in which the kinds take turns, each in a separate process.

    A first round does not count: Python writes byte code, which costs several times as much as reading it.
    """
    taken: dict[str, list[dict[str, Any]]] = {kind: [] for kind in kinds}
    for _ in range(1 + rounds):
        for kind in kinds:
            taken[kind].append(small(server, what, kind))
    found = {}
    for kind, (_, *runs) in taken.items():
        found[kind] = {
            name: statistics.median(run[name] for run in runs) if isinstance(value, int | float) else value
            for name, value in runs[-1].items()
        }
        say(f"{what} {kind}: {found[kind]}")
    return found


def say(text: str) -> None:
    print(f"[bench] {text}", flush=True)


def waiting(server: Serving, many: int, kinds: Sequence[str], rounds: int) -> dict[str, dict[str, Any]]:
    """Return the medians of rounds in which the kinds take turns."""
    taken: dict[str, list[dict[str, Any]]] = {kind: [] for kind in kinds}
    for _ in range(rounds):
        for kind in kinds:
            taken[kind].append(measured(server, kind, many))
            say(f"{kind} {many}: {taken[kind][-1]}")
    names = ("cpu_us", "kib", "connections", "lag_p99_ms", "lag_max_ms", "own_p99_ms", "own_max_ms", "gc_max_ms",
             "late_p99")  # fmt: skip
    return {kind: {name: statistics.median(r[name] for r in runs) for name in names} for kind, runs in taken.items()}


def two_at_once(server: Serving, many: int) -> list[dict[str, Any]]:
    """Run two triggerers at the same time, each with half of the triggers."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda _: measured(server, "ours", many // 2), range(2)))


def line(*cells: Any) -> str:
    return "| " + " | ".join(f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in cells) + " |"


def table(head: list[str], rows: list[list[Any]]) -> str:
    return "\n".join([line(*head), "|" + "---|" * len(head), *(line(*row) for row in rows)])


class Row(NamedTuple):
    """A figure with its target."""

    what: str
    value: float
    limit: float
    unit: str = ""


def verdicts(runs: list[list[Row]]) -> str:
    """Format the figures of several runs, and whether each run reached the targets."""
    rows = []
    for row in zip(*runs, strict=True):
        first, kept = row[0], sum(one.value <= one.limit for one in row)
        held = "**does not hold**" if not kept else f"**in {kept} of {len(row)}**" if kept < len(row) else "holds"
        values = [f"{one.value:.2f}{first.unit}" for one in row]
        rows.append([first.what, *values, f"≤ {first.limit:g}{first.unit}", held])
    head = [f"run {number}" for number in range(1, len(runs) + 1)] if len(runs) > 1 else ["ours"]
    return table(["what", *head, "to reach", ""], rows)


def pauses() -> str:
    """Compare the provider's poll intervals with fixed intervals by calculation."""
    from tools.bench.pauses import compared

    rows = [[name, one.delay, one.median, one.p95, one.polls] for name, one in compared().items()]
    return table(["pause", "late, mean s", "median s", "95 % s", "polls per job"], rows)


def waits(server: Serving, rounds: int, many: int, peers: Sequence[str], rows: list[Row]) -> str:
    """Measure triggers that start one after the other."""
    found = {**waiting(server, many, ["ours", "floor"], rounds), **waiting(server, many, peers, 1)}
    base, ours = found["floor"]["cpu_us"], found["ours"]
    rows.append(Row(f"CPU per poll, {many:,} triggers, × floor", ours["cpu_us"] / base, 0.7))
    if many == 1000:
        rows.append(Row("memory per waiting trigger", ours["kib"], 15, " KiB"))
        rows.append(Row("connections for 1,000 triggers", ours["connections"], 8))
    else:
        rows.append(Row(f"loop lag p99, {many:,} triggers", ours["lag_p99_ms"], 20, " ms"))
    rows.append(Row(f"late, p99, {many:,} triggers", ours["late_p99"], 0.4, " s"))
    return f"### {many:,} triggers, a poll every 5 s\n\n{waiting_table(found)}"


def waiting_table(found: dict[str, dict[str, Any]]) -> str:
    """Format the figures of triggers and the floor."""
    base = found["floor"]["cpu_us"]
    head = ["kind", "CPU µs per poll", "× floor", "KiB per trigger", "connections", "lag p99 ms", "max ms",
            "own p99 ms", "own max ms", "longest GC ms", "late p99 s"]  # fmt: skip
    rows = [
        [kind, f"{f['cpu_us']:.0f}", f["cpu_us"] / base, f["kib"], int(f["connections"]), f["lag_p99_ms"],
         f["lag_max_ms"], f["own_p99_ms"], f["own_max_ms"], f["gc_max_ms"], f["late_p99"]]
        for kind, f in found.items()
    ]  # fmt: skip
    return table(head, rows)


def bursts(server: Serving, rows: list[Row]) -> str:
    """Measure triggers that all start at once, before their modules are imported."""
    found = {}
    for kind, name in (("ours_cold", "ours"), ("floor", "floor")):
        found[name] = measured(server, kind, 1000, "--burst")
        say(f"burst, {name}: {found[name]}")
    ours = found["ours"]
    rows.append(Row("loop lag p99, burst of 1,000, imports and key included", ours["lag_p99_ms"], 10, " ms"))
    rows.append(Row("loop lag of that burst, most", ours["lag_max_ms"], 30, " ms"))
    short = measured(server, "ours", 1000, "--burst", "--seconds", "45", token_lifetime=5.0)
    lifetimes = (short["wall"] - 6.0) / 5.0
    calls = 10 * (short["tokens"] - 1) / lifetimes
    rows.append(Row("token calls per 10 lifetimes (of 5 s) after the first, 1,000 triggers at once", calls, 14))
    return f"### A burst of 1,000 triggers\n\n{waiting_table(found)}"


def distances(server: Serving, quick: bool, rows: list[Row]) -> str:
    """Measure triggers with a distant server: the delay in noticing an end, and the number of connections."""
    cells = []
    for many in (1000,) if quick else (100, 1000, 5000):
        for latency in (0.02, 0.1, 0.3):
            ours, floor = (measured(server, kind, many, latency=latency) for kind in ("ours", "floor"))
            where = f"{many:,} triggers, {1000 * latency:.0f} ms away"
            say(f"{where}: {ours} {floor}")
            behind = ours["noticed_p99"] - floor["noticed_p99"]
            bound = 1.5 * many / INTERVAL * latency + 8
            rows.append(Row(f"noticed later than the floor, p99, {where}", behind, latency + 0.5, " s"))
            rows.append(Row(f"connections, {where}", ours["connections"], bound))
            for kind, f in (("ours", ours), ("floor", floor)):
                cells.append(
                    [where, kind, f["noticed_median"], f["noticed_p99"], f["connections"], 1000 * f["cpu"] / many]
                )
    head = ["where", "kind", "noticed after, median s", "p99 s", "connections", "CPU ms per trigger"]
    return "### At a distance\n\n" + table(head, cells)


def measure(options: argparse.Namespace, server: Serving, with_peers: bool) -> tuple[list[Row], str]:
    """Measure everything; return the figures with targets, and all tables.

    :param with_peers: whether to measure the waiting of the peers, which takes longer than all the rest.
    """
    rows: list[Row] = []
    peers = (PEERS[:2] if options.quick else PEERS) if with_peers else ()
    parts = [waits(server, options.rounds, 1000, peers, rows)]
    # The other peers do not finish with 5,000.
    parts.append(waits(server, 1, 5000, () if options.quick else peers[:2], rows))
    parts.append(bursts(server, rows))
    parts.append(distances(server, options.quick, rows))
    parts.append("### Growth\n\n" + growth(server))
    turns = 3 if options.quick else 7
    parts.append(imports(server, turns, rows))
    parts.append(parsing(server, turns, rows))
    parts.append(keys_and_tokens(server, rows))
    parts.append(tasks(server))
    listed = small(server, "catalog", str(server.port), str(server.folder))
    rows.append(Row("catalog of 10,000, × one page after the other", listed["ours"] / listed["sequential"], 0.4))
    parts.append(exports(server, rows))
    parts.append(queries(server, rows))
    parts.append("### Waiting, computed\n\n" + pauses())
    parts.append("### Servers\n\n" + servers(server))
    return rows, "\n\n".join(parts)


def imports(server: Serving, turns: int, rows: list[Row]) -> str:
    found = in_turns(server, "imports", ("ours", "airbyte", "http", "dbt", "powerbi", "databricks"), turns)
    # The target was 8 ms on a machine on which airbyte took 29.
    share = found["ours"]["ms"] / found["airbyte"]["ms"]
    rows.append(Row("import of all operators and sensors, × airbyte", share, 0.28))
    rows.append(Row("third-party modules that it loads", len(found["ours"]["third_party"]), 0))
    cells = [[k, o["ms"], int(o["modules"]), ", ".join(o["third_party"][:6]) or "none"] for k, o in found.items()]
    return "### Import above `airflow.sdk`\n\n" + table(["kind", "CPU ms", "modules", "third-party"], cells)


def parsing(server: Serving, turns: int, rows: list[Row]) -> str:
    found = in_turns(server, "parse", ("empty", "ours", "one argument", "same arguments", "airbyte"), turns)
    empty, ours = found["empty"], found["ours"]
    rows.append(Row("DAG file of 50 tasks, cold", ours["cold"] / empty["cold"], 1.25))
    rows.append(Row("the same, warm", ours["warm"] / empty["warm"], 1.15))
    cells = [[k, p["cold"] / empty["cold"], p["warm"] / empty["warm"]] for k, p in found.items()]
    return "### A DAG file of 50 tasks against 50 EmptyOperators\n\n" + table(["kind", "cold ×", "warm ×"], cells)


def keys_and_tokens(server: Serving, rows: list[Row]) -> str:
    keys = small(server, "keys", "0", str(server.folder))
    rows.append(Row("two assertions, × key held", keys["ours"] / keys["floor"], 1.2))
    asked = small(server, "tokens", str(server.port), str(server.folder))
    rows.append(Row("token call, warm, × a kept requests.Session", asked["ours"] / asked["floor"], 1.2))
    named = {**{f"two assertions, {name}": value for name, value in keys.items()},
             **{f"token call, {name}": value for name, value in asked.items()}}  # fmt: skip
    return "### Keys and tokens, CPU µs\n\n" + table(["what", "µs"], [[k, f"{v:.0f}"] for k, v in named.items()])


def tasks(server: Serving) -> str:
    """Measure operators and a script; ours without a stored token, and again in the next process."""
    kept = server.folder / "oac-tokens"
    kinds = {"a script": "script", "ours, no token yet": "ours", "ours, the next process": "ours",
             "databricks": "databricks", "airbyte": "airbyte"}  # fmt: skip
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in kinds}
    for _ in range(4):
        for name, kind in kinds.items():
            if name == "ours, no token yet":
                shutil.rmtree(kept, ignore_errors=True)
            server.reset()
            spent, counted = small(server, "task", kind, str(server.port), str(server.folder)), server.stats()
            counts = {"calls": counted["polls"] / (1 + FURTHER), "tokens": counted.get("tokens", 0)}
            taken[name].append({**spent, **counts})
            say(f"task, {name}: {taken[name][-1]}")
    cells = []
    for name, (_, *runs) in taken.items():
        found = {what: statistics.median(run[what] for run in runs) for what in runs[0]}
        cells.append([name, found["first"], found["further"], found["calls"], int(found["tokens"])])
    head = ["kind", "CPU ms, first of a process", "CPU ms, each further", "calls of each", "token calls of all"]
    return "### A blocking task that starts work and sees it done\n\n" + table(head, cells)


def servers(server: Serving) -> str:
    """Measure the polls per second of this server and the simulator, which must not be the bottleneck."""
    from tools.bench.rates import polls_per_second, simulator_rate

    work = f"https://localhost:{server.port}/api/20210901/workRequests/{int((time.time() + 600) * 1000)}000000"
    own = asyncio.run(polls_per_second(work, "t", server.folder / "cert.pem"))
    return table(["server", "polls per second"], [["of this bench", f"{own:.0f}"],
                                                  ["the simulator, over TLS", f"{simulator_rate():.0f}"]])  # fmt: skip


def exports(server: Serving, rows: list[Row]) -> str:
    """Measure a large export, ours and curl's."""
    found = exported(server)
    size = f"{SIZE >> 30} GiB"
    stored = "ours, ObjectStoragePath"
    for kind, way, beside, limit in (
        ("ours", "plain", "curl", 0.95), ("ours", "TLS", "curl", 1.35), (stored, "plain", "curl", 1.25),
        (stored, "plain", "curl and fsync", 1.25), (stored, "TLS", "curl and fsync", 1.35),
    ):  # fmt: skip
        share = found[f"{kind}, {way}"]["seconds"] / found[f"{beside}, {way}"]["seconds"]
        where = "to a file, not summed" if kind == "ours" else "through ObjectStoragePath"
        rows.append(Row(f"export of {size} {where}, {way}, wall time × {beside}", share, limit))
    most = max(f["mib"] for kind, f in found.items() if kind.startswith("ours"))
    rows.append(Row("memory above idle that it takes", most, 24, " MiB"))
    cells = [
        [kind, f["seconds"], f["seconds"] / found["curl" + kind[kind.rindex(",") :]]["seconds"], f["cpu"],
         "–" if kind.startswith("curl") else f["mib"]]
        for kind, f in found.items()
    ]  # fmt: skip
    head = ["kind", "wall s", "× curl", "CPU s", "MiB above idle"]
    return f"### An export of {size}\n\n{table(head, cells)}"


def queries(server: Serving, rows: list[Row]) -> str:
    """Measure a query of 100,000 rows to Parquet and a small query, ours and by hand."""
    found = queried(server)
    ours, floor = found["ours"], found["floor"]
    rows.append(Row("100,000 rows to Parquet, wall time × by hand", ours["seconds"] / floor["seconds"], 1.3))
    rows.append(Row("the same, CPU time × by hand", ours["cpu"] / floor["cpu"], 1.3))
    rows.append(Row("memory above idle that it takes", ours["mib"], 64, " MiB"))
    rows.append(Row("CPU of a small query above one request", ours["small_ms"] - floor["small_ms"], 3, " ms"))
    cells = [[kind, f["seconds"], f["cpu"], f["mib"], f["small_ms"]] for kind, f in found.items()]
    head = ["kind", "wall s", "CPU s", "MiB above idle", "CPU ms of a small query"]
    return "### 100,000 rows to Parquet, and a small query\n\n" + table(head, cells)


def one_of_sql() -> tuple[list[Row], str]:
    """Measure only the rows on SQL."""
    rows: list[Row] = []
    with serving() as server:
        return rows, queries(server, rows)


def growth(server: Serving) -> str:
    rows = []
    for many in (100, 1000, 5000, 10_000):
        f = measured(server, "ours", many)
        rows.append([f"{many:,}", f"{f['cpu_us']:.0f}", f["kib"], f["connections"], f["lag_p99_ms"], f["late_p99"]])
    both = two_at_once(server, 5000)
    rows.append(
        ["2 × 2,500, two processes", f"{1e6 * sum(b['cpu'] for b in both) / max(b['polls'] for b in both):.0f}",
         max(b["kib"] for b in both), max(b["connections"] for b in both), max(b["lag_p99_ms"] for b in both),
         max(b["late_p99"] for b in both)]
    )  # fmt: skip
    return table(["triggers", "CPU µs per poll", "KiB per trigger", "connections", "lag p99 ms", "late p99 s"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round, fewer peers")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of the rows with 1,000 triggers")
    parser.add_argument("--repeat", type=int, default=1, help="how often everything is measured")
    parser.add_argument("--only-sql", action="store_true", help="print the rows on SQL and nothing else")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "benchmarks.md")
    options = parser.parse_args()
    if options.quick:
        options.rounds = 1
    if options.only_sql:
        forget_foreign()
        found = [one_of_sql() for _ in range(options.repeat)]
        print(verdicts([rows for rows, _ in found]), *(part for _, part in found), sep="\n\n")
        return
    if shutil.which("curl") is None:
        # Check before the measurements, not after half an hour.
        raise SystemExit("curl is not installed, which exports are compared with. Install it, and run this again.")
    forget_foreign()
    began = time.time()
    found = []
    for number in range(options.repeat):
        say(f"run {number + 1} of {options.repeat}")
        with serving() as server:
            found.append(measure(options, server, with_peers=number == options.repeat - 1))
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    where = (
        f"{os.cpu_count()} cores, Python {platform.python_version()}, {options.rounds} round(s), load average {load}"
    )
    where += ", `--quick`" if options.quick else ""
    document = (
        Path(__file__).with_name("page.md").read_text()
        .format(where=where, verdicts=verdicts([rows for rows, _ in found]), parts=found[-1][1])
    )  # fmt: skip
    options.output.write_text(document)
    print(document)
    say(f"written to {options.output.name} after {time.time() - began:.0f} s")


if __name__ == "__main__":
    main()
