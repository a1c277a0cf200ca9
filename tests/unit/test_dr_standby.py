"""The standby example refuses a second failover, which would replace live data."""

from __future__ import annotations

import runpy
from contextlib import nullcontext
from pathlib import Path

import pytest

DAG_FILE = Path(__file__).parents[2] / "dags" / "oac_dr_standby.py"


@pytest.mark.parametrize(("active", "refused"), [("oac_standby", True), ("oac_default", False)])
def test_a_second_failover_is_refused_before_anything_else(
    active: str, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    example = runpy.run_path(str(DAG_FILE))
    monkeypatch.setenv("AIRFLOW_VAR_OAC_ACTIVE_CONN_ID", active)
    said = r"names oac_standby: people work there .* Nothing was done"
    with pytest.raises(RuntimeError, match=said) if refused else nullcontext():
        example["refuse_second"]()
    dag = example["first"].dag
    assert (dag.dag_id, [task.task_id for task in dag.roots]) == ("oac_dr_failover", ["refuse_second"])
