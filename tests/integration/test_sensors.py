"""The sensors for work requests, snapshots and items of the catalog, in a worker and in the triggerer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_oac._compat import AirflowSensorTimeout, AirflowSkipException
from airflow_provider_oac.client import ids
from airflow_provider_oac.client.flows.polling import WaitPlan
from airflow_provider_oac.client.rest import catalog
from airflow_provider_oac.client.rest.snapshots import Storage, create
from airflow_provider_oac.client.snapshot_names import SnapshotName
from airflow_provider_oac.exceptions import OACError, OACWorkRequestError
from airflow_provider_oac.hooks.oac import OACHook
from airflow_provider_oac.sensors.catalog import OACCatalogItemSensor
from airflow_provider_oac.sensors.snapshots import OACSnapshotSensor
from airflow_provider_oac.sensors.work_requests import OACWorkRequestSensor
from oac_simulator.launch import Simulator
from tests.tasks import SEAL_PASSWORD, Task

LOOK, LIST, ITEM = "GET /workRequests/{id}", "GET /snapshots", "GET /catalog/workbooks/{urlBase64WorkbookId}"
PIPELINE, NEW = (f"/@Catalog/shared/Sales/{name}" for name in ("Pipeline", "New"))
# The simulator's catalog was modified on 2026-01-05T08:00:00Z.
THEN = datetime(2026, 1, 5, 8, tzinfo=UTC)
FRESH: dict[str, Any] = {"max_age": timedelta(hours=26), "snapshot_label": "nightly", "bucket": "oac-backups"}

pytestmark = pytest.mark.usefixtures("connections")


def sensing(kind: Any, **changes: Any) -> Task:
    arguments = {"task_id": "wait", "poke_interval": timedelta(seconds=0.05), "timeout": 20, **changes}
    return Task(lambda: kind(**arguments))


def looks(kind: Any, **arguments: Any) -> bool:
    return bool(kind(task_id="look", **arguments).poke({}).is_done)


def backup(name: str, uri: str) -> str:
    return OACHook().run(create(name, uri, Storage("oac-backups"), SEAL_PASSWORD))


def take(name: str, uri: str) -> str:
    return str(OACHook().wait(backup(name, uri), WaitPlan(longest_pause=0.05)).resource_id("SNAPSHOT"))


def take_own(hours_old: float, label: str = "nightly", folder: str = "oac-snapshots") -> str:
    time = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=hours_old)
    name = SnapshotName(label, "dev", time, "oac_seal", "0" * 20)
    take(str(name), name.uri(folder))
    return str(name)


# ---------------------------------------------------------------------------- a sensor and its arguments, for a world

Made = tuple[Any, dict[str, Any]]


def work(clean: Simulator, seconds: float = 0.3) -> Made:
    return OACWorkRequestSensor, {"work_request_id": clean.control.start_work("dev", seconds)[0]}


def long_work(clean: Simulator) -> Made:
    return work(clean, 60.0)


def failed_work(clean: Simulator) -> Made:
    clean.control.fault("POST /snapshots", "fail_work", errors=[{"code": "DiskFull", "message": "No space is left"}])
    return OACWorkRequestSensor, {"work_request_id": backup("a", "file:///a.bar")}


def named_snapshot(_clean: Simulator) -> Made:
    return OACSnapshotSensor, {"snapshot_name": take_own(25)}


def fresh_snapshot(_clean: Simulator) -> Made:
    take_own(25)
    return OACSnapshotSensor, FRESH


def old_snapshot(_clean: Simulator) -> Made:
    take_own(50)
    return OACSnapshotSensor, FRESH


def forbidden_list(clean: Simulator) -> Made:
    clean.control.fault(LIST, "status", status=403, times=None)
    return OACSnapshotSensor, {"snapshot_name": "x"}


def item(_clean: Simulator, path: str = PIPELINE) -> Made:
    return OACCatalogItemSensor, {"catalog_type": "workbooks", "path": path}


def missing_item(clean: Simulator) -> Made:
    return item(clean, NEW)


def unmodified_item(clean: Simulator) -> Made:
    kind, arguments = item(clean)
    return kind, {**arguments, "modified_since": datetime(2026, 1, 6, tzinfo=UTC)}


def forbidden_item(clean: Simulator) -> Made:
    clean.control.fault(ITEM, "status", status=403, times=None)
    return item(clean)


@pytest.mark.parametrize(
    ("make", "call", "fault"),
    [
        (work, LOOK, {"fault": "truncate"}),
        (work, LOOK, {"fault": "status", "status": 404}),
        (named_snapshot, LIST, {"fault": "non_json"}),
        (fresh_snapshot, LIST, {"fault": "status", "status": 503}),
        (item, ITEM, {"fault": "truncate"}),
    ],
    ids=["work", "work that OAC does not know yet", "named snapshot", "fresh snapshot", "item"],
)
def test_it_waits_trouble_out(
    clean: Simulator, deferrable: bool, make: Callable[[Simulator], Made], call: str, fault: dict[str, Any]
) -> None:
    kind, arguments = make(clean)
    clean.control.reset_counters()
    clean.control.fault(call, **fault, times=2)
    task = sensing(kind, **arguments, deferrable=deferrable)
    task.attempt()
    assert (task.deferred is not None) is deferrable
    assert clean.control.calls("dev", call) >= 3


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (failed_work, r"ended FAILED .*DiskFull: No space is left"),
        (forbidden_list, "HTTP 403"),
        (forbidden_item, "HTTP 403"),
    ],
)
def test_what_stays_fails_at_once_and_is_skipped_if_it_may_never_fail(
    clean: Simulator, deferrable: bool, make: Callable[[Simulator], Made], says: str
) -> None:
    kind, arguments = make(clean)
    with pytest.raises(OACError, match=says):
        sensing(kind, **arguments, deferrable=deferrable).attempt()
    with pytest.raises(AirflowSkipException):
        sensing(kind, **arguments, deferrable=deferrable, never_fail=True).attempt()


@pytest.mark.parametrize(
    ("make", "last_poll"),
    [
        (long_work, None),
        (old_snapshot, r"Last poll: The newest snapshot of nightly is nightly--dev--.*, more than 1"),
        (missing_item, None),
        (unmodified_item, r"Last poll: .*: last modified 2026-01-05T08:00:00"),
    ],
)
def test_a_timeout_is_that_of_every_sensor_and_soft_fail_skips(
    clean: Simulator, deferrable: bool, make: Callable[[Simulator], Made], last_poll: str | None
) -> None:
    kind, arguments = make(clean)
    with pytest.raises(AirflowSensorTimeout, match=last_poll if deferrable else None):
        sensing(kind, **arguments, deferrable=deferrable, timeout=timedelta(seconds=0.2)).attempt()
    with pytest.raises(AirflowSkipException):
        sensing(kind, **arguments, deferrable=deferrable, timeout=0.2, soft_fail=True).attempt()


def test_a_failure_of_the_triggerer_is_one_of_a_look(clean: Simulator) -> None:
    event = {"outcome": "error", "message": "trouble"}
    kind, arguments = work(clean, 0.0)
    arguments |= {"task_id": "wait", "poke_interval": 0.05}
    with pytest.raises(AirflowSkipException):
        kind(**arguments, never_fail=True).execute_complete({}, event)
    kind(**arguments, silent_fail=True).execute_complete({}, event)
    assert clean.control.calls("dev", LOOK) == 1
    with pytest.raises(OACError, match=r"^trouble$"):
        kind(**arguments).execute_complete({}, event)


def test_a_trigger_that_fails_leaves_the_wait_to_the_worker(clean: Simulator) -> None:
    kind, arguments = item(clean)
    failed = {"error": "Trigger failure", "traceback": ["TypeError: no argument 'earlier'"]}
    assert sensing(kind, **arguments, deferrable=True).resume_by("__fail__", failed)["path"] == PIPELINE


# ------------------------------------------------------------------------------------------------ each one by itself


def test_between_two_rescheduled_looks_its_worker_is_free_and_an_unknown_id_is_an_error(clean: Simulator) -> None:
    kind, arguments = long_work(clean)
    sensor = kind(**arguments, task_id="wait", mode="reschedule")
    assert (sensor.reschedule, sensor.poke({})) == (True, False)
    unknown = kind(task_id="wait", work_request_id="lfc-cc:1-c9:2", mode="reschedule")
    with pytest.raises(OACWorkRequestError, match="OAC does not know work request lfc-cc:1-c9:2"):
        unknown.poke({})


def test_it_sees_the_snapshot_that_is_meant_and_no_other() -> None:
    by_hand = take("by hand", "file:///a.bar")
    take("nightly", "file:///nightly.bar")
    take_own(1, label="weekly")
    take_own(1, folder="elsewhere")
    for arguments, there in (
        ({"snapshot_id": by_hand}, True), ({"snapshot_id": "another"}, False),
        ({"snapshot_name": "by hand"}, True), ({"snapshot_name": "by han"}, False),
        (FRESH, False), ({**FRESH, "snapshot_label": "weekly"}, True), ({**FRESH, "folder": "elsewhere"}, True),
    ):  # fmt: skip
        assert looks(OACSnapshotSensor, **arguments) is there, arguments
    take_own(25)
    assert looks(OACSnapshotSensor, **FRESH)
    assert not looks(OACSnapshotSensor, **{**FRESH, "max_age": timedelta(hours=24)})


@pytest.mark.parametrize(
    ("arguments", "there"),
    [
        ({}, True),
        ({"path": None, "item_id": ids.catalog_id(PIPELINE) + "=="}, True),
        ({"path": NEW}, False),
        ({"catalog_type": "folders"}, False),
        ({"catalog_type": "datasets", "path": "'admin'.'Orders'"}, True),
        ({"modified_since": THEN}, True),
        ({"modified_since": THEN.replace(tzinfo=None)}, True),
        ({"modified_since": "2026-01-05 08:00:00+00:00"}, True),
        ({"modified_since": "2026-01-05T08:00:00.001Z"}, False),
        ({"modified_since": "2026-01-05T09:30:00+01:00"}, False),
        ({"modified_since": datetime(2030, 1, 1)}, False),
    ],
)
def test_it_sees_an_item_that_is_there_and_new_enough(arguments: dict[str, Any], there: bool) -> None:
    assert looks(OACCatalogItemSensor, **{"catalog_type": "workbooks", "path": PIPELINE, **arguments}) is there


def test_a_modified_item_is_its_result(clean: Simulator, deferrable: bool) -> None:
    since = datetime.now(UTC) - timedelta(hours=1)
    OACHook().run(catalog.copy("workbooks", ids.catalog_id(PIPELINE), name="New"))
    kind, arguments = item(clean, NEW)
    result = sensing(kind, **arguments, deferrable=deferrable, modified_since=since.isoformat()).attempt()
    assert (result["path"], result["type"], result["name"]) == (NEW, "workbooks", "New")
