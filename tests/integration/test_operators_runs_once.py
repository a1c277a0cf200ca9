"""One run for a logical task, whatever happens to its process or to an answer on the way."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from airflow_provider_oac.client.ids import catalog_id
from airflow_provider_oac.client.rest import data_flows, datasets
from airflow_provider_oac.exceptions import OACApiError, OACKilledError, OACUncertainError
from airflow_provider_oac.hooks.oac import OACHook
from airflow_provider_oac.operators.runs import OACReloadDatasetOperator, OACRunDataFlowOperator
from oac_simulator.launch import Simulator
from tests.tasks import Connections, Task

ORDERS, FLOW = "'admin'.'Orders'", "'admin'.'Load Orders'"
RELOAD = "POST /catalog/datasets/{datasetId}/actions/reload"
HISTORY = "GET /catalog/datasets/{datasetId}/history"
LOOK = "GET /workRequests/{id}"


@pytest.fixture(params=[True, False], ids=["store", "no store"])
def store(request: pytest.FixtureRequest) -> bool:
    """The test runs twice: with a state store as in Airflow 3.3, and without one as in 2.11."""
    return bool(request.param)


class Dying(OACReloadDatasetOperator):
    """Its process dies between OAC's answer and the next line."""

    def _pursue(self, *arguments: Any) -> Any:
        raise SystemExit("killed")


def make(kind: type[OACReloadDatasetOperator] = OACReloadDatasetOperator, **changes: Any) -> OACReloadDatasetOperator:
    arguments = {
        "task_id": "reload",
        "dataset": ORDERS,
        "retries": 2,
        "poll_interval": 0.05,
        "confirmation_timeout": 0.4,
    }
    return kind(**{**arguments, **changes})


def statuses() -> list[str]:
    return [job.status for job in OACHook("oac_default").run(datasets.history(catalog_id(ORDERS)))]


def until_it_is_over() -> None:
    while "SUCCEEDED" not in statuses() and "FAILED" not in statuses():
        threading.Event().wait(0.05)


def test_a_retry_waits_for_the_run_that_a_lost_process_started(
    connections: Connections, clean: Simulator, store: bool, deferrable: bool
) -> None:
    waits_deferred = True
    task = Task(lambda: make(deferrable=waits_deferred), store=store)
    task.start()
    waits_deferred = deferrable
    result = task.attempt()
    assert statuses() == ["SUCCEEDED"]
    assert (result["job_status"], result["rows"], result["adopted"]) == ("SUCCEEDED", 120_000, not store)
    assert (result["work_request_id"] is None) is not store


def test_a_retry_after_success_runs_nothing_again(
    connections: Connections, clean: Simulator, store: bool, deferrable: bool
) -> None:
    task = Task(lambda: make(deferrable=deferrable), store=store)
    first, second = task.attempt(), task.attempt()
    assert clean.control.calls("dev", RELOAD) == 1
    assert second["job_id"] == first["job_id"]


def test_a_process_that_dies_right_after_the_answer_leads_to_one_run(
    connections: Connections, clean: Simulator, store: bool, deferrable: bool
) -> None:
    kind: type[OACReloadDatasetOperator] = Dying
    task = Task(lambda: make(kind, deferrable=deferrable), store=store)
    with pytest.raises(SystemExit):
        task.start()
    kind = OACReloadDatasetOperator
    result = task.attempt()
    assert statuses() == ["SUCCEEDED"]
    assert result["adopted"] is True


def test_a_run_that_failed_unseen_is_not_adopted(connections: Connections, clean: Simulator, store: bool) -> None:
    clean.control.fault(RELOAD, "fail_work")
    kind: type[OACReloadDatasetOperator] = Dying
    task = Task(lambda: make(kind), store=store)
    with pytest.raises(SystemExit):
        task.start()
    until_it_is_over()
    kind = OACReloadDatasetOperator
    assert task.attempt()["adopted"] is False
    assert statuses() == ["SUCCEEDED", "FAILED"]


@pytest.mark.parametrize("refusal", [{"fault": "status", "status": 400}, {"fault": "status", "status": 403}])
def test_a_start_that_oac_refused_leaves_nothing_to_adopt(
    connections: Connections, clean: Simulator, refusal: dict[str, Any]
) -> None:
    clean.control.fault(RELOAD, **refusal)
    task = Task(lambda: make(confirmation_timeout=60))
    with pytest.raises(OACApiError):
        task.attempt()
    # Somebody else's, which a search would take for the task's own.
    OACHook("oac_default").run(datasets.reload(catalog_id(ORDERS)))
    until_it_is_over()
    assert task.attempt()["adopted"] is False


def test_a_lost_answer_is_looked_for_in_the_history(
    connections: Connections, clean: Simulator, store: bool, deferrable: bool
) -> None:
    OACHook("oac_default").run(datasets.reload(catalog_id(ORDERS)))
    until_it_is_over()
    clean.control.reset_counters()
    clean.control.fault(RELOAD, "drop_after")
    result = Task(lambda: make(deferrable=deferrable), store=store).attempt()
    assert statuses() == ["SUCCEEDED", "SUCCEEDED"]
    assert (result["adopted"], result["job_status"]) == (True, "SUCCEEDED")
    assert clean.control.calls("dev", RELOAD) == 1


@pytest.mark.parametrize("fault", ["non_json", "empty"])
def test_an_answer_without_its_header_is_looked_for_in_the_history(
    connections: Connections, clean: Simulator, fault: str
) -> None:
    clean.control.fault(RELOAD, fault, status=202)
    assert Task(make).attempt()["adopted"] is True
    assert statuses() == ["SUCCEEDED"]


def test_a_history_that_is_late_is_looked_at_until_it_has_settled(connections: Connections, clean: Simulator) -> None:
    clean.control.settings(history_delay=2.0)
    clean.control.fault(RELOAD, "drop_after")
    assert Task(lambda: make(confirmation_timeout=10)).attempt()["adopted"] is True
    assert clean.control.calls("dev", RELOAD) == 1


def test_a_run_that_shows_itself_by_a_409_only_is_taken_for_ours(connections: Connections, clean: Simulator) -> None:
    clean.control.settings(history_delay=1.0, work_seconds=4.0)
    clean.control.fault(RELOAD, "drop_after")
    # The history is too late for the first look, and the second request meets the run of the first.
    assert Task(lambda: make(confirmation_timeout=0, if_running="wait")).attempt()["adopted"] is True
    assert statuses() == ["SUCCEEDED"]


def test_a_request_that_never_arrived_is_sent_again(connections: Connections, clean: Simulator, store: bool) -> None:
    clean.control.fault(RELOAD, "drop_before")
    assert Task(make, store=store).attempt()["adopted"] is False
    assert statuses() == ["SUCCEEDED"]


def test_uncertainty_ends_the_try_and_the_next_one_finds_the_run(
    connections: Connections, clean: Simulator, store: bool, deferrable: bool
) -> None:
    task = Task(lambda: make(deferrable=deferrable), store=store)
    clean.control.fault(RELOAD, "drop_after")
    clean.control.fault(HISTORY, "status", status=403, after=1)
    with pytest.raises(OACUncertainError, match="run the task again"):
        task.attempt()
    assert task.attempt()["adopted"] is True
    assert clean.control.calls("dev", RELOAD) == 1


def test_a_clear_after_success_runs_it_again(
    connections: Connections, clean: Simulator, store: bool, deferrable: bool
) -> None:
    task = Task(lambda: make(deferrable=deferrable), store=store)
    first = task.attempt()
    task.clear()
    second = task.attempt()
    assert second["job_id"] != first["job_id"]
    assert len(statuses()) == 2


def test_a_clear_while_it_runs_waits_for_that_run(connections: Connections, clean: Simulator) -> None:
    task = Task(lambda: make(deferrable=True))
    task.start()
    task.clear()
    assert task.attempt()["adopted"] is False
    assert statuses() == ["SUCCEEDED"]


def test_a_clear_while_an_adopted_job_runs_waits_for_that_job(connections: Connections, clean: Simulator) -> None:
    clean.control.settings(work_seconds=1.5)
    OACHook("oac_default").run(datasets.reload(catalog_id(ORDERS)))
    policy = "adopt"
    task = Task(lambda: make(deferrable=True, if_running=policy))
    task.start()
    task.clear()
    policy = "fail"
    assert task.attempt()["adopted"] is True
    assert statuses() == ["SUCCEEDED"]


def test_a_retry_goes_on_with_the_job_that_was_adopted(
    connections: Connections, clean: Simulator, deferrable: bool
) -> None:
    clean.control.settings(work_seconds=1.0)
    OACHook("oac_default").run(datasets.reload(catalog_id(ORDERS)))
    waits_deferred = True
    task = Task(lambda: make(deferrable=waits_deferred, if_running="adopt"))
    task.start()
    until_it_is_over()
    waits_deferred = deferrable
    assert task.attempt()["adopted"] is True
    assert statuses() == ["SUCCEEDED"]


def test_a_retry_while_somebody_elses_run_is_waited_for_starts_ours_once(
    connections: Connections, clean: Simulator, store: bool
) -> None:
    clean.control.settings(work_seconds=6.5)
    hook, flow = OACHook("oac_default"), catalog_id(FLOW)
    hook.run(data_flows.run(flow))
    # What somebody else started just before the first try counts as started by it where only clocks tell.
    time.sleep(0 if store else 5.5)
    clean.control.settings(work_seconds=0.2)
    task = Task(
        lambda: OACRunDataFlowOperator(
            task_id="flow",
            data_flow=FLOW,
            if_running="wait",
            deferrable=True,
            retries=2,
            poll_interval=0.05,
            confirmation_timeout=0,
        ),
        store=store,
    )
    task.start()
    assert task.attempt()["adopted"] is False
    assert len(hook.run(data_flows.history(flow))) == 2


def test_a_run_that_oac_forgot_is_looked_for_in_the_history(connections: Connections, clean: Simulator) -> None:
    task = Task(lambda: make(deferrable=True))
    task.start()
    assert task.store is not None
    record = task.store.get("oac_work")
    task.store.set("oac_work", {**record, "submitted_at": record["submitted_at"] - 3600})
    clean.control.fault(LOOK, "status", status=404, times=None)
    assert task.attempt()["adopted"] is True
    assert statuses() == ["SUCCEEDED"]


def test_a_retry_of_a_failed_run_starts_anew(
    connections: Connections, clean: Simulator, store: bool, deferrable: bool
) -> None:
    clean.control.fault(RELOAD, "fail_work")
    task = Task(lambda: make(deferrable=True), store=store)
    task.start()
    until_it_is_over()
    assert task.attempt()["adopted"] is False
    assert statuses() == ["SUCCEEDED", "FAILED"]


def test_a_task_that_is_not_durable_starts_anew(connections: Connections, clean: Simulator, store: bool) -> None:
    task = Task(lambda: make(durable=False), store=store)
    first = task.attempt()
    assert task.attempt()["job_id"] != first["job_id"]
    assert len(statuses()) == 2


def test_a_killed_task_names_its_work_and_the_retry_finds_it(
    connections: Connections, clean: Simulator, store: bool
) -> None:
    clean.control.settings(work_seconds=2.0)
    operator = make()
    task = Task(lambda: operator, store=store)

    def kill_once_it_waits() -> None:
        while not clean.control.calls("dev", LOOK):
            threading.Event().wait(0.02)
        operator.on_kill()

    killer = threading.Thread(target=kill_once_it_waits)
    killer.start()
    with pytest.raises(OACKilledError, match="continues in OAC as work request"):
        task.attempt()
    killer.join()
    operator = make()
    assert task.attempt()["job_status"] == "SUCCEEDED"
    assert statuses() == ["SUCCEEDED"]


def test_a_retry_keeps_to_what_the_first_try_asked_for(connections: Connections, clean: Simulator) -> None:
    dataset, kind = ORDERS, Dying
    task = Task(lambda: make(kind, dataset=dataset))
    with pytest.raises(SystemExit):
        task.start()
    # What a template renders anew.
    dataset, kind = "'admin'.'Budget Lines'", OACReloadDatasetOperator  # type: ignore[assignment]
    assert task.attempt()["rows"] == 120_000


def test_a_refusal_without_a_job_that_runs_is_tried_again_and_reported(
    connections: Connections, clean: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_oac.client.flows.start_run._BUSY_PAUSE", 0.05)
    body = {"code": "Conflict", "message": "The object is locked."}
    clean.control.fault(RELOAD, "status", status=409, body=body, times=None)
    with pytest.raises(OACApiError, match="The object is locked"):
        Task(lambda: make(if_running="wait")).attempt()
    assert clean.control.calls("dev", RELOAD) == 3
