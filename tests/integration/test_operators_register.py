"""Registering a file that is in a bucket already: once, under a name that is never one of pruning's own."""

from __future__ import annotations

import re
import threading

import pytest

from airflow_provider_oac.client.rest import snapshots
from airflow_provider_oac.client.snapshot_names import parse, parse_registered, registered_name
from airflow_provider_oac.exceptions import OACConfigurationError, OACWorkRequestError
from airflow_provider_oac.hooks.oac import OACHook
from airflow_provider_oac.operators.snapshots import OACPruneSnapshotsOperator
from oac_simulator.launch import Simulator
from tests.integration.restores import POST, register_operator
from tests.tasks import Connections, Task, backup_operator, names, oac_connection


@pytest.fixture
def connections(connections: Connections) -> Connections:
    """Beside the usual ones, `oac_prod`."""
    connections.oac("oac_prod", "prod")
    return connections


def test_a_backup_of_one_instance_is_registered_in_another(
    connections: Connections, clean: Simulator, deferrable: bool
) -> None:
    backup = Task(backup_operator).attempt()
    result = Task(lambda: register_operator(backup, deferrable=deferrable)).attempt()
    (snapshot,) = clean.control.snapshots("prod")
    assert result["snapshot_id"] == snapshot["id"]
    assert result["verified"]
    assert (result["seal"], result["source_instance"]) == ("oac_seal", "dev")
    assert result["taken_at"]
    name = parse_registered(result["name"])
    assert name is not None
    assert str(name.origin) == backup["name"]
    assert parse(result["name"]) is None


def test_a_path_is_taken_in_either_form(connections: Connections) -> None:
    backup = Task(backup_operator).attempt()
    for uri in (backup["bar_uri"], backup["bar_uri"].removeprefix("file:///")):
        result = Task(lambda uri=uri: register_operator(bar_uri=uri, bucket="oac-backups")).attempt()
        assert result["bar_uri"] == backup["bar_uri"]


def test_a_file_that_is_registered_already_is_found_again(connections: Connections, clean: Simulator) -> None:
    backup = Task(backup_operator).attempt()
    first = Task(lambda: register_operator(backup)).attempt()
    again = Task(lambda: register_operator(backup, task_id="another", deferrable=True)).attempt()
    assert again["snapshot_id"] == first["snapshot_id"]
    assert (again["verified"], again["work_request_id"]) == (False, None)
    assert clean.control.calls("prod", POST) == 1


def test_in_its_own_instance_a_backup_is_known_already(connections: Connections, clean: Simulator) -> None:
    backup = Task(backup_operator).attempt()
    result = Task(lambda: register_operator(backup, oac_conn_id="oac_default")).attempt()
    assert result["snapshot_id"] == backup["snapshot_id"]
    assert clean.control.calls("dev", POST) == 1


def test_a_lost_answer_is_looked_for_in_the_list(connections: Connections, clean: Simulator) -> None:
    backup = Task(backup_operator).attempt()
    clean.control.fault(POST, "drop_after", instance="prod")
    result = Task(lambda: register_operator(backup, deferrable=True)).attempt()
    assert names(clean, "prod") == [result["name"]]
    assert not result["verified"]


def test_a_file_that_is_not_there_fails_and_leaves_the_list_clean(connections: Connections, clean: Simulator) -> None:
    clean.control.settings(failed_listing="keep")
    task = Task(lambda: register_operator(bar_uri="file:///replica/none.bar", bucket="oac-backups", deferrable=True))
    with pytest.raises(OACWorkRequestError, match=r"ObjectNotFound.*none\.bar"):
        task.attempt()
    assert names(clean, "prod") == []


def test_a_failed_registration_never_deletes_the_file(connections: Connections, clean: Simulator) -> None:
    backup = Task(backup_operator).attempt()
    files = clean.control.bucket()
    clean.control.settings(failed_listing="keep")
    clean.control.fault(POST, "fail_work", instance="prod")
    task = Task(lambda: register_operator(backup))
    with pytest.raises(OACWorkRequestError):
        task.attempt()
    assert clean.control.bucket() == files
    assert names(clean, "prod") == []
    assert task.attempt()["verified"]


def prune(**changes: object) -> OACPruneSnapshotsOperator:
    arguments = {"task_id": "prune", "snapshot_label": "nightly", "bucket": "oac-backups", "keep_last": 1}
    return OACPruneSnapshotsOperator(**{**arguments, **changes})


def test_pruning_never_takes_a_registered_snapshot_for_its_own(connections: Connections, clean: Simulator) -> None:
    # As bad as it gets: prod's Connection says that it is dev, so that label, instance, bucket and folder all agree.
    backups = [Task(lambda n=n: backup_operator(task_id=f"backup_{n}")).attempt() for n in range(3)]
    connection = oac_connection(clean.ready, "prod")
    connections.set("oac_prod", {**connection, "extra": {**connection["extra"], "instance": "dev"}})
    for number, backup in enumerate(backups):
        Task(lambda n=number, b=backup: register_operator(b, task_id=f"register_{n}")).attempt()
    files = clean.control.bucket()
    result = Task(lambda: prune(oac_conn_id="oac_prod"), run_id="another").attempt()
    assert (result["deleted"], result["others"]) == ([], 3)
    assert clean.control.bucket() == files
    assert len(names(clean, "prod")) == 3


def test_pruning_keeps_the_file_that_a_registration_in_the_same_instance_uses(
    connections: Connections, clean: Simulator
) -> None:
    first = Task(lambda: backup_operator(task_id="first")).attempt()
    # By hand, beside the created one, which the operator itself never does.
    hook = OACHook("oac_default")
    name = str(registered_name(first["bar_uri"], 1_800_000_000.0))
    hook.wait(hook.run(snapshots.register(name, first["bar_uri"], snapshots.Storage("oac-backups"))))
    threading.Event().wait(1.0)
    second = Task(lambda: backup_operator(task_id="second")).attempt()
    result = Task(prune, run_id="another").attempt()
    assert (result["deleted"], result["kept"]) == ([first["name"]], [second["name"]])
    assert f"oac-backups/{first['bar_uri'].removeprefix('file:///')}" in clean.control.bucket()
    assert name in names(clean)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "Give either snapshot (the result of a backup) or bar_uri"),
        ({"snapshot": {"name": "x"}}, "A registration needs file and bucket"),
        ({"bar_uri": "folder/name.zip", "bucket": "b"}, "must look like file:///folder/name.bar"),
        ({"bar_uri": "oci://b@ns/x.bar", "bucket": "b"}, "must look like file:///folder/name.bar"),
    ],
)
def test_what_cannot_be_registered_is_refused_before_anything_is_sent(
    connections: Connections, clean: Simulator, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(OACConfigurationError, match=re.escape(message)):
        Task(lambda: register_operator(**changes)).attempt()
    assert clean.control.calls("prod", POST) == 0
