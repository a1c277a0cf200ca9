"""The simulator answers as the contract says, whatever it is asked: all 46 operations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hypothesis
import pytest
import schemathesis

from tests.contract.schemas import meant
from tests.simulator.sim_caller import CONNECTION, EXPORT, MAIL, PIPELINE, POLICY, SALES, SHARED, Caller, encoded, pair

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


BUDGET = f"/catalog/workbooks/{encoded('/shared/Finance/Budget')}"
ITEM, FOLDER = f"/catalog/workbooks/{encoded(PIPELINE)}/actions", f"/catalog/folders/{encoded(SALES)}"
COPIES, DOMAIN = encoded(f"{SHARED}/Copies"), f"/system/safeDomains/{encoded('my.safe-domain.com')}"
USER = {"accountGuid": "oac.author@example.com", "accountType": "User", "permissions": {"read": True}}


def requests_of(known: Caller) -> list[tuple[str, Any, int]]:
    """A request of every operation that succeeds, its body and its status, in an order in which they do.

    An id in braces is what an earlier request returns.
    """
    [snapshot] = known.oac("GET", "/snapshots").json()["items"]
    restore = {"snapshot": {"id": snapshot["id"], "password": known.snapshot_body()["bar"]["password"]}}
    [work] = known.control.work_requests("dev")
    runs = [
        (request.format(f"/catalog/{kind}/{encoded(pair(name))}"), None, status)
        for kind, name, action in (
            ("datasets", "Orders", "reload"), ("dataflows", "Load Orders", "run"), ("sequences", "Nightly", "run")
        )
        for request, status in (
            (f"POST {{}}/actions/{action}", 202), ("GET {}/history", 200), ("GET {}/history/latest", 200),
            ("GET {}/history/{{job}}", 200),
        )
    ]  # fmt: skip
    return [
        ("GET /system", None, 200),
        ("GET /snapshots", None, 200),
        (f"GET /snapshots/{snapshot['id']}", None, 200),
        (f"GET /workRequests/{work['id']}", None, 200),
        ("POST /snapshots", known.snapshot_body("b.bar"), 202),
        ("POST /system/actions/restoreSnapshot", restore, 202),
        (f"DELETE /snapshots/{snapshot['id']}", None, 200),
        ("GET /catalog?search=*&limit=5", None, 200),
        ("GET /catalog/workbooks?search=*", None, 200),
        (f"GET /catalog/datasets/{encoded(pair('Orders'))}", None, 200),
        (f"GET {BUDGET}?fields=name,content", None, 200),
        (f"GET /catalog/analysis/{encoded('/shared/Sales/Top Customers')}", None, 200),
        (f"GET /catalog/connections/{encoded(pair('ADW'))}", None, 200),
        ("POST /catalog/folders", {"parentId": encoded(SHARED), "name": "Copies"}, 200),
        (f"POST {ITEM}/copy", {"destParentId": COPIES}, 200),
        (f"POST {ITEM}/move", {"newItemName": "Funnel"}, 200),
        (f"DELETE /catalog/folders/{COPIES}?recursive=true", None, 200),
        (f"POST {FOLDER}/actions/changeOwnership", {"owner": USER["accountGuid"]}, 200),
        (f"POST {FOLDER}/actions/getACL", None, 200),
        (f"POST {FOLDER}/actions/updateACL", {"aclList": [USER], "recursive": True}, 200),
        (f"POST {BUDGET}/actions/getCanvases", None, 200),
        (f"POST {BUDGET}/exports", EXPORT, 202),
        (f"GET {BUDGET}/exports/{{export}}", None, 200),
        *runs,
        ("POST /catalog/connections", CONNECTION, 200),
        ("PUT /catalog/connections/{connection}", CONNECTION, 200),
        ("DELETE /catalog/connections/{connection}", None, 200),
        ("GET /system/settings", None, 200),
        ("PUT /system/settings", {"items": [{"key": "EmailMaxRecipients", "value": "100"}]}, 200),
        ("PUT /system/mail/server", MAIL, 200),
        ("GET /system/mail/server", None, 200),
        ("DELETE /system/mail/server", None, 200),
        (f"PUT {DOMAIN}", POLICY, 201),
        ("GET /system/safeDomains", None, 200),
        (f"DELETE {DOMAIN}", None, 200),
    ]


def test_requests_that_succeed_conform(known: Caller) -> None:
    """The answers that random requests hardly ever get."""
    every = {one.ok().definition.raw["operationId"]: one.ok() for one in schema.get_all_operations()}
    asked, made = [], {}
    for request, body, status in requests_of(known):
        method, _, path = request.format(**made).partition(" ")
        [name] = meant(method, path.partition("?")[0])
        asked.append(name)
        reply = known.oac(method, path, json=body)
        assert reply.status_code == status, (name, reply.text)
        every[name].validate_response(reply)
        if status == 202 and name != "createSnapshot":
            assert known.ended(reply)["status"] == "SUCCEEDED"
            made["export"] = reply.headers["oa-work-request-id"]
        if path.endswith("/latest"):
            made["job"] = reply.json()[0]["jobIdentifier"]
        if name == "createConnection":
            made["connection"] = reply.json()["connectionId"]
    assert sorted(asked) == sorted(every)
    assert len(every) == 46
