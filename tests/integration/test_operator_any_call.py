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
    OACAuthError,
    OACConfigurationError,
    OACError,
    OACIncompleteListError,
    OACResponseError,
    OACWaitTimeoutError,
    OACWorkRequestError,
)
from airflow_provider_oac.operators.api import OACApiOperator
from oac_simulator.launch import Simulator
from tests.tasks import Connections, Task

SALES = "/@Catalog/shared/Sales"
ORDERS = ids.object_id("admin", "Orders")
RELOAD = "POST /catalog/datasets/{datasetId}/actions/reload"
FOLDERS, WORK = "POST /catalog/folders", "GET /workRequests/{id}"
BODY = {"name": "New", "parentId": ids.catalog_id(SALES)}

pytestmark = pytest.mark.usefixtures("connections")


def task(*, store: bool = True, **arguments: Any) -> Task:
    return Task(lambda: OACApiOperator(task_id="any", **{"retries": 2, **arguments}), store=store)


def does(**arguments: Any) -> Any:
    return task(**arguments).attempt()


def reload(*, store: bool = True, **changes: Any) -> Task:
    arguments = {
        "method": "POST", "path": f"/catalog/datasets/{ORDERS}/actions/reload", "wait_for_completion": True,
        "poll_interval": 0.05,
    }  # fmt: skip
    return task(store=store, **{**arguments, **changes})


# ------------------------------------------------------------------------------------------------ one answer


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ({"call": "system.get"}, "serviceInstanceKey"),
        ({"method": "get", "path": "/system"}, "serviceInstanceKey"),
        ({"method": "GET", "path": "/api/20210901/system"}, "serviceInstanceKey"),
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
    does(method="POST", path="/catalog/folders", body={**BODY, "description": "not for the log"})
    log = said()
    assert "Sending POST /api/20210901/catalog/folders." in log
    assert re.search(r"OAC answered HTTP 20[01]: application/json, \d+ bytes\.", log)
    assert "not for the log" not in log


@pytest.mark.parametrize("fault", ["status", "drop_before"])
def test_an_error_says_everything_once(clean: Simulator, fault: str) -> None:
    clean.control.fault("*", fault, instance="dev", status=404, times=None)
    with pytest.raises(OACError) as failure:
        does(method="GET", path="/catalog/nothing")
    message = str(failure.value)
    assert message.count("/catalog/nothing") == 1
    sentences = [sentence.strip() for sentence in message.split(". ")]
    assert len(set(sentences)) == len(sentences)


def test_an_answer_goes_into_a_file(tmp_path: Path) -> None:
    file = tmp_path / "system.json"
    result = does(method="GET", path="/system", destination=f"file://{file}")
    assert result == {
        "path": f"file://{file}", "size": file.stat().st_size, "sha256": sha256(file.read_bytes()).hexdigest(),
    }  # fmt: skip
    assert json.loads(file.read_text())["serviceInstanceKey"]


@pytest.mark.parametrize("fault", ["drop_middle", "truncate"])
def test_a_half_answer_leaves_no_file(clean: Simulator, tmp_path: Path, fault: str) -> None:
    clean.control.fault("GET /system", fault)
    with pytest.raises(OACError):
        does(method="GET", path="/system", destination=str(tmp_path / "system.json"))
    assert list(tmp_path.iterdir()) == []


def test_a_result_is_checked_and_made_another() -> None:
    key = does(call="system.get", result_check=lambda system: system.owners, result_filter=lambda system: system.owners)
    assert key == ["oac.admin@example.com"] or isinstance(key, list)
    with pytest.raises(OACResponseError, match="result_check rejected the result"):
        does(call="system.get", result_check=lambda _system: False)


def test_another_scope_is_asked_for(connections: Connections, clean: Simulator) -> None:
    prod = clean.ready["instances"]["prod"]["scope"]
    with pytest.raises(OACApiError, match="401"):
        does(method="GET", path="/system", scope=prod)
    connections.oac(host=clean.ready["instances"]["prod"]["url"])
    assert does(method="GET", path="/system", scope=prod)["serviceInstanceKey"]
    with pytest.raises(OACAuthError):
        does(method="GET", path="/system", scope="https://nowhere.example.comurn:opc:resource:consumer::all")


# ----------------------------------------------------------------------------------------------------- pages


@pytest.mark.parametrize(
    "arguments",
    [
        {"call": "catalog.list_items", "arguments": {"kind": "workbooks", "limit": 2}},
        {"method": "GET", "path": "/catalog/workbooks", "query": {"search": "*", "limit": 2}},
    ],
)
def test_all_pages_come(clean: Simulator, tmp_path: Path, arguments: dict[str, Any]) -> None:
    if "method" in arguments:
        with pytest.raises(OACIncompleteListError, match="page 1 of 4, which have 8 items"):
            does(**arguments)
        clean.control.reset_counters()
    found = does(paged="method" in arguments, **arguments)
    assert [item["name"] for item in found] == sorted(item["name"] for item in found)
    assert len(found) == 8
    assert clean.control.calls("dev", "GET /catalog/{type}") == 4
    file = tmp_path / "books.jsonl"
    result = does(paged=True, destination=str(file), **arguments)
    assert result["items"] == 8
    assert [json.loads(line)["name"] for line in file.read_text().splitlines()] == [item["name"] for item in found]
    with pytest.raises(OACConfigurationError, match="More than 7 items"):
        does(paged=True, max_items=7, **arguments)


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
    clean.control.settings(work_seconds=30.0)
    with pytest.raises(
        AirflowFailException, match=r"did not end in time.*The task is not retried: this Airflow version does not"
    ):
        reload(store=False, deferrable=True, timeout=0.2).attempt()
    path = f"/catalog/datasets/{ids.object_id('admin', 'Budget Lines')}/actions/reload"
    with pytest.raises(OACWaitTimeoutError):
        reload(store=False, deferrable=True, timeout=0.2, repeatable=True, path=path).attempt()


def test_an_answer_without_work_is_told(clean: Simulator) -> None:
    with pytest.raises(OACResponseError, match="names no work request"):
        does(method="GET", path="/system", wait_for_completion=True)


# ----------------------------------------------------------------------------------------- never a second time


@pytest.mark.parametrize("store", [True, False])
@pytest.mark.parametrize("fault", [{"fault": "drop_after"}, {"fault": "status", "status": 502, "act": True}])
def test_a_lost_answer_is_not_asked_for_again(clean: Simulator, store: bool, fault: dict[str, Any]) -> None:
    clean.control.fault(FOLDERS, **fault)
    again = task(store=store, method="POST", path="/catalog/folders", body=BODY)
    with pytest.raises(
        AirflowFailException, match=r"The task is not retried, since sending the call twice could do harm"
    ):
        again.attempt()
    assert clean.control.calls("dev", FOLDERS) == 1
    if store:
        with pytest.raises(AirflowFailException, match=r"an earlier try sent the call.*clear it"):
            again.attempt()
        assert clean.control.calls("dev", FOLDERS) == 1
        again.clear()
        with pytest.raises(OACApiError, match="There is already an item at"):
            again.attempt()


@pytest.mark.parametrize("store", [True, False])
def test_an_answer_that_cannot_be_kept_is_not_asked_for_again(clean: Simulator, tmp_path: Path, store: bool) -> None:
    (tmp_path / "file").write_text("no folder")
    destination = str(tmp_path / "file" / "answer.json")
    again = task(store=store, method="POST", path="/catalog/folders", body=BODY, destination=destination)
    with pytest.raises(AirflowFailException, match=r"Could not write .*The task is not retried"):
        again.attempt()
    if store:
        with pytest.raises(AirflowFailException, match="an earlier try sent the call"):
            again.attempt()
    assert clean.control.calls("dev", FOLDERS) == 1


@pytest.mark.parametrize("wrong", ["result_check", "result_filter"])
def test_a_result_that_will_not_do_is_not_asked_for_again(clean: Simulator, wrong: str) -> None:
    made = {"result_check": lambda _answer: False, "result_filter": lambda answer: answer["nothing"]}[wrong]
    with pytest.raises(AirflowFailException, match=r"OAC completed the call .*the task is not retried"):
        does(method="POST", path="/catalog/folders", body=BODY, **{wrong: made})
    assert clean.control.calls("dev", FOLDERS) == 1
    with pytest.raises((OACResponseError, KeyError)):
        does(method="GET", path="/system", **{wrong: made})


def test_a_filter_may_skip_the_task() -> None:
    def skip(_answer: Any) -> None:
        raise AirflowSkipException("nothing to do")

    with pytest.raises(AirflowSkipException):
        does(method="POST", path="/catalog/folders", body=BODY, result_filter=skip)


def test_what_oac_refused_is_tried_again(clean: Simulator) -> None:
    clean.control.fault(FOLDERS, "status", status=403)
    again = task(method="POST", path="/catalog/folders", body=BODY)
    with pytest.raises(OACApiError):
        again.attempt()
    assert again.attempt()["name"] == "New"


def test_work_that_oac_has_forgotten_is_not_started_again(clean: Simulator) -> None:
    clean.control.settings(work_seconds=30.0)
    again = reload(timeout=0.1)
    with pytest.raises(OACWaitTimeoutError):
        again.attempt()
    assert again.store
    record = again.store.get("oac_work")
    again.store.set("oac_work", {**record, "submitted_at": record["submitted_at"] - 3600})
    clean.control.fault(WORK, "status", status=404, times=None)
    with pytest.raises(AirflowFailException, match="OAC no longer knows its work request"):
        again.attempt()
    assert clean.control.calls("dev", RELOAD) == 1


# ------------------------------------------------------------------------------------------------- bad input
