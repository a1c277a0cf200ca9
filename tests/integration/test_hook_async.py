"""OACHook on an event loop, as in the triggerer."""

from __future__ import annotations

import asyncio
import gc

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


class Open:
    """The connections that are open beyond those that earlier tests have left.

    :param place: where they lead to.
    """

    def __init__(self, simulator: Simulator, place: str = "dev") -> None:
        self._control, self._place = simulator.control, place
        self._before = self._all()

    def _all(self) -> int:
        return int(self._control.counters()["connections"][self._place]["open"])

    def count(self) -> int:
        return self._all() - self._before

    async def none(self) -> None:
        """Wait until the server has seen that all are closed; the test's own limit ends this."""
        while self.count() > 0:
            await asyncio.sleep(0.02)


@pytest.fixture
def opened(connections: Connections, clean: Simulator) -> Open:
    gc.collect()
    return Open(clean)


async def instance_key() -> str:
    return (await OACHook().arun(system.get())).service_instance_key


def test_what_runs_at_one_time_shares_one_session_and_one_token(clean: Simulator, opened: Open) -> None:
    works = clean.control.start_work("dev", 0.5, 30)

    async def all_of_them() -> None:
        plan = WaitPlan(longest_pause=0.05)
        await asyncio.gather(*(OACHook().arun(wait(work, plan)) for work in works))
        await opened.none()

    asyncio.run(all_of_them())
    assert clean.control.counters()["connections"]["dev"]["accepted"] <= 8
    assert clean.control.grants("jwt-bearer") == 1


def test_the_last_one_closes_the_session(clean: Simulator, opened: Open) -> None:
    works = clean.control.start_work("dev", 60, 2)

    async def one_after_the_other() -> None:
        plan = WaitPlan(longest_pause=0.05)
        short, long = (asyncio.create_task(OACHook().arun(wait(work, plan))) for work in works)
        clean.control.finish("dev", works[0])
        await short
        assert opened.count() >= 1
        clean.control.finish("dev", works[1])
        await long
        await opened.none()

    asyncio.run(one_after_the_other())


def test_a_cancelled_coroutine_lets_go(clean: Simulator, opened: Open) -> None:
    (work,) = clean.control.start_work("dev", 60)

    async def cancel_it() -> None:
        waiting = asyncio.create_task(OACHook().arun(wait(work, WaitPlan(longest_pause=0.05))))
        while not clean.control.calls("dev", "GET /workRequests/{id}"):
            await asyncio.sleep(0.02)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await opened.none()

    asyncio.run(cancel_it())


def test_a_failure_lets_go(connections: Connections, clean: Simulator) -> None:
    opened = Open(clean, "identity")
    connections.oac(certificate_alias="other")

    async def fail() -> None:
        with pytest.raises(OACAuthError):
            await OACHook().arun(snapshots.list_all())
        await opened.none()

    asyncio.run(fail())
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
    asyncio.run(instance_key())
    assert len(_secrets_masker().patterns) <= patterns + len(OACHook().settings.auth.secrets)
    sent = {item["name"]: item["value"] for item in clean.control.secrets()["seen"]}
    assert {"access_token", "assertion", "client_assertion"} <= sent.keys()
    for name in ("access_token", "assertion", "client_assertion"):
        assert MASK.redact(f"Bearer {sent[name]}") == "Bearer ***", name
