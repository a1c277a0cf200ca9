"""One snapshot for one order over real HTTP, with both drivers, whatever becomes of OAC's answer."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_oac.client.flows.create_snapshot import NewSnapshot, SnapshotOrder, Taken
from airflow_provider_oac.client.flows.polling import wait
from airflow_provider_oac.client.flows.submit import submit_once
from airflow_provider_oac.client.rest.snapshots import Storage
from airflow_provider_oac.client.snapshot_names import parse, task_mark
from airflow_provider_oac.exceptions import OACApiError, OACConfigurationError, OACUncertainError
from oac_simulator.launch import Simulator
from tests.drivers import Drive, SignIn
from tests.integration import flows
from tests.integration.flows import BUCKET, FOLDER, LIST, PASSWORD, POST, QUICK, Oac

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
    "half a reply": {"fault": "truncate"},
    "half a reply and a reset": {"fault": "drop_middle"},
    "a page with 200": {"fault": "non_json", "act": True},
    "a page with 202": {"fault": "non_json", "status": 202, "act": True},
    "garbage with 202": {"fault": "garbage", "status": 202, "act": True},
    "nothing with 202": {"fault": "empty", "status": 202, "act": True},
    "no id in it": {"fault": "status", "status": 202, "body": {}, "act": True},
    "503 after acting": {"fault": "status", "status": 503, "act": True},
    "504 in HTML after acting": {"fault": "non_json", "status": 504, "act": True},
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
    [
        {"fault": "drop_before"}, {"fault": "status", "status": 503}, {"fault": "status", "status": 500},
        {"fault": "non_json", "status": 502, "act": False}, {"fault": "non_json", "status": 200, "act": False},
    ],
    ids=lambda fault: f"{fault['fault']} {fault.get('status', '')}",
)  # fmt: skip
def test_an_order_that_was_not_accepted_is_sent_again(run: Oac, clean: Simulator, fault: dict[str, Any]) -> None:
    clean.control.fault(POST, **fault)
    lines: list[str] = []
    got = taken(run, lines)
    (snapshot,) = clean.control.snapshots("dev")
    assert (got.name, got.work_request_id) == (snapshot["name"], snapshot["work_request"])
    assert clean.control.calls("dev", POST) == 2
    # The name of the first order is not used again: its file could come into being after all.
    assert got.name not in lines[0]


def test_a_token_that_has_ended_costs_no_second_snapshot(run: Oac, clean: Simulator) -> None:
    clean.control.fault(POST, "expired_token")
    got = taken(run)
    assert names(clean) == [got.name]
    assert got.work_request_id is not None


def test_an_order_that_is_listed_within_the_settling_time_is_found(run: Oac, clean: Simulator) -> None:
    clean.control.settings(listing="late")
    clean.control.fault(POST, "drop_after")
    got = taken(run, confirmation_timeout=10.0)
    assert names(clean) == [got.name]
    assert clean.control.calls("dev", POST) == 1
    assert clean.control.calls("dev", LIST) > 1


def test_an_order_that_is_listed_after_the_settling_time_gets_a_second_one_and_that_is_told(
    run: Oac, clean: Simulator
) -> None:
    """This is what cannot be promised where OAC lists a snapshot only when it is done."""
    clean.control.settings(listing="late", work_seconds=5.0)
    clean.control.fault(POST, "drop_after")
    lines: list[str] = []
    got = taken(run, lines)
    first, second = names(clean)
    assert got.name == second
    assert any(f"there is one too many: take a snapshot with the mark {MARK}, named {first}." in line for line in lines)


def test_an_instance_that_never_answers_usably_is_uncertain(run: Oac, clean: Simulator) -> None:
    clean.control.fault(POST, "drop_before", times=None)
    with pytest.raises(
        OACUncertainError,
        match=f"asked 3 times to take a snapshot with the mark {MARK}.*searches the list",
    ):
        taken(run)
    assert names(clean) == []


@pytest.mark.parametrize("answer", [{"fault": "garbage"}, {"fault": "status", "status": 200, "body": {"items": None}}])
def test_a_list_that_cannot_be_read_leaves_it_uncertain(run: Oac, clean: Simulator, answer: dict[str, Any]) -> None:
    clean.control.fault(POST, "drop_after")
    clean.control.fault(LIST, times=None, **answer)
    with pytest.raises(OACUncertainError, match="the list of snapshots could not be read to find out"):
        taken(run)
    assert len(names(clean)) == 1
    clean.control.clear_faults()
    assert taken(run, suspect=True).name == names(clean)[0]
    assert len(names(clean)) == 1


def test_a_refused_order_is_not_repeated(run: Oac, clean: Simulator) -> None:
    clean.control.settings(missing_bucket="400")
    order = SnapshotOrder("nightly", "dev", "oac_seal", MARK, FOLDER, Storage("no-such-bucket"))
    with pytest.raises(OACApiError, match=r"HTTP 400.*no-such-bucket"):
        run(submit_once(NewSnapshot(order, PASSWORD, confirmation_timeout=0.0)))
    assert clean.control.calls("dev", POST) == 1


def test_a_weak_password_never_leaves(run: Oac, clean: Simulator) -> None:
    with pytest.raises(OACConfigurationError, match="does not follow OAC's rules"):
        run(submit_once(NewSnapshot(ORDER, "too-weak", confirmation_timeout=0.0)))
    assert clean.control.calls("dev", POST) == 0


@pytest.mark.parametrize("how", [{"search_first": True}, {"suspect": True}])
def test_a_second_try_adopts_what_the_first_one_took(run: Oac, clean: Simulator, how: dict[str, bool]) -> None:
    first = taken(run)
    second = taken(run, **how)
    assert (second.name, second.bar_uri, second.work_request_id) == (first.name, first.bar_uri, None)
    assert names(clean) == [first.name]


def test_a_second_order_takes_another_one(run: Oac, clean: Simulator) -> None:
    taken(run)
    mark = task_mark("backup", "run-1", "snapshot", -1, 5)
    order = SnapshotOrder("nightly", "dev", "oac_seal", mark, FOLDER, Storage(BUCKET))
    run(submit_once(NewSnapshot(order, PASSWORD, suspect=True, confirmation_timeout=0.0)))
    assert len(set(names(clean))) == 2


def test_what_failed_is_not_adopted(run: Oac, clean: Simulator) -> None:
    clean.control.settings(failed_listing="keep", work_seconds=0.0)
    clean.control.fault(POST, "fail_work")
    failed = taken(run)
    good = taken(run, search_first=True, ignore=[failed.name], clue=failed.name)
    assert names(clean) == [failed.name, good.name]
    assert good.name > failed.name
