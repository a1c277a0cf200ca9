"""The fixture `oac` for authors of DAGs. Pytest loads it by its entry point, here as anywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib.metadata import entry_points

import pytest

from airflow_provider_oac.client.snapshot_names import parse
from oac_simulator.control import ControlFailed
from oac_simulator.pytest_plugin import SimulatedOAC
from tests.simulator.sim_caller import AUTHOR, Caller

PLUGIN = "oac_simulator.pytest_plugin"


@pytest.fixture
def caller(oac: SimulatedOAC) -> Iterator[Caller]:
    made = Caller(oac)
    with made.session:
        yield made


def test_it_is_registered_and_its_import_loads_nothing_heavy() -> None:
    assert [entry.value for entry in entry_points(group="pytest11", name="oac-simulator")] == [PLUGIN]
    code = f"import sys, pytest; before = set(sys.modules); import {PLUGIN}; print(*sorted(set(sys.modules) - before))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == [PLUGIN.rpartition(".")[0], PLUGIN]


def test_the_connections_are_in_the_environment(oac: SimulatedOAC) -> None:
    assert oac.connect("oac_other", instance="prod", user=AUTHOR) == "oac_other"
    made, seal, other = (
        json.loads(os.environ[f"AIRFLOW_CONN_{name.upper()}"]) for name in (oac.conn_id, oac.seal_conn_id, "oac_other")
    )
    assert (made["conn_type"], made["host"]) == ("oac", oac.ready["instances"][oac.instance]["url"])
    assert other["host"] == oac.ready["instances"]["prod"]["url"]
    assert seal["password"]
    assert "127.0.0.1" in os.environ["NO_PROXY"].split(",")


def test_content_and_calls(oac: SimulatedOAC, caller: Caller) -> None:
    oac.add("workbooks", "/@Catalog/shared/Sales/New", owner=AUTHOR)
    assert oac.items("workbooks")["/@Catalog/shared/Sales/New"]["owner"] == AUTHOR
    assert oac.snapshots() == []
    caller.snapshot()
    assert (oac.snapshots(), oac.files(), oac.calls("POST /snapshots")) == (["one"], ["a/one.bar"], 1)


def test_faults(oac: SimulatedOAC, caller: Caller) -> None:
    assert oac.snapshots() == [], "each test begins with the first state"
    oac.lose_reply("POST /snapshots")
    with pytest.raises(OSError, match=r"Connection (aborted|reset)"):
        caller.start()
    oac.fail_next("GET /system", 429, headers={"Retry-After": "7"})
    assert caller.oac("GET", "/system").headers["Retry-After"] == "7"
    oac.fail_work("POST /snapshots", "The bucket is full.", times=2)
    ends = [caller.finished(caller.start()) for _ in range(3)]
    assert [end["Errors"][0]["message"] for end in ends[:2]] == ["The bucket is full."] * 2
    assert ends[2]["status"] == "SUCCEEDED"
    assert (oac.calls("POST /snapshots"), oac.calls("token")) == (4, 1)


def test_unknown_names_are_refused(oac: SimulatedOAC) -> None:
    for refused in (oac.lose_reply, oac.fail_next, lambda name: oac.fail_work(name, "Full"), oac.calls):
        with pytest.raises(ControlFailed, match="Closest: POST /snapshots,"):
            refused("POST /snapshot")
    with pytest.raises(ControlFailed, match="no such user"):
        oac.connect("other", user="oac.other@example.com")
    with pytest.raises(ValueError, match="There is no instance 'live'"):
        oac.connect("other", instance="live")
    with pytest.raises(ValueError, match="There is no catalog type 'workbook'"):
        oac.items("workbook")


def test_a_snapshot_of_an_earlier_day(oac: SimulatedOAC) -> None:
    newer = oac.add_snapshot("nightly", age=timedelta(days=2))
    older = oac.add_snapshot("nightly", age=timedelta(days=20), folder="")
    assert oac.snapshots() == [older, newer], "oldest first"
    assert set(oac.files()) == {f"{oac.instance}/{older}.bar", f"oac-snapshots/{oac.instance}/{newer}.bar"}
    for name, days in ((newer, 2), (older, 20)):
        parsed = parse(name)
        assert parsed is not None
        assert (parsed.label, parsed.instance, parsed.seal) == ("nightly", oac.instance, "oac_seal")
        assert (datetime.now(UTC) - parsed.time).days == days
