"""Every fault, seen from the wire."""

from __future__ import annotations

import http.client
import json
import re
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from oac_simulator.control import ControlFailed
from tests.simulator.sim_caller import ADMIN, Caller

SYSTEM = "GET /system"


@contextmanager
def connection(sim: Caller) -> Iterator[http.client.HTTPConnection]:
    parts = urlsplit(sim.ready["instances"]["dev"]["url"])
    assert parts.hostname is not None
    opened = http.client.HTTPConnection(parts.hostname, parts.port, timeout=20)
    try:
        yield opened
    finally:
        opened.close()


def raw(sim: Caller, method: str = "GET", path: str = "/system", body: Any = None) -> tuple[bytes, bool]:
    """All bytes of the reply, and whether the connection was reset."""
    parts = urlsplit(sim.ready["instances"]["dev"]["url"])
    data = b"" if body is None else json.dumps(body).encode()
    head = (
        f"{method} /api/20210901{path} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        f"Authorization: Bearer {sim.access_token()}\r\nContent-Length: {len(data)}\r\nConnection: close\r\n\r\n"
    )
    received = b""
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as wire:
        wire.sendall(head.encode() + data)
        try:
            while piece := wire.recv(65536):
                received += piece
        except ConnectionResetError:
            return received, True
    return received, False


def announced(received: bytes) -> tuple[int, int]:
    """The length that a reply announces, and what came of its body."""
    head, _, body = received.partition(b"\r\n\r\n")
    [line] = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    return int(line.partition(b":")[2]), len(body)


def test_drop_before_acting(sim: Caller) -> None:
    sim.control.fault("POST /snapshots", "drop_before")
    assert raw(sim, "POST", "/snapshots", sim.snapshot_body()) == (b"", True)
    assert sim.control.snapshots("dev") == []
    assert sim.control.calls("dev", "POST /snapshots") == 1
    assert sim.snapshot(), "it hits once"


def test_drop_after_acting(sim: Caller) -> None:
    sim.control.fault("POST /snapshots", "drop_after")
    assert raw(sim, "POST", "/snapshots", sim.snapshot_body()) == (b"", True)
    [known] = sim.control.snapshots("dev")
    assert sim.finished(known["work_request"])["status"] == "SUCCEEDED"


def test_drop_in_the_middle_of_the_reply(sim: Caller) -> None:
    sim.control.fault(SYSTEM, "drop_middle")
    received, was_reset = raw(sim)
    assert was_reset
    length, came = announced(received)
    assert 0 < came < length


def test_truncated_body(sim: Caller) -> None:
    sim.control.fault("POST /snapshots", "truncate")
    received, was_reset = raw(sim, "POST", "/snapshots", sim.snapshot_body())
    assert not was_reset
    length, came = announced(received)
    assert came == length // 2
    assert len(sim.control.snapshots("dev")) == 1
    sim.control.fault(SYSTEM, "truncate")
    with pytest.raises(requests.exceptions.RequestException):
        sim.oac("GET", "/system")


def test_statuses_with_and_without_retry_after(sim: Caller) -> None:
    sim.control.fault(SYSTEM, "status", status=429, headers={"Retry-After": "7"})
    sim.control.fault(SYSTEM, "status", status=429)
    sim.control.fault(SYSTEM, "status", status=503, body="gateway says no")
    sim.control.fault(SYSTEM, "status", status=502, body={"error": "text"})
    first, second, third, fourth = (sim.oac("GET", "/system") for _ in range(4))
    assert (first.status_code, first.headers["Retry-After"]) == (429, "7")
    assert second.status_code == 429
    assert "Retry-After" not in second.headers
    assert (third.status_code, third.text) == (503, "gateway says no")
    assert (fourth.status_code, fourth.json()) == (502, {"error": "text"})
    assert sim.oac("GET", "/system").status_code == 200


def test_a_status_need_not_mean_that_nothing_happened(sim: Caller) -> None:
    sim.control.fault("POST /snapshots", "status", status=502, act=True)
    assert sim.oac("POST", "/snapshots", json=sim.snapshot_body()).status_code == 502
    assert len(sim.control.snapshots("dev")) == 1
    sim.control.fault("POST /snapshots", "status", status=502)
    assert sim.oac("POST", "/snapshots", json=sim.snapshot_body()).status_code == 502
    assert len(sim.control.snapshots("dev")) == 1


def test_bodies_that_are_not_the_answer(sim: Caller) -> None:
    sim.control.fault(SYSTEM, "non_json")
    page = sim.oac("GET", "/system")
    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    sim.control.fault(SYSTEM, "garbage")
    broken = sim.oac("GET", "/system")
    assert broken.headers["Content-Type"] == "application/json"
    with pytest.raises(UnicodeDecodeError):
        broken.content.decode()
    sim.control.fault(SYSTEM, "empty")
    assert sim.oac("GET", "/system").content == b""
    sim.control.fault(SYSTEM, "huge", size=3_000_000)
    assert len(sim.oac("GET", "/system").json()) == 3_000_000 - 2


def test_redirect(sim: Caller) -> None:
    sim.control.fault(SYSTEM, "redirect", location="http://127.0.0.1:9/elsewhere", status=307)
    reply = sim.oac("GET", "/system")
    assert (reply.status_code, reply.headers["Location"]) == (307, "http://127.0.0.1:9/elsewhere")


@pytest.mark.parametrize("kind", ["delay", "delay_after", "drip"])
def test_slow_replies_are_whole(sim: Caller, kind: str) -> None:
    expected = sim.oac("GET", "/system").content
    sim.control.fault(SYSTEM, kind, seconds=0.3)
    assert sim.oac("GET", "/system").content == expected


def test_a_client_that_gives_up_while_the_call_is_carried_out(sim: Caller) -> None:
    sim.control.fault("POST /snapshots", "delay_after", seconds=30.0)
    with connection(sim) as opened:
        opened.timeout = 1
        headers = {"Authorization": f"Bearer {sim.access_token()}"}
        opened.request("POST", "/api/20210901/snapshots", json.dumps(sim.snapshot_body()), headers)
        with pytest.raises(TimeoutError):
            opened.getresponse()
    assert len(sim.control.snapshots("dev")) == 1


def test_unknown_status_of_a_work_request(sim: Caller) -> None:
    [work_id] = sim.control.start_work("dev", 600.0)
    sim.control.fault("GET /workRequests/{id}", "unknown_status", work_status="PAUSED")
    assert sim.oac("GET", f"/workRequests/{work_id}").json()["status"] == "PAUSED"
    assert sim.oac("GET", f"/workRequests/{work_id}").json()["status"] in ("ACCEPTED", "IN_PROGRESS")


def test_token_faults(sim: Caller) -> None:
    tokens = sim.token(sim.jwt_form(scope=f"{sim.scope()} offline_access")).json()
    sim.control.fault("token", "consumed_token", grant="refresh_token")
    assert sim.token(sim.jwt_form()).status_code == 200, "another grant is not hit"
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    refused = sim.token(form, auth=sim.basic)
    assert refused.json()["error_description"] == "The token has already been consumed"
    assert sim.token(form, auth=sim.basic).status_code == 200
    sim.control.fault("token", "status", status=503, grant="urn:ietf:params:oauth:grant-type:jwt-bearer")
    assert sim.token(sim.jwt_form()).status_code == 503
    sim.control.fault("token", "drop_after")
    with pytest.raises(requests.exceptions.ConnectionError):
        sim.token(sim.jwt_form())
    assert sim.control.counters()["issued"]["jwt-bearer"] == 3


def test_expired_token_fault(sim: Caller) -> None:
    sim.control.fault(SYSTEM, "expired_token", instance="dev")
    assert sim.oac("GET", "/system", instance="prod").status_code == 200
    reply = sim.oac("GET", "/system")
    assert reply.status_code == 401
    assert 'error="invalid_token"' in reply.headers["WWW-Authenticate"]
    assert sim.oac("GET", "/system").status_code == 200


def test_after_times_and_for_ever(sim: Caller) -> None:
    sim.control.fault(SYSTEM, "status", status=500, after=1, times=2)
    assert [sim.oac("GET", "/system").status_code for _ in range(4)] == [200, 500, 500, 200]
    sim.control.fault("*", "status", status=500, times=None)
    assert [sim.oac("GET", path).status_code for path in ("/system", "/snapshots", "/catalog")] == [500] * 3
    assert [fault["hits"] for fault in sim.control.faults()] == [2, 3]
    sim.control.clear_faults()
    assert sim.oac("GET", "/system").status_code == 200


def test_nonsense_is_refused(sim: Caller) -> None:
    with pytest.raises(ControlFailed, match="needs `endpoint`"):
        sim.control.fault(SYSTEM, "explode")
    with pytest.raises(ControlFailed, match="has no colour"):
        sim.control.fault(SYSTEM, "delay", colour="red")
    with pytest.raises(ControlFailed, match="no setting"):
        sim.control.settings(colour="red")
    with pytest.raises(ControlFailed, match="takes one of"):
        sim.control.settings(listing="never")
    with pytest.raises(ControlFailed, match="takes a float"):
        sim.control.settings(work_seconds="long")
    with pytest.raises(ControlFailed, match="'paused' takes a list, not a NoneType"):
        sim.control.settings(paused=None)
    with pytest.raises(ControlFailed, match="'paused' takes a list of texts"):
        sim.control.settings(paused=[["dev"]])


@pytest.mark.parametrize(
    ("endpoint", "fault", "details", "message"),
    [
        ("POST /catalog/workbooks/{workbookId}/exports", "status", {},
         "Closest: POST /catalog/workbooks/{urlBase64WorkbookId}/exports,"),
        ("token", "status", {"instance": "dev"}, "There is no endpoint 'token' of dev."),
        ("token", "status", {"grant": "jwt"}, "There is no grant jwt. Known: jwt-bearer,"),
        ("*", "status", {"instance": "live"}, "There is no place 'live'. Known: dev, identity, prod."),
        ("GET /snapshots", "fail_work", {}, "no effect on the endpoint 'GET /snapshots'. Closest: POST /snapshots,"),
        (SYSTEM, "unknown_status", {}, "Closest: GET /workRequests/{id}."),
        ("mcp tools/list", "query_error", {}, "Closest: mcp tools/call execute_"),
    ],
)  # fmt: skip
def test_a_fault_that_could_never_fire_is_refused(
    sim: Caller, endpoint: str, fault: str, details: dict[str, str], message: str
) -> None:
    with pytest.raises(ControlFailed, match=re.escape(message)):
        sim.control.fault(endpoint, fault, **details)
    assert sim.control.faults() == []


def test_other_unknown_names_are_refused(sim: Caller) -> None:
    control = sim.control
    for refused, message in (
        (lambda: control.calls("dev", "POST /snapshot"), "Closest: POST /snapshots,"),
        (lambda: control.calls("live", SYSTEM), "There is no place 'live'."),
        (lambda: control.grants("jwt"), "There is no grant jwt."),
        (lambda: control.content("live"), "There is no instance live. Known: dev, prod."),
        (lambda: control.settings(paused=["live"]), "There is no instance live."),
        (lambda: control.user(ADMIN, instance_roles={"live": []}), "There is no instance live."),
        (lambda: control.damage("dev", ["workbook"]), "There is no catalog type workbook."),
    ):
        with pytest.raises(ControlFailed, match=re.escape(message)):
            refused()


def test_connections_are_counted(sim: Caller) -> None:
    with connection(sim) as opened:
        opened.request("GET", "/api/20210901/system")
        opened.getresponse().read()
        shown = sim.control.counters()["connections"]["dev"]
        assert shown["open"] >= 1
        assert shown["accepted"] == 1
        assert opened.sock is not None
        # End it at once, without lingering, so that the next look does not race with the close.
        opened.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    for _ in range(200):
        if sim.control.counters()["connections"]["dev"]["open"] < shown["open"]:
            break
    else:
        pytest.fail("the connection is still counted as open")
