"""Run N triggers of one kind in one event loop, as a triggerer does, and print their cost as JSON.

Run by tools/bench/run.py in a separate process: `python waiting.py KIND N PORT FOLDER [--seconds S] [--burst]`.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import os
import random
import resource
import ssl
import sys
import time
from pathlib import Path
from typing import Any

import structlog

INTERVAL = 5.0
SCALE = 1_000_000


def environment(port: int, folder: Path) -> None:
    """Set the Connections of all kinds and the trusted certificate."""
    cert = str(folder / "cert.pem")
    os.environ |= {"SSL_CERT_FILE": cert, "REQUESTS_CA_BUNDLE": cert, "AIRFLOW__CORE__UNIT_TEST_MODE": "True"}
    extra = {
        "identity_url": f"https://localhost:{port}",
        "scope": "oac",
        "user": "bench",
        "certificate_alias": "bench",
        "private_key": (folder / "key.pem").read_text(),
    }
    host = f"https://localhost:{port}"
    for name, made in {
        "OAC_DEFAULT": {"conn_type": "oac", "host": host, "login": "bench", "extra": extra},
        "DATABRICKS": {
            "conn_type": "databricks",
            "host": "localhost",
            "port": port,
            "schema": "https",
            "password": "t",
        },
        "AIRBYTE": {"conn_type": "airbyte", "host": host, "login": "bench", "password": "secret"},
        "POWERBI": {
            "conn_type": "powerbi",
            "login": "bench",
            "password": "secret",
            "extra": {
                "tenant_id": "tenant",
                "authority": host,
                "base_url": f"{host}/v1.0/",
                "disable_instance_discovery": True,
                "verify": cert,
                "allowed_hosts": "localhost",
            },
        },
        "DBT": {"conn_type": "dbt_cloud", "host": f"localhost:{port}", "login": "1", "password": "t"},
    }.items():
        os.environ[f"AIRFLOW_CONN_{name}"] = json.dumps(made)


def ours() -> Any:
    import airflow_provider_oac.hooks.shared_poller  # noqa: F401
    from airflow_provider_oac.triggers.oac import OACWorkRequestTrigger

    # Work that is an hour old is polled at the full interval.
    old = time.time() - 3600.0
    return lambda work: OACWorkRequestTrigger(
        oac_conn_id="oac_default", work_request_id=work, submitted_at=old, deadline=None, poll_interval=INTERVAL
    ).run()


def ours_cold() -> Any:
    from airflow_provider_oac.triggers.oac import OACWorkRequestTrigger

    old = time.time() - 3600.0
    return lambda work: OACWorkRequestTrigger(
        oac_conn_id="oac_default", work_request_id=work, submitted_at=old, deadline=None, poll_interval=INTERVAL
    ).run()


def databricks() -> Any:
    from airflow.providers.databricks.triggers.databricks import DatabricksExecutionTrigger

    return lambda work: DatabricksExecutionTrigger(int(work), "databricks", polling_period_seconds=int(INTERVAL)).run()


def dbt() -> Any:
    from airflow.providers.dbt.cloud.triggers.dbt import DbtCloudRunJobTrigger

    end = time.time() + 3600.0
    return lambda work: DbtCloudRunJobTrigger("dbt", int(work), end, INTERVAL, 1).run()


def airbyte() -> Any:
    from airflow.providers.airbyte.triggers.airbyte import AirbyteSyncTrigger

    end = time.time() + 3600.0
    return lambda work: AirbyteSyncTrigger(int(work), "airbyte", end, INTERVAL).run()


def powerbi() -> Any:
    from airflow.providers.microsoft.azure.triggers.powerbi import PowerBITrigger

    return lambda work: PowerBITrigger(
        "powerbi", dataset_id=work, group_id="g", dataset_refresh_id=work, check_interval=int(INTERVAL)
    ).run()


KINDS = {
    "ours": ours,
    "ours_cold": ours_cold,
    "databricks": databricks,
    "dbt": dbt,
    "airbyte": airbyte,
    "powerbi": powerbi,
}


def floor(port: int, folder: Path) -> Any:
    """Return the floor: one aiohttp session, and for each trigger a loop that only polls."""
    import aiohttp

    context = ssl.create_default_context(cafile=str(folder / "cert.pem"))
    kept: dict[str, aiohttp.ClientSession] = {}

    async def wait(work: str) -> Any:
        if "session" not in kept:
            kept["session"] = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context, limit=0))
        while True:
            headers = {"Authorization": "Bearer t"}
            url = f"https://localhost:{port}/api/20210901/workRequests/{work}"
            async with kept["session"].get(url, headers=headers) as answer:
                if (await answer.json())["status"] == "SUCCEEDED":
                    break
            await asyncio.sleep(INTERVAL)
        yield work

    wait.close = lambda: kept["session"].close()  # type: ignore[attr-defined]
    return wait


def succeeded(event: Any) -> bool:
    """Return whether an event, of any kind of trigger, reports success."""
    said = {"status": "success"} if isinstance(event, str) else event.payload
    if "run_state" in said:
        return not said["errors"]
    return said.get("status") == "success" or (said.get("outcome") == "ended" and not said["message"])


def memory() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


async def measured(make: Any, many: int, seconds: float, burst: bool) -> dict[str, Any]:
    """Start the triggers, wait for all, and return the measurements."""
    lags: list[float] = []
    own: list[float] = []
    late: list[float] = []
    collections = [0.0]
    collecting_since = 0.0
    peak = before = memory()

    def note_collection(phase: str, _info: Any) -> None:
        nonlocal collecting_since
        if phase == "start":
            collecting_since = time.perf_counter()
        else:
            collections.append(time.perf_counter() - collecting_since)

    async def look_after_the_loop() -> None:
        nonlocal peak
        while True:
            began, busy = time.perf_counter(), time.process_time()
            await asyncio.sleep(0.02)
            lags.append(time.perf_counter() - began - 0.02)
            # CPU time of this process; other processes on the cores cause the rest of the lag.
            own.append(min(lags[-1], time.process_time() - busy))
            if len(lags) % 25 == 0:
                peak = max(peak, memory())

    async def one(number: int) -> None:
        if not burst:
            await asyncio.sleep(number / many * INTERVAL)
        end = time.time() + seconds + random.random() * INTERVAL
        async for event in make(str(int(end * 1000) * SCALE + number)):
            # A trigger that gives up would look like a fast response.
            if (over := time.time() - end) < -0.01 or not succeeded(event):
                raise RuntimeError(f"the end of a wait is not that of its work: {event}")
            late.append(over)
            return
        raise RuntimeError("a trigger ended without an event")

    # Collect now, so imported objects are in the oldest generation, as in a triggerer that has run for a while.
    gc.collect()
    watch = asyncio.create_task(look_after_the_loop())
    await asyncio.sleep(0.2)
    lags.clear()
    own.clear()
    gc.callbacks.append(note_collection)
    cpu, wall = time.process_time(), time.time()
    tasks = []
    for number in range(many):
        tasks.append(asyncio.create_task(one(number)))
        # Like Airflow's triggerer, yield to other tasks after each start.
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    cpu, wall = time.process_time() - cpu, time.time() - wall
    gc.callbacks.remove(note_collection)
    watch.cancel()
    if hasattr(make, "close"):
        await make.close()
    lags.sort()
    own.sort()
    late.sort()
    return {
        "cpu": cpu,
        "wall": wall,
        "kib": (peak - before) / 1024 / many,
        "peak_mib": peak / 1024 / 1024,
        "lag_p99_ms": 1000 * lags[int(0.99 * len(lags))],
        "lag_max_ms": 1000 * lags[-1],
        "own_p99_ms": 1000 * own[int(0.99 * len(own))],
        "own_max_ms": 1000 * own[-1],
        "gc_max_ms": 1000 * max(collections),
        "noticed_median": late[len(late) // 2],
        "noticed_p99": late[int(0.99 * len(late))],
        "late_p99": max(0.0, late[int(0.99 * len(late))] - INTERVAL),
        "seen": len(late),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=[*KINDS, "floor"])
    parser.add_argument("many", type=int)
    parser.add_argument("port", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=22.5)
    parser.add_argument("--burst", action="store_true")
    options = parser.parse_args()
    environment(options.port, options.folder)
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    # The modules that a triggerer has loaded.
    import airflow.jobs.triggerer_job_runner
    import airflow.sdk
    import airflow.triggers.base  # noqa: F401

    # Logging is Airflow's cost, so it is off for all kinds.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    logging.disable(logging.INFO)
    make = floor(options.port, options.folder) if options.kind == "floor" else KINDS[options.kind]()
    found = asyncio.run(measured(make, options.many, options.seconds, options.burst))
    print("RESULT " + json.dumps(found), file=sys.stderr)


if __name__ == "__main__":
    main()
