"""docs/simulator.md names everything that can be switched, ordered or asked."""

from __future__ import annotations

from pathlib import Path

from oac_simulator.control import Control
from oac_simulator.faults import KINDS
from oac_simulator.settings import Settings

TEXT = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text()


def test_every_setting() -> None:
    for name in Settings().as_dict():
        assert f"`{name}`" in TEXT, name


def test_every_fault() -> None:
    for kind in KINDS:
        assert f"`{kind}`" in TEXT, kind


def test_every_control_call() -> None:
    for name in vars(Control):
        if not name.startswith("_"):
            assert f"`{name}(" in TEXT, name
