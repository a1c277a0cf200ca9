"""The sensors, in a worker (poke and reschedule) and in the triggerer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_oac._compat import AirflowSensorTimeout, AirflowSkipException
from airflow_provider_oac.client.flows.polling import WaitPlan
from airflow_provider_oac.client.rest.snapshots import Storage, create, list_all
from airflow_provider_oac.client.snapshot_names import SnapshotName
from airflow_provider_oac.exceptions import OACError, OACWorkRequestError
from airflow_provider_oac.hooks.oac import OACHook
from airflow_provider_oac.sensors.snapshots import OACSnapshotSensor
from airflow_provider_oac.sensors.work_requests import OACWorkRequestSensor
from oac_simulator.launch import Simulator
from tests.tasks import SEAL_PASSWORD, Connections, Task

LOOK = "GET /workRequests/{id}"


def waiting(work_request_id: str, **changes: Any) -> Task:
    arguments = {"work_request_id": work_request_id, "poke_interval": timedelta(seconds=0.05), "timeout": 20}
    return Task(lambda: OACWorkRequestSensor(task_id="wait", **{**arguments, **changes}))


def a_failing_backup(clean: Simulator, **fault: Any) -> str:
    clean.control.fault("POST /snapshots", "fail_work", **fault)
    return OACHook().run(create("a", "file:///a.bar", Storage("oac-backups"), SEAL_PASSWORD))


def test_it_waits_until_the_work_has_succeeded(connections: Connections, clean: Simulator, deferrable: bool) -> None:
    (work,) = clean.control.start_work("dev", 0.3)
    waiting(work, deferrable=deferrable).attempt()
    assert clean.control.work_requests("dev")[0]["status"] == "SUCCEEDED"


def test_it_can_give_its_worker_back_between_two_looks(connections: Connections, clean: Simulator) -> None:
    (work,) = clean.control.start_work("dev", 60)
    sensor = OACWorkRequestSensor(task_id="wait", work_request_id=work, mode="reschedule")
    assert sensor.reschedule
    assert sensor.poke({}) is False


def test_failed_work_fails_it_with_the_errors_of_oac(
    connections: Connections, clean: Simulator, deferrable: bool
) -> None:
    work = a_failing_backup(clean, errors=[{"code": "DiskFull", "message": "No space is left"}])
    with pytest.raises(OACWorkRequestError, match=r"ended FAILED .*DiskFull: No space is left"):
        waiting(work, deferrable=deferrable).attempt()


def test_never_fail_means_the_same_in_the_triggerer(
    connections: Connections, clean: Simulator, deferrable: bool
) -> None:
    work = a_failing_backup(clean)
    with pytest.raises(AirflowSkipException):
        waiting(work, deferrable=deferrable, never_fail=True).attempt()


def test_a_failure_of_the_triggerer_is_one_of_a_look(connections: Connections, clean: Simulator) -> None:
    (work,) = clean.control.start_work("dev", 0.0)
    event = {"outcome": "error", "message": "trouble"}
    arguments: dict[str, Any] = {"work_request_id": work, "task_id": "wait", "poke_interval": 0.05}
    with pytest.raises(AirflowSkipException):
        OACWorkRequestSensor(**arguments, never_fail=True).execute_complete({}, event)
    OACWorkRequestSensor(**arguments, silent_fail=True).execute_complete({}, event)
    assert clean.control.calls("dev", LOOK) == 1
    with pytest.raises(OACError, match=r"^trouble$"):
        OACWorkRequestSensor(**arguments).execute_complete({}, event)


def test_a_timeout_is_that_of_every_sensor(connections: Connections, clean: Simulator, deferrable: bool) -> None:
    (work,) = clean.control.start_work("dev", 60)
    with pytest.raises(AirflowSensorTimeout):
        waiting(work, deferrable=deferrable, timeout=timedelta(seconds=0.2)).attempt()


def test_soft_fail_skips_after_a_timeout(connections: Connections, clean: Simulator, deferrable: bool) -> None:
    (work,) = clean.control.start_work("dev", 60)
    with pytest.raises(AirflowSkipException):
        waiting(work, deferrable=deferrable, timeout=0.2, soft_fail=True).attempt()


def test_it_waits_trouble_out(connections: Connections, clean: Simulator, deferrable: bool) -> None:
    (work,) = clean.control.start_work("dev", 0.1)
    clean.control.fault(LOOK, "truncate", times=2)
    waiting(work, deferrable=deferrable).attempt()


def test_it_waits_until_oac_knows_the_id(connections: Connections, clean: Simulator, deferrable: bool) -> None:
    (work,) = clean.control.start_work("dev", 0.1)
    clean.control.fault(LOOK, "status", status=404, times=2)
    waiting(work, deferrable=deferrable).attempt()


def test_a_rescheduled_look_takes_an_unknown_id_for_an_error(connections: Connections) -> None:
    sensor = OACWorkRequestSensor(task_id="wait", work_request_id="lfc-cc:1-c9:2", mode="reschedule")
    with pytest.raises(OACWorkRequestError, match="OAC does not know work request lfc-cc:1-c9:2"):
        sensor.poke({})


def test_an_unreadable_connection_fails_the_deferred_wait(connections: Connections, clean: Simulator) -> None:
    task = waiting("lfc-cc:1-c9:2", deferrable=True)
    connections.oac(scope="")
    with pytest.raises(
        OACError,
        match="in the triggerer for work request lfc-cc:1-c9:2 failed: Connection 'oac_default': The scope",
    ):
        task.attempt()


# ---------------------------------------------------------------------------------------- OACSnapshotSensor


def take(name: str, uri: str) -> str:
    hook = OACHook()
    work = hook.run(create(name, uri, Storage("oac-backups"), SEAL_PASSWORD))
    return str(hook.wait(work, WaitPlan(longest_pause=0.05)).resource_id("SNAPSHOT"))


def take_own(hours_old: float, label: str = "nightly", folder: str = "oac-snapshots") -> SnapshotName:
    time = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=hours_old)
    name = SnapshotName(label, "dev", time, "oac_seal", "0" * 20)
    take(str(name), name.uri(folder))
    return name


def looks(**arguments: Any) -> bool:
    return OACSnapshotSensor(task_id="look", **arguments).poke({}).is_done


FRESH: dict[str, Any] = {"max_age": timedelta(hours=26), "snapshot_label": "nightly", "bucket": "oac-backups"}


def fresh(**changes: Any) -> bool:
    return looks(**{**FRESH, **changes})


def test_it_sees_whether_a_snapshot_is_listed(connections: Connections) -> None:
    snapshot_id = take("by hand", "file:///a.bar")
    assert looks(snapshot_id=snapshot_id)
    assert looks(snapshot_name="by hand")
    assert not looks(snapshot_id="another")
    assert not looks(snapshot_name="by han")


def test_it_sees_whether_the_newest_is_young_enough(connections: Connections) -> None:
    take_own(50)
    assert not fresh()
    take_own(25)
    assert fresh()
    assert not fresh(max_age=timedelta(hours=24))


def test_foreign_snapshots_do_not_make_it_fresh(connections: Connections) -> None:
    take_own(1, label="weekly")
    take_own(1, folder="elsewhere")
    take("nightly", "file:///nightly.bar")
    assert not fresh()
    assert fresh(snapshot_label="weekly")
    assert fresh(folder="elsewhere")


def sensing(**changes: Any) -> Task:
    arguments = {"task_id": "look", "poke_interval": 0.05, "timeout": 20, **changes}
    return Task(lambda: OACSnapshotSensor(**arguments))


@pytest.mark.parametrize("asked", ["id", "name", "age"])
def test_it_waits_for_it(connections: Connections, clean: Simulator, deferrable: bool, asked: str) -> None:
    name = take_own(25)
    (listed,) = OACHook().run(list_all())
    clean.control.fault("GET /snapshots", "non_json", times=2)
    question = {"id": {"snapshot_id": listed.id}, "name": {"snapshot_name": str(name)}, "age": FRESH}[asked]
    task = sensing(deferrable=deferrable, **question)
    assert task.attempt() is None
    assert (task.deferred is not None) is deferrable
    assert clean.control.calls("dev", "GET /snapshots") >= 3


def test_the_trigger_says_what_was_seen_last(connections: Connections) -> None:
    name = take_own(50)
    with pytest.raises(AirflowSensorTimeout, match=f"Last poll: The newest snapshot of nightly is {name}, more than 1"):
        sensing(timeout=0.1, deferrable=True, **FRESH).attempt()


def test_what_may_fail_is_told_to_it_in_the_triggerer_too(
    connections: Connections, clean: Simulator, deferrable: bool
) -> None:
    clean.control.fault("GET /snapshots", "status", status=403, times=None)
    with pytest.raises(OACError, match="HTTP 403"):
        sensing(snapshot_name="x", deferrable=deferrable).attempt()
    with pytest.raises(AirflowSkipException):
        sensing(snapshot_name="x", deferrable=deferrable, never_fail=True).attempt()


def test_a_list_that_cannot_be_read_at_the_moment_is_not_the_end(connections: Connections, clean: Simulator) -> None:
    clean.control.fault("GET /snapshots", "status", status=503, times=None)
    assert looks(snapshot_name="x") is False
    clean.control.clear_faults()
    clean.control.fault("GET /snapshots", "status", status=403, times=None)
    with pytest.raises(OACError, match="HTTP 403"):
        looks(snapshot_name="x")
