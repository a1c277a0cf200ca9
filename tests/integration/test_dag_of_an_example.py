"""A test of a DAG as its author writes it: docs/testing-your-dags.md, with the DAG of an example."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.utils.db import initdb

from oac_simulator.pytest_plugin import SimulatedOAC

EXAMPLE = Path(__file__).parents[2] / "dags" / "oac_nightly_backup.py"


@pytest.fixture
def dag_file() -> Iterator[Path]:
    """The example in Airflow's DAGs folder, where Airflow 3 looks for a DAG that is to run."""
    initdb()
    folder = Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
    folder.mkdir()
    yield Path(shutil.copy(EXAMPLE, folder))
    shutil.rmtree(folder)


def test_nightly_backup_survives_a_lost_reply(oac: SimulatedOAC, dag_file: Path) -> None:
    oac.lose_reply("POST /snapshots")
    dag = DagBag(dag_file).dags["oac_nightly_backup"]

    run = dag.test()

    assert run.state == "success"
    assert len(oac.snapshots()) == 1
    assert oac.calls("POST /snapshots") == 1
