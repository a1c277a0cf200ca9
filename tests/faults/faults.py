"""The faults: what goes wrong while a task does its work, and what the person on call then does."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from tests.faults.world import LOOK, World, until
from tests.redis_server import redis_server
from tests.tasks import ADMIN

POST, RESTORE = "POST /snapshots", "POST /system/actions/restoreSnapshot"
DOWNLOAD = "GET /catalog/workbooks/{urlBase64WorkbookId}/exports/{exportId}"
#: Seconds for which OAC is away where the issue is an outage of minutes.
OUTAGE = 125.0

Act = Callable[[World], None]


def _while_it_waits(w: World) -> None:
    w.begin()
    w.until_it_waits()


def _next_try(w: World) -> None:
    """The try failed; a person or Airflow starts the next one."""
    assert w.finish(work_ends=False) == "failed", w.outcome
    w.attempt()


# ------------------------------------------------------------------------------------------------------- the network


def network_down_before_submit(w: World) -> None:
    w.cut()
    w.begin()
    _mended_after_a_while(w)


def network_down_during_submit(w: World) -> None:
    """It goes down while the request is on its way."""
    w.control.fault(POST, "drop_before", seconds=1.0)
    w.begin()
    until(lambda: w.control.faults()[0]["hits"], "the request is on its way")
    w.cut()
    _mended_after_a_while(w)


def _mended_after_a_while(w: World) -> None:
    time.sleep(2.0)
    w.mend()
    if w.finish() == "failed":
        w.attempt()


def network_down_after_submit(w: World) -> None:
    _while_it_waits(w)
    w.cut()
    time.sleep(8.0)
    w.mend()
    w.finish()


def submit_meets(fault: str) -> Act:
    """The connection breaks while OAC is asked for the snapshot."""

    def act(w: World) -> None:
        w.control.fault(POST, fault)
        w.attempt()

    return act


# ------------------------------------------------------------------------------------------------------ dead workers


def killed_at(point: str) -> Act:
    """The worker is killed at a point of the operator; Airflow tries again."""

    def act(w: World) -> None:
        assert w.attempt(die=point) == "killed"
        w.attempt()

    return act


def killed_during_submit(w: World) -> None:
    """OAC has acted, its reply is on the way, and there is nobody left to read it."""
    w.control.fault(POST, "delay_after", seconds=5.0)
    w.begin()
    until(lambda: w.control.snapshots("dev"), "OAC acts")
    w.kill()
    w.attempt()


def killed_while_it_waits(w: World) -> None:
    """A worker is killed, or the triggerer, which another one replaces."""
    _while_it_waits(w)
    w.kill()
    if w.deferred:
        w.another_triggerer()
        w.finish()
    else:
        w.attempt()


def killed_while_it_streams(w: World) -> None:
    # What is over at once is not deferred.
    w.control.settings(export_size=20_000_000, work_seconds=10.0 if w.deferred else 1.0)
    w.control.fault(DOWNLOAD, "drip", seconds=60)
    w.begin()
    if w.deferred:
        assert w.advance()
        assert w.advance()
    out = w.folder / "out"

    def half() -> bool:
        return any(path.stat().st_size > 1_000_000 for path in out.glob(".board.pdf.*.part"))

    until(half, "a part of the file is there")
    assert (out / "board.pdf").read_bytes() == b"the old one"
    w.kill()
    assert (out / "board.pdf").read_bytes() == b"the old one"
    w.control.clear_faults()
    w.attempt()


def disk_full_while_it_streams(w: World) -> None:
    """A limit on the size of a file stands in for the disk: the same failure of a write in the middle."""
    w.control.settings(export_size=20_000_000)
    w.largest_file = 5_000_000
    w.begin()
    assert w.finish() == "failed", w.outcome
    assert (w.folder / "out" / "board.pdf").read_bytes() == b"the old one"
    w.largest_file = None
    w.attempt()


def told_to_stop_while_it_waits(w: World) -> None:
    """Somebody marks the task as failed, and clears it later: Airflow 3 counts on after that."""
    _while_it_waits(w)
    w.terminate()
    _next_try(w)


def timed_out(w: World) -> None:
    w.arguments["timeout"] = 3.0
    w.begin()
    assert w.finish(work_ends=False) == "failed"
    del w.arguments["timeout"]
    w.attempt()


# -------------------------------------------------------------------------------------------------------- OAC's side


def oac_restarted(seconds: float) -> Act:
    """OAC and the identity domain are away for a while."""

    def act(w: World) -> None:
        _while_it_waits(w)
        w.simulator.kill()
        time.sleep(seconds)
        w.simulator.start()
        w.control = w.simulator.control
        w.finish()

    return act


def unauthorized_in_the_middle(w: World) -> None:
    _while_it_waits(w)
    w.control.end_tokens()
    w.finish()


def too_many_requests(w: World) -> None:
    headers = {"Retry-After": "1"}
    for endpoint, times in (("token", 3), (POST, 3), (LOOK, 8)):
        w.control.fault(endpoint, "status", status=429, headers=headers, times=times)
    w.attempt()


def key_rotated(w: World) -> None:
    """The identity domain no longer takes the certificate; after a while the right one is there again."""
    w.sign_in_by_key()
    _while_it_waits(w)
    certificates = w.control.settings()["app"]["certificates"]
    w.control.settings(app={"certificates": {}})
    _refused(w)
    w.control.settings(app={"certificates": certificates})
    w.attempt()


def user_deactivated(w: World) -> None:
    _while_it_waits(w)
    w.control.user(ADMIN, active=False)
    _refused(w)
    w.control.user(ADMIN, active=True)
    w.sign_in_by_chain()
    w.attempt()


def clock_wrong_with_a_key(w: World) -> None:
    w.sign_in_by_key()
    _while_it_waits(w)
    w.control.settings(clock_offset=600.0)
    _refused(w)
    w.control.settings(clock_offset=0.0)
    w.attempt()


def _refused(w: World) -> None:
    """The next sign-in is refused, and with it the try."""
    w.control.end_tokens()
    assert w.finish(work_ends=False) == "failed", w.outcome


def clock_wrong_with_a_chain(w: World) -> None:
    _while_it_waits(w)
    w.control.settings(clock_offset=600.0)
    w.finish()


# ---------------------------------------------------------------------------------------------------- the token store


def token_store(change: Callable[[Path], object]) -> Act:
    """The chain's latest refresh token is lost; a person signs in again."""

    def act(w: World) -> None:
        _while_it_waits(w)
        for path in w.store_folder.glob("*"):
            change(path)
        w.control.end_tokens()
        if w.finish() == "failed":
            w.sign_in_by_chain()
            w.attempt()

    return act


def corrupt(path: Path) -> None:
    path.write_bytes(b"\x00 garbage")


def redis_gone(w: World) -> None:
    with redis_server(persistent=True) as server:
        w.env |= {"AIRFLOW__OAC__STORE": "redis", "AIRFLOW__OAC__REDIS_URL": server.url}
        _while_it_waits(w)
        server.kill()
        w.control.end_tokens()
        time.sleep(8.0)
        server.start()
        w.finish()
        w.chain_is_alive()
        w.uses_refresh_token = False


# ------------------------------------------------------------------------------------------------- how the work ends


def work_ends(status: str) -> Act:
    """The work request ends without success; Airflow tries again."""

    def act(w: World) -> None:
        _while_it_waits(w)
        (work,) = [one for one in w.control.work_requests("dev") if one["status"] != "SUCCEEDED"]
        errors = [{"code": "DiskFull", "message": "No space is left in the bucket"}] if status == "FAILED" else []
        w.control.finish("dev", work["id"], status, **({"errors": errors} if errors else {}))
        _next_try(w)

    return act


def unknown_status(w: World) -> None:
    w.control.fault(LOOK, "unknown_status", times=None, work_status="SUSPENDED")
    w.begin()
    assert w.finish(work_ends=False) == "failed", w.outcome
    w.control.clear_faults()
    w.attempt()


def work_vanishes(w: World) -> None:
    """Also the next try finds no such work request, and has to look for the snapshot."""
    _while_it_waits(w)
    w.control.fault(LOOK, "status", status=404, times=None)
    _next_try(w)


def restore_with_oac_away(w: World) -> None:
    """While it restores, OAC answers 503 to everybody for minutes."""
    w.control.settings(restore_outage=True)
    w.begin()
    # The safety snapshot is soon done; the restore takes its time.
    until(lambda: w.control.snapshots("prod")[1:] or not w.goes_on(), "the safety snapshot is asked for")
    w.control.settings(work_seconds=OUTAGE)
    until(lambda: w.control.calls("prod", RESTORE) or not w.goes_on(), "the restore is sent", 120.0)
    w.finish(work_ends=False)


def restore_with_lost_reply(w: World) -> None:
    """Whether OAC took it is not known: it is never sent again, not even by a retry."""
    w.control.fault(RESTORE, "drop_after")
    assert w.attempt() == "failed"
    assert w.outcome["final"], "Airflow must not try again by itself"
    assert w.attempt() == "failed"


def listed_late(w: World) -> None:
    """OAC lists the snapshot only when it is done; the reply is lost, and it is looked for that long."""
    w.control.settings(listing="late")
    w.arguments["confirmation_timeout"] = 20.0
    w.control.fault(POST, "drop_after")
    w.attempt()
