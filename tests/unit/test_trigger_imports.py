"""What a trigger imports when it runs is imported in a thread: on the event loop no other trigger would move."""

from __future__ import annotations

import json
import os
import subprocess
import sys

TRIGGERS = {
    "OACWorkRequestTrigger": {"work_request_id": "1:2", "submitted_at": 0.0},
    "OACJobTrigger": {
        "kind": "datasets", "noun": "dataset", "object_id": "J2onLid4Jw", "job_id": "1", "submitted_at": 0.0
    },
    "OACCatalogItemTrigger": {"wanted": {"kind": "workbooks", "item_id": "L3NoYXJlZC9h"}},
    "OACReadyTrigger": {"carried": {}},
    "OACSnapshotTrigger": {"wanted": {"snapshot_name": "nightly"}},
}  # fmt: skip

# Answers that are read, and what follows from them, are not covered: these modules are loaded by then.
# Runs triggers whose time is over, each in a fork, at an address where nobody listens, and prints what of ours, and of
# the libraries, the main thread imported.
PROGRAM = """
import asyncio, importlib.abc, json, os, sys, threading
from airflow_provider_oac.triggers import oac
oac.QUIET_SECONDS = 0.0
for name, arguments in json.loads(sys.argv[1]).items():
    if os.fork() == 0:
        break
    os.wait()
else:
    sys.exit()
trigger = getattr(oac, name)(oac_conn_id="oac_default", deadline=1.0, poll_interval=1.0, **arguments)
on_loop, anywhere = [], []

class Watching(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("airflow_provider_oac", "aiohttp", "requests", "jwt", "cryptography"):
            anywhere.append(name)
            if threading.current_thread() is threading.main_thread():
                on_loop.append(name)

async def main():
    sys.meta_path.insert(0, Watching())
    events = [event async for event in trigger.run()]
    return events[0].payload["outcome"]

print("RESULT" + json.dumps([name, asyncio.run(main()), on_loop, anywhere]))
"""


def test_nothing_is_imported_on_the_event_loop() -> None:
    nowhere = "https://localhost:1"
    extra = {"grant": "password", "identity_url": nowhere, "scope": "oac", "user": "u", "user_password": "not-a-secret"}
    made = {"conn_type": "oac", "host": nowhere, "login": "bench", "password": "not-a-secret", "extra": extra}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(TRIGGERS)],
        env={**os.environ, "AIRFLOW_CONN_OAC_DEFAULT": json.dumps(made)},
        capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    lines = [line.removeprefix("RESULT") for line in done.stdout.splitlines() if line.startswith("RESULT")]
    found = {name: tuple(rest) for name, *rest in map(json.loads, lines)}
    assert set(found) == set(TRIGGERS), done.stderr
    for name, (outcome, on_loop, anywhere) in found.items():
        assert (outcome, on_loop) == ("timeout", []), name
        assert {"aiohttp", "airflow_provider_oac.client.flows.polling"} <= set(anywhere), name
