"""The simulator answers as the contract says, whatever it is asked: all 46 operations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hypothesis
import pytest
import schemathesis

from tests.simulator.sim_caller import CONNECTION, EXPORT, MAIL, POLICY, SEAL, Caller, encoded, pair

CONTRACT = Path(__file__).parents[1] / "contract" / "oac-openapi.yaml"

schema = schemathesis.openapi.from_path(CONTRACT)


def checks() -> list[Any]:
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks as openapi

    return [
        not_a_server_error,
        openapi.status_code_conformance,
        openapi.content_type_conformance,
        openapi.response_headers_conformance,
        openapi.response_schema_conformance,
    ]


def operations() -> dict[str, Any]:
    return {operation.ok().definition.raw["operationId"]: operation.ok() for operation in schema.get_all_operations()}


@pytest.fixture
def known(sim: Caller) -> Caller:
    """A simulator in which there is something to find."""
    # Where two operations share an address, one answer must be of the contract of both: a 400 for an item that
    # is not there.
    sim.control.settings(access_token_ttl=3600, work_seconds=0.0, missing_details="400")
    sim.snapshot()
    return sim


@schema.parametrize()
@hypothesis.settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)
def test_any_request_gets_an_answer_of_the_contract(case: Any, known: Caller) -> None:
    headers = {"Authorization": f"Bearer {known.access_token()}"}
    case.call_and_validate(base_url=known.url(""), headers=headers, checks=checks(), session=known.session, timeout=20)


ORDERS, FLOW, SEQUENCE, ADW = (encoded(pair(name)) for name in ("Orders", "Load Orders", "Nightly", "ADW"))
BUDGET, PIPELINE = encoded("/shared/Finance/Budget"), encoded("/@Catalog/shared/Sales/Pipeline")
SALES, COPIES = encoded("/@Catalog/shared/Sales"), encoded("/@Catalog/shared/Copies")
DOMAIN = encoded("my.safe-domain.com")
USER = {"accountGuid": "oac.author@example.com", "accountType": "User", "permissions": {"read": True}}


def requests_of(known: Caller) -> list[tuple[str, dict[str, Any], int]]:
    """A request of every operation that succeeds, in an order in which they do."""
    [snapshot] = known.oac("GET", "/snapshots").json()["items"]
    restore = {"snapshot": {"id": snapshot["id"], "password": SEAL}}
    [work] = known.control.work_requests("dev")
    runs: list[tuple[str, dict[str, Any], int]] = []
    for kind, parameter, encoded_id, starter in (
        ("Dataset", "datasetId", ORDERS, "reloadDataset"),
        ("DataFlow", "dataflowId", FLOW, "runDataFlow"),
        ("Sequence", "sequenceId", SEQUENCE, "runSequence"),
    ):
        path = {parameter: encoded_id}
        runs += [
            (starter, {"path_parameters": path}, 202),
            (f"list{kind}Jobs", {"path_parameters": path}, 200),
            (f"getLatest{kind}Job", {"path_parameters": path}, 200),
            (f"get{kind}Job", {"path_parameters": {**path, "jobId": kind}}, 200),
        ]
    book, item = {"urlBase64WorkbookId": BUDGET}, {"type": "workbooks", "id": PIPELINE}
    return [
        ("getSystem", {}, 200),
        ("listSnapshots", {}, 200),
        ("getSnapshot", {"path_parameters": {"snapshotId": snapshot["id"]}}, 200),
        ("getWorkRequest", {"path_parameters": {"id": work["id"]}}, 200),
        ("createSnapshot", {"body": known.snapshot_body("b.bar")}, 202),
        ("restoreSnapshot", {"body": restore}, 202),
        ("deleteSnapshot", {"path_parameters": {"snapshotId": snapshot["id"]}}, 200),
        ("listCatalogItems", {"query": {"search": "*", "limit": 5}}, 200),
        ("listCatalogItemsByType", {"path_parameters": {"type": "workbooks"}, "query": {"search": "*"}}, 200),
        ("getCatalogItem", {"path_parameters": item}, 200),
        ("getWorkbook", {"path_parameters": book, "query": {"fields": "name,content"}}, 200),
        ("getAnalysis", {"path_parameters": {"urlBase64AnalysisId": encoded("/shared/Sales/Top Customers")}}, 200),
        ("getConnection", {"path_parameters": {"connectionId": ADW}}, 200),
        ("createFolder", {"body": {"parentId": encoded("/@Catalog/shared"), "name": "Copies"}}, 200),
        ("copyCatalogItem", {"path_parameters": item, "body": {"destParentId": COPIES}}, 200),
        ("moveCatalogItem", {"path_parameters": item, "body": {"newItemName": "Funnel"}}, 200),
        ("deleteFolder", {"path_parameters": {"id": COPIES}, "query": {"recursive": "true"}}, 200),
        ("changeCatalogItemOwnership",
         {"path_parameters": {"type": "folders", "id": SALES}, "body": {"owner": "oac.author@example.com"}}, 200),
        ("getCatalogItemAcl", {"path_parameters": {"type": "folders", "id": SALES}}, 200),
        ("updateCatalogItemAcl",
         {"path_parameters": {"type": "folders", "id": SALES}, "body": {"aclList": [USER], "recursive": True}}, 200),
        ("getWorkbookCanvases", {"path_parameters": {"id": BUDGET}}, 200),
        ("exportWorkbook", {"path_parameters": book, "body": EXPORT}, 202),
        ("downloadWorkbookExport", {"path_parameters": {**book, "exportId": "Export"}}, 200),
        *runs,
        ("createConnection", {"body": CONNECTION}, 200),
        ("updateConnection", {"path_parameters": {"connectionId": "Connection"}, "body": CONNECTION}, 200),
        ("deleteConnection", {"path_parameters": {"connectionId": "Connection"}}, 200),
        ("getSystemSettings", {}, 200),
        ("updateSystemSettings", {"body": {"items": [{"key": "EmailMaxRecipients", "value": "100"}]}}, 200),
        ("configureMailServer", {"body": MAIL}, 200),
        ("getMailServer", {}, 200),
        ("deleteMailServer", {}, 200),
        ("putSafeDomain", {"path_parameters": {"urlBase64DomainId": DOMAIN}, "body": POLICY}, 201),
        ("listSafeDomains", {}, 200),
        ("deleteSafeDomain", {"path_parameters": {"urlBase64DomainId": DOMAIN}}, 200),
    ]  # fmt: skip


def test_requests_that_succeed_conform(known: Caller) -> None:
    """The answers that random requests hardly ever get."""
    every, wanted = operations(), requests_of(known)
    assert sorted(name for name, _, _ in wanted) == sorted(every)
    assert len(every) == 46
    headers = {"Authorization": f"Bearer {known.access_token()}"}
    made: dict[str, str] = {}
    for name, parts, status in wanted:
        path = {key: made.get(value, value) for key, value in parts.get("path_parameters", {}).items()}
        media = {"media_type": "application/json"} if "body" in parts else {}
        case = every[name].Case(**{**parts, "path_parameters": path}, **media)
        reply = case.call(base_url=known.url(""), headers=headers, session=known.session, timeout=20)
        assert reply.status_code == status, (name, reply.text)
        every[name].validate_response(reply)
        if "oa-work-request-id" in reply.headers and name != "createSnapshot":
            made["Export"] = reply.headers["oa-work-request-id"][0]
            assert known.finished(made["Export"])["status"] == "SUCCEEDED"
        if name.startswith("getLatest"):
            made[name.removeprefix("getLatest").removesuffix("Job")] = reply.json()[0]["jobIdentifier"]
        if name == "createConnection":
            made["Connection"] = reply.json()["connectionId"]
