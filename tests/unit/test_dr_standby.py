"""The standby example refuses a second failover, which would replace live data."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

DAG_FILE = Path(__file__).parents[2] / "dags" / "oac_dr_standby.py"


@pytest.fixture(scope="module")
def example() -> dict[str, Any]:
    return runpy.run_path(str(DAG_FILE))


def test_a_second_failover_is_refused(example: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_OAC_ACTIVE_CONN_ID", "oac_standby")
    with pytest.raises(RuntimeError, match=r"names oac_standby: people work there .* Nothing was done"):
        example["refuse_second"]()


def test_before_a_failover_and_after_the_way_home_it_may_go_on(
    example: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_OAC_ACTIVE_CONN_ID", "oac_default")
    example["refuse_second"]()


def test_nothing_of_the_failover_comes_before_that(example: dict[str, Any]) -> None:
    dag = example["first"].dag
    assert [task.task_id for task in dag.roots] == ["refuse_second"]
    assert dag.dag_id == "oac_dr_failover"
