"""A real Airflow, of the line installed beside this Python, and a simulated OAC for a whole test session."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.simulated_oac import SimulatedOAC
from tools.stack import AirflowStack

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parent.parent / "dags"


@pytest.fixture(scope="session")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatedOAC]:
    """The simulated identity domain, OAC and bucket that the Connections of `stack` lead to."""
    with SimulatedOAC(tmp_path_factory.mktemp("simulator")) as running:
        yield running


@pytest.fixture(scope="session")
def dags_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copies of the examples and of the DAGs made for these tests. A test may add files."""
    folder = tmp_path_factory.mktemp("dags")
    for source in (EXAMPLES, HERE / "dags"):
        for file in sorted(source.glob("*.py")):
            shutil.copy(file, folder)
    return folder


@pytest.fixture(scope="session")
def stack(
    tmp_path_factory: pytest.TempPathFactory, dags_folder: Path, simulator: SimulatedOAC
) -> Iterator[AirflowStack]:
    """The running Airflow. Every process it starts is gone when the session ends, however it ends."""
    home = tmp_path_factory.mktemp("airflow")
    with AirflowStack(sys.prefix, home, dags_folder, simulator.connections()) as running:
        yield running
