"""Registering a file that is in a bucket already: once, under a name that is never one of pruning's own."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_oac.client.snapshot_names import parse, parse_registered
from airflow_provider_oac.exceptions import OACWorkRequestError
from oac_simulator.launch import Simulator
from tests.integration.restores import POST, register
from tests.tasks import Connections, Task, backup_operator, names


@pytest.fixture
def backup(connections: Connections) -> dict[str, Any]:
    """A backup of `dev`, to be registered in `prod`."""
    connections.oac("oac_prod", "prod")
    made: dict[str, Any] = Task(backup_operator).attempt()
    return made


def test_a_backup_of_one_instance_is_registered_in_another(
    clean: Simulator, backup: dict[str, Any], deferrable: bool
) -> None:
    result = register(backup, deferrable=deferrable).attempt()
    (snapshot,) = clean.control.snapshots("prod")
    assert (result["snapshot_id"], result["verified"]) == (snapshot["id"], True)
    assert (result["seal"], result["source_instance"], result["taken_at"]) == ("oac_seal", "dev", backup["taken_at"])
    name = parse_registered(result["name"])
    assert name is not None
    assert str(name.origin) == backup["name"]
    assert parse(result["name"]) is None


def test_a_file_that_is_registered_already_is_found_again_by_either_form_of_its_path(
    clean: Simulator, backup: dict[str, Any]
) -> None:
    path = backup["bar_uri"].removeprefix("file:///")
    first = register(bar_uri=path, bucket="oac-backups").attempt()
    again = register(backup, task_id="another", deferrable=True).attempt()
    assert (again["bar_uri"], again["snapshot_id"]) == (first["bar_uri"], first["snapshot_id"])
    assert (again["verified"], again["work_request_id"]) == (False, None)
    # In its own instance a backup is known already.
    assert register(backup, oac_conn_id="oac_default").attempt()["snapshot_id"] == backup["snapshot_id"]
    assert (clean.control.calls("prod", POST), clean.control.calls("dev", POST)) == (1, 1)


def test_a_failed_registration_leaves_the_list_clean_and_the_file_where_it_is(
    clean: Simulator, backup: dict[str, Any]
) -> None:
    files = clean.control.bucket()
    clean.control.settings(failed_listing="keep")
    clean.control.fault(POST, "fail_work", instance="prod")
    task = register(backup)
    with pytest.raises(OACWorkRequestError):
        task.attempt()
    assert (clean.control.bucket(), names(clean, "prod")) == (files, [])
    assert task.attempt()["verified"]
