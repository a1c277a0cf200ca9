"""Exactly one snapshot for a logical task, whatever happens to its process or to an answer on the way."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from airflow_provider_oac.exceptions import (
    OACKilledError,
    OACUncertainError,
    OACWaitTimeoutError,
    OACWorkRequestError,
)
from oac_simulator.launch import Simulator
from tests.tasks import Connections, Task, names
from tests.tasks import backup_operator as make

POST, LOOK = "POST /snapshots", "GET /workRequests/{id}"


@pytest.fixture(params=[True, False], ids=["store", "no store"])
def store(request: pytest.FixtureRequest) -> bool:
    """The test runs twice: with a state store as in Airflow 3.3, and without one as in 2.11."""
    return bool(request.param)


def test_a_retry_waits_for_the_work_that_a_lost_process_started(
    connections: Connections, clean: Simulator, store: bool, deferrable: bool
) -> None:
    waits_deferred = True
    task = Task(lambda: make(deferrable=waits_deferred), store=store)
    task.start()
    waits_deferred = deferrable
    result = task.attempt()
    (snapshot,) = clean.control.snapshots("dev")
    assert result["snapshot_id"] == snapshot["id"]
    # Without a store there is only the list, which shows neither state nor work request.
    assert result["verified"] is store
    assert result["work_request_id"] == (snapshot["work_request"] if store else None)


def test_a_retry_after_success_takes_no_second_snapshot(
    connections: Connections, clean: Simulator, store: bool, deferrable: bool
) -> None:
    task = Task(lambda: make(deferrable=deferrable), store=store)
    first, second = task.attempt(), task.attempt()
    assert len(names(clean)) == 1
    assert second["snapshot_id"] == first["snapshot_id"]
    assert second["verified"] is store


def test_a_clear_after_success_orders_another_one(
    connections: Connections, clean: Simulator, store: bool, deferrable: bool
) -> None:
    task = Task(lambda: make(deferrable=deferrable), store=store)
    first = task.attempt()
    task.clear()
    second = task.attempt()
    assert second["verified"]
    assert set(names(clean)) == {first["name"], second["name"]}
    assert len(clean.control.bucket()) == 2
    assert task.attempt()["name"] == second["name"]


def test_a_clear_while_the_work_runs_waits_for_that_work(connections: Connections, clean: Simulator) -> None:
    task = Task(lambda: make(deferrable=True))
    task.start()
    task.clear()
    result = task.attempt()
    assert [result["name"]] == names(clean)
    assert result["verified"]
    assert task.attempt() == result


def test_a_lost_answer_is_looked_for_in_the_list(
    connections: Connections, clean: Simulator, store: bool, deferrable: bool
) -> None:
    clean.control.fault(POST, "drop_after")
    result = Task(lambda: make(deferrable=deferrable), store=store).attempt()
    (snapshot,) = clean.control.snapshots("dev")
    assert result["snapshot_id"] == snapshot["id"]
    assert (result["verified"], result["work_request_id"]) == (False, None)


def test_a_lost_answer_is_looked_for_until_the_list_has_settled(connections: Connections, clean: Simulator) -> None:
    clean.control.settings(listing="late")
    clean.control.fault(POST, "drop_after")
    result = Task(lambda: make(confirmation_timeout=20)).attempt()
    assert names(clean) == [result["name"]]


@pytest.mark.parametrize("fault", ["truncate", "non_json", "empty"])
def test_a_spoiled_answer_is_looked_for_in_the_list(connections: Connections, clean: Simulator, fault: str) -> None:
    clean.control.settings(work_request_id_in="body")
    clean.control.fault(POST, fault)
    result = Task(make).attempt()
    assert [result["name"]] == names(clean)


def test_a_request_that_never_arrived_is_sent_again(connections: Connections, clean: Simulator, store: bool) -> None:
    clean.control.fault(POST, "drop_before")
    result = Task(make, store=store).attempt()
    assert result["verified"]
    assert names(clean) == [result["name"]]


def test_uncertainty_ends_the_try_and_the_next_one_finds_the_snapshot(
    connections: Connections, clean: Simulator, store: bool, deferrable: bool
) -> None:
    task = Task(lambda: make(deferrable=deferrable), store=store)
    clean.control.fault(POST, "drop_after")
    # Without a store, the list is read before the request as well.
    clean.control.fault("GET /snapshots", "status", status=403, after=0 if store else 1)
    with pytest.raises(OACUncertainError, match="run the task again"):
        task.attempt()
    result = task.attempt()
    assert names(clean) == [result["name"]]
    assert clean.control.calls("dev", POST) == 1
    assert not result["verified"]


def test_a_retry_forgets_work_that_failed_unseen(connections: Connections, clean: Simulator) -> None:
    clean.control.settings(failed_listing="keep")
    clean.control.fault(POST, "fail_work")
    task = Task(lambda: make(deferrable=True))
    task.start()
    (failed,) = names(clean)
    while clean.control.snapshots("dev")[0]["state"] == "IN_PROGRESS":
        threading.Event().wait(0.05)
    result = task.attempt()
    assert result["verified"]
    assert names(clean) == [result["name"]]
    # Not even within one second is a name or a file used twice.
    assert result["name"] != failed


def test_failed_work_fails_the_task_with_the_errors_of_oac_and_leaves_the_list_clean(
    connections: Connections, clean: Simulator, store: bool, deferrable: bool
) -> None:
    clean.control.settings(failed_listing="keep")
    clean.control.fault(POST, "fail_work", errors=[{"code": "DiskFull", "message": "No space is left"}])
    task = Task(lambda: make(deferrable=deferrable), store=store)
    with pytest.raises(OACWorkRequestError, match=r"\(CREATE_SNAPSHOT\) ended FAILED .*DiskFull: No space is left"):
        task.attempt()
    assert names(clean) == []
    result = task.attempt()
    assert result["verified"]
    assert names(clean) == [result["name"]]


def test_a_failed_snapshot_that_stays_listed_is_never_adopted(connections: Connections, clean: Simulator) -> None:
    clean.control.settings(failed_listing="keep")
    clean.control.fault("DELETE /snapshots/{snapshotId}", "status", status=403, times=None)
    clean.control.fault(POST, "fail_work", times=2)
    task = Task(make)
    for _ in range(2):
        with pytest.raises(OACWorkRequestError):
            task.attempt()
    failed = set(names(clean))
    assert len(failed) == 2
    # A lost answer makes the third try look for its mark, which both failed ones carry.
    clean.control.fault(POST, "drop_after")
    result = task.attempt()
    assert {result["name"]} == set(names(clean)) - failed


def test_work_that_oac_forgot_is_looked_for_in_the_list(connections: Connections, clean: Simulator) -> None:
    task = Task(lambda: make(deferrable=True))
    task.start()
    assert task.store is not None
    record = task.store.get("oac_work")
    task.store.set("oac_work", {**record, "submitted_at": record["submitted_at"] - 3600})
    clean.control.fault(LOOK, "status", status=404, times=None)
    result = task.attempt()
    assert names(clean) == [result["name"]]
    assert (result["verified"], result["work_request_id"]) == (False, None)


def test_work_that_oac_does_not_know_yet_is_waited_for(
    connections: Connections, clean: Simulator, deferrable: bool
) -> None:
    task = Task(lambda: make(deferrable=deferrable))
    task.start()
    clean.control.fault(LOOK, "status", status=404, times=3)
    assert task.attempt()["verified"]
    assert len(names(clean)) == 1


def test_a_task_that_is_not_durable_starts_anew(connections: Connections, clean: Simulator, store: bool) -> None:
    task = Task(lambda: make(durable=False), store=store)
    first = task.attempt()
    # It remembers nothing, so that nothing but the time tells its names apart.
    threading.Event().wait(1.0)
    assert task.attempt()["name"] != first["name"]
    assert len(names(clean)) == 2


def test_a_task_that_is_not_durable_never_takes_an_earlier_trys_snapshot_for_its_own(
    connections: Connections, clean: Simulator, store: bool
) -> None:
    task = Task(lambda: make(durable=False), store=store)
    first = task.attempt()
    clean.control.fault(POST, "drop_before")
    second = task.attempt()
    assert second["verified"]
    assert set(names(clean)) == {first["name"], second["name"]}


def test_what_is_found_again_is_told_as_it_was_ordered(connections: Connections, clean: Simulator, store: bool) -> None:
    connections.seal("oac_seal_new", "Another-Horse-8-Battery")
    changes: dict[str, str] = {}
    task = Task(lambda: make(deferrable=True, **changes), store=store)
    task.start()
    # What a template renders, or an author edits, between two tries.
    changes |= {"seal_conn_id": "oac_seal_new", "bucket": "another-bucket"}
    result = task.attempt()
    assert [result["name"]] == names(clean)
    assert (result["seal"], result["bucket"]) == ("oac_seal", "oac-backups")


def test_a_kill_while_cleaning_up_orders_nothing_more(connections: Connections, clean: Simulator) -> None:
    clean.control.fault(POST, "fail_work")
    clean.control.settings(failed_listing="keep")
    operator = make(deferrable=True)
    task = Task(lambda: operator)
    task.start()
    while clean.control.snapshots("dev")[0]["state"] == "IN_PROGRESS":
        threading.Event().wait(0.05)
    operator = make(deferrable=True)
    operator.on_kill()
    # The kill is seen where the list is asked for again.
    clean.control.fault("GET /snapshots", "status", status=503)
    with pytest.raises(OACKilledError):
        task.start()
    assert clean.control.calls("dev", POST) == 1


def test_a_killed_task_names_its_work_and_the_retry_finds_it(
    connections: Connections, clean: Simulator, store: bool
) -> None:
    clean.control.settings(work_seconds=2.0)
    operator = make(deferrable=False)
    task = Task(lambda: operator, store=store)

    def kill_once_it_waits() -> None:
        while not clean.control.calls("dev", LOOK):
            threading.Event().wait(0.02)
        operator.on_kill()

    killer = threading.Thread(target=kill_once_it_waits)
    killer.start()
    with pytest.raises(OACKilledError, match=r"continues in OAC as work request \S+, which cannot be canceled"):
        task.attempt()
    killer.join()
    operator = make()
    assert names(clean) == [task.attempt()["name"]]


@pytest.mark.parametrize("limit", ["timeout", "execution_timeout"])
def test_a_wait_that_takes_too_long_fails_and_the_retry_goes_on_with_it(
    connections: Connections, clean: Simulator, store: bool, deferrable: bool, limit: str
) -> None:
    clean.control.settings(work_seconds=1.0)
    limits = {limit: timedelta(seconds=0.2)}
    task = Task(lambda: make(deferrable=deferrable, **limits), store=store)
    with pytest.raises(OACWaitTimeoutError, match=r"did not end in time.* continues in OAC"):
        task.attempt()
    limits.clear()
    assert names(clean) == [task.attempt()["name"]]


def test_work_that_ended_after_all_is_no_timeout(connections: Connections, clean: Simulator) -> None:
    task = Task(lambda: make(deferrable=True))
    task.start()
    while clean.control.snapshots("dev")[0]["state"] == "IN_PROGRESS":
        threading.Event().wait(0.05)
    assert task.deferred is not None
    carried = task.deferred.trigger.carried
    assert task.execute_complete({"outcome": "timeout", "message": "late", "carried": carried})["verified"]


def test_an_unknown_status_fails_the_task_in_the_end(
    connections: Connections, clean: Simulator, deferrable: bool
) -> None:
    clean.control.fault(LOOK, "unknown_status", times=None, work_status="SUSPENDED")
    with pytest.raises(OACWorkRequestError, match="undocumented status 'SUSPENDED'"):
        Task(lambda: make(deferrable=deferrable)).attempt()


@pytest.mark.parametrize("fault", ["drop_before", "truncate", "non_json"])
def test_trouble_while_waiting_is_waited_out(
    connections: Connections, clean: Simulator, deferrable: bool, fault: str
) -> None:
    clean.control.fault(LOOK, fault, times=2)
    assert Task(lambda: make(deferrable=deferrable)).attempt()["verified"]


def test_tokens_that_end_while_waiting_are_renewed(
    connections: Connections, clean: Simulator, deferrable: bool
) -> None:
    task = Task(lambda: make(deferrable=True))
    task.start()
    clean.control.end_tokens()
    assert task.attempt()["verified"]
    assert clean.control.grants("jwt-bearer") == 2


def test_a_retry_while_oac_is_out_of_reach_waits_for_the_work_of_the_try_before(
    connections: Connections, clean: Simulator
) -> None:
    task = Task(lambda: make(deferrable=task.try_number == 1))
    task.start()
    # As many as one call sends in all, so that the first look of the retry ends in an error.
    clean.control.fault(LOOK, "status", status=503, times=5)
    result = task.attempt()
    assert len(names(clean)) == 1
    assert result["verified"] is True


def test_an_adopted_snapshot_is_described_as_it_was_submitted(connections: Connections, clean: Simulator) -> None:
    (clean.state / "buckets" / "other-bucket").mkdir(exist_ok=True)
    connections.set("oac_seal_next", {"conn_type": "generic", "password": "Another-Seal-2027!"})
    changes: dict[str, str] = {}
    task = Task(lambda: make(deferrable=True, **changes), store=False)
    task.start()
    changes.update(bucket="other-bucket", seal_conn_id="oac_seal_next")
    result = task.attempt()
    assert (result["bucket"], result["seal"]) == ("oac-backups", "oac_seal")
