"""Every example in dags/ runs in the tests in a real Airflow."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: The one example that names its DAGs in a loop.
IN_A_LOOP = {"oac_settings_as_code": ["oac_settings_apply", "oac_settings_check"]}


@pytest.mark.parametrize("example", sorted((ROOT / "dags").glob("*.py")), ids=lambda path: path.stem)
def test_it_runs_in_a_real_airflow(example: Path) -> None:
    dag_ids = IN_A_LOOP.get(example.stem) or re.findall(r'dag_id="(\w+)"', example.read_text())
    assert dag_ids
    tests = "".join(path.read_text() for path in (ROOT / "tests" / "airflow").glob("test_*.py"))
    assert [dag_id for dag_id in dag_ids if f'"{dag_id}"' not in tests] == []
