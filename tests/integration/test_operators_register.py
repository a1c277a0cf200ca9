"""Registering a file that is in a bucket already: once, under a name that is never one of pruning's own."""

from __future__ import annotations

import pytest

from airflow_provider_oac.client.snapshot_names import parse, parse_registered
from airflow_provider_oac.exceptions import OACWorkRequestError
from oac_simulator.launch import Simulator
from tests.integration.restores import POST, register_operator
from tests.tasks import Connections, Task, backup_operator, names


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
