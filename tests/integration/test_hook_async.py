"""OACHook on an event loop, as in the triggerer."""

from __future__ import annotations

import asyncio

import pytest

from airflow_provider_oac.client.api import Api
from airflow_provider_oac.client.flows.polling import WaitPlan, wait
from airflow_provider_oac.client.rest import snapshots, system
from airflow_provider_oac.exceptions import OACAuthError
from airflow_provider_oac.hooks import shared_poller
from airflow_provider_oac.hooks.oac import OACHook
from airflow_provider_oac.hooks.token_mask import MASK
from oac_simulator.launch import Simulator
from tests.tasks import Connections

try:
    from airflow.sdk._shared.secrets_masker import _secrets_masker
except ImportError:  # before Airflow 3.2
    from airflow.utils.log.secrets_masker import _secrets_masker


def test_what_runs_at_one_time_shares_one_session_and_one_token(clean: Simulator, connections: Connections) -> None:
    works = clean.control.start_work("dev", 0.5, 30)

    async def all_of_them() -> None:
        plan = WaitPlan(longest_pause=0.05)
        await asyncio.gather(*(OACHook().arun(wait(work, plan)) for work in works))

    asyncio.run(all_of_them())
    assert clean.control.counters()["connections"]["dev"]["accepted"] <= 8
    assert clean.control.grants("jwt-bearer") == 1


def test_a_failure_lets_go_of_the_session(connections: Connections) -> None:
    connections.oac(certificate_alias="other")
    with pytest.raises(OACAuthError):
        asyncio.run(OACHook().arun(snapshots.list_all()))
    assert shared_poller._drivers == {}


def test_one_flow_runs_in_a_task_and_on_a_loop_alike(connections: Connections) -> None:
    async def flow(api: Api) -> tuple[str, int]:
        details = await api.perform(system.get())
        return details.service_instance_key, len(await api.perform(snapshots.list_all()))

    assert OACHook().run(flow) == asyncio.run(OACHook().arun(flow)) == ("dev", 0)


def test_what_it_sends_is_masked_and_airflows_masker_learns_no_token(
    clean: Simulator, connections: Connections
) -> None:
    patterns = len(_secrets_masker().patterns)
    asyncio.run(OACHook().arun(system.get()))
    assert len(_secrets_masker().patterns) <= patterns + len(OACHook().settings.auth.secrets)
    sent = {item["name"]: item["value"] for item in clean.control.secrets()["seen"]}
    for name in ("access_token", "assertion", "client_assertion"):
        assert MASK.redact(f"Bearer {sent[name]}") == "Bearer ***", name
