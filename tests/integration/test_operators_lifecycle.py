"""Every operator that starts work, in one table: what a retry, a Clear, a kill and a deadline do to it.

A new one without an entry fails `test_every_operator_that_starts_work_has_an_entry`. Of the others, some are here; the
nights of all that change something are in tests/universes.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_oac import operators
from airflow_provider_oac._compat import AirflowFailException
from airflow_provider_oac.client import ids
from airflow_provider_oac.exceptions import OACError, OACKilledError, OACSupersededError, OACWaitTimeoutError
from airflow_provider_oac.operators.base import OACBaseOperator, OACWorkOperator
from oac_simulator.launch import Simulator
from tests.integration.restores import host, registered
from tests.tasks import Connections, StateStore, Task, backup_operator

FINANCE, SALES = "/@Catalog/shared/Finance", "/@Catalog/shared/Sales"
LOOK = "GET /workRequests/{id}"
EXPORT = "POST /catalog/workbooks/{urlBase64WorkbookId}/exports"
RELOAD = "POST /catalog/datasets/{datasetId}/actions/reload"
BACKUP = {"snapshot_label": "nightly", "bucket": "oac-backups", "seal_conn_id": "oac_seal", "confirmation_timeout": 0.4}
ANEW, SAME, REFUSED = "anew", "same", "refused"


@dataclass(frozen=True)
class Works:
    """An operator that starts work.

    :param arguments: what it is given; a function gets the Connections and a folder.
    :param sends: the endpoint that starts its work.
    :param instance: where.
    :param lost_without_store: what a retry does where nothing is remembered: ``same``, ``anew`` or ``refused``.
    :param cleared_while_active: with a store.
    :param cleared_after_success: with a store.
    :param not_durable: what a retry does with ``durable=False``.
    """

    arguments: dict[str, Any] | Callable[[Connections, Path], dict[str, Any]]
    sends: str
    instance: str = "dev"
    lost_without_store: str = SAME
    cleared_while_active: str = SAME
    cleared_after_success: str = ANEW
    not_durable: str = ANEW


@dataclass(frozen=True)
class AtOnce:
    """An operator whose work is done when OAC answers: a retry finds it done, or does it once more without harm.

    :param cleared: what a Clear after success says where it cannot do it anew; empty if it can.
    """

    arguments: dict[str, Any] | Callable[[Connections, Path], dict[str, Any]]
    cleared: str = ""


def _export(_: Connections, folder: Path) -> dict[str, Any]:
    return {"workbook_path": f"{SALES}/Pipeline", "destination": f"file://{folder}/board.pdf"}


def _exports(_: Connections, folder: Path) -> dict[str, Any]:
    return {"workbooks": [f"{SALES}/Pipeline"], "destination": f"file://{folder}/out"}


def _restore(connections: Connections, _: Path) -> dict[str, Any]:
    return {
        "oac_conn_id": "oac_prod",
        "expected_host": host(connections),
        "snapshot": registered(connections),
        "without_safety_snapshot": True,
    }


def _register(connections: Connections, _: Path) -> dict[str, Any]:
    connections.oac("oac_prod", "prod")
    return {"oac_conn_id": "oac_prod", "snapshot": Task(backup_operator).attempt(), "confirmation_timeout": 0.4}


def _source(connections: Connections, _: Path) -> dict[str, Any]:
    connections.set("warehouse", {"conn_type": "generic", "login": "LOADER", "password": "Warehouse-Secret-9"})
    return {"data_source_conn_id": "warehouse"}


def _new_source(connections: Connections, folder: Path) -> dict[str, Any]:
    params = {"host": "db.example.com", "port": "5432"}
    named = {"connection_name": "Warehouse", "connection_type": "postgresql", "connection_params": params}
    return {**_source(connections, folder), **named, "if_exists": "update"}


def _compared(connections: Connections, folder: Path) -> dict[str, Any]:
    connections.oac("oac_prod", "prod")
    return {"oac_conn_id": "oac_prod", "source_oac_conn_id": "oac_default", "fail_on_difference": False}


WORKS: dict[str, Works] = {
    "OACCreateSnapshotOperator": Works(BACKUP, "POST /snapshots"),
    # A file that the instance lists is never registered again, whoever asked.
    "OACRegisterSnapshotOperator": Works(
        _register, "POST /snapshots", "prod", cleared_after_success=SAME, not_durable=SAME
    ),
    "OACRestoreSnapshotOperator": Works(
        _restore,
        "POST /system/actions/restoreSnapshot",
        "prod",
        lost_without_store=REFUSED,
        cleared_after_success=REFUSED,
        not_durable=REFUSED,
    ),
    "OACReloadDatasetOperator": Works({"dataset": "'admin'.'Orders'", "confirmation_timeout": 0.4}, RELOAD),
    "OACRunDataFlowOperator": Works(
        {"data_flow": "'admin'.'Load Orders'", "confirmation_timeout": 0.4},
        "POST /catalog/dataflows/{dataflowId}/actions/run",
    ),
    "OACRunSequenceOperator": Works(
        {"sequence": "'admin'.'Nightly'", "confirmation_timeout": 0.4},
        "POST /catalog/sequences/{sequenceId}/actions/run",
    ),
    # Harmless to repeat: without a store, and by a Clear, it is.
    "OACExportWorkbookOperator": Works(_export, EXPORT, lost_without_store=ANEW, cleared_while_active=ANEW),
    "OACExportWorkbooksOperator": Works(_exports, EXPORT, lost_without_store=ANEW, cleared_while_active=ANEW),
    "OACApiOperator": Works(
        {
            "method": "POST",
            "path": f"/catalog/dataflows/{ids.object_id('admin', 'Load Orders')}/actions/run",
            "wait_for_completion": True,
        },
        "POST /catalog/dataflows/{dataflowId}/actions/run",
        lost_without_store=ANEW,
    ),
}

AT_ONCE: dict[str, AtOnce] = {
    "OACCopyCatalogItemOperator": AtOnce(
        {"catalog_type": "workbooks", "path": f"{SALES}/Pipeline", "to_folder_path": FINANCE},
        cleared="workbooks .* already exists",
    ),
    "OACMoveCatalogItemOperator": AtOnce(
        {"catalog_type": "workbooks", "path": f"{SALES}/Pipeline", "to_folder_path": FINANCE},
        cleared="was not found",
    ),
    "OACAuditACLOperator": AtOnce(lambda _, folder: {"folder_path": FINANCE, "destination": f"file://{folder}/a.csv"}),
    "OACSqlToStorageOperator": AtOnce(
        lambda _, folder: {
            "sql": 'SELECT "Sales History"."Products"."Category" c FROM "Sales History"',
            "destination": f"file://{folder}/rows.csv",
        }
    ),
    "OACCompareCatalogsOperator": AtOnce(_compared),
    "OACSystemSettingsOperator": AtOnce({"template_oac_conn_id": "oac_default"}),
    "OACCreateConnectionOperator": AtOnce(_new_source),
}


def _found() -> dict[str, type[OACBaseOperator]]:
    """Every operator of the package that a DAG can use."""
    found = {}
    for module in pkgutil.iter_modules(operators.__path__, f"{operators.__name__}."):
        for name, kind in vars(importlib.import_module(module.name)).items():
            if inspect.isclass(kind) and issubclass(kind, OACBaseOperator) and name.startswith("OAC"):
                found[name] = kind
    for base in (OACBaseOperator, OACWorkOperator):
        del found[base.__name__]
    return found


OPERATORS = _found()


def test_every_operator_that_starts_work_has_an_entry() -> None:
    assert {name for name, kind in OPERATORS.items() if issubclass(kind, OACWorkOperator)} == set(WORKS)


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
        self.name, self.entry, self._simulator = name, WORKS[name], simulator
        made = self.entry.arguments
        made = made(connections, folder) if callable(made) else made
        self.arguments = {"task_id": "a_task", "poll_interval": 0.05, "retries": 2, **made, **changes}
        self._before = self._calls()
        self.operator: Any = None
        self.task = Task(self._make, store=store)

    def _make(self) -> Any:
        self.operator = OPERATORS[self.name](**self.arguments)
        return self.operator

    def _calls(self) -> int:
        return self._simulator.control.calls(self.entry.instance, self.entry.sends)

    @property
    def sent(self) -> int:
        """How often its work was started."""
        return self._calls() - self._before

    def lost(self) -> None:
        """A try whose process, or whose triggerer, is lost for good while the work goes on."""
        deferrable = self.arguments.get("deferrable")
        self.arguments["deferrable"] = True
        self.task.start()
        assert self.task.deferred is not None
        self.arguments["deferrable"] = deferrable

    def work_ends(self) -> None:
        """All that OAC does ends now, and what is started later ends soon."""
        control, instance = self._simulator.control, self.entry.instance
        control.settings(work_seconds=0.2)
        for work in control.work_requests(instance):
            if work["status"] in ("ACCEPTED", "IN_PROGRESS"):
                control.finish(instance, work["id"])

    def again(self, wanted: str) -> None:
        """A further try does what is wanted: nothing, the work anew, or to refuse."""
        before = self.sent
        if wanted == REFUSED:
            with pytest.raises(AirflowFailException, match="Nothing is sent"):
                self.task.attempt()
        else:
            self.task.attempt()
        assert self.sent - before == (wanted == ANEW)


@pytest.fixture
def logical(connections: Connections, clean: Simulator, tmp_path: Path) -> Callable[..., Logical]:
    """Makes a logical task of an operator."""
    return lambda name, **details: Logical(name, connections, clean, tmp_path, **details)


every_work = pytest.mark.parametrize("name", sorted(WORKS))
Make = Callable[..., Logical]


@every_work
@pytest.mark.parametrize("store", [True, False], ids=["store", "no store"])
def test_a_retry(name: str, store: bool, logical: Make, clean: Simulator) -> None:
    it = logical(name, store=store)
    # What OAC refuses to run twice at a time is not the operator's to prevent.
    clean.control.settings(refuse_second_run=False)
    it.lost()
    it.again(SAME if store else it.entry.lost_without_store)


@every_work
def test_a_clear_while_the_work_runs(name: str, logical: Make) -> None:
    it = logical(name)
    it.lost()
    it.task.clear()
    it.again(it.entry.cleared_while_active)


OTHERS: dict[str, dict[str, Any]] = {
    "OACCreateSnapshotOperator": {"snapshot_label": "weekly"},
    "OACReloadDatasetOperator": {"dataset": "'admin'.'Budget Lines'"},
    "OACRunDataFlowOperator": {"data_flow": "'admin'.'Score Customers'"},
    "OACRunSequenceOperator": {"sequence": None, "sequence_id": ids.object_id("admin", "Nightly")},
    "OACApiOperator": {
        "method": "POST",
        "path": f"/catalog/datasets/{ids.object_id('admin', 'Orders')}/actions/reload",
        "wait_for_completion": True,
    },
}


@pytest.mark.parametrize(("name", "change"), OTHERS.items(), ids=OTHERS)
@pytest.mark.parametrize("again", ["clear", "retry"])
def test_other_arguments_are_another_order_after_a_clear_and_the_same_on_a_retry(
    name: str, change: dict[str, Any], again: str, logical: Make, clean: Simulator
) -> None:
    clean.control.settings(work_seconds=1.0, refuse_second_run=False)
    it = logical(name)
    it.lost()
    it.arguments.update(change)
    before = len(clean.control.work_requests("dev"))
    if again == "clear":
        it.task.clear()
    it.task.attempt()
    assert len(clean.control.work_requests("dev")) - before == (again == "clear")


def test_a_clear_with_another_file_registers_that_one(
    logical: Make, connections: Connections, clean: Simulator
) -> None:
    it = logical("OACRegisterSnapshotOperator")
    it.lost()
    it.arguments["snapshot"] = Task(backup_operator, run_id="another").attempt()
    it.task.clear()
    it.again(ANEW)


@pytest.mark.parametrize("name", ["OACCreateSnapshotOperator", "OACReloadDatasetOperator"])
def test_a_trigger_that_fails_leaves_the_wait_to_the_worker(name: str, logical: Make) -> None:
    it = logical(name)
    it.lost()
    it.arguments["deferrable"] = True
    before = it.task.deferred
    it.task.resume_by("__fail__", {"error": "Trigger failure", "traceback": ["TypeError: no argument 'earlier'"]})
    assert it.task.deferred is before
    assert it.sent == 1


@every_work
def test_an_upgrade_while_the_task_is_deferred(name: str, logical: Make, clean: Simulator) -> None:
    """What the trigger carries, and what the store holds, was written by another version."""
    clean.control.settings(refuse_second_run=False)
    it = logical(name)
    it.lost()
    assert it.task.store is not None
    event = {"outcome": "ended", "message": "", "carried": {"started": {}, "deadline": 1.0}}
    it.task.store.set("oac_work", {"max_tries": it.task.max_tries, "work_request_id": "x", "facts": {}})
    wanted = REFUSED if name in ("OACRestoreSnapshotOperator", "OACApiOperator") else it.entry.lost_without_store
    if wanted == REFUSED:
        with pytest.raises(AirflowFailException, match=r"Nothing is sent|it is not sent again"):
            it.task.execute_complete(event)
    else:
        it.task.execute_complete(event)
    assert it.sent == 1 + (wanted == ANEW)


@every_work
def test_a_clear_after_success(name: str, logical: Make) -> None:
    it = logical(name, deferrable=True)
    it.again(ANEW)
    it.task.clear()
    it.again(it.entry.cleared_after_success)


@every_work
def test_a_retry_that_is_not_durable(name: str, logical: Make, clean: Simulator) -> None:
    clean.control.settings(refuse_second_run=False)
    it = logical(name, durable=False)
    it.lost()
    it.again(it.entry.not_durable)


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
    with pytest.raises(
        OACKilledError, match=r"told to stop.* continues? in OAC as work requests? \S+.*cannot be canceled"
    ):
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
    it = logical(name, deferrable=True, timeout=timeout, execution_timeout=execution_timeout)
    began = time.time()
    it.lost()
    deferred = it.task.deferred
    assert deferred is not None
    assert deferred.timeout is not None
    assert seconds + 60 < deferred.timeout.total_seconds() < seconds + 900
    # What the database keeps, for the next triggerer, and what goes on after the deferral.
    kept = deferred.trigger.serialize()[1]
    assert began + seconds <= kept["deadline"] <= time.time() + seconds
    assert kept["carried"]["deadline"] == kept["deadline"]
    # What Airflow does when no triggerer came: 3.x and 2.11.
    for error in ("Trigger timeout", "Trigger/execution timeout"):
        with pytest.raises(OACWaitTimeoutError, match=r"No triggerer ended the wait for work request \S+ .*it finds"):
            it.task.resume_by("__fail__", {"error": error})


@pytest.fixture
def at_once(connections: Connections, tmp_path: Path) -> Callable[[str], Any]:
    """Makes a new operator of a name, with the same arguments each time."""
    arguments: dict[str, Any] = {}

    def make(name: str) -> Any:
        if not arguments:
            given = AT_ONCE[name].arguments
            arguments.update(given(connections, tmp_path) if callable(given) else given)
        return OPERATORS[name](task_id="a_task", retries=2, **arguments)

    return make


@pytest.mark.parametrize("name", sorted(AT_ONCE))
def test_a_retry_and_a_clear_of_what_is_done_at_once(name: str, at_once: Callable[[str], Any]) -> None:
    task = Task(lambda: at_once(name))
    task.attempt()
    task.attempt()
    task.clear()
    if cleared := AT_ONCE[name].cleared:
        with pytest.raises(AirflowFailException, match=cleared):
            task.attempt()
    else:
        task.attempt()


@pytest.mark.parametrize(
    "name", ["OACCopyCatalogItemOperator", "OACMoveCatalogItemOperator", "OACCreateConnectionOperator"]
)
def test_a_try_that_was_replaced_changes_nothing(name: str, at_once: Callable[[str], Any], clean: Simulator) -> None:
    task = Task(lambda: at_once(name))
    task.store = Replaced()
    with pytest.raises(OACSupersededError):
        task.attempt()
    assert not any(call.startswith("POST /catalog") for call in clean.control.counters()["calls"].get("dev", ()))


@pytest.mark.parametrize("name", sorted(AT_ONCE))
def test_told_to_stop_it_ends(name: str, at_once: Callable[[str], Any], clean: Simulator) -> None:
    operator = at_once(name)
    operator.on_kill()
    # Without the stop it would wait for OAC to come back.
    clean.control.fault("*", "status", status=503, times=None)
    with pytest.raises(OACKilledError):
        Task(lambda: operator).attempt()
