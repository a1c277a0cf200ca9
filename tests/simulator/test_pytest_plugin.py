"""The fixture `oac` for authors of DAGs. Pytest loads it by its entry point, here as anywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import entry_points

import pytest

from oac_simulator.pytest_plugin import SimulatedOAC
from tests.simulator.sim_caller import Caller

PLUGIN = "oac_simulator.pytest_plugin"
AUTHOR = "oac.author@example.com"


def connection(conn_id: str) -> dict[str, object]:
    return dict(json.loads(os.environ[f"AIRFLOW_CONN_{conn_id.upper()}"]))


def test_it_is_registered_and_its_import_loads_nothing_heavy() -> None:
    assert [entry.value for entry in entry_points(group="pytest11", name="oac-simulator")] == [PLUGIN]
    code = f"import sys, pytest; before = set(sys.modules); import {PLUGIN}; print(*sorted(set(sys.modules) - before))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == [PLUGIN.rpartition(".")[0], PLUGIN]


def test_the_connections_are_in_the_environment(oac: SimulatedOAC) -> None:
    made = connection(oac.conn_id)
    assert made["conn_type"] == "oac"
    assert made["host"] == oac.ready["instances"][oac.instance]["url"]
    assert connection(oac.seal_conn_id)["password"]
    assert oac.connect("oac_other", instance="prod", user=AUTHOR) == "oac_other"
    assert connection("oac_other")["host"] == oac.ready["instances"]["prod"]["url"]
    assert "127.0.0.1" in os.environ["NO_PROXY"].split(",")


def test_content_and_calls(oac: SimulatedOAC) -> None:
    caller = Caller(oac)
    with caller.session:
        oac.add("workbooks", "/@Catalog/shared/Sales/New", owner=AUTHOR)
        assert oac.items("workbooks")["/@Catalog/shared/Sales/New"]["owner"] == AUTHOR
        assert oac.snapshots() == []
        caller.snapshot()
    assert (oac.snapshots(), oac.files(), oac.calls("POST /snapshots")) == (["one"], ["a/one.bar"], 1)


def test_faults(oac: SimulatedOAC) -> None:
    assert oac.snapshots() == [], "each test begins with the first state"
    caller = Caller(oac)
    with caller.session:
        oac.lose_reply("POST /snapshots")
        with pytest.raises(OSError, match=r"Connection (aborted|reset)"):
            caller.start()
        oac.fail_next("GET /system", 429, headers={"Retry-After": "7"})
        assert caller.oac("GET", "/system").headers["Retry-After"] == "7"
        assert caller.oac("GET", "/system").ok
        oac.fail_work("POST /snapshots", "The bucket is full.")
        assert caller.finished(caller.start())["Errors"][0]["message"] == "The bucket is full."
    assert oac.calls("POST /snapshots") == 2
