"""docs/simulator.md names everything that can be switched, ordered or asked."""

from __future__ import annotations

import re
from pathlib import Path

from oac_simulator.control import Control
from oac_simulator.faults import KINDS
from oac_simulator.oac.api import STARTS_WORK
from oac_simulator.oac.app import AREAS
from oac_simulator.settings import Settings

PAGE = (Path(__file__).parents[2] / "docs" / "testing-your-dags.md").read_text()
TEXT = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text()


CALLS = [f"{name}(" for name in vars(Control) if not name.startswith("_")]


def test_every_setting_fault_and_control_call() -> None:
    assert [name for name in (*Settings().as_dict(), *KINDS) if f"`{name}`" not in TEXT] == []
    assert [call for call in CALLS if f"`{call}" not in TEXT] == []


def test_every_endpoint_that_starts_or_changes_something() -> None:
    routes = [route for area in AREAS for route in area.ROUTES]
    reads = ("getACL", "getCanvases")
    writes = {route.name for route in routes if route.method != "GET" and not route.path.endswith(reads)}
    rows = re.findall(r"^\| (`(?:POST|PUT|DELETE) /.*`) \|", PAGE, re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"`([^`]+)`", row)]
    assert sorted(named) == sorted(writes)
    assert set(named[:6]) == {route.name for route in routes if route.faults == STARTS_WORK}
