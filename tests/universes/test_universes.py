"""The universes themselves: what failed once, that each is the same every time, and that they find what is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from airflow_provider_oac.operators.base import OACBaseOperator, OACWorkOperator
from tests.universes.chance import Chance, shrink
from tests.universes.runner import known, run
from tests.universes.scenarios import OPERATORS, SCENARIOS, CreateSnapshot
from tests.universes.universe import Universe, quiet_logs

#: Operators that change nothing, and one that has rules of its own for secrets that OAC does not show.
NOT_HERE = {
    "OACAuditACLOperator", "OACCheckRolesOperator", "OACCompareCatalogsOperator", "OACFindSnapshotOperator",
    "OACListCatalogOperator", "OACReviewRestoreOperator", "OACSqlToStorageOperator",
    "OACWorkbookBackupOperator",
}  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def quiet() -> Iterator[None]:
    with quiet_logs():
        yield


def test_every_operator_that_changes_something_has_a_scenario() -> None:
    assert set(OPERATORS) - {OACBaseOperator.__name__, OACWorkOperator.__name__} - NOT_HERE == set(SCENARIOS)


@pytest.mark.parametrize(("name", "seed", "events"), known())
def test_what_failed_once(name: str, seed: int, events: Mapping[str, int] | None) -> None:
    assert run(name, seed, events).complaints == []


@pytest.mark.parametrize("name", SCENARIOS)
def test_an_operator_without_any_event_succeeds_in_one_try(name: str) -> None:
    universe = run(name, 0, {})
    assert (universe.complaints, universe.chance.events) == ([], {})
    assert universe.story[-1].endswith("try 1 of 3: success")


@pytest.mark.parametrize("seed", range(5))
def test_a_seed_and_its_events_always_lead_to_the_same_night(seed: int) -> None:
    first = run("OACCreateSnapshotOperator", seed)
    for again in (run("OACCreateSnapshotOperator", seed), run("OACCreateSnapshotOperator", seed, first.chance.events)):
        assert (first.story, first.kernel.elapsed) == (again.story, again.kernel.elapsed)
    assert first.chance.events == run("OACCreateSnapshotOperator", seed).chance.events


class LateList(CreateSnapshot):
    """OAC lists a snapshot when it is done, which breaks the promise."""

    @classmethod
    def settings(cls, chance: Chance) -> dict[str, Any]:
        return {"listing": "late", "work_seconds": 600.0}


def test_a_second_snapshot_is_found_out() -> None:
    def complaints(seed: int) -> list[str]:
        universe = Universe(LateList, seed)
        universe.run()
        return universe.complaints

    assert any("has 2 snapshots" in complaint for seed in range(200) for complaint in complaints(seed))


def test_events_that_do_not_matter_are_left_out() -> None:
    events = {f"event#{number}": 1 for number in range(40)}
    needed = {"event#7", "event#31"}
    assert set(shrink(events, lambda some: needed <= set(some))) == needed
