"""One snapshot for one order over real HTTP, whatever becomes of OAC's answer."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_oac.client.flows.create_snapshot import NewSnapshot, SnapshotOrder, Taken
from airflow_provider_oac.client.flows.polling import wait
from airflow_provider_oac.client.flows.submit import submit_once
from airflow_provider_oac.client.rest.snapshots import Storage
from airflow_provider_oac.client.snapshot_names import parse, task_mark
from oac_simulator.launch import Simulator
from tests.drivers import Drive, SignIn
from tests.integration import flows
from tests.integration.flows import BUCKET, FOLDER, PASSWORD, POST, QUICK, Oac

MARK = task_mark("backup", "run-1", "snapshot", -1, 2)
ORDER = SnapshotOrder("nightly", "dev", "oac_seal", MARK, FOLDER, Storage(BUCKET))


@pytest.fixture
def run(drive: Drive, sign_in: SignIn, clean: Simulator) -> Oac:
    # Long enough that an order is still at work when it is looked for.
    clean.control.settings(work_seconds=0.3)
    return flows.oac(drive, sign_in)


def taken(run: Oac, lines: list[str] | None = None, **details: Any) -> Taken:
    arguments: dict[str, Any] = {"confirmation_timeout": 0.0, **details}
    report = (lines if lines is not None else []).append
    result: Taken = run(submit_once(NewSnapshot(ORDER, PASSWORD, **arguments)), report=report)
    return result


def names(clean: Simulator) -> list[str]:
    return [item["name"] for item in clean.control.snapshots("dev")]


def test_an_order_is_one_snapshot_with_its_file(run: Oac, clean: Simulator) -> None:
    got = taken(run, search_first=True)
    assert got.work_request_id is not None
    run(wait(got.work_request_id, QUICK))
    assert names(clean) == [got.name]
    name = parse(got.name)
    assert name is not None
    assert name.mark == MARK
    assert list(clean.control.bucket()) == [f"{BUCKET}/{FOLDER}/dev/{got.name}.bar"]


LOST: dict[str, dict[str, Any]] = {
    "reset after acting": {"fault": "drop_after"},
    "half a reply and a reset": {"fault": "drop_middle"},
    "a page with 202": {"fault": "non_json", "status": 202, "act": True},
    "no id in it": {"fault": "status", "status": 202, "body": {}, "act": True},
}


@pytest.mark.parametrize("fault", LOST.values(), ids=LOST)
def test_an_order_that_was_accepted_is_found_and_not_repeated(
    run: Oac, clean: Simulator, fault: dict[str, Any]
) -> None:
    clean.control.fault(POST, **fault)
    lines: list[str] = []
    got = taken(run, lines)
    (snapshot,) = clean.control.snapshots("dev")
    assert (got.name, got.snapshot_id, got.work_request_id) == (snapshot["name"], snapshot["id"], None)
    assert got.bar_uri == snapshot["uri"]
    assert clean.control.calls("dev", POST) == 1
    assert ["UNVERIFIED" in line for line in lines] == [False, True]


@pytest.mark.parametrize(
    "fault",
    [{"fault": "drop_before"}, {"fault": "status", "status": 503}],
    ids=lambda fault: f"{fault['fault']} {fault.get('status', '')}",
)
def test_an_order_that_was_not_accepted_is_sent_again(run: Oac, clean: Simulator, fault: dict[str, Any]) -> None:
    clean.control.fault(POST, **fault)
    lines: list[str] = []
    got = taken(run, lines)
    (snapshot,) = clean.control.snapshots("dev")
    assert (got.name, got.work_request_id) == (snapshot["name"], snapshot["work_request"])
    assert clean.control.calls("dev", POST) == 2
    # The name of the first order is not used again: its file could come into being after all.
    assert got.name not in lines[0]
