"""Pruning over real HTTP: what goes, what stays, and the files in the bucket."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_oac.client.flows.retention import PrunePlan, Retention, SnapshotSeries, prune
from airflow_provider_oac.client.snapshot_names import SnapshotName, task_mark
from airflow_provider_oac.exceptions import OACApiError, OACResponseError
from oac_simulator.launch import Simulator
from tests.drivers import Drive, SignIn
from tests.integration import flows
from tests.integration.flows import BUCKET, DELETE, FOLDER, LIST, STORAGE, Oac, take

OWN = SnapshotSeries("nightly", "dev", FOLDER, STORAGE)
KEEP_ONE = Retention(keep_last=1)


@pytest.fixture
def run(drive: Drive, sign_in: SignIn, clean: Simulator) -> Oac:
    clean.control.settings(work_seconds=0.0)
    return flows.oac(drive, sign_in)


def named(days: float) -> SnapshotName:
    time = (datetime.now(UTC) - timedelta(days=days)).replace(microsecond=0)
    return SnapshotName("nightly", "dev", time, "oac_seal", task_mark("backup", "an earlier run", f"{days}", -1, 0))


def series(run: Oac, *days: float) -> list[str]:
    """Own snapshots of these ages in days, with their files; returns their names."""
    names = [named(age) for age in days]
    for name in names:
        take(run, name)
    return [str(name) for name in names]


def pruned(oac: Oac, lines: list[str] | None = None, retention: Retention = KEEP_ONE, **details: Any) -> PrunePlan:
    report = (lines if lines is not None else []).append
    plan: PrunePlan = oac(prune(OWN, retention, **{"max_delete": 10, **details}), report=report)
    return plan


def deleted(plan: PrunePlan) -> list[str]:
    return [item.snapshot.name for item in plan.deletions]


def names(clean: Simulator) -> set[str]:
    return {item["name"] for item in clean.control.snapshots("dev")}


def files(clean: Simulator) -> set[str]:
    """The names of the files of own snapshots that are in the bucket."""
    prefix = f"{BUCKET}/{FOLDER}/dev/"
    return {path.removeprefix(prefix).removesuffix(".bar") for path in clean.control.bucket()}


def test_a_delete_that_is_refused_stops_it_and_the_next_run_goes_on(run: Oac, clean: Simulator) -> None:
    old, older, new = series(run, 2, 3, 1)
    clean.control.fault(DELETE, "status", status=403, body={"code": "Forbidden", "message": "no"}, after=1)
    with pytest.raises(OACApiError, match=r"Could not delete snapshot .*HTTP 403, Forbidden: no"):
        pruned(run)
    assert names(clean) == files(clean) == {old, new}
    assert deleted(pruned(run)) == [old]
    assert older not in names(clean)


@pytest.mark.parametrize(
    "answer",
    [{"fault": "empty"}, {"fault": "status", "status": 200, "body": {"items": [{"name": "without an id"}]}}],
)
def test_a_list_that_cannot_be_read_is_no_list(run: Oac, clean: Simulator, answer: dict[str, Any]) -> None:
    made = series(run, 3, 2, 1)
    clean.control.fault(LIST, **answer)
    with pytest.raises(OACResponseError, match="Could not list the snapshots"):
        pruned(run)
    assert names(clean) == files(clean) == set(made)
    assert clean.control.calls("dev", DELETE) == 0
