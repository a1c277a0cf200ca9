"""What the README promises is there, and what it shows can be written so."""

from __future__ import annotations

import importlib
import pkgutil
import re
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_oac import operators, sensors
from airflow_provider_oac.operators.base import OACBaseOperator, OACWorkOperator
from airflow_provider_oac.sensors.base import OACBaseSensor

README = (Path(__file__).resolve().parents[2] / "README.md").read_text()
EXAMPLES = re.findall(r"^\| `(OAC\w+)` \| [^|]+ \| `(\(.+\))` \|$", README, flags=re.MULTILINE)
BASES = {OACBaseOperator.__name__, OACBaseSensor.__name__, OACWorkOperator.__name__}


def classes() -> dict[str, Any]:
    """Every operator and sensor of the package."""
    found = {}
    for package in (operators, sensors):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            names = vars(importlib.import_module(module.name))
            found |= {n: c for n, c in names.items() if re.fullmatch(r"OAC\w*(Operator|Sensor)", n) and n not in BASES}
    return found


def test_every_operator_and_sensor_is_named() -> None:
    assert [name for name in classes() if f"`{name}`" not in README] == []


def test_nothing_is_named_that_is_not_there() -> None:
    assert set(re.findall(r"`(OAC\w*(?:Operator|Sensor))`", README)) <= set(classes())


#: Stands for the task whose result an example passes on.
UPSTREAM = SimpleNamespace(output={"name": "a", "bar_uri": "file:///a.bar", "bucket": "b"})


@pytest.mark.parametrize(("name", "arguments"), EXAMPLES)
def test_an_example_is_a_valid_call(name: str, arguments: str) -> None:
    known = {"timedelta": timedelta, "backup": UPSTREAM, "register": UPSTREAM, "make": classes()[name]}
    assert eval(f"make(task_id='a_task', {arguments[1:]}", known).task_id == "a_task"  # noqa: S307
