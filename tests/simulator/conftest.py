"""One simulator for all tests of this folder, put back to its first state before each of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from oac_simulator.launch import Simulator, launch
from tests.simulator.sim_caller import Caller


@pytest.fixture(scope="session")
def running() -> Iterator[Simulator]:
    with launch(work_seconds=0.3) as simulator:
        yield simulator
        said = (simulator.state / "simulator.log").read_text()
    assert "Traceback" not in said, said
    assert "ERROR" not in said, said


@pytest.fixture
def sim(running: Simulator) -> Iterator[Caller]:
    running.control.reset()
    caller = Caller(running)
    with caller.session:
        yield caller
