"""What survives a restart, orderly or not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from oac_simulator.launch import Simulator, launch
from tests.simulator.sim_caller import ADMIN, SEAL, Caller, encoded


@pytest.fixture(scope="module")
def own() -> Iterator[Simulator]:
    with launch(instances=["dev"], work_seconds=0.2) as simulator:
        yield simulator


def test_everything_survives_a_kill(own: Simulator) -> None:
    own.control.reset()
    sim = Caller(own)
    signed_in = sim.token(sim.jwt_form(scope=f"{sim.scope()} offline_access")).json()
    first = signed_in["refresh_token"]
    form = {"grant_type": "refresh_token", "refresh_token": first}
    second = sim.token(form, auth=sim.basic).json()["refresh_token"]
    snapshot_id = sim.snapshot()
    sim.control.damage("dev")
    sim.control.user("oac.author@example.com", active=False)
    sim.control.settings(listing="late", work_seconds=1.0)
    running = sim.start(sim.snapshot_body("b/two.bar", name="two"))
    before = {**own.ready, "pid": None}
    damaged, bucket = sim.control.content("dev"), sim.control.bucket()

    own.restart(kill=True)

    assert {**own.ready, "pid": None} == before
    sim = Caller(own)
    assert sim.oac("GET", "/system", token=signed_in["access_token"]).status_code == 200
    assert sim.control.content("dev") == damaged
    assert bucket.items() <= sim.control.bucket().items()
    assert sim.control.user("oac.author@example.com")["active"] is False
    assert sim.control.settings()["listing"] == "late"
    assert sim.finished(running)["status"] == "SUCCEEDED"
    assert {item["name"] for item in sim.oac("GET", "/snapshots").json()["items"]} == {"one", "two"}
    again = sim.token({**form, "refresh_token": second}, auth=sim.basic)
    assert again.status_code == 200
    replay = sim.token(form, auth=sim.basic).json()
    assert replay["error_description"] == "The token has already been consumed"
    restore = {"snapshot": {"id": snapshot_id, "password": SEAL}}
    reply = sim.oac("POST", "/system/actions/restoreSnapshot", json=restore)
    assert sim.finished(reply.headers["oa-work-request-id"])["status"] == "SUCCEEDED"
    assert sim.control.content("dev") != damaged


def test_exports_and_jobs_survive_a_stop(own: Simulator) -> None:
    own.control.reset()
    sim = Caller(own)
    own.control.settings(export_size=100_000, access_token_ttl=3600)
    book = encoded("/shared/Sales/Pipeline")
    order = {
        "name": "r", "type": "file", "format": "pdf", "canvasIds": ["snapshot!canvas!1"],
        "screenwidth": 100, "screenheight": 100,
    }  # fmt: skip
    reply = sim.oac("POST", f"/catalog/workbooks/{book}/exports", json=order)
    path = reply.json()["resourceUri"].removeprefix("/api/20210901")
    sim.finished(reply.headers["oa-work-request-id"])
    before = sim.oac("GET", path).content
    assert len(before) == 100_000
    running = own.control.start_run("dev", "datasets", "'admin'.'Orders'", seconds=1.5)

    own.restart()

    sim = Caller(own)
    assert sim.oac("GET", path).content == before
    assert sim.finished(running["work_request"])["status"] == "SUCCEEDED"
    [job] = own.control.jobs("dev")
    assert (job["jobIdentifier"], job["jobStatus"]) == (running["job"], "SUCCEEDED")
    own.control.reset()
    assert (own.control.jobs("dev"), own.control.exports("dev")) == ([], [])
    assert list((own.state / "exports").iterdir()) == []


def test_reset_goes_back_to_the_first_state(own: Simulator) -> None:
    own.control.reset()
    sim = Caller(own)
    first = (sim.control.content("dev"), sim.control.settings(), sim.control.user(ADMIN))
    sim.snapshot()
    sim.control.damage("dev")
    sim.control.user(ADMIN, roles=[])
    sim.control.settings(listing="late", app={"active": False, "secret": "changed"})
    sim.control.fault("*", "status", times=None)
    sim.control.reset()
    assert (sim.control.content("dev"), sim.control.settings(), sim.control.user(ADMIN)) == first
    assert sim.control.bucket() == {}
    assert sim.control.snapshots("dev") == []
    assert sim.control.faults() == []
    assert Caller(own).oac("GET", "/system").status_code == 200


def test_passwords_of_finished_work_are_forgotten(own: Simulator) -> None:
    own.control.reset()
    sim = Caller(own)
    sim.snapshot()
    own.stop()
    try:
        kept = b"".join(path.read_bytes() for path in own.state.glob("state.sqlite*"))
        assert b"create_snapshot" in kept
        assert SEAL.encode() not in kept
    finally:
        own.start()
