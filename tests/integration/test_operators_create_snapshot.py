"""OACCreateSnapshotOperator, as long as nothing goes wrong."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from urllib.parse import quote

import pytest
from airflow.models.trigger import Trigger

from airflow_provider_oac._compat import is_airflow_2
from airflow_provider_oac.client.snapshot_names import parse
from airflow_provider_oac.sensors.work_requests import OACWorkRequestSensor
from oac_simulator.launch import Simulator
from tests.tasks import SEAL_PASSWORD, Connections, Task
from tests.tasks import backup_operator as make


def test_the_result_names_the_snapshot_its_file_its_seal_and_its_work_request(
    connections: Connections, clean: Simulator, deferrable: bool
) -> None:
    result = Task(lambda: make(deferrable=deferrable)).attempt()
    (snapshot,) = clean.control.snapshots("dev")
    assert snapshot["state"] == "SUCCEEDED"
    name = parse(result["name"])
    assert name is not None
    assert result == {
        "snapshot_id": snapshot["id"],
        "name": snapshot["name"],
        "bar_uri": snapshot["uri"],
        "bucket": "oac-backups",
        "seal": "oac_seal",
        "work_request_id": snapshot["work_request"],
        "verified": True,
        "taken_at": name.time.isoformat(),
    }
    assert (name.label, name.instance, name.seal) == ("nightly", "dev", "oac_seal")
    assert result["bar_uri"] == f"file:///oac-snapshots/dev/{name}.bar"
    assert list(clean.control.bucket()) == [f"oac-backups/oac-snapshots/dev/{name}.bar"]


def test_the_link_is_there_before_the_work_is_done(connections: Connections, clean: Simulator) -> None:
    task = Task(lambda: make(deferrable=True))
    task.start()
    assert task.deferred is not None
    address = clean.ready["instances"]["dev"]["url"]
    work = task.deferred.trigger.work_request_id
    assert task.ti.xcoms == {
        "oac_instance_url": f"{address}/ui/",
        "oac_work_request": {"work_request_id": work, "oac_conn_id": "oac_default", "address": address},
        "oac_work_request_url": f"{address}/api/20210901/workRequests/{quote(work, safe='')}"
        if is_airflow_2()
        else "oac/work?dag_id=a_dag&run_id=a_run&task_id=backup&map_index=-1",
    }


@pytest.mark.parametrize("named", ["no_id", "none"])
def test_the_snapshot_is_looked_up_by_its_name_if_the_work_request_does_not_name_it(
    connections: Connections, clean: Simulator, named: str
) -> None:
    clean.control.settings(work_resources=named)
    result = Task(lambda: make(deferrable=True)).attempt()
    assert result["snapshot_id"] == clean.control.snapshots("dev")[0]["id"]
    assert result["verified"]


def test_without_waiting_a_sensor_can_wait_instead(
    connections: Connections, clean: Simulator, deferrable: bool
) -> None:
    result = Task(lambda: make(wait_for_completion=False, deferrable=deferrable)).attempt()
    assert (result["verified"], result["snapshot_id"]) == (False, None)
    assert clean.control.snapshots("dev")[0]["state"] == "IN_PROGRESS"

    def sensor() -> OACWorkRequestSensor:
        return OACWorkRequestSensor(
            task_id="wait", work_request_id=result["work_request_id"], poke_interval=0.1, deferrable=deferrable
        )

    Task(sensor).attempt()
    assert clean.control.snapshots("dev")[0]["state"] == "SUCCEEDED"


def test_region_namespace_and_folder_reach_oac(connections: Connections, clean: Simulator) -> None:
    changes = {"region": clean.ready["region"], "namespace": clean.ready["namespace"], "folder": "/a/b/"}
    result = Task(lambda: make(**changes)).attempt()
    (snapshot,) = clean.control.snapshots("dev")
    assert snapshot["storage"]["bucketOciRegion"] == clean.ready["region"]
    assert snapshot["storage"]["bucketOciNamespace"] == clean.ready["namespace"]
    assert result["bar_uri"].startswith("file:///a/b/dev/nightly--dev--")


def test_the_bucket_may_be_used_as_an_oci_user(connections: Connections, clean: Simulator) -> None:
    key = Path(clean.ready["private_key_file"]).read_text()
    extra = {"region": "eu-frankfurt-1", "tenancy_id": "ocid1.tenancy", "fingerprint": "aa:bb"}
    one_line = base64.b64encode(key.encode()).decode()
    connections.set(
        "bucket", {"conn_type": "generic", "login": "ocid1.user", "extra": {**extra, "private_key": one_line}}
    )
    Task(lambda: make(storage_conn_id="bucket")).attempt()
    (snapshot,) = clean.control.snapshots("dev")
    # The simulator takes this kind only with all five members, and with the base64 of a whole PEM file.
    assert snapshot["storage"]["auth"] == {"type": "OSS_AUTH_OCI_USER_ID"}


def test_only_ids_travel(connections: Connections, clean: Simulator) -> None:
    task = Task(lambda: make(deferrable=True))
    result = task.attempt()
    assert task.deferred is not None
    assert task.store is not None
    classpath, kwargs = task.deferred.trigger.serialize()
    assert classpath == "airflow_provider_oac.triggers.oac.OACWorkRequestTrigger"
    assert Trigger.from_object(task.deferred.trigger).kwargs == kwargs
    everything = json.dumps([kwargs, task.deferred.kwargs, task.event, task.ti.xcoms, task.store.texts, result])
    key = Path(clean.ready["private_key_file"]).read_text()
    for secret in (SEAL_PASSWORD, clean.ready["client_secret"], key, json.dumps(key)[1:-1], "PRIVATE KEY"):
        assert secret not in everything


def test_the_operator_itself_never_holds_a_secret(connections: Connections) -> None:
    operator = make()
    Task(lambda: operator).attempt()
    rendered = json.dumps([getattr(operator, name) for name in operator.template_fields])
    assert SEAL_PASSWORD not in rendered
    assert SEAL_PASSWORD not in repr(vars(operator))
