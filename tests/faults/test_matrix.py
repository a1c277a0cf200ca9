"""The cells of the fault matrix that need no Airflow but its code: operators in processes of their own."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_oac.client.rest import snapshots
from airflow_provider_oac.client.rest.snapshots import Storage
from oac_simulator.launch import Simulator
from tests.drivers import SignIn, blocking
from tests.faults.matrix import DEFERRED, NEW, PROCESS_FAULTS, Cell, Outcome, cells, chosen
from tests.faults.table import document
from tests.faults.world import World, until
from tests.tasks import SEAL_PASSWORD

#: Airflow before 3.3 has no store: its cells only.
HAS_STORE = not version("apache-airflow").startswith(("2.", "3.1", "3.2"))


def needs_processes(cell: Cell) -> bool:
    """Whether a cell shows what tests/universes, which play both modes and both lines, do not: a real process of the
    line at hand, and the other mode where it leads to something else."""
    if cell in chosen(PROCESS_FAULTS, whole=False):
        return HAS_STORE or cell.line != NEW
    of_line = [one for one in cells((cell.fault,)) if one.line == cell.line]
    differs = len({one.wanted for one in of_line}) > 1
    return (cell.line == NEW) is HAS_STORE and (differs or cell == of_line[-1])


CELLS = [cell for cell in chosen(PROCESS_FAULTS) if needs_processes(cell)]


@pytest.fixture
def world(request: pytest.FixtureRequest, clean: Simulator, tmp_path: Path) -> Iterator[World]:
    """The task of a cell and what it needs."""
    cell: Cell = request.getfixturevalue("cell")
    clean.control.settings(work_seconds=1.0)
    made = World(clean, tmp_path, cell.fault.kind, cell.mode == DEFERRED, cell.line == NEW)
    try:
        PREPARED[cell.fault.kind](made)
        # Long enough for everything that happens meanwhile: World.finish ends the work.
        clean.control.settings(**{"work_seconds": 300.0, **cell.fault.settings})
        yield made
    finally:
        made.close()


def _backup(w: World) -> None:
    w.arguments |= {"snapshot_label": "nightly", "bucket": "oac-backups", "seal_conn_id": "oac_seal"}
    w.arguments["confirmation_timeout"] = 4.0


def _export(w: World) -> None:
    out = w.folder / "out"
    out.mkdir()
    (out / "board.pdf").write_bytes(b"the old one")
    w.arguments |= {"workbook_path": "/@Catalog/shared/Sales/Pipeline", "destination": f"file://{out}/board.pdf"}


def _restore(w: World) -> None:
    w.instance = "prod"
    w.sign_in_by_chain()
    call = snapshots.create("older", "file:///older.bar", Storage("oac-backups"), SEAL_PASSWORD)
    blocking(SignIn(w.simulator.ready).performing(call, instance="prod"))
    until(lambda: all(one["state"] == "SUCCEEDED" for one in w.control.snapshots("prod")), "there is a snapshot")
    w.control.reset_counters()
    w.arguments |= {
        "expected_host": w.simulator.ready["instances"]["prod"]["url"].partition("://")[2],
        "snapshot_id": w.control.snapshots("prod")[0]["id"], "confirmation_timeout": 4.0,
        "seal_conn_id": "oac_seal", "safety_bucket": "oac-backups", "safety_seal_conn_id": "oac_seal",
    }  # fmt: skip


PREPARED: dict[str, Callable[[World], None]] = {"backup": _backup, "export": _export, "restore": _restore}


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.id)
def test_cell(cell: Cell, world: World, record_property: Callable[[str, Any], None]) -> None:
    record_property("fault", (cell.fault.name, cell.mode, cell.line))
    assert cell.fault.does is not None
    cell.fault.does(world)
    result, errors, log = world.outcome.get("result"), world.errors, world.log()
    verified = result.get("verified") if isinstance(result, dict) else None
    found = Outcome(world.outcome["state"], world.try_number > 1, bool(errors), world.good(), verified)
    record_property("outcome", cell.says_of(found))
    assert found == cell.wanted, f"{errors}\n{log[-3000:]}"
    said = "\n".join(errors) if cell.wanted.told else log
    assert re.search(cell.fault.says, said), said[-3000:]
    _no_half_file(world)
    if world.uses_refresh_token:
        world.chain_is_alive()


def _no_half_file(w: World) -> None:
    if w.kind == "export":
        # Whole, and nothing beside it.
        (file,) = (w.folder / "out").iterdir()
        assert hashlib.sha256(file.read_bytes()).hexdigest() == w.outcome["result"]["sha256"]
    elif w.kind == "backup":
        listed = [one for one in w.control.snapshots("dev") if one["listed"]]
        assert len(listed) == 1, "nothing that failed stays on the list"


def test_the_docs_show_the_whole_table() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "durability.md").read_text()
    assert document() in text, f"docs/durability.md has to hold this table:\n{document()}"
