"""OACApiOperator: any call by name or path, in pages, waited for, and never twice by accident."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_oac._compat import AirflowFailException, AirflowSkipException
from airflow_provider_oac.client import ids
from airflow_provider_oac.exceptions import (
    OACApiError,
    OACConfigurationError,
    OACError,
    OACResponseError,
    OACWaitTimeoutError,
    OACWorkRequestError,
)
from airflow_provider_oac.operators.api import OACApiOperator
from oac_simulator.launch import Simulator
from tests.tasks import Connections, Task, forget_work

SALES = "/@Catalog/shared/Sales"
RELOAD = "POST /catalog/datasets/{datasetId}/actions/reload"
FOLDERS = "POST /catalog/folders"
BODY = {"name": "New", "parentId": ids.catalog_id(SALES)}

pytestmark = pytest.mark.usefixtures("connections")


def task(*, store: bool = True, **arguments: Any) -> Task:
    return Task(lambda: OACApiOperator(task_id="any", **{"retries": 2, **arguments}), store=store)


def create_folder(*, store: bool = True, **changes: Any) -> Task:
    """A call that must not be sent twice."""
    return task(store=store, **{"method": "POST", "path": "/catalog/folders", "body": BODY, **changes})


def does(**arguments: Any) -> Any:
    return task(**arguments).attempt()


def reload(*, store: bool = True, **changes: Any) -> Task:
    waits = {"wait_for_completion": True, "poll_interval": 0.05}
    path = f"/catalog/datasets/{ids.object_id('admin', 'Orders')}/actions/reload"
    return task(store=store, method="POST", path=path, **waits, **changes)


# ------------------------------------------------------------------------------------------------ one answer


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ({"call": "system.get"}, "serviceInstanceKey"),
        ({"method": "get", "path": "/system"}, "serviceInstanceKey"),
        ({"method": "GET", "path": "/api/20210901/system", "base": ""}, "serviceInstanceKey"),
        ({"call": "catalog.get", "arguments": {"kind": "folders", "item_id": ids.catalog_id(SALES)}}, "path"),
        ({"method": "GET", "path": f"/catalog/folders/{ids.catalog_id(SALES)}", "query": {"fields": "name"}}, "name"),
    ],
)
def test_an_answer_is_the_result(arguments: dict[str, Any], wanted: str) -> None:
    result = does(**arguments)
    assert wanted in result
    assert json.loads(json.dumps(result)) == result


def test_the_log_says_what_was_sent_and_what_came(said: Callable[[], str]) -> None:
    create_folder(body={**BODY, "description": "not for the log"}).attempt()
    log = said()
    assert "Sending POST /api/20210901/catalog/folders." in log
    assert re.search(r"OAC answered HTTP 20[01]: application/json, \d+ bytes\.", log)
    assert "not for the log" not in log


def test_an_answer_goes_into_a_file_when_it_is_whole(clean: Simulator, tmp_path: Path) -> None:
    file = tmp_path / "system.json"
    asked = {"method": "GET", "path": "/system", "destination": f"file://{file}"}
    clean.control.fault("GET /system", "truncate")
    with pytest.raises(OACError):
        does(**asked)
    assert list(tmp_path.iterdir()) == []
    assert does(**asked) == {
        "path": f"file://{file}", "size": file.stat().st_size, "sha256": sha256(file.read_bytes()).hexdigest(),
    }  # fmt: skip
    assert json.loads(file.read_text())["serviceInstanceKey"]


def test_a_result_is_checked_and_made_another() -> None:
    def owners(system: Any) -> Any:
        return system.owners

    assert isinstance(does(call="system.get", result_check=owners, result_filter=owners), list)
    with pytest.raises(OACResponseError, match="result_check rejected the result"):
        does(call="system.get", result_check=lambda _system: False)


def test_another_scope_is_asked_for(connections: Connections, clean: Simulator) -> None:
    prod = clean.ready["instances"]["prod"]
    with pytest.raises(OACApiError, match="401"):
        does(method="GET", path="/system", scope=prod["scope"])
    connections.oac(host=prod["url"])
    assert does(method="GET", path="/system", scope=prod["scope"])["serviceInstanceKey"]


# ----------------------------------------------------------------------------------------------------- pages


@pytest.mark.parametrize(
    "arguments",
    [
        {"call": "catalog.list_items", "arguments": {"kind": "workbooks", "limit": 2}},
        {"method": "GET", "path": "/catalog/workbooks", "query": {"search": "*", "limit": 2}, "paged": True},
    ],
)
def test_all_pages_come(clean: Simulator, tmp_path: Path, arguments: dict[str, Any]) -> None:
    found = does(**arguments)
    assert [item["name"] for item in found] == sorted(item["name"] for item in found)
    assert len(found) == 8
    assert clean.control.calls("dev", "GET /catalog/{type}") == 4
    assert does(destination=str(tmp_path / "books.jsonl"), **arguments)["items"] == 8
    with pytest.raises(OACConfigurationError, match="More than 7 items"):
        does(max_items=7, **arguments)


# ------------------------------------------------------------------------------------------------------ work


def test_work_is_waited_for(clean: Simulator, deferrable: bool) -> None:
    result = reload(deferrable=deferrable).attempt()
    assert (result["status"], result["operation"]) == ("SUCCEEDED", "RELOAD_DATASET")
    assert result["resources"][0]["resourceType"] == "DATASET"
    assert [work["id"] for work in clean.control.work_requests("dev")] == [result["work_request_id"]]


def test_failed_work_fails_the_task_and_a_retry_starts_it_anew(clean: Simulator) -> None:
    clean.control.fault(RELOAD, "fail_work", errors=[{"code": "NoSpace", "message": "full"}])
    again = reload(deferrable=True)
    with pytest.raises(OACWorkRequestError, match="NoSpace: full"):
        again.attempt()
    assert again.attempt()["status"] == "SUCCEEDED"
    assert clean.control.calls("dev", RELOAD) == 2


def test_without_a_store_a_timeout_is_final(clean: Simulator) -> None:
    clean.control.settings(work_seconds=30.0, refuse_second_run=False)
    says = r"did not end in time.*The task is not retried: this Airflow version does not"
    with pytest.raises(AirflowFailException, match=says):
        reload(store=False, deferrable=True, timeout=0.2).attempt()
    with pytest.raises(OACWaitTimeoutError):
        reload(store=False, deferrable=True, timeout=0.2, repeatable=True).attempt()


def test_an_answer_without_work_is_told() -> None:
    with pytest.raises(OACResponseError, match="names no work request"):
        does(method="GET", path="/system", wait_for_completion=True)


# ----------------------------------------------------------------------------------------- never a second time


HARM = r"The task is not retried, since sending the call twice could do harm"


@pytest.mark.parametrize(
    ("fault", "file", "says"),
    [
        ({"fault": "drop_after"}, None, HARM),
        ({"fault": "status", "status": 502, "act": True}, None, HARM),
        ({}, "no folder/answer.json", r"Could not write .*The task is not retried"),
    ],
    ids=["lost answer", "502 after OAC acted", "a file that cannot be written"],
)
def test_what_oac_may_have_done_is_not_asked_for_again(
    clean: Simulator, tmp_path: Path, store: bool, fault: dict[str, Any], file: str | None, says: str
) -> None:
    (tmp_path / "no folder").write_text("")
    if fault:
        clean.control.fault(FOLDERS, **fault)
    again = create_folder(store=store, destination=str(tmp_path / file) if file else None)
    with pytest.raises(AirflowFailException, match=says):
        again.attempt()
    if store:
        with pytest.raises(AirflowFailException, match=r"an earlier try sent the call.*clear it"):
            again.attempt()
    assert clean.control.calls("dev", FOLDERS) == 1
    if fault and store:
        again.clear()
        with pytest.raises(OACApiError, match="There is already an item at"):
            again.attempt()


@pytest.mark.parametrize("wrong", ["result_check", "result_filter"])
def test_a_result_that_will_not_do_is_not_asked_for_again(clean: Simulator, wrong: str) -> None:
    made = {"result_check": lambda _answer: False, "result_filter": lambda answer: answer["nothing"]}[wrong]
    with pytest.raises(AirflowFailException, match=r"OAC completed the call .*the task is not retried"):
        create_folder(**{wrong: made}).attempt()
    assert clean.control.calls("dev", FOLDERS) == 1
    with pytest.raises((OACResponseError, KeyError)):
        does(method="GET", path="/system", **{wrong: made})


def test_a_filter_may_skip_the_task() -> None:
    def skip(_answer: Any) -> None:
        raise AirflowSkipException("nothing to do")

    with pytest.raises(AirflowSkipException):
        create_folder(result_filter=skip).attempt()


def test_what_oac_refused_is_tried_again(clean: Simulator) -> None:
    clean.control.fault(FOLDERS, "status", status=403)
    again = create_folder()
    with pytest.raises(OACApiError):
        again.attempt()
    assert again.attempt()["name"] == "New"


def test_work_that_oac_has_forgotten_is_not_started_again(clean: Simulator) -> None:
    again = reload(deferrable=True)
    again.start()
    forget_work(again, clean)
    with pytest.raises(AirflowFailException, match="OAC no longer knows its work request"):
        again.attempt()
    assert clean.control.calls("dev", RELOAD) == 1
