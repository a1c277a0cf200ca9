"""What finds out whether one instance is a copy of another, and what reviews a restore before it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_oac.client import ids
from airflow_provider_oac.client.flows.acl_changes import access
from airflow_provider_oac.client.rest import acl, catalog
from airflow_provider_oac.exceptions import OACConfigurationError, OACError
from airflow_provider_oac.hooks.oac import OACHook
from airflow_provider_oac.operators.compare import (
    OACCheckRolesOperator,
    OACCompareCatalogsOperator,
    OACReviewRestoreOperator,
)
from airflow_provider_oac.operators.snapshots import OACFindSnapshotOperator
from oac_simulator.launch import Simulator
from tests.integration.restores import host, registered
from tests.tasks import AUTHOR, Connections, Task, backup_operator

SALES = "/@Catalog/shared/Sales"


@pytest.fixture(autouse=True)
def prod(connections: Connections) -> None:
    """A Connection to the copy."""
    connections.oac("oac_prod", "prod")


def compare(**changes: Any) -> Any:
    """Compare prod, the copy, with dev."""
    arguments = {"oac_conn_id": "oac_prod", "source_oac_conn_id": "oac_default", **changes}
    return Task(lambda: OACCompareCatalogsOperator(task_id="compare", **arguments)).attempt()


def test_a_copy_is_equal() -> None:
    result = compare()
    assert result.pop("compared") > 10
    assert result == {
        "equal": True, "missing": [], "different": [], "extra": [], "changed_since": [], "permissions_unread": 0,
    }  # fmt: skip


def test_what_is_missing_is_named(clean: Simulator) -> None:
    clean.control.damage("prod", ["sequences"])
    with pytest.raises(OACError, match=r"The copy differs from the source.*sequences '.+'\.'Nightly'"):
        compare()
    result = compare(fail_on_difference=False)
    assert not result["equal"]
    assert {text.partition(" ")[0] for text in result["missing"]} == {"sequences"}


def test_permissions_that_nobody_may_read_are_not_proved(clean: Simulator) -> None:
    get = "POST /catalog/{type}/{id}/actions/getACL"
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


def test_permissions_that_differ_are_named() -> None:
    OACHook("oac_prod").run(acl.update(ids.FOLDERS, ids.catalog_id(SALES), [access(AUTHOR, ["read", "write"])]))
    result = compare(fail_on_difference=False)
    (different,) = [pair for pair in result["different"] if pair[0].endswith("/Sales")]
    assert AUTHOR in different[1]
    assert compare(permissions=False)["equal"]


def test_what_changed_in_the_source_since_or_is_only_in_the_copy_is_told_and_no_failure(clean: Simulator) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)
    clean.control.damage("dev", ["sequences"])
    OACHook("oac_default").run(catalog.create_folder("Promoted", ids.catalog_id(SALES)))
    with pytest.raises(OACError, match="Promoted"):
        compare()
    result = compare(taken_at=before.isoformat())
    assert any("Promoted" in text for text in result["changed_since"])
    assert (result["equal"], bool(result["extra"])) == (True, True)


def test_a_comparison_that_proves_nothing_fails() -> None:
    with pytest.raises(OACConfigurationError, match="both point to"):
        compare(oac_conn_id="oac_default")
    with pytest.raises(OACError, match="Nothing to compare"):
        compare(taken_at="2001-01-01T00:00:00Z")


# -- the review


def review(**changes: Any) -> str:
    """A review of a restore into prod."""
    arguments = {"expected_host": host(), "source_oac_conn_id": "oac_default", **changes}
    task = Task(lambda: OACReviewRestoreOperator(task_id="review", oac_conn_id="oac_prod", **arguments))
    return str(task.attempt())


def test_a_review_says_source_target_age_and_what_will_be_lost(connections: Connections, clean: Simulator) -> None:
    snapshot = registered(connections)
    clean.control.damage("dev", ["sequences"])
    old = {**snapshot, "taken_at": (datetime.now(UTC) - timedelta(hours=3)).isoformat()}
    OACHook("oac_prod").run(catalog.create_folder("Of Production", ids.catalog_id(SALES)))
    text = review(snapshot=old)
    for part in (f"**Target: {host()}**", "**Taken of:** dev", "(**3:00:", "schedules of deliveries"):
        assert part in text
    assert re.search(r"\d+ workbooks", text)
    lost, _, changed = text.partition("**Lost, because it changed in the target since the snapshot:**")
    assert "- sequences" in lost
    assert "Of Production" in lost
    assert "Of Production" in changed
    assert "the source was not read" in review(snapshot=snapshot, source_oac_conn_id=None)
    with pytest.raises(OACConfigurationError, match="expected_host is 'elsewhere'"):
        review(snapshot=snapshot, expected_host="elsewhere")


# -- roles, and finding


def test_roles_are_seen_by_what_they_allow(connections: Connections) -> None:
    def check(**needed: Any) -> Any:
        return Task(lambda: OACCheckRolesOperator(task_id="roles", **needed)).attempt()

    assert check() == {"administrator": True, "author": True}
    connections.oac(user=AUTHOR)
    with pytest.raises(OACError, match="lacks the role of an administrator"):
        check()
    assert check(needed=("author",)) == {"administrator": False, "author": True}


def test_the_newest_snapshot_is_found_created_or_registered(connections: Connections) -> None:
    def find(**changes: Any) -> Any:
        arguments = {"snapshot_label": "nightly", **changes}
        return Task(lambda: OACFindSnapshotOperator(task_id="find", **arguments)).attempt()

    first = Task(lambda: backup_operator(task_id="first")).attempt()
    snapshot = registered(connections, snapshot_label="nightly")
    assert find()["name"] == max(first["name"], snapshot["name"].split("--", 2)[2])
    there = find(oac_conn_id="oac_prod", source_instance="dev", registered=True)
    assert (there["snapshot_id"], there["seal"]) == (snapshot["snapshot_id"], "oac_seal")
    none, young = "snapshot of the series", timedelta(microseconds=1)
    for changes, says in (
        ({"registered": True}, none),
        ({"bucket": "other"}, none),
        ({"max_age": young}, r"older than 0:00:00\.000001"),
    ):
        with pytest.raises(OACError, match=says):
            find(**changes)
        assert find(**changes, missing_ok=True) is None
