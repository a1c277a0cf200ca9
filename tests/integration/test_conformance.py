"""The command that compares a real instance with the contract, with an instance that agrees and some that do not."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_oac.cli.contract import operations
from airflow_provider_oac.simulator.launch import Simulator
from tests.integration.commands import CommandLine, Done
from tests.integration.test_command_line import shell  # noqa: F401 (a fixture)
from tests.tasks import ADMIN, AUTHOR, SEAL_PASSWORD, names, oac_connection


@pytest.fixture
def robot(shell: CommandLine, clean: Simulator) -> CommandLine:  # noqa: F811
    """A shell with a Connection of an administrator."""
    shell.connection("oac_default", oac_connection(clean.ready))
    shell.connection("oac_seal", {"conn_type": "generic", "password": SEAL_PASSWORD})
    return shell


def states(done: Done) -> dict[str, str]:
    return {item["operation"]: item["state"] for item in done.json["operations"]}


def notes(done: Done, operation: str) -> str:
    (found,) = [item for item in done.json["operations"] if item["operation"] == operation]
    return " ".join(found["notes"])


def test_the_simulator_agrees(robot: CommandLine, clean: Simulator) -> None:
    before = clean.control.calls("dev", "POST /snapshots")
    done = robot.run("conformance", "--oac-conn-id", "oac_default", "--json")
    assert done.code == 0, done.out + done.err
    found = states(done)
    reading = {name for name, item in operations().items() if item.method == "GET"}
    assert set(found) >= reading
    assert "disagreed" not in found.values()
    for name in ("listCatalogItems", "getCatalogItem", "getCatalogItemAcl", "getWorkbookCanvases", "getSystem",
                 "getConnection", "listDatasetJobs", "listSnapshots"):  # fmt: skip
        assert found[name] == "agreed", name
    answers = done.json["answers"]
    assert answers["GET /catalog without search"] == "type descriptors."
    assert answers["aud acceptance: the literal of Oracle's older documents"].startswith("accepted")
    assert "oa-current-page" in done.json["headers"]
    assert clean.control.calls("dev", "POST /snapshots") == before


def test_the_report_holds_nothing_that_is_nobodys_business(robot: CommandLine, clean: Simulator) -> None:
    file = robot.folder / "report.md"
    done = robot.run("conformance", "--output", str(file))
    assert (done.code, done.out) == (0, "")
    report = file.read_text()
    print(report)
    assert report.startswith("# Conformance of an OAC instance")
    assert "- getSystem (HTTP 200)" in report
    given = oac_connection(clean.ready)
    for private in (ADMIN, "127.0.0.1", given["login"], "PRIVATE KEY", "eyJ", "Sales"):
        assert private not in report, private


def test_less_rights_mean_that_less_is_tried(robot: CommandLine, clean: Simulator) -> None:
    robot.connection("oac_default", oac_connection(clean.ready, user=AUTHOR))
    done = robot.run("conformance", "--json")
    assert done.code == 0, done.out + done.err
    assert (states(done)["getSystem"], states(done)["getWorkbook"]) == ("not tried", "agreed")
    assert notes(done, "getSystem") == "HTTP 401: the user lacks the role or permission."


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"body": {"description": "my secret words", "owners": "jane"}}, "the answer: lacks serviceInstanceKey."),
        ({"body": {"serviceInstanceKey": 1, "description": "d", "owners": []}},
         "serviceInstanceKey: is of the kind number, the contract says string."),
        ({"body": {"serviceInstanceKey": "k", "description": "d", "owners": [], "flavour": "x"}},
         "Members that the contract does not name: flavour."),
        ({"status": 418, "body": {"code": "TEA"}}, "HTTP 418 is not among the statuses of the contract (200, 400)."),
    ],
)  # fmt: skip
def test_an_instance_that_differs(robot: CommandLine, clean: Simulator, fault: dict[str, Any], said: str) -> None:
    # The first call is that of the check.
    clean.control.fault("GET /system", "status", **{"status": 200, "after": 1, "times": None, **fault})
    done = robot.run("conformance", "--json")
    assert said in notes(done, "getSystem")
    agrees = "does not name" in said
    assert (done.code, states(done)["getSystem"]) == ((0, "agreed") if agrees else (1, "disagreed"))
    assert "my secret words" not in done.out


def test_a_connection_that_does_not_work_is_said_before(robot: CommandLine, clean: Simulator) -> None:
    robot.connection("oac_default", oac_connection(clean.ready, certificate_alias="other"))
    done = robot.run("conformance")
    assert (done.code, done.out) == (1, "")
    assert "The Connection does not work" in done.err


def test_a_snapshot_is_taken_and_removed_if_that_is_allowed(robot: CommandLine, clean: Simulator) -> None:
    asked = robot.run("conformance", "--allow-write")
    assert asked.code == 1
    assert "give --bucket" in asked.err
    clean.control.settings(work_seconds=0)
    done = robot.run("conformance", "--allow-write", "--bucket", "oac-backups", "--seal-conn-id", "oac_seal", "--json")
    assert done.code == 0, done.out + done.err
    found = states(done)
    for name in ("createSnapshot", "getWorkRequest", "getSnapshot", "deleteSnapshot"):
        assert found[name] == "agreed", (name, notes(done, name))
    answers = done.json["answers"]
    assert answers["work request id of a new snapshot"] == "in the body and the header."
    assert "CREATE_SNAPSHOT" in answers["work request of a new snapshot"]
    assert [name for name in names(clean) if name.startswith("conformance-")] == []
    assert SEAL_PASSWORD not in done.out + done.err
