"""The operators for permissions."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_oac.client import ids
from airflow_provider_oac.client.flows.acl_report import COLUMNS
from airflow_provider_oac.client.rest import acl
from airflow_provider_oac.exceptions import OACApiError, OACError
from airflow_provider_oac.hooks.oac import OACHook
from airflow_provider_oac.operators.acl import OACAuditACLOperator, OACUpdateACLOperator
from oac_simulator.launch import Simulator
from tests.tasks import AUTHOR, Connections, Task

SHARED, SALES, FINANCE = (f"/@Catalog/shared{name}" for name in ("", "/Sales", "/Finance"))
COLLEAGUE = "oac.colleague@example.com"
GET, UPDATE = (f"POST /catalog/{{type}}/{{id}}/actions/{name}ACL" for name in ("get", "update"))
READER = {"account": COLLEAGUE, "permissions": ["read", "list"]}

pytestmark = pytest.mark.usefixtures("connections")


def update(**changes: Any) -> Any:
    arguments = {"catalog_type": "folders", "path": FINANCE, "entries": [READER], **changes}
    return Task(lambda: OACUpdateACLOperator(task_id="update", **arguments)).attempt()


def audit(**arguments: Any) -> Any:
    return Task(lambda: OACAuditACLOperator(task_id="audit", **{"folder_path": SHARED, **arguments})).attempt()


def json_lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def allowed(path: str, kind: str = "folders") -> dict[str, tuple[str, ...]]:
    return {entry.account: entry.allowed for entry in OACHook().run(acl.get(kind, ids.catalog_id(path)))}


# ---------------------------------------------------------------------------------------------------- update


def test_only_the_named_accounts_change(clean: Simulator, said: Callable[[], str]) -> None:
    before = allowed(FINANCE)
    result = update()
    assert allowed(FINANCE) == {**before, COLLEAGUE: ("read", "list")}
    line = f"+ User '{COLLEAGUE}' (Oac Colleague): read, list"
    assert (result["changed"], result["dry_run"], result["difference"]) == (True, False, [line])
    assert {entry["account"] for entry in result["acl"]} == {*before, COLLEAGUE}
    log, planned = said(), f"+ User '{COLLEAGUE}': read, list"
    assert log.index(f"Changing {FINANCE}:\n  {planned}") < log.index(f"Changed {FINANCE}:\n  {line}")
    # What is so already is not sent again.
    again = update()
    assert (again["changed"], again["difference"], clean.control.calls("dev", UPDATE)) == (False, [], 1)


def test_a_dry_run_sends_nothing(clean: Simulator) -> None:
    result = update(dry_run=True, mode="ReplaceAll")
    assert (result["changed"], result["dry_run"]) == (False, True)
    assert [line[0] for line in result["difference"]] == ["+", "-", "-"]
    assert [entry["account"] for entry in result["acl"]] == [COLLEAGUE]
    assert clean.control.calls("dev", UPDATE) == 0


def test_a_role_is_found_by_the_name_that_the_console_shows_and_replaced_and_removed(clean: Simulator) -> None:
    role = {"account": "DV Content Author", "account_type": "ApplicationRole"}
    assert update(mode="ReplaceAll", entries=[{**role, "permissions": ["read"]}])["changed"] is True
    assert allowed(FINANCE) == {"DVContentAuthor": ("read",)}
    assert update(entries=[{**role, "permissions": ["read"]}])["changed"] is False
    assert update(mode="DeleteMatchingAccounts", entries=[role])["difference"] == [
        "- ApplicationRole 'DVContentAuthor' (DV Content Author): read"
    ]
    assert allowed(FINANCE) == {}


def test_a_removal_that_fits_no_account_says_so(clean: Simulator, said: Callable[[], str]) -> None:
    role = {"account": "DV Reader", "account_type": "ApplicationRole"}
    assert update(mode="DeleteMatchingAccounts", entries=[role])["changed"] is False
    assert "have no entry for ApplicationRole 'DVReader': nothing to remove" in said()


def test_a_change_goes_down_when_that_is_wanted(clean: Simulator) -> None:
    update()
    assert COLLEAGUE not in allowed(f"{FINANCE}/Budget", "workbooks")
    assert update(recursive=True)["changed"] is True
    assert allowed(f"{FINANCE}/Budget", "workbooks")[COLLEAGUE] == ("read", "list")


def test_an_unknown_account_is_reported_in_the_words_of_oac(clean: Simulator, said: Callable[[], str]) -> None:
    before = allowed(FINANCE)
    with pytest.raises(OACApiError, match=r"HTTP 400, BadRequest: There is no account jo of the type User"):
        update(entries=[READER, {"account": "jo", "permissions": ["read"]}])
    assert allowed(FINANCE) == before
    assert f"Accounts in the change: User '{COLLEAGUE}', User 'jo'." in said()


def test_an_account_that_oac_passes_over_in_silence_is_an_error(clean: Simulator) -> None:
    body = [{"accountGuid": "x", "accountType": "User", "permissions": {"write": True}}]
    clean.control.fault(UPDATE, "status", status=200, body=body)
    with pytest.raises(OACError, match=rf"its list does not show User '{COLLEAGUE}'"):
        update()


# ------------------------------------------------------------------------------------------------------ audit


def test_an_audit_as_csv(clean: Simulator, tmp_path: Path) -> None:
    clean.control.settings(page_size=3)
    update()
    file = tmp_path / "acl.csv"
    result = audit(destination=f"file://{file}")
    rows = list(csv.DictReader(file.open(newline="")))
    assert tuple(rows[0]) == COLUMNS
    assert {row["path"] for row in rows} == {
        item["plain"] for item in clean.control.content("dev")["catalog"] if item["plain"].startswith(SHARED)
    }
    (mine,) = [row for row in rows if row["path"] == FINANCE and row["account"] == COLLEAGUE]
    assert (mine["read"], mine["list"], mine["write"], mine["account_type"]) == ("true", "true", "false", "User")
    assert result == {
        "path": f"file://{file}", "items": len({row["path"] for row in rows}), "lines": len(rows),
        "size": file.stat().st_size, "sha256": sha256(file.read_bytes()).hexdigest(),
        "unreadable_count": 0, "unreadable": [],
    }  # fmt: skip
    assert list(tmp_path.iterdir()) == [file]


def test_an_audit_as_json_lines(clean: Simulator, tmp_path: Path) -> None:
    file = tmp_path / "acl.jsonl"
    result = audit(destination=str(file), file_format="jsonl", folder_path=None, folder_id=ids.catalog_id(SALES))
    lines = json_lines(file)
    assert result["items"] == result["lines"] == len(lines)
    assert (lines[0]["path"], lines[0]["type"]) == (SALES, "folders")
    pipeline = next(line for line in lines if line["name"] == "Pipeline")
    assert pipeline["acl"][-1] == {
        "account_type": "ApplicationRole", "account": "DVConsumer", "account_name": "DV Consumer",
        "permissions": ["read", "list", "execute"],
    }  # fmt: skip


@pytest.mark.parametrize("file_format", ["csv", "jsonl"])
def test_what_may_not_be_read_fails_or_is_written_down(clean: Simulator, tmp_path: Path, file_format: str) -> None:
    file = tmp_path / "acl"
    fault = {"status": 403, "body": {"code": "Forbidden", "message": "Not, yours"}, "after": 3, "times": 2}
    clean.control.fault(GET, "status", **fault)
    with pytest.raises(OACError, match=r"Not, yours.*No file was written. unreadable='record'"):
        audit(destination=str(file), file_format=file_format)
    assert list(tmp_path.iterdir()) == []
    clean.control.clear_faults()
    clean.control.fault(GET, "status", **fault)
    result = audit(destination=str(file), file_format=file_format, unreadable="record", max_parallel=1)
    assert result["unreadable_count"] == len(result["unreadable"]) == 2
    rows = list(csv.DictReader(file.open(newline=""))) if file_format == "csv" else json_lines(file)
    found = [(row["path"], row["error"]) for row in rows if row.get("error")]
    assert found == [(path, "HTTP 403 Not, yours") for path in result["unreadable"]]


def test_an_item_without_permissions_is_left_out_only_if_it_is_gone(clean: Simulator, tmp_path: Path) -> None:
    arguments = {
        "destination": str(tmp_path / "acl.jsonl"), "file_format": "jsonl", "folder_path": SALES, "max_parallel": 1,
    }  # fmt: skip
    fault = {"status": 404, "body": {"code": "NotFound", "message": "No list"}, "after": 1}
    clean.control.fault(GET, "status", **fault)
    with pytest.raises(OACError, match=r"No list.*No file was written"):
        audit(**arguments)
    clean.control.fault(GET, "status", **fault)
    result = audit(**arguments, unreadable="record")
    assert (result["lines"], result["unreadable_count"]) == (result["items"], 1)
    clean.control.fault(GET, "status", **fault)
    # The first item after the folder itself is a workbook.
    clean.control.fault("GET /catalog/workbooks/{urlBase64WorkbookId}", "status", status=404, times=None)
    result = audit(**arguments)
    assert (result["lines"], result["unreadable_count"]) == (result["items"] - 1, 0)


def test_an_audit_sees_what_its_user_sees(connections: Connections, clean: Simulator, tmp_path: Path) -> None:
    everything = audit(destination=str(tmp_path / "a"))["items"]
    connections.oac(user=AUTHOR)
    assert audit(destination=str(tmp_path / "b"))["items"] < everything
    with pytest.raises(OACApiError, match="Manage Content"):
        audit(destination=str(tmp_path / "c"), manage_content=True)
