"""Waiting for a work request over real HTTP, with both drivers, whatever happens on the way."""

from __future__ import annotations

import time
from typing import Any

import pytest

from airflow_provider_oac.client.flows.polling import WaitPlan, wait
from airflow_provider_oac.client.rest import snapshots, system
from airflow_provider_oac.exceptions import (
    OACApiError,
    OACAuthError,
    OACError,
    OACWaitTimeoutError,
    OACWorkRequestError,
)
from oac_simulator.launch import Simulator
from tests.drivers import Drive, SignIn
from tests.integration import flows
from tests.integration.flows import LOOK, QUICK, Oac

AUTHOR = "oac.author@example.com"


@pytest.fixture
def run(drive: Drive, sign_in: SignIn) -> Oac:
    return flows.oac(drive, sign_in)


def started(clean: Simulator, seconds: float = 1.0) -> str:
    (work_id,) = clean.control.start_work("dev", seconds)
    return work_id


def statuses(lines: list[str]) -> list[str]:
    return ["trouble" if "cannot be read" in line else line.split(": ")[1].split(",")[0] for line in lines]


def test_a_line_for_each_status_and_not_for_each_look(run: Oac, clean: Simulator) -> None:
    work_id, lines = started(clean, 1.5), []
    done = run(wait(work_id, QUICK), report=lines.append)
    assert (done.id, done.status) == (work_id, "SUCCEEDED")
    told = statuses(lines)
    assert told[-1] == "SUCCEEDED"
    assert len(set(told)) == len(told) <= 3
    assert clean.control.calls("dev", LOOK) > 3
    assert all(work_id in line for line in lines)


FAULTS: dict[str, dict[str, Any]] = {
    "a token that ended": {"fault": "expired_token"},
    "a reset before": {"fault": "drop_before"},
    "a reset after": {"fault": "drop_after"},
    "half a body": {"fault": "truncate"},
    "half a body and a reset": {"fault": "drop_middle"},
    "too many requests": {"fault": "status", "status": 429, "headers": {"Retry-After": "0"}},
    "too many requests, no word when": {"fault": "status", "status": 429},
    "an outage": {"fault": "status", "status": 503, "body": ""},
    "an outage in HTML": {"fault": "non_json", "status": 502},
    "garbage": {"fault": "garbage"},
    "nothing": {"fault": "empty"},
    "a page with 200": {"fault": "non_json"},
    "an unknown status": {"fault": "unknown_status"},
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_the_wait_survives(run: Oac, clean: Simulator, fault: dict[str, Any]) -> None:
    work_id, lines = started(clean), []
    clean.control.fault(LOOK, after=1, **fault)
    done = run(wait(work_id, QUICK), report=lines.append)
    assert done.status == "SUCCEEDED"
    (ordered,) = clean.control.faults()
    assert ordered["hits"] == 1
    assert statuses(lines)[-1] == "SUCCEEDED"


def test_a_page_in_place_of_a_token_passes_where_tokens_came_from_before(run: Oac, clean: Simulator) -> None:
    work_id, lines = started(clean), []
    run(system.get())
    clean.control.fault(LOOK, "expired_token", after=1)
    clean.control.fault("token", "non_json", times=2)
    assert run(wait(work_id, QUICK), report=lines.append).status == "SUCCEEDED"
    assert "trouble" in statuses(lines)
    assert all(ordered["hits"] for ordered in clean.control.faults())


def test_a_page_in_place_of_the_first_token_fails_the_wait_at_once(run: Oac, clean: Simulator) -> None:
    work_id = started(clean)
    clean.control.fault("token", "non_json", times=None)
    with pytest.raises(OACAuthError, match="Check identity_url"):
        run(wait(work_id, QUICK))


def test_trouble_is_told_once_however_many_looks_it_lasts(run: Oac, clean: Simulator) -> None:
    work_id, lines = started(clean), []
    clean.control.fault(LOOK, "garbage", after=1, times=5)
    run(wait(work_id, QUICK), report=lines.append)
    assert statuses(lines).count("trouble") == 1
    assert "no valid JSON" in lines[statuses(lines).index("trouble")]


def test_an_unknown_status_is_told_by_its_name(run: Oac, clean: Simulator) -> None:
    work_id, lines = started(clean, 0.0), []
    clean.control.fault(LOOK, "unknown_status", work_status="HIBERNATING", times=3)
    assert run(wait(work_id, QUICK), report=lines.append).status == "SUCCEEDED"
    assert statuses(lines) == ["HIBERNATING", "SUCCEEDED"]


def test_a_status_that_stays_unknown_is_given_up(run: Oac, clean: Simulator) -> None:
    work_id = started(clean)
    clean.control.fault(LOOK, "unknown_status", times=None)
    with pytest.raises(OACWorkRequestError, match="undocumented status 'SUSPENDED' for 3 polls in a row"):
        run(wait(work_id, WaitPlan(longest_pause=0.05, unknown_states=2)))


def test_trouble_that_stays_is_given_up(run: Oac, clean: Simulator) -> None:
    work_id = started(clean)
    clean.control.fault(LOOK, "garbage", times=None)
    with pytest.raises(OACError, match=r"could not be read for .*work may continue in OAC.*no valid JSON"):
        run(wait(work_id, WaitPlan(longest_pause=0.05, trouble_patience=0.2)))


def test_a_failure_comes_with_oacs_own_errors(run: Oac, clean: Simulator) -> None:
    errors = [{"code": "Quota", "message": "The bucket is full."}]
    clean.control.settings(work_seconds=0.05)
    clean.control.fault(flows.POST, "fail_work", errors=errors)
    work_id = run(snapshots.create("one", "file:///a/one.bar", flows.STORAGE, flows.PASSWORD))
    with pytest.raises(
        OACWorkRequestError, match=r"CREATE_SNAPSHOT.* ended FAILED .*: Quota: The bucket is full"
    ) as caught:
        run(wait(work_id, QUICK))
    assert caught.value.work_request_id == work_id


def test_a_deadline_ends_the_wait_and_not_the_work(run: Oac, clean: Simulator) -> None:
    work_id = started(clean, 60.0)
    with pytest.raises(OACWaitTimeoutError, match="continues in OAC") as caught:
        run(wait(work_id, WaitPlan(deadline=time.time() + 0.3, longest_pause=0.1)))
    assert caught.value.work_request_id == work_id
    assert clean.control.work_requests("dev")[0]["status"] in ("ACCEPTED", "IN_PROGRESS")


def test_work_that_nobody_knows_is_an_error_after_the_grace(run: Oac, clean: Simulator) -> None:
    with pytest.raises(OACWorkRequestError, match="does not know work request no:such") as caught:
        run(wait("no:such", WaitPlan(longest_pause=0.1, not_found_grace=0.4)))
    assert caught.value.status == "NOT_FOUND"
    assert clean.control.calls("dev", LOOK) > 1


def test_work_that_is_not_visible_yet_is_waited_for(run: Oac, clean: Simulator) -> None:
    work_id = started(clean, 0.1)
    clean.control.fault(LOOK, "status", status=404, body={"code": "NotFound", "message": "no"}, times=3)
    assert run(wait(work_id, QUICK)).status == "SUCCEEDED"


def test_old_work_has_no_grace(run: Oac, clean: Simulator) -> None:
    with pytest.raises(OACWorkRequestError, match="does not know"):
        run(wait("no:such", QUICK, started_at=time.time() - 61.0))
    assert clean.control.calls("dev", LOOK) == 1


def test_a_user_who_lost_the_role_is_not_waited_for(run: Oac, clean: Simulator) -> None:
    work_id = started(clean)
    clean.control.fault(LOOK, "status", status=401, body={"user": "jane", "status": "unauthorized"}, times=None)
    with pytest.raises(OACApiError) as caught:
        run(wait(work_id, QUICK))
    assert caught.value.missing_role


def test_the_wait_goes_on_over_the_outage_that_a_restore_is(run: Oac, clean: Simulator) -> None:
    clean.control.settings(work_seconds=0.05)
    snapshot = flows.take(run, "one")
    assert [item.id for item in run(snapshots.list_all())] == [snapshot]
    clean.control.settings(restore_outage=True, work_seconds=0.4)
    lines: list[str] = []
    work_id = run(system.restore_snapshot(snapshot, flows.PASSWORD))
    assert run(wait(work_id, QUICK), report=lines.append).status == "SUCCEEDED"
