"""Waiting for a work request over real HTTP, whatever happens on the way."""

from __future__ import annotations

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
