"""Waiting for a work request over real HTTP, with an identity domain in trouble."""

from __future__ import annotations

import pytest

from airflow_provider_oac.client.flows.polling import wait
from airflow_provider_oac.client.rest import system
from airflow_provider_oac.exceptions import OACAuthError
from oac_simulator.launch import Simulator
from tests.integration.flows import LOOK, QUICK, Oac


def test_a_page_in_place_of_a_token_passes_only_where_tokens_came_from_before(run: Oac, clean: Simulator) -> None:
    (work_id,), lines = clean.control.start_work("dev", 1.0), list[str]()
    clean.control.fault("token", "non_json")
    with pytest.raises(OACAuthError, match="Check identity_url"):
        run(wait(work_id, QUICK))
    run(system.get())
    clean.control.fault(LOOK, "expired_token", after=1)
    clean.control.fault("token", "non_json", times=2)
    assert run(wait(work_id, QUICK), report=lines.append).status == "SUCCEEDED"
    assert any("cannot be read" in line for line in lines)
    assert all(ordered["hits"] for ordered in clean.control.faults())
