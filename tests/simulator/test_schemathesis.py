"""The simulator answers as the contract says, whatever it is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hypothesis
import pytest
import schemathesis

from tests.simulator.sim_caller import SEAL, Caller

CONTRACT = Path(__file__).parents[1] / "contract" / "oac-openapi.yaml"
OPERATIONS = [
    "createSnapshot", "deleteSnapshot", "getCatalogItem", "getSnapshot", "getSystem", "getSystemSettings",
    "getWorkRequest", "listCatalogItems", "listCatalogItemsByType", "listSnapshots", "restoreSnapshot",
]  # fmt: skip

schema = schemathesis.openapi.from_path(CONTRACT)
implemented = schema.include(operation_id=OPERATIONS)


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


@pytest.fixture
def known(sim: Caller) -> Caller:
    """A simulator in which there is something to find."""
    sim.control.settings(access_token_ttl=3600, work_seconds=0.0)
    sim.snapshot()
    return sim


def call(sim: Caller, case: Any) -> None:
    headers = {"Authorization": f"Bearer {sim.access_token()}"}
    case.call_and_validate(base_url=sim.url(""), headers=headers, checks=checks(), session=sim.session, timeout=20)


@implemented.parametrize()
@hypothesis.settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)
def test_any_request_gets_an_answer_of_the_contract(case: Any, known: Caller) -> None:
    call(known, case)


def test_no_operation_is_left_out() -> None:
    found = {operation.ok().definition.raw["operationId"] for operation in implemented.get_all_operations()}
    assert found == set(OPERATIONS)


def test_requests_that_succeed_conform(known: Caller) -> None:
    """The answers that random requests hardly ever get."""
    [snapshot] = known.oac("GET", "/snapshots").json()["items"]
    [work] = known.control.work_requests("dev")
    [item] = known.oac("GET", "/catalog?search=revenue").json()
    operations = {
        operation.ok().definition.raw["operationId"]: operation.ok() for operation in implemented.get_all_operations()
    }
    restore = {"snapshot": {"id": snapshot["id"], "password": SEAL}}
    requests: list[tuple[str, dict[str, Any], int]] = [
        ("getSystem", {}, 200),
        ("getSystemSettings", {}, 200),
        ("listSnapshots", {}, 200),
        ("getSnapshot", {"path_parameters": {"snapshotId": snapshot["id"]}}, 200),
        ("getWorkRequest", {"path_parameters": {"id": work["id"]}}, 200),
        ("createSnapshot", {"body": known.snapshot_body("b.bar"), "media_type": "application/json"}, 202),
        ("restoreSnapshot", {"body": restore, "media_type": "application/json"}, 202),
        ("listCatalogItems", {"query": {"search": "*", "limit": 5}}, 200),
        ("listCatalogItemsByType", {"path_parameters": {"type": "workbooks"}, "query": {"search": "*"}}, 200),
        ("getCatalogItem", {"path_parameters": {"type": "workbooks", "id": item["id"]}}, 200),
        ("deleteSnapshot", {"path_parameters": {"snapshotId": snapshot["id"]}}, 200),
    ]
    assert {name for name, _, _ in requests} == set(OPERATIONS)
    for name, parts, status in requests:
        reply = (
            operations[name]
            .Case(**parts)
            .call(
                base_url=known.url(""),
                headers={"Authorization": f"Bearer {known.access_token()}"},
                session=known.session,
                timeout=20,
            )
        )
        assert reply.status_code == status, (name, reply.text)
        operations[name].validate_response(reply)
