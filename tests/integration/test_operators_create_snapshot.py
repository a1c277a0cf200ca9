"""OACCreateSnapshotOperator: what it makes, what people get wrong, and one snapshot for a logical task."""

from __future__ import annotations

import base64
import threading
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from airflow_provider_oac._compat import is_airflow_2
from airflow_provider_oac.client.snapshot_names import parse
from airflow_provider_oac.exceptions import OACConfigurationError, OACError, OACWorkRequestError
from oac_simulator.launch import Simulator
from tests.tasks import SEAL_PASSWORD, Connections, Task, names
from tests.tasks import backup_operator as make

POST = "POST /snapshots"
USER = {"region": "eu-frankfurt-1", "tenancy_id": "ocid1.tenancy", "fingerprint": "aa:bb"}

pytestmark = pytest.mark.usefixtures("connections")


def storage(**extra: str) -> dict[str, Any]:
    """A Connection with an OCI user's API key."""
    return {"conn_type": "generic", "login": "ocid1.user", "extra": extra}


def test_the_result_names_snapshot_file_seal_and_work_request(clean: Simulator, deferrable: bool) -> None:
    result = Task(lambda: make(deferrable=deferrable)).attempt()
    (snapshot,) = clean.control.snapshots("dev")
    assert snapshot["state"] == "SUCCEEDED"
    name = parse(result["name"])
    assert name is not None
    assert (name.label, name.instance, name.seal) == ("nightly", "dev", "oac_seal")
    assert result == {
        "snapshot_id": snapshot["id"], "name": snapshot["name"], "bar_uri": f"file:///oac-snapshots/dev/{name}.bar",
        "bucket": "oac-backups", "seal": "oac_seal", "work_request_id": snapshot["work_request"], "verified": True,
        "taken_at": name.time.isoformat(),
    }  # fmt: skip
    assert list(clean.control.bucket()) == [f"oac-backups/oac-snapshots/dev/{name}.bar"]


def test_the_link_is_there_before_the_work_is_done(clean: Simulator) -> None:
    task = Task(lambda: make(deferrable=True))
    task.start()
    assert task.deferred is not None
    address, work = clean.ready["instances"]["dev"]["url"], task.deferred.trigger.work_request_id
    assert task.ti.xcoms == {
        "oac_instance_url": f"{address}/ui/",
        "oac_work_request": {"work_request_id": work, "oac_conn_id": "oac_default", "address": address},
        "oac_work_request_url": f"{address}/api/20210901/workRequests/{quote(work, safe='')}"
        if is_airflow_2()
        else "oac/work?dag_id=a_dag&run_id=a_run&task_id=backup&map_index=-1",
    }


@pytest.mark.parametrize("named", ["no_id", "none"])
def test_a_snapshot_that_its_work_request_does_not_name_is_looked_up(clean: Simulator, named: str) -> None:
    clean.control.settings(work_resources=named)
    result = Task(lambda: make(deferrable=True)).attempt()
    assert (result["snapshot_id"], result["verified"]) == (clean.control.snapshots("dev")[0]["id"], True)


def test_without_waiting_the_result_has_no_snapshot_yet(clean: Simulator, deferrable: bool) -> None:
    result = Task(lambda: make(wait_for_completion=False, deferrable=deferrable)).attempt()
    assert (result["verified"], result["snapshot_id"]) == (False, None)
    (snapshot,) = clean.control.snapshots("dev")
    assert (snapshot["state"], snapshot["work_request"]) == ("IN_PROGRESS", result["work_request_id"])


def test_region_namespace_folder_and_an_oci_user_reach_oac(connections: Connections, clean: Simulator) -> None:
    key = base64.b64encode(Path(clean.ready["private_key_file"]).read_bytes()).decode()
    connections.set("bucket", storage(**USER, private_key=key))
    place = {name: clean.ready[name] for name in ("region", "namespace")}
    result = Task(lambda: make(**place, folder="/a/b/", storage_conn_id="bucket")).attempt()
    (snapshot,) = clean.control.snapshots("dev")
    # The simulator takes this kind only with all five members, and with the base64 of a whole PEM file.
    assert snapshot["storage"]["auth"] == {"type": "OSS_AUTH_OCI_USER_ID"}
    assert snapshot["storage"]["bucketOciRegion"] == place["region"]
    assert snapshot["storage"]["bucketOciNamespace"] == place["namespace"]
    assert result["bar_uri"].startswith("file:///a/b/dev/nightly--dev--")


def test_the_operator_itself_never_holds_a_secret() -> None:
    operator = make()
    Task(lambda: operator).attempt()
    assert SEAL_PASSWORD not in repr(vars(operator))


# -------------------------------------------------------------------------------------- what people get wrong


def failing(kind: type[OACError], **changes: Any) -> str:
    """The message of a backup that fails with this very kind of error."""
    with pytest.raises(kind) as failure:
        Task(lambda: make(**changes)).attempt()
    assert type(failure.value) is kind
    return str(failure.value)


@pytest.mark.parametrize(
    ("password", "message"),
    [
        ("Short-1", "Connection 'oac_seal': The snapshot password does not follow OAC's rules"),
        (f"{SEAL_PASSWORD}\r\n", "The password of Connection 'oac_seal' ends in a line break"),
        ("", "Connection 'oac_seal' has no password"),
    ],
)
def test_a_password_that_seals_nothing(connections: Connections, clean: Simulator, password: str, message: str) -> None:
    connections.seal(password=password)
    found = failing(OACConfigurationError)
    assert message in found
    assert not password or password.strip() not in found
    assert clean.control.calls("dev", POST) == 0


def test_a_seal_whose_name_cannot_be_part_of_a_snapshots_name() -> None:
    assert "seal_conn_id is 'oac--seal'" in failing(OACConfigurationError, seal_conn_id="oac--seal")


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"region": "eu-frankfurt-1"}, "tenancy_id, fingerprint, private_key missing"),
        ({**USER, "private_key": "-----BEGIN nonsense"}, ""),
        ({**USER, "private_key": "/etc/hostname"}, "lies outside of"),
    ],
)
def test_a_storage_connection_that_cannot_work(
    connections: Connections, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, extra: dict[str, str], message: str
) -> None:
    monkeypatch.setenv("AIRFLOW__OAC__FILE_FOLDER", str(tmp_path))
    connections.set("bucket", storage(**extra))
    found = failing(OACConfigurationError, storage_conn_id="bucket")
    assert found.startswith("Connection 'bucket': ")
    assert message in found
    assert "nonsense" not in found


# --------------------------------------------------------------------------------- one snapshot for a logical task


def test_failed_work_fails_the_task_with_the_errors_of_oac_and_leaves_the_list_clean(clean: Simulator) -> None:
    clean.control.settings(failed_listing="keep")
    clean.control.fault(POST, "fail_work", errors=[{"code": "DiskFull", "message": "No space is left"}])
    task = Task(lambda: make(deferrable=True))
    with pytest.raises(OACWorkRequestError, match=r"\(CREATE_SNAPSHOT\) ended FAILED .*DiskFull: No space is left"):
        task.attempt()
    assert names(clean) == []
    result = task.attempt()
    assert names(clean) == [result["name"]]


def test_a_failed_snapshot_that_stays_listed_is_never_adopted(clean: Simulator) -> None:
    clean.control.settings(failed_listing="keep")
    clean.control.fault("DELETE /snapshots/{snapshotId}", "status", status=403, times=None)
    clean.control.fault(POST, "fail_work", times=2)
    task = Task(make)
    for _ in range(2):
        with pytest.raises(OACWorkRequestError):
            task.attempt()
    failed = set(names(clean))
    assert len(failed) == 2
    # A lost answer makes the third try look for its mark, which both failed ones carry.
    clean.control.fault(POST, "drop_after")
    assert {task.attempt()["name"]} == set(names(clean)) - failed


def test_what_is_found_again_is_told_as_it_was_ordered(connections: Connections, clean: Simulator, store: bool) -> None:
    connections.seal("oac_seal_new", "Another-Horse-8-Battery")
    changes: dict[str, str] = {}
    task = Task(lambda: make(deferrable=True, **changes), store=store)
    task.start()
    # What a template renders, or an author edits, between two tries.
    changes |= {"seal_conn_id": "oac_seal_new", "bucket": "another-bucket"}
    result = task.attempt()
    assert [result["name"]] == names(clean)
    assert (result["seal"], result["bucket"], result["verified"]) == ("oac_seal", "oac-backups", store)


def test_work_that_ended_after_all_is_no_timeout(clean: Simulator) -> None:
    task = Task(lambda: make(deferrable=True))
    task.start()
    while clean.control.snapshots("dev")[0]["state"] == "IN_PROGRESS":
        threading.Event().wait(0.05)
    assert task.deferred is not None
    carried = task.deferred.trigger.carried
    assert task.execute_complete({"outcome": "timeout", "message": "late", "carried": carried})["verified"]
