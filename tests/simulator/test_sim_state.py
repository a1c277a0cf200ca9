"""What survives a restart, orderly or not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from oac_simulator.launch import Simulator, launch
from tests.simulator.sim_caller import ADMIN, AUTHOR, EXPORT, SEAL, Caller, encoded, pair
from tests.simulator.sim_mcp import Session

ROWS = 'SELECT COUNT(*) FROM "Sales History"'


@pytest.fixture(scope="module")
def running() -> Iterator[Simulator]:
    """One of their own, since these tests restart it."""
    with launch(instances=["dev"], work_seconds=0.2) as simulator:
        yield simulator


def test_everything_survives_a_kill(sim: Caller, running: Simulator) -> None:
    tokens = sim.token(sim.jwt_form(scope=f"{sim.scope()} offline_access")).json()
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    second = sim.token(form, auth=sim.basic).json()["refresh_token"]
    snapshot_id = sim.snapshot()
    sim.control.damage("dev")
    sim.control.user(AUTHOR, active=False)
    sim.control.settings(listing="late", work_seconds=1.0)
    work = sim.start(sim.snapshot_body("b/two.bar", name="two"))
    session = Session(sim)
    sim.control.data("dev", 'DELETE FROM "Sales History"')
    before = {**running.ready, "pid": None}
    damaged, bucket = sim.control.content("dev"), sim.control.bucket()

    running.restart(kill=True)

    assert {**running.ready, "pid": None} == before
    sim.control = running.control
    assert sim.status("GET /system", token=tokens["access_token"]) == 200
    assert sim.control.content("dev") == damaged
    assert bucket.items() <= sim.control.bucket().items()
    assert (sim.control.user(AUTHOR)["active"], sim.control.settings()["listing"]) == (False, "late")
    assert sim.finished(work)["status"] == "SUCCEEDED"
    assert {item["name"] for item in sim.oac("GET", "/snapshots").json()["items"]} == {"one", "two"}
    assert sim.token({**form, "refresh_token": second}, auth=sim.basic).status_code == 200
    replay = sim.token(form, auth=sim.basic).json()
    assert replay["error_description"] == "The token has already been consumed"
    assert sim.restore(snapshot_id)["status"] == "SUCCEEDED"
    assert sim.control.content("dev") != damaged
    assert session.post("tools/list").status_code == 404, "sessions end"
    assert sim.control.data("dev", ROWS) == [[0]]
    sim.control.reset()
    assert sim.control.data("dev", ROWS) == [[1200]]


def test_exports_and_jobs_survive_a_stop(sim: Caller, running: Simulator) -> None:
    sim.control.settings(export_size=100_000, access_token_ttl=3600)
    reply = sim.oac("POST", f"/catalog/workbooks/{encoded('/shared/Sales/Pipeline')}/exports", json=EXPORT)
    path = reply.json()["resourceUri"].removeprefix("/api/20210901")
    sim.ended(reply)
    before = sim.oac("GET", path).content
    assert len(before) == 100_000
    run = sim.control.start_run("dev", "datasets", pair("Orders"), seconds=1.5)

    running.restart()

    sim.control = running.control
    assert sim.oac("GET", path).content == before
    assert sim.finished(run["work_request"])["status"] == "SUCCEEDED"
    [job] = sim.control.jobs("dev")
    assert (job["jobIdentifier"], job["jobStatus"]) == (run["job"], "SUCCEEDED")
    sim.control.reset()
    assert (sim.control.jobs("dev"), sim.control.exports("dev")) == ([], [])
    assert list((running.state / "exports").iterdir()) == []


def test_reset_goes_back_to_the_first_state(sim: Caller) -> None:
    def state() -> list[object]:
        control = sim.control
        known = [control.content("dev"), control.settings(), control.user(ADMIN), control.bucket()]
        return [*known, control.snapshots("dev"), control.faults()]

    first = state()
    sim.snapshot()
    sim.control.damage("dev")
    sim.control.user(ADMIN, roles=[])
    sim.control.settings(listing="late", app={"active": False, "secret": "changed"})
    sim.control.fault("*", "status", times=None)
    assert not [one for one in zip(first, state(), strict=True) if one[0] == one[1]]
    sim.control.reset()
    assert state() == first
    assert Caller(sim.simulator).status("GET /system") == 200


def test_passwords_of_finished_work_are_forgotten(sim: Caller, running: Simulator) -> None:
    sim.snapshot()
    running.stop()
    try:
        kept = b"".join(path.read_bytes() for path in running.state.glob("state.sqlite*"))
        assert b"create_snapshot" in kept
        assert SEAL.encode() not in kept
    finally:
        running.start()
