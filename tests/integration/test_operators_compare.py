"""A snapshot of one instance restored into another brings back what the API lists; and what finds out if not."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_oac.client import ids
from airflow_provider_oac.client.flows.acl_changes import access
from airflow_provider_oac.client.rest import acl, catalog
from airflow_provider_oac.client.rest import connections as connection_calls
from airflow_provider_oac.exceptions import OACConfigurationError, OACError
from airflow_provider_oac.hooks.oac import OACHook
from airflow_provider_oac.operators.compare import (
    OACCheckRolesOperator,
    OACCompareCatalogsOperator,
    OACReviewRestoreOperator,
)
from airflow_provider_oac.operators.snapshots import OACFindSnapshotOperator
from oac_simulator.launch import Simulator
from tests.integration.restores import host, registered, restoring
from tests.tasks import AUTHOR, Connections, Task, backup_operator

SALES = "/@Catalog/shared/Sales"


def compare(**changes: Any) -> dict[str, Any]:
    """Compare prod, the copy, with dev."""
    arguments = {"task_id": "compare", "oac_conn_id": "oac_prod", "source_oac_conn_id": "oac_default"}
    result: dict[str, Any] = Task(lambda: OACCompareCatalogsOperator(**{**arguments, **changes})).attempt()
    return result


def find(**changes: Any) -> dict[str, Any]:
    """Find the newest backup of dev."""
    arguments = {"task_id": "find", "snapshot_label": "nightly"}
    result: dict[str, Any] = Task(lambda: OACFindSnapshotOperator(**{**arguments, **changes})).attempt()
    return result


def change_dev() -> str:
    """A folder with permissions of its own, and a connection, which only dev has; returns the connection's id."""
    dev = OACHook("oac_default")
    folder = dev.run(catalog.create_folder("Promoted", ids.catalog_id(SALES)))
    dev.run(acl.update(ids.FOLDERS, folder.id, [access(AUTHOR, ["read", "list"])]))
    params = {
        "connectionType": "oracle-autonomous-data-warehouse", "connectionString": "tcps://x", "username": "u",
        "password": "Some-Password-1", "sslType": "ServerAuthentication",
    }  # fmt: skip
    return dev.run(connection_calls.create(connection_calls.ConnectionOrder("New", params)))


def test_a_restored_snapshot_brings_back_workbooks_permissions_and_connections_as_the_api_lists_them(
    connections: Connections, clean: Simulator, deferrable: bool
) -> None:
    connection_id = change_dev()
    snapshot = registered(connections)
    clean.control.damage("prod")
    task, _ = restoring(connections, snapshot, deferrable=deferrable)
    task.attempt()
    dev, prod = OACHook("oac_default"), OACHook("oac_prod")
    for kind in (ids.WORKBOOKS, ids.FOLDERS, ids.CONNECTIONS, ids.DATASETS, ids.DATAFLOWS, ids.SEQUENCES):
        here, there = dev.run(catalog.list_items(kind)), prod.run(catalog.list_items(kind))
        assert here
        assert [item.raw for item in here] == [item.raw for item in there]
        for item in here:
            assert dev.run(acl.get(kind, item.id)) == prod.run(acl.get(kind, item.id))
    folder = ids.catalog_id(f"{SALES}/Promoted")
    assert [entry.account for entry in prod.run(acl.get(ids.FOLDERS, folder))].count(AUTHOR) == 1
    detail = connection_calls.get(connection_id)
    assert dev.run(detail).raw == prod.run(detail).raw
    result = compare()
    assert result["equal"]
    assert result["compared"] > 10
    assert (result["missing"], result["different"], result["extra"], result["changed_since"]) == ([], [], [], [])


def test_what_is_missing_is_named(connections: Connections, clean: Simulator) -> None:
    connections.oac("oac_prod", "prod")
    clean.control.damage("prod", ["sequences"])
    with pytest.raises(OACError, match=r"The copy differs from the source.*sequences '.+'\.'Nightly'"):
        compare()
    result = compare(fail_on_difference=False)
    assert not result["equal"]
    assert [text.partition(" ")[0] for text in result["missing"]] == ["sequences"] * len(result["missing"])


def test_permissions_that_nobody_may_read_are_not_proved(connections: Connections, clean: Simulator) -> None:
    connections.oac("oac_prod", "prod")
    get = "POST /catalog/{type}/{id}/actions/getACL"
    assert compare()["permissions_unread"] == 0
    clean.control.fault(get, "status", status=403, times=None)
    with pytest.raises(OACError, match=r"No permissions were compared: .*permissions=False"):
        compare()
    result = compare(permissions=False)
    assert (result["equal"], result["permissions_unread"]) == (True, None)
    clean.control.clear_faults()
    # Of a few items, on both sides.
    clean.control.fault(get, "status", status=403, times=None, instance="prod")
    clean.control.fault(get, "status", status=403, times=None, after=4, instance="dev")
    result = compare(fail_on_difference=False)
    assert result["permissions_unread"] == result["compared"] - 4


def test_permissions_that_differ_are_named(connections: Connections, clean: Simulator) -> None:
    connections.oac("oac_prod", "prod")
    OACHook("oac_prod").run(acl.update(ids.FOLDERS, ids.catalog_id(SALES), [access(AUTHOR, ["read", "write"])]))
    result = compare(fail_on_difference=False)
    (different,) = [pair for pair in result["different"] if pair[0].endswith("/Sales")]
    assert AUTHOR in different[1]
    assert compare(permissions=False)["equal"]


def test_what_changed_in_the_source_since_is_told_and_no_failure(connections: Connections, clean: Simulator) -> None:
    connections.oac("oac_prod", "prod")
    before = datetime.now(UTC) - timedelta(seconds=2)
    change_dev()
    with pytest.raises(OACError, match="Promoted"):
        compare()
    result = compare(taken_at=before.isoformat())
    assert any("Promoted" in text for text in result["changed_since"])
    assert result["equal"]


def test_what_only_the_copy_has_is_told(connections: Connections, clean: Simulator) -> None:
    connections.oac("oac_prod", "prod")
    clean.control.damage("dev", ["sequences"])
    result = compare()
    assert result["equal"]
    assert result["extra"]


def test_an_instance_is_not_compared_with_itself(connections: Connections) -> None:
    with pytest.raises(OACConfigurationError, match="both point to"):
        compare(oac_conn_id="oac_default")


def test_an_empty_comparison_proves_nothing(connections: Connections, clean: Simulator) -> None:
    connections.oac("oac_prod", "prod")
    with pytest.raises(OACError, match="Nothing to compare"):
        compare(taken_at="2001-01-01T00:00:00Z")


# -- the review


def review(connections: Connections, **changes: Any) -> str:
    """A review of a restore into prod."""
    arguments = {
        "task_id": "review",
        "oac_conn_id": "oac_prod",
        "expected_host": host(connections),
        "source_oac_conn_id": "oac_default",
    }
    text: str = Task(lambda: OACReviewRestoreOperator(**{**arguments, **changes})).attempt()
    return text


def test_a_review_says_source_target_age_and_what_will_be_lost(connections: Connections, clean: Simulator) -> None:
    snapshot = registered(connections)
    clean.control.damage("dev", ["sequences"])
    prod = OACHook("oac_prod")
    old = {**snapshot, "taken_at": (datetime.now(UTC) - timedelta(hours=3)).isoformat()}
    prod.run(catalog.create_folder("Of Production", ids.catalog_id(SALES)))
    text = review(connections, snapshot=old)
    assert f"**Target: {host(connections)}**" in text
    assert "**Taken of:** dev" in text
    assert "(**3:00:" in text
    assert re.search(r"\d+ workbooks", text)
    lost, _, changed = text.partition("**Lost, because it changed in the target since the snapshot:**")
    assert "- sequences" in lost
    assert "Of Production" in lost
    assert "Of Production" in changed
    assert "schedules of deliveries" in text


def test_a_review_without_the_source_says_so(connections: Connections) -> None:
    text = review(connections, snapshot=registered(connections), source_oac_conn_id=None)
    assert "the source was not read" in text


def test_a_review_of_another_host_is_refused(connections: Connections) -> None:
    snapshot = registered(connections)
    with pytest.raises(OACConfigurationError, match="expected_host is 'elsewhere'"):
        review(connections, snapshot=snapshot, expected_host="elsewhere")


# -- roles, and finding


def test_roles_are_seen_by_what_they_allow(connections: Connections, clean: Simulator) -> None:
    check = {"task_id": "roles"}
    assert Task(lambda: OACCheckRolesOperator(**check)).attempt() == {"administrator": True, "author": True}
    connections.oac(user=AUTHOR)
    with pytest.raises(OACError, match="lacks the role of an administrator"):
        Task(lambda: OACCheckRolesOperator(**check)).attempt()
    some = Task(lambda: OACCheckRolesOperator(needed=("author",), **check)).attempt()
    assert some == {"administrator": False, "author": True}


def test_the_newest_snapshot_is_found_created_or_registered(connections: Connections, clean: Simulator) -> None:
    first = Task(lambda: backup_operator(task_id="first")).attempt()
    snapshot = registered(connections, snapshot_label="nightly")
    newest = find()
    assert newest["name"] == max(first["name"], snapshot["name"].split("--", 2)[2])
    there = find(oac_conn_id="oac_prod", source_instance="dev", registered=True)
    assert (there["snapshot_id"], there["seal"]) == (snapshot["snapshot_id"], "oac_seal")
    for changes in (
        {"oac_conn_id": "oac_prod"},
        {"registered": True},
        {"snapshot_label": "other"},
        {"bucket": "other"},
    ):
        with pytest.raises(OACError, match="snapshot of the series"):
            find(**changes)
        assert find(**changes, missing_ok=True) is None
    with pytest.raises(OACError, match=r"older than 0:00:00\.000001"):
        find(max_age=timedelta(microseconds=1))
    assert find(max_age=timedelta(microseconds=1), missing_ok=True) is None
