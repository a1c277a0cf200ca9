"""``new``: the DAG files that it writes run as they are."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.utils.db import initdb

from airflow_provider_oac.cli.new import QUESTIONS, new
from airflow_provider_oac.cli.parser import parser
from oac_simulator.pytest_plugin import SimulatedOAC

WORKBOOK, DATASET = "/@Catalog/shared/Sales/Pipeline", "'admin'.'Orders'"


@pytest.fixture
def dags() -> Iterator[Path]:
    """Airflow's DAGs folder, where Airflow 3 looks for a DAG that is to run."""
    initdb()
    folder = Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("kind", QUESTIONS)
def test_what_it_writes_runs(kind: str, oac: SimulatedOAC, dags: Path, tmp_path: Path) -> None:
    file = dags / f"my_{kind}.py"
    options = {
        "backup": ["--bucket", oac.bucket, "--seal-conn-id", oac.seal_conn_id],
        "export": ["--workbook", WORKBOOK, "--destination", tmp_path.as_uri()],
        "reload": ["--dataset", DATASET],
    }[kind]
    new(parser().parse_args(["new", kind, "--output", str(file), "--oac-conn-id", oac.conn_id, *options]))

    run = DagBag(file).dags[f"my_{kind}"].test()

    assert run.state == "success"
    assert (len(oac.snapshots()) == 1) == (kind == "backup")
    assert (len(list(tmp_path.rglob("*.pdf"))) == 1) == (kind == "export")
