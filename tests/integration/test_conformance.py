"""The command that compares a real instance with the contract, with an instance that agrees and some that do not."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import Any

import pytest

from airflow_provider_oac.cli.contract import operations
from oac_simulator.launch import Simulator
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


@pytest.mark.parametrize("reply", ["json", "sse"])
def test_the_mcp_server_is_asked_if_it_is_wanted(robot: CommandLine, clean: Simulator, reply: str) -> None:
    assert not [name for name in robot.run("conformance", "--json").json["answers"] if name.startswith("MCP")]
    clean.control.settings(mcp_reply=reply)
    done = robot.run("conformance", "--json", "--sql", "Sales History")
    answers = {name: text for name, text in done.json["answers"].items() if name.startswith("MCP")}
    assert len(answers) == 18
    assert not [text for text in answers.values() if "not answered" in text]
    assert "2025-11-25: 2025-06-18" in answers["MCP, versions"]
    assert "nQSError: 27005" in answers["MCP, unknown column"]
    assert "cells ['NoneType', 21, 'float', 1, 1]" in answers["MCP, columns"]
    # Shapes only: neither names of the model nor values.
    for text in ("Sales History", "Category", "2020-01-02", "2026-"):
        assert text not in json.dumps(answers)
    assert done.code == 0


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
        ({"body": {"description": "my secret words", "owners": "jane"}}, "the response: lacks serviceInstanceKey."),
        ({"body": {"serviceInstanceKey": 1, "description": "d", "owners": []}},
         "serviceInstanceKey: is of the type number; the contract says string."),
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
    assert "needs --bucket" in asked.err
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


WRITING = ("conformance", "--allow-write", "--bucket", "oac-backups", "--seal-conn-id", "oac_seal", "--json")
LOOK = "GET /workRequests/{id}"


def left(clean: Simulator) -> list[str]:
    return [name for name in names(clean) if name.startswith("conformance-")]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"fault": "status", "status": 503}, None),
        ({"fault": "status", "status": 500}, "HTTP 500: OAC failed."),
        (
            {"fault": "status", "status": 200, "body": []},
            "the response: is of the type array; the contract says object.",
        ),
    ],
)
def test_one_bad_answer_does_not_leave_the_snapshot_behind(
    robot: CommandLine, clean: Simulator, fault: dict[str, Any], said: str | None
) -> None:
    clean.control.fault(LOOK, times=10 if fault["status"] == 503 else 1, **fault)
    done = robot.run(*WRITING)
    assert left(clean) == [], done.out + done.err
    assert (done.code, states(done)["deleteSnapshot"]) == (1 if said else 0, "agreed")
    assert (said or "HTTP 503: the instance is not ready.") in notes(done, "getWorkRequest")


def test_a_snapshot_that_cannot_be_removed_is_named(robot: CommandLine, clean: Simulator) -> None:
    clean.control.settings(work_seconds=0)
    clean.control.fault("DELETE /snapshots/{snapshotId}", "status", status=400, times=None)
    done = robot.run(*WRITING)
    (name,) = left(clean)
    assert (done.code, states(done)["deleteSnapshot"]) == (1, "disagreed")
    assert "still exists after its deletion" in notes(done, "deleteSnapshot")
    assert f"The snapshot {name} still exists after its deletion." in done.err
    assert name not in done.out


def test_who_interrupts_it_is_told_what_is_left(robot: CommandLine, clean: Simulator) -> None:
    clean.control.settings(work_seconds=600)
    running = robot.start(*WRITING)
    running.until("Taking the snapshot")
    while not clean.control.calls("dev", LOOK):
        time.sleep(0.05)
    os.kill(running.pid, signal.SIGINT)
    done = running.done()
    (name,) = left(clean)
    assert (done.code, f"The snapshot {name} still exists after its deletion." in done.err) == (130, True)


def test_a_report_that_cannot_be_written_is_said_before_anything_is_done(robot: CommandLine, clean: Simulator) -> None:
    done = robot.run(*WRITING, "--output", str(robot.folder / "not-there" / "report.json"))
    assert (done.code, "cannot be written: No such file or directory." in done.err) == (1, True)
    assert clean.control.calls("dev", "POST /snapshots") == 0
