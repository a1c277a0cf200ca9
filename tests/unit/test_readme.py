"""What the README promises is there, and what it shows can be written so."""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path
from typing import Any

from airflow_provider_oac import operators, sensors
from airflow_provider_oac.operators.base import OACBaseOperator, OACWorkOperator
from airflow_provider_oac.sensors.base import OACBaseSensor, OACWatchingSensor

README = (Path(__file__).resolve().parents[2] / "README.md").read_text()
BASES = {kind.__name__ for kind in (OACBaseOperator, OACBaseSensor, OACWatchingSensor, OACWorkOperator)}


def classes() -> dict[str, Any]:
    """Every operator and sensor of the package."""
    found = {}
    for package in (operators, sensors):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            names = vars(importlib.import_module(module.name))
            found |= {n: c for n, c in names.items() if re.fullmatch(r"OAC\w*(Operator|Sensor)", n) and n not in BASES}
    return found


def test_it_is_short() -> None:
    assert len(README.split()) <= 900


def test_nothing_is_named_that_is_not_there() -> None:
    assert set(re.findall(r"`(OAC\w*(?:Operator|Sensor))`", README)) <= set(classes())
