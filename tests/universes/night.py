"""One logical task as Airflow runs it: tries, deferrals, retries, Clears, and what happens to its processes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException, TaskDeferred

from tests.tasks import StateStore, TaskInstance
from tests.universes.kernel import Process, Wait

if TYPE_CHECKING:
    from tests.universes.scenarios import Scenario
    from tests.universes.universe import Universe

SUCCESS, FAILED = "success", "failed"
ORPHANED, STOPPED, MARKED = "supervisor lost", "cleared while it runs", "marked failed"
_RETRIES = 2
#: A night in which so many tries fail does not come to its end.
_MOST_TRIES = 40


class SupervisorGoneError(Exception):
    """What a task gets from Airflow when its supervisor is gone."""


class Store(StateStore):
    """Airflow's task state store, as one process of a task sees it."""

    def __init__(self, night: Night, process: Process) -> None:
        self.texts, self._night, self._process = night.kept, night, process

    def get(self, key: str) -> Any:
        self._ask()
        return super().get(key)

    def set(self, key: str, value: Any) -> None:
        self._ask()
        super().set(key, value)
        self._night.universe.point(self._process, "stored")

    def _ask(self) -> None:
        self._night.universe.point(self._process, "store")
        if self._process in self._night.cut_off:
            raise SupervisorGoneError("the supervisor does not answer")


class NightTask(TaskInstance):
    """What an operator sees of its task instance."""

    def __init__(self, night: Night, process: Process) -> None:
        super().__init__(night.task_id, night.try_number, night.max_tries)
        self._universe, self._process = night.universe, process
        self.start_date = datetime.fromtimestamp(self._universe.kernel.now(), UTC)

    def xcom_push(self, key: str, value: Any) -> None:
        self._universe.lines.append(f"XCom {key}: {json.dumps(value)}")
        self._universe.point(self._process, "xcom")


@dataclass(eq=False)
class Order:
    """What a person, or the schedule, ordered: all tries between two Clears.

    :param max_tries: by which Airflow and the operators tell it.
    """

    max_tries: int
    results: list[Any] = field(default_factory=list)


class Night:
    """A logical task.

    :param number: tells the tasks of a universe apart.
    """

    def __init__(self, universe: Universe, scenario: Scenario, number: int) -> None:
        self.universe, self.scenario = universe, scenario
        self.task_id, self.run_id = f"task_{number}", "a_run"
        self.began = datetime.fromtimestamp(universe.kernel.now(), UTC)
        self.remembers = universe.plan.remembers
        self.try_number, self.max_tries = 0, _RETRIES
        self.orders = [Order(self.max_tries)]
        self.kept: dict[str, str] = {}
        self.state = ""
        self.errors: list[BaseException] = []
        self.cut_off: set[Process] = set()
        #: Processes whose supervisor is gone while they live on, and the task has other tries.
        self.orphans: list[Process] = []
        self.operators: dict[Process, Any] = {}
        self.worker: Process | None = None
        self._lost, self._person = Wait(), Wait()
        self.over = universe.kernel.spawn(f"airflow of {self.task_id}", self._main).ended

    @property
    def succeeded(self) -> bool:
        """Whether the task ended well."""
        return self.state == SUCCESS

    @property
    def results(self) -> list[Any]:
        """The results of all orders."""
        return [result for order in self.orders for result in order.results]

    # -- the scheduler's part

    def _main(self) -> None:
        kernel, chance = self.universe.kernel, self.universe.chance
        kernel.wait(kernel.timer(5.0 * chance.random("begin")))
        clears = 0
        while True:
            self.state = self._attempt()
            self.universe.tell(f"{self.task_id}, try {self.try_number} of {self.max_tries + 1}: {self.state}")
            if self.state == "retry" and self.try_number <= self.max_tries:
                kernel.wait(kernel.timer(_some_time(chance.random("retry delay"))))
                continue
            if self.state == SUCCESS:
                if clears >= 2 or not chance.event("after success", ["clear"], self.universe.plan.clears):
                    return
            else:
                self.state = FAILED
                # All tries are used up, or Airflow is not to try again: a person looks at it when all is well again.
                if self.scenario.final(self) or self.universe.network.chain_lost or self.try_number > _MOST_TRIES:
                    return
                if chance.calm and clears > 3:
                    return
                kernel.wait(kernel.timer(3600.0))
                self.universe.chance.calm = True
                kernel.wait(kernel.timer(600.0))
            clears += 1
            self._clear(f"in the state {self.state}")

    def _clear(self, why: str) -> None:
        """What Airflow does to the counters when a person clears the task."""
        self.max_tries = self.try_number + _RETRIES
        self.orders.append(Order(self.max_tries))
        self.universe.tell(f"{self.task_id} is cleared {why}")

    def _attempt(self) -> str:
        """One try, whatever it defers to."""
        self.try_number += 1
        outcome = self._process("execute")
        while isinstance(outcome, TaskDeferred):
            how, payload = self._deferred(outcome)
            if how == "cleared":
                self._clear("while it is deferred")
                return "retry"
            if how == "failed":
                kwargs = {"error": payload} if payload == "Trigger timeout" else {"traceback": [payload], "error": "x"}
                outcome = self._process("resume_execution", "__fail__", kwargs)
            else:
                kwargs = {**json.loads(json.dumps(outcome.kwargs or {})), "event": payload}
                outcome = self._process("resume_execution", outcome.method_name, kwargs)
        return str(outcome)

    def _process(self, method: str, *arguments: Any) -> Any:
        """Run a method of the operator in a process; a state, or the deferral with which it ends."""
        kernel = self.universe.kernel
        self._lost, self._person = Wait(), Wait()
        order = self.orders[-1]

        def main() -> Any:
            process = kernel.process
            assert process is not None
            operator = self.operators[process] = self.scenario.operator(self)
            context: Any = {
                "ti": NightTask(self, process),
                "dag_run": SimpleNamespace(run_type="manual", start_date=self.began),
            }
            if self.remembers:
                context["task_state_store"] = Store(self, process)
            operator.pre_execute(context)
            result = getattr(operator, method)(*arguments, context)
            self.universe.point(process, "result")
            return json.loads(json.dumps(result))

        worker = self.worker = kernel.spawn(f"{self.task_id}.{self.try_number}", main, parent=kernel.new_pid())
        kernel.first(worker.ended, self._lost, self._person)
        if self._person.done and not worker.ended.done and not self._lost.done:
            return self._told_to_stop(worker)
        if not worker.ended.done:
            # Airflow notices that nobody sends a heartbeat for the task any more.
            kernel.wait(kernel.timer(_some_time(self.universe.chance.random("heartbeat"))))
            return "retry"
        return self._outcome(worker, order)

    def _outcome(self, worker: Process, order: Order) -> Any:
        error = worker.ended.error
        if isinstance(error, TaskDeferred):
            return error
        if error is None:
            order.results.append(worker.ended.value)
            self.universe.lines.append(f"result: {json.dumps(worker.ended.value)}")
            return SUCCESS
        self.errors.append(error)
        self.universe.failed(self, error)
        return FAILED if isinstance(error, AirflowFailException) else "retry"

    def _told_to_stop(self, worker: Process) -> Any:
        """A person clears the running task, or marks it as failed: its process is told to stop, and killed later."""
        kernel = self.universe.kernel
        if operator := self.operators.get(worker):
            operator.on_kill()
        worker.stopping.finish()
        kernel.first(worker.ended, kernel.timer(5.0))
        if self.universe.network.refused[worker] > 1:
            # The store failed at the last write, too, for which there is time.
            self.universe.network.died(worker)
        if not worker.ended.done:
            self.universe.kill(worker)
        elif worker.ended.error is None:
            return self._outcome(worker, self.orders[-1])
        if self._person.value == MARKED:
            kernel.wait(kernel.timer(60.0))
            self._clear("after it was marked as failed")
        return "retry"

    # -- the triggerer's part

    def _deferred(self, deferral: TaskDeferred) -> tuple[str, Any]:
        """What came of a deferral: ``event``, ``failed`` or ``cleared``, and what Airflow hands to the task."""
        universe, kernel, chance = self.universe, self.universe.kernel, self.universe.chance
        path, arguments = deferral.trigger.serialize()
        stored = json.dumps(arguments)
        universe.lines.append(f"trigger: {path} {stored}")
        make = type(deferral.trigger)
        ended = universe.wait_in_triggerer(lambda: make(**json.loads(stored)))
        timeout, cleared = Wait(), Wait()
        if deferral.timeout is not None:
            timeout = kernel.timer(deferral.timeout.total_seconds())
        if chance.event("while deferred", ["clear"], universe.plan.clears / 2):
            cleared = kernel.timer(60.0 * chance.random("clear"))
        kernel.first(ended, timeout, cleared)
        if not ended.done:
            universe.forget(ended)
            return ("cleared", None) if cleared.done and not timeout.done else ("failed", "Trigger timeout")
        kernel.wait(kernel.timer(1.0 + 5.0 * chance.random("resume")))
        if ended.error is not None:
            return "failed", f"{type(ended.error).__name__}: {ended.error}"
        universe.lines.append(f"event: {json.dumps(ended.value)}")
        return "event", ended.value

    # -- what happens to its processes

    def interrupt(self, worker: Process, what: str) -> bool:
        """Lose the supervisor of its process, or have a person end it, unless that happened already."""
        if self._lost.done or self._person.done:
            return False
        if what == ORPHANED:
            self.orphans.append(worker)
            if not self.remembers or self.universe.chance.random("cut off") < 0.5:
                # Nobody answers its questions; init is its parent.
                self.cut_off.add(worker)
                worker.ppid = 1
            self._lost.finish()
        else:
            self._person.finish(what)
        return True

    def lose(self, process: Process) -> None:
        """One of its processes is killed."""
        if process is self.worker:
            self._lost.finish()


def _some_time(number: float) -> float:
    """From 5 s to five minutes, more often short than long."""
    return float(5.0 * 60.0 ** (number**2))
