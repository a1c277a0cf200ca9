"""What the README promises is there, and what it shows can be written so."""

from __future__ import annotations

import re
from pathlib import Path

from tests.unit.operators.everything import TASKS

README = (Path(__file__).resolve().parents[2] / "README.md").read_text()


def test_it_is_short() -> None:
    assert len(README.split()) <= 900


def test_nothing_is_named_that_is_not_there() -> None:
    assert set(re.findall(r"`(OAC\w*(?:Operator|Sensor))`", README)) <= set(TASKS)
