"""Every fault, seen from the wire, and what the control API refuses."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import pytest
import requests

from oac_simulator.control import Control, ControlFailed
from tests.simulator.sim_caller import ADMIN, AUTHOR, JWT_BEARER, SALES, Caller

SYSTEM, CREATE = "GET /system", "POST /snapshots"
EXPIRED = 'Bearer error="invalid_token", error_description="The access token has expired"'


@pytest.mark.parametrize(
    ("fault", "broken", "snapshots"),
    [
        ("drop_before", r"Connection aborted.*reset", 0), ("drop_after", r"Connection aborted.*reset", 1),
        ("drop_middle", r"Connection broken.*reset", 1), ("truncate", r"(\d+) bytes read, (\d+) more", 1),
    ],
)  # fmt: skip
def test_a_reply_that_is_cut(sim: Caller, fault: str, broken: str, snapshots: int) -> None:
    sim.control.fault(CREATE, fault)
    with pytest.raises(requests.exceptions.RequestException) as cut:
        sim.oac("POST", "/snapshots", json=sim.snapshot_body())
    found = re.search(broken, str(cut.value))
    assert found, cut.value
    if fault == "truncate":
        assert int(found[2]) - int(found[1]) in (0, 1), "half of it"
    known = sim.control.snapshots("dev")
    assert (len(known), sim.control.calls("dev", CREATE)) == (snapshots, 1)
    assert all(sim.finished(one["work_request"])["status"] == "SUCCEEDED" for one in known)
    assert sim.snapshot(), "it hits once"


@pytest.mark.parametrize(
    ("fault", "details", "status", "headers", "content"),
    [
        ("status", {"status": 429, "headers": {"Retry-After": "7"}}, 429, {"Retry-After": "7"}, b""),
        ("status", {"status": 429}, 429, {"Retry-After": None}, b""),
        ("status", {"status": 503, "body": "gateway says no"}, 503, {}, b"gateway says no"),
        ("status", {"status": 502, "body": {"error": "text"}}, 502, {}, b'{"error": "text"}'),
        ("non_json", {}, 200, {"Content-Type": "text/html; charset=utf-8"}, b"<html>"),
        ("garbage", {}, 200, {"Content-Type": "application/json"}, b'{"id": "\xff\xfe'),
        ("empty", {}, 200, {"Content-Length": "0"}, b""),
        ("huge", {"size": 3_000_000}, 200, {"Content-Length": "3000000"}, b'"'),
        ("redirect", {"location": "http://a.example/b", "status": 307}, 307, {"Location": "http://a.example/b"}, b""),
        ("expired_token", {}, 401, {"WWW-Authenticate": EXPIRED}, b""),
    ],
)
def test_a_reply_that_is_another(
    sim: Caller, fault: str, details: dict[str, Any], status: int, headers: dict[str, str | None], content: bytes
) -> None:
    sim.control.fault(SYSTEM, fault, instance="dev", **details)
    assert sim.status(SYSTEM, instance="prod") == 200
    reply = sim.oac("GET", "/system")
    assert (reply.status_code, {name: reply.headers.get(name) for name in headers}) == (status, headers)
    assert reply.content.startswith(content)
    assert sim.status(SYSTEM) == 200


def test_a_status_need_not_mean_that_nothing_happened(sim: Caller) -> None:
    for act in (True, None):
        sim.control.fault(CREATE, "status", status=502, act=act)
        assert sim.status(CREATE, sim.snapshot_body()) == 502
    assert len(sim.control.snapshots("dev")) == 1


def test_slow_replies_are_whole(sim: Caller) -> None:
    expected = sim.oac("GET", "/system").content
    for kind in ("delay", "delay_after", "drip"):
        sim.control.fault(SYSTEM, kind, seconds=0.3)
        assert sim.oac("GET", "/system").content == expected


def test_a_client_that_gives_up_while_the_call_is_carried_out(sim: Caller) -> None:
    sim.control.fault(CREATE, "delay_after", seconds=30.0)
    with pytest.raises(requests.exceptions.ReadTimeout):
        sim.oac("POST", "/snapshots", json=sim.snapshot_body(), timeout=1)
    assert len(sim.control.snapshots("dev")) == 1


def test_unknown_status_of_a_work_request(sim: Caller) -> None:
    [work_id] = sim.control.start_work("dev", 600.0)
    sim.control.fault("GET /workRequests/{id}", "unknown_status", work_status="PAUSED")
    first, second = (sim.oac("GET", f"/workRequests/{work_id}").json()["status"] for _ in range(2))
    assert (first, second in ("ACCEPTED", "IN_PROGRESS")) == ("PAUSED", True)


def test_token_faults_of_one_grant(sim: Caller) -> None:
    tokens = sim.token(sim.jwt_form(scope=f"{sim.scope()} offline_access")).json()
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    sim.control.fault("token", "consumed_token", grant="refresh_token")
    assert sim.token(sim.jwt_form()).status_code == 200
    refused = sim.token(form, auth=sim.basic)
    assert refused.json()["error_description"] == "The token has already been consumed"
    assert sim.token(form, auth=sim.basic).status_code == 200
    sim.control.fault("token", "status", status=503, grant=JWT_BEARER)
    assert sim.token(sim.jwt_form()).status_code == 503
    sim.control.fault("token", "drop_after")
    with pytest.raises(requests.exceptions.ConnectionError):
        sim.token(sim.jwt_form())
    assert sim.control.counters()["issued"]["jwt-bearer"] == 3


def test_after_times_and_for_ever(sim: Caller) -> None:
    sim.control.fault(SYSTEM, "status", status=500, after=1, times=2)
    assert [sim.status(SYSTEM) for _ in range(4)] == [200, 500, 500, 200]
    sim.control.fault("*", "status", status=500, times=None)
    assert [sim.status(request) for request in (SYSTEM, "GET /snapshots", "GET /catalog")] == [500] * 3
    assert [fault["hits"] for fault in sim.control.faults()] == [2, 3]
    sim.control.clear_faults()
    assert sim.status(SYSTEM) == 200


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c: c.fault(SYSTEM, "explode"), "needs `endpoint`"),
        (lambda c: c.fault(SYSTEM, "delay", colour="red"), "has no colour"),
        # A fault that could never fire.
        (lambda c: c.fault("POST /catalog/workbooks/{workbookId}/exports", "status"),
         "Closest: POST /catalog/workbooks/{urlBase64WorkbookId}/exports,"),
        (lambda c: c.fault("token", "status", instance="dev"), "There is no endpoint 'token' of dev."),
        (lambda c: c.fault("token", "status", grant="jwt"), "There is no grant jwt. Known: jwt-bearer,"),
        (lambda c: c.fault("*", "status", instance="live"), "There is no place 'live'. Known: dev, identity, prod."),
        (lambda c: c.fault("GET /snapshots", "fail_work"), "'GET /snapshots'. Closest: POST /snapshots,"),
        (lambda c: c.fault(SYSTEM, "unknown_status"), "Closest: GET /workRequests/{id}."),
        (lambda c: c.fault("mcp tools/list", "query_error"), "Closest: mcp tools/call execute_"),
        # Settings.
        (lambda c: c.settings(colour="red"), "no setting"),
        (lambda c: c.settings(listing="never"), "takes one of"),
        (lambda c: c.settings(work_seconds="long"), "takes a float"),
        (lambda c: c.settings(paused=None), "'paused' takes a list, not a NoneType"),
        (lambda c: c.settings(paused=[["dev"]]), "'paused' takes a list of texts"),
        (lambda c: c.settings(paused=["live"]), "There is no instance live."),
        # Names.
        (lambda c: c.calls("dev", "POST /snapshot"), "Closest: POST /snapshots,"),
        (lambda c: c.calls("live", SYSTEM), "There is no place 'live'."),
        (lambda c: c.grants("jwt"), "There is no grant jwt."),
        (lambda c: c.content("live"), "There is no instance live. Known: dev, prod."),
        (lambda c: c.counts("live"), "There is no instance live."),
        (lambda c: c.user(ADMIN, instance_roles={"live": []}), "There is no instance live."),
        (lambda c: c.damage("dev", ["workbook"]), "There is no catalog type workbook."),
        (lambda c: c.add_items("dev", {"type": "nothing", "plain": "x"}), "a catalog type"),
        (lambda c: c.change_item("dev", "x"), "0 items are named 'x'"),
        (lambda c: c.change_item("dev", SALES, colour="red"), "colour"),
        (lambda c: c.seed_many("dev", 0), "`count` is from 1"),
        (lambda c: c.start_run("dev", "workbooks", "x"), "nothing to run"),
        (lambda c: c.finish("dev", "x"), "no such work"),
        (lambda c: c.add_user(""), "a `name` that is not taken"),
        (lambda c: c.add_user(AUTHOR), "a `name` that is not taken"),
        (lambda c: c.add_role(" "), "needs a `name`"),
    ],
)  # fmt: skip
def test_what_the_control_api_refuses(sim: Caller, call: Callable[[Control], Any], message: str) -> None:
    before = sim.control.content("dev")
    with pytest.raises(ControlFailed, match=re.escape(message)):
        call(sim.control)
    assert (sim.control.faults(), sim.control.content("dev")) == ([], before)


def test_connections_are_counted(sim: Caller) -> None:
    assert sim.status(SYSTEM) == 200
    shown = sim.control.counters()["connections"]["dev"]
    assert (shown["open"] >= 1, shown["accepted"]) == (True, 1)
    sim.session.close()
    until = time.monotonic() + 10
    while sim.control.counters()["connections"]["dev"]["open"] >= shown["open"]:
        assert time.monotonic() < until, "the connection is still counted as open"
