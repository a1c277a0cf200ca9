"""Every operator that starts work, in one table: what a retry, a Clear, a kill and a deadline do to it.

A new one without an entry fails `test_every_operator_that_starts_work_has_an_entry`. The nights of all operators that
change something are in tests/universes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_oac._compat import AirflowFailException
from airflow_provider_oac.client import ids
from airflow_provider_oac.exceptions import OACError, OACKilledError, OACSupersededError, OACWaitTimeoutError
from airflow_provider_oac.operators.base import OACWorkOperator
from oac_simulator.launch import Simulator
from tests.integration.restores import host, registered
from tests.tasks import Connections, StateStore, Task, backup_operator
from tests.unit.operators.everything import CLASSES

LOOK = "GET /workRequests/{id}"
EXPORT = "POST /catalog/workbooks/{urlBase64WorkbookId}/exports"
RELOAD = "POST /catalog/datasets/{datasetId}/actions/reload"
FLOW = "POST /catalog/dataflows/{dataflowId}/actions/run"
SEQUENCE = "POST /catalog/sequences/{sequenceId}/actions/run"
RESTORE = "POST /system/actions/restoreSnapshot"
PIPELINE = "/@Catalog/shared/Sales/Pipeline"
RUN_FLOW = f"/catalog/dataflows/{ids.object_id('admin', 'Load Orders')}/actions/run"
BACKUP = {"snapshot_label": "nightly", "bucket": "oac-backups", "seal_conn_id": "oac_seal"}
# What another try does: it sends the work anew, goes on with the same work, or refuses.
ANEW, SAME, REFUSED = "anew", "same", "refused"
# When the other try comes. Without a store, nothing is remembered.
RETRY, NO_STORE, NOT_DURABLE = "a retry", "a retry without a store", "a retry with durable=False"
CLEARED, CLEARED_LATER = "a Clear while the work runs", "a Clear after success"
MOST = {RETRY: SAME, NO_STORE: SAME, NOT_DURABLE: ANEW, CLEARED: SAME, CLEARED_LATER: ANEW}


@dataclass(frozen=True)
class Works:
    """An operator that starts work.

    :param sends: the endpoint that starts its work.
    :param instance: where.
    :param arguments: what it is given; a function gets the Connections and a folder.
    :param other: what another try does, where that is not what it does with most operators.
    """

    sends: str
    instance: str
    arguments: dict[str, Any] | Callable[[Connections, Path], dict[str, Any]]
    other: dict[str, str] = field(default_factory=dict)


def _restore(connections: Connections, _: Path) -> dict[str, Any]:
    snapshot = {"snapshot": registered(connections), "without_safety_snapshot": True}
    return {"oac_conn_id": "oac_prod", "expected_host": host(), **snapshot}


def _register(connections: Connections, _: Path) -> dict[str, Any]:
    connections.oac("oac_prod", "prod")
    return {"oac_conn_id": "oac_prod", "snapshot": Task(backup_operator).attempt()}


def _export(_: Connections, folder: Path) -> dict[str, Any]:
    return {"workbook_path": PIPELINE, "destination": f"file://{folder}/board.pdf"}


def _exports(_: Connections, folder: Path) -> dict[str, Any]:
    return {"workbooks": [PIPELINE], "destination": f"file://{folder}/out"}


# Harmless to repeat: without a store, and by a Clear, it is.
HARMLESS = {NO_STORE: ANEW, CLEARED: ANEW}
WORKS: dict[str, Works] = {
    "OACCreateSnapshotOperator": Works("POST /snapshots", "dev", BACKUP),
    # A file that the instance lists is never registered again, whoever asked.
    "OACRegisterSnapshotOperator": Works(
        "POST /snapshots", "prod", _register, {CLEARED_LATER: SAME, NOT_DURABLE: SAME}
    ),
    "OACRestoreSnapshotOperator": Works(
        RESTORE, "prod", _restore, {NO_STORE: REFUSED, CLEARED_LATER: REFUSED, NOT_DURABLE: REFUSED}
    ),
    "OACReloadDatasetOperator": Works(RELOAD, "dev", {"dataset": "'admin'.'Orders'"}),
    "OACRunDataFlowOperator": Works(FLOW, "dev", {"data_flow": "'admin'.'Load Orders'"}),
    "OACRunSequenceOperator": Works(SEQUENCE, "dev", {"sequence_id": ids.object_id("admin", "Nightly")}),
    "OACExportWorkbookOperator": Works(EXPORT, "dev", _export, HARMLESS),
    "OACExportWorkbooksOperator": Works(EXPORT, "dev", _exports, HARMLESS),
    "OACApiOperator": Works(
        FLOW, "dev", {"method": "POST", "path": RUN_FLOW, "wait_for_completion": True}, {NO_STORE: ANEW}
    ),
}
OPERATORS = {kind.__name__: kind for kind in CLASSES if issubclass(kind, OACWorkOperator)}


def test_every_operator_that_starts_work_has_an_entry() -> None:
    assert set(OPERATORS) == set(WORKS)


class Logical:
    """A logical task of one of the operators that start work.

    :param store: whether there is a task state store.
    :param changes: arguments of the operator.
    """

    def __init__(
        self,
        name: str,
        connections: Connections,
        simulator: Simulator,
        folder: Path,
        store: bool = True,
        **changes: Any,
    ) -> None:
        self.entry, self._kind, self._simulator = WORKS[name], OPERATORS[name], simulator
        made = self.entry.arguments(connections, folder) if callable(self.entry.arguments) else self.entry.arguments
        quick = {"confirmation_timeout": 0.4} if hasattr(self._kind, "confirmation_timeout") else {}
        self.arguments = {"task_id": "a_task", "poll_interval": 0.05, "retries": 2, **quick, **made, **changes}
        self._before = self._calls()
        self.operator: Any = None
        self.task = Task(self._make, store=store)
        # What OAC refuses to run twice at a time is not the operator's to prevent.
        simulator.control.settings(refuse_second_run=False)

    def _make(self) -> Any:
        self.operator = self._kind(**self.arguments)
        return self.operator

    def _calls(self) -> int:
        return self._simulator.control.calls(self.entry.instance, self.entry.sends)

    @property
    def sent(self) -> int:
        """How often its work was started."""
        return self._calls() - self._before

    def lost(self) -> Any:
        """A try whose process, or whose triggerer, is lost for good while the work goes on; returns its deferral."""
        deferrable = self.arguments.get("deferrable")
        self.arguments["deferrable"] = True
        self.task.start()
        assert self.task.deferred is not None
        self.arguments["deferrable"] = deferrable
        return self.task.deferred

    def work_ends(self) -> None:
        """All that OAC does ends now, and what is started later ends soon."""
        control, instance = self._simulator.control, self.entry.instance
        control.settings(work_seconds=0.2)
        for work in control.work_requests(instance):
            if work["status"] in ("ACCEPTED", "IN_PROGRESS"):
                control.finish(instance, work["id"])

    def again(self, wanted: str, attempt: Callable[[], Any] | None = None) -> None:
        """A further try does what is wanted."""
        before, attempt = self.sent, attempt or self.task.attempt
        if wanted == REFUSED:
            with pytest.raises(AirflowFailException, match=r"Nothing is sent|it is not sent again"):
                attempt()
        else:
            attempt()
        assert self.sent - before == (wanted == ANEW)


@pytest.fixture
def logical(connections: Connections, clean: Simulator, tmp_path: Path) -> Callable[..., Logical]:
    """Makes a logical task of an operator."""
    return lambda name, **details: Logical(name, connections, clean, tmp_path, **details)


every_work = pytest.mark.parametrize("name", sorted(WORKS))
Make = Callable[..., Logical]


@every_work
@pytest.mark.parametrize("other", MOST)
def test_another_try(name: str, other: str, logical: Make) -> None:
    it = logical(name, store=other != NO_STORE, durable=other != NOT_DURABLE, deferrable=other == CLEARED_LATER)
    if other == CLEARED_LATER:
        it.again(ANEW)
    else:
        it.lost()
    if other in (CLEARED, CLEARED_LATER):
        it.task.clear()
    it.again({**MOST, **it.entry.other}[other])


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("OACCreateSnapshotOperator", {"snapshot_label": "weekly"}),
        ("OACReloadDatasetOperator", {"dataset": "'admin'.'Budget Lines'"}),
    ],
)
@pytest.mark.parametrize("again", ["clear", "retry"])
def test_other_arguments_are_another_order_after_a_clear_and_the_same_on_a_retry(
    name: str, change: dict[str, Any], again: str, logical: Make, clean: Simulator
) -> None:
    clean.control.settings(work_seconds=1.0)
    it = logical(name)
    it.lost()
    it.arguments.update(change)
    if again == "clear":
        it.task.clear()
    it.again(ANEW if again == "clear" else SAME)


@pytest.mark.parametrize("name", ["OACCreateSnapshotOperator", "OACReloadDatasetOperator"])
def test_a_trigger_that_fails_leaves_the_wait_to_the_worker(name: str, logical: Make) -> None:
    it = logical(name)
    before = it.lost()
    it.arguments["deferrable"] = True
    it.task.resume_by("__fail__", {"error": "Trigger failure", "traceback": ["TypeError: no argument 'earlier'"]})
    assert it.task.deferred is before
    assert it.sent == 1


@every_work
def test_an_upgrade_while_the_task_is_deferred(name: str, logical: Make) -> None:
    """What the trigger carries, and what the store holds, was written by another version."""
    it = logical(name)
    it.lost()
    assert it.task.store is not None
    event = {"outcome": "ended", "message": "", "carried": {"started": {}, "deadline": 1.0}}
    it.task.store.set("oac_work", {"max_tries": it.task.max_tries, "work_request_id": "x", "facts": {}})
    wanted = REFUSED if name == "OACApiOperator" else {**MOST, **it.entry.other}[NO_STORE]
    it.again(wanted, lambda: it.task.execute_complete(event))


@every_work
def test_a_task_that_is_told_to_stop_says_what_continues(name: str, logical: Make, clean: Simulator) -> None:
    it = logical(name)
    clean.control.settings(work_seconds=300.0)
    looks = clean.control.calls(it.entry.instance, LOOK)

    def stop() -> None:
        while clean.control.calls(it.entry.instance, LOOK) <= looks:
            threading.Event().wait(0.02)
        it.operator.on_kill()

    stopper = threading.Thread(target=stop)
    stopper.start()
    says = r"told to stop.* continues? in OAC as work requests? \S+.*cannot be canceled"
    with pytest.raises(OACKilledError, match=says):
        it.task.attempt()
    stopper.join()
    it.work_ends()
    it.again(SAME)


class Replaced(StateStore):
    """The store of a task whose next try has begun."""

    def set(self, key: str, value: Any) -> None:
        super().set(key, {"try_number": 99} if key == "oac_current_try" else value)


# An export does no harm when it is ordered twice.
@pytest.mark.parametrize("name", sorted(name for name in WORKS if not name.startswith("OACExport")))
def test_a_try_that_was_replaced_sends_nothing(name: str, logical: Make) -> None:
    it = logical(name)
    it.task.store = Replaced()
    with pytest.raises(OACSupersededError, match="sends nothing more: another try has taken over"):
        it.task.attempt()
    assert it.sent == 0


@every_work
def test_a_timeout_says_what_continues(name: str, logical: Make, clean: Simulator) -> None:
    it = logical(name, timeout=0.3)
    clean.control.settings(work_seconds=300.0)
    # Of many exports, each that failed is named in one error.
    with pytest.raises(OACError, match=r"did not end in time.* continues in OAC"):
        it.task.attempt()
    it.arguments["timeout"] = 60
    it.work_ends()
    # An export that timed out is not waited for again: it may never come.
    it.again(ANEW if name.startswith("OACExport") else SAME)


@pytest.mark.parametrize(
    ("name", "timeout", "execution_timeout", "seconds"),
    [
        *((name, 3600.0, timedelta(seconds=100), 98.0) for name in sorted(WORKS)),
        ("OACCreateSnapshotOperator", timedelta(seconds=60), timedelta(hours=1), 60.0),
    ],
)
def test_the_deadline_is_the_earlier_one_and_travels_with_the_trigger(
    name: str, timeout: Any, execution_timeout: timedelta, seconds: float, logical: Make
) -> None:
    it, began = logical(name, timeout=timeout, execution_timeout=execution_timeout), time.time()
    deferred = it.lost()
    assert seconds + 60 < deferred.timeout.total_seconds() < seconds + 900
    # What the database keeps, for the next triggerer, and what goes on after the deferral.
    kept = deferred.trigger.serialize()[1]
    assert began + seconds <= kept["deadline"] == kept["carried"]["deadline"] <= time.time() + seconds
    # What Airflow does when no triggerer came: 3.x and 2.11.
    for error in ("Trigger timeout", "Trigger/execution timeout"):
        with pytest.raises(OACWaitTimeoutError, match=r"No triggerer ended the wait for work request \S+ .*it finds"):
            it.task.resume_by("__fail__", {"error": error})
