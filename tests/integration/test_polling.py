"""Waiting for a work request over real HTTP, whatever happens on the way."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_oac.client.flows.polling import wait
from airflow_provider_oac.client.rest import system
from airflow_provider_oac.exceptions import (
    OACAuthError,
)
from oac_simulator.launch import Simulator
from tests.drivers import Drive, SignIn
from tests.integration import flows
from tests.integration.flows import LOOK, QUICK, Oac


@pytest.fixture
def run(drive: Drive, sign_in: SignIn) -> Oac:
    return flows.oac(drive, sign_in)


def started(clean: Simulator, seconds: float = 1.0) -> str:
    (work_id,) = clean.control.start_work("dev", seconds)
    return work_id


def statuses(lines: list[str]) -> list[str]:
    return ["trouble" if "cannot be read" in line else line.split(": ")[1].split(",")[0] for line in lines]


FAULTS: dict[str, dict[str, Any]] = {
    "a token that ended": {"fault": "expired_token"},
    "half a body and a reset": {"fault": "drop_middle"},
    "too many requests, no word when": {"fault": "status", "status": 429},
    "an outage": {"fault": "status", "status": 503, "body": ""},
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
