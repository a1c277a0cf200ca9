"""The command that compares a real instance with the contract, with an instance that agrees and some that do not."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from airflow_provider_oac.cli.contract import operations
from tests.integration.commands import CommandLine, Done, a_shell  # noqa: F401 (a fixture)
from tests.tasks import ADMIN, AUTHOR, names, oac_connection

WRITING = ("conformance", "--allow-write", "--bucket", "oac-backups", "--seal-conn-id", "oac_seal", "--json")
LOOK, DELETE = "GET /workRequests/{id}", "DELETE /snapshots/{snapshotId}"


def state(done: Done, operation: str) -> tuple[str, str]:
    """State and notes of an operation in the report."""
    (found,) = [item for item in done.json["operations"] if item["operation"] == operation]
    return found["state"], " ".join(found["notes"])


def left(shell: CommandLine) -> list[str]:
    """Names of the snapshots that the command has taken and not deleted."""
    return [name for name in names(shell.simulator) if name.startswith("conformance-")]


def test_the_simulator_agrees(shell: CommandLine) -> None:
    done = shell.run("conformance", "--oac-conn-id", "oac_default", "--json")
    assert done.code == 0, done.out + done.err
    found = {item["operation"]: item["state"] for item in done.json["operations"]}
    assert found.keys() >= {name for name, item in operations().items() if item.method == "GET"}
    assert "disagreed" not in found.values()
    for name in ("listCatalogItems", "getCatalogItem", "getCatalogItemAcl", "getWorkbookCanvases", "getSystem",
                 "getConnection", "listDatasetJobs", "listSnapshots"):  # fmt: skip
        assert found[name] == "agreed", name
    answers = done.json["answers"]
    assert answers["GET /catalog without search"] == "type descriptors."
    assert answers["aud acceptance: the literal of Oracle's older documents"].startswith("accepted")
    assert not [name for name in answers if name.startswith("MCP")]
    assert "oa-current-page" in done.json["headers"]
    assert shell.control.calls("dev", "POST /snapshots") == 0


@pytest.mark.parametrize("reply", ["json", "sse"])
def test_the_mcp_server_is_asked_if_it_is_wanted(reply: str, shell: CommandLine) -> None:
    shell.control.settings(mcp_reply=reply)
    done = shell.run("conformance", "--json", "--sql", "Sales History")
    answers = {name: text for name, text in done.json["answers"].items() if name.startswith("MCP")}
    assert (done.code, len(answers)) == (0, 18)
    assert not [text for text in answers.values() if "not answered" in text]
    assert "2025-11-25: 2025-06-18" in answers["MCP, versions"]
    assert "nQSError: 27005" in answers["MCP, unknown column"]
    assert "cells ['NoneType', 21, 'float', 1, 1]" in answers["MCP, columns"]
    # Shapes only: neither names of the model nor values.
    for text in ("Sales History", "Category", "2020-01-02", "2026-"):
        assert text not in json.dumps(answers)


def test_the_report_holds_nothing_that_is_nobodys_business(shell: CommandLine) -> None:
    file = shell.folder / "report.md"
    done = shell.run("conformance", "--output", str(file))
    assert (done.code, done.out) == (0, "")
    report = file.read_text()
    assert report.startswith("# Conformance of an OAC instance")
    assert "- getSystem (HTTP 200)" in report
    for private in (ADMIN, "127.0.0.1", shell.simulator.ready["client_id"], "PRIVATE KEY", "eyJ", "Sales"):
        assert private not in report, private


def test_less_rights_mean_that_less_is_tried(shell: CommandLine) -> None:
    shell.connection("oac_default", oac_connection(shell.simulator.ready, user=AUTHOR))
    done = shell.run("conformance", "--json")
    assert done.code == 0, done.out + done.err
    assert state(done, "getSystem") == ("not tried", "HTTP 401: the user lacks the role or permission.")
    assert state(done, "getWorkbook")[0] == "agreed"


SYSTEM = {"serviceInstanceKey": "k", "description": "a secret", "owners": []}


@pytest.mark.parametrize(
    ("status", "body", "found", "said"),
    [
        (200, {"description": "a secret", "owners": []}, "disagreed", "the response: lacks serviceInstanceKey."),
        (200, {**SYSTEM, "serviceInstanceKey": 1}, "disagreed", "is of the type number; the contract says string."),
        (200, {**SYSTEM, "flavour": "x"}, "agreed", "Members that the contract does not name: flavour."),
        (418, {"code": "TEA"}, "disagreed", "HTTP 418 is not among the statuses of the contract (200, 400)."),
    ],
    ids=["less", "other type", "more", "other status"],
)
def test_an_instance_that_differs(status: int, body: dict[str, Any], found: str, said: str, shell: CommandLine) -> None:
    # The first call is that of the check.
    shell.control.fault("GET /system", "status", status=status, body=body, after=1, times=None)
    done = shell.run("conformance", "--json")
    assert (done.code, state(done, "getSystem")[0]) == (int(found == "disagreed"), found)
    assert said in state(done, "getSystem")[1]
    assert "a secret" not in done.out


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("conformance", "--oac-conn-id", "oac_wrong"), "The Connection does not work"),
        (("conformance", "--allow-write"), "needs --bucket"),
        ((*WRITING, "--output", "not-there/report.json"), "cannot be written: No such file or directory."),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_done(
    command: tuple[str, ...], said: str, shell: CommandLine
) -> None:
    shell.connection("oac_wrong", oac_connection(shell.simulator.ready, certificate_alias="other"))
    done = shell.run(*command)
    assert (done.code, done.out, said in done.err) == (1, "", True)
    assert shell.control.calls("dev", "POST /snapshots") == 0


@pytest.mark.parametrize(
    ("fault", "code", "said"),
    [
        ({}, 0, ""),
        ({"times": 10, "status": 503}, 0, "HTTP 503: the instance is not ready."),
        ({"status": 500}, 1, "HTTP 500: OAC failed."),
        ({"status": 200, "body": []}, 1, "the response: is of the type array; the contract says object."),
    ],
    ids=["no fault", "not ready", "failure", "another answer"],
)
def test_a_snapshot_is_taken_and_removed_if_that_is_allowed(
    fault: dict[str, Any], code: int, said: str, shell: CommandLine
) -> None:
    if fault:
        shell.control.fault(LOOK, "status", **fault)
    done = shell.run(*WRITING)
    assert left(shell) == [], done.out + done.err
    assert done.code == code
    look, notes = state(done, "getWorkRequest")
    assert (look, said in notes) == ("disagreed" if code else "agreed", True)
    for name in ("createSnapshot", "getSnapshot", "deleteSnapshot"):
        assert state(done, name)[0] == "agreed", name
    answers = done.json["answers"]
    assert answers["work request id of a new snapshot"] == "in the body and the header."
    assert code or "CREATE_SNAPSHOT" in answers["work request of a new snapshot"]


def test_a_snapshot_that_cannot_be_removed_is_named(shell: CommandLine) -> None:
    shell.control.settings(work_seconds=0)
    shell.control.fault(DELETE, "status", status=400, times=None)
    done = shell.run(*WRITING)
    (name,) = left(shell)
    found, notes = state(done, "deleteSnapshot")
    assert (done.code, found, "still exists after its deletion" in notes) == (1, "disagreed", True)
    assert f"The snapshot {name} still exists after its deletion." in done.err
    assert name not in done.out


def test_who_interrupts_it_is_told_what_is_left(shell: CommandLine) -> None:
    shell.control.settings(work_seconds=600)
    running = shell.start(*WRITING)
    running.until("Taking the snapshot")
    while not shell.control.calls("dev", LOOK):
        time.sleep(0.05)
    running.interrupt()
    done = running.done()
    (name,) = left(shell)
    assert (done.code, f"The snapshot {name} still exists after its deletion." in done.err) == (130, True)
