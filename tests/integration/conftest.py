"""What the tests of the Airflow part share."""

from __future__ import annotations

import pytest

from airflow_provider_oac.simulator.launch import Simulator
from tests.tasks import Connections


@pytest.fixture
def connections(clean: Simulator, monkeypatch: pytest.MonkeyPatch) -> Connections:
    """Connections `oac_default` (instance `dev`) and `oac_seal`, to be changed by the test; the simulator is clean."""
    known = Connections(clean.ready, monkeypatch)
    known.oac()
    known.seal()
    return known


@pytest.fixture(params=["blocking", "deferred"])
def deferrable(request: pytest.FixtureRequest) -> bool:
    """The test runs twice: waiting in the worker, and in the triggerer."""
    return bool(request.param == "deferred")
