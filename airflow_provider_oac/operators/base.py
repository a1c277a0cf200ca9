"""The one durable base of all operators that start work in OAC."""

from __future__ import annotations

import json
import time
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple, Unpack

from airflow_provider_oac import lazy
from airflow_provider_oac._compat import BaseOperatorLink, default_deferrable, deferral_error
from airflow_provider_oac.arguments import Duration, seconds
from airflow_provider_oac.defaults import TRIGGER_GRACE
from airflow_provider_oac.exceptions import (
    OACApiError,
    OACError,
    OACKilledError,
    OACWaitTimeoutError,
    OACWorkRequestError,
)
from airflow_provider_oac.links import OACInstanceLink, OACWorkRequestLink
from airflow_provider_oac.operators.task_state import TaskRecord, TaskState
from airflow_provider_oac.records import Record
from airflow_provider_oac.tasks import CheckedOperator, TaskArguments
from airflow_provider_oac.triggers.oac import OACWorkRequestTrigger, carried_by

if TYPE_CHECKING:
    from airflow_provider_oac._compat import Context
    from airflow_provider_oac.client.flows.polling import WaitPlan
    from airflow_provider_oac.client.rest.work_requests import WorkRequest
    from airflow_provider_oac.hooks.oac import OACHook


@dataclass(frozen=True)
class NoFacts(Record):
    """Completing the work needs to know nothing."""


class Started(NamedTuple):
    """Work that OAC has accepted.

    :param work_request_id: its work request; ``None`` if the work was found by its traces only.
    :param submitted_at: when it was submitted, in seconds since the epoch.
    :param facts: what completing it needs to know, since templates may render differently by then.
    """

    work_request_id: str | None
    submitted_at: float
    facts: Any

    def record(self) -> dict[str, Any]:
        """As members of the record that is kept."""
        return {**self._asdict(), "facts": self.facts.to_json()}


@dataclass(frozen=True)
class Deferred(Record):
    """What a trigger carries for the task that waits for it.

    :param deadline: when the wait ends, in seconds since the epoch.
    :param latest: when Airflow ends the try; ``None`` for never.
    """

    work_request_id: str | None
    submitted_at: float
    facts: dict[str, Any]
    deadline: float
    latest: float | None


class OACArguments(TaskArguments, total=False):
    """Arguments of all operators for OAC."""

    oac_conn_id: str


class WorkArguments(OACArguments, total=False):
    """Arguments of all operators that start work and wait for it."""

    deferrable: bool | None
    poll_interval: Duration
    timeout: Duration
    durable: bool


class WaitingArguments(WorkArguments, total=False):
    """Arguments of all operators that may wait for the work that they start, or not."""

    wait_for_completion: bool


OTHER_VERSION = "The trigger of this task was written by another version of this provider."


class OACBaseOperator(CheckedOperator):
    """What all operators for OAC share.

    :param oac_conn_id: the Airflow Connection of the type ``oac``.
    """

    template_fields: Sequence[str] = ("oac_conn_id",)
    operator_extra_links: Sequence[BaseOperatorLink] = (OACInstanceLink(),)
    _killed = False

    def __init__(self, *, oac_conn_id: str = "oac_default", **kwargs: Unpack[TaskArguments]) -> None:
        super().__init__(**kwargs)
        # All there is to do: OACWorkOperator does it itself.
        self.oac_conn_id = oac_conn_id

    @cached_property
    def hook(self) -> OACHook:
        """The hook of this task; its waits end soon after the task is killed."""
        return lazy.oac.OACHook(self.oac_conn_id, stopped=lambda: self._killed)

    def pre_execute(self, context: Context) -> None:
        """Keep Airflow 3 from pushing the links when the task's process ends.

        Each is pushed as soon as its address is known. One without an address would become an empty XCom.
        """
        super().pre_execute(context)
        self.operator_extra_links = ()

    def on_kill(self) -> None:
        """Only sets a flag: it runs inside a signal handler, and Airflow kills hard some seconds later."""
        self._killed = True

    @contextmanager
    def _stopping(self, what_goes_on: str) -> Iterator[None]:
        """Say what goes on in OAC when the task is told to stop.

        :param what_goes_on: the same for people, as whole sentences, with the ids.
        """
        try:
            yield
        except OACKilledError:
            raise OACKilledError(f"The task was told to stop. {what_goes_on}") from None
        except BaseException:
            # Airflow 2 ends a task by an exception out of its signal handler, wherever it is.
            if self._killed:
                self.log.warning("The task was told to stop. %s", what_goes_on)
            raise

    def _fingerprint(self) -> str:
        """The fingerprint of the order: what decides the outcome, rendered. It is the instance and every template."""
        order = {name: getattr(self, name) for name in self.template_fields if name != "oac_conn_id"}
        text = json.dumps([type(self).__name__, self.hook.settings.address, order], sort_keys=True, default=str)
        return sha256(text.encode()).hexdigest()[:20]

    def _differs(self, memory: TaskState, work: str) -> bool:
        """Whether what is remembered is of an order for something else before a Clear; says what continues."""
        if not memory.differs:
            return False
        self.log.warning(
            "Before it was cleared, this task ordered something else: %s may still be running in OAC, which cannot "
            "cancel it. It is not adopted; this order is submitted anew.", work,
        )  # fmt: skip
        return True

    def _push_link(self, context: Context) -> None:
        context["ti"].xcom_push(key=OACInstanceLink.xcom_key, value=f"{self.hook.settings.address}/ui/")


class OACWorkOperator(OACBaseOperator):
    """Starts work in OAC, waits for it, and completes it: once per logical task, whatever happens to its process.

    A retry finds the work of an earlier try again instead of starting it twice: by what Airflow's task state store
    remembers (Airflow 3.3), else by the traces that the work left in OAC. A Clear orders the work anew. The work
    itself cannot be canceled: OAC has no operation for it.

    :param wait_for_completion: whether to wait; if not, the result holds the id of the work request, for
        :class:`~airflow_provider_oac.sensors.work_requests.OACWorkRequestSensor`.
    :param deferrable: whether to wait in the triggerer, without a worker store_entry; by default what the deployment
        says.
    :param poll_interval: longest pause between two polls, as a duration or in seconds. A pause is 5 % of the age of the
        work, at least a second and at most this.
    :param timeout: how long one try waits, as a duration or in seconds. ``execution_timeout`` counts, too, if it is
        shorter.
    :param durable: ``False`` starts the work anew on each try, without looking for that of an earlier one.
    """

    def __init__(
        self,
        *,
        oac_conn_id: str = "oac_default",
        wait_for_completion: bool = True,
        deferrable: bool | None = None,
        poll_interval: Duration = 30.0,
        timeout: Duration = timedelta(hours=6),
        durable: bool = True,
        **kwargs: Unpack[TaskArguments],
    ) -> None:
        # Past the base's: Airflow goes through the DAG's default arguments once more for each `__init__` on the way.
        super(OACBaseOperator, self).__init__(**kwargs)
        self.oac_conn_id = oac_conn_id
        self.wait_for_completion = wait_for_completion
        self.deferrable = default_deferrable() if deferrable is None else deferrable
        self.poll_interval = poll_interval
        self.timeout = timeout
        self.durable = durable

    operator_extra_links: Sequence[BaseOperatorLink] = (OACInstanceLink(), OACWorkRequestLink())

    @abstractmethod
    def start(self, memory: TaskState, context: Context) -> Started:
        """Submit the work, unless OAC shows that an earlier try already has."""

    @abstractmethod
    def complete(self, started: Started, work: WorkRequest | None, context: Context) -> Any:
        """Make the task's result.

        :param work: the work request, which succeeded; ``None`` if the task does not wait, or the work was found by
            its traces only.
        """

    def clean_up(self, started: Started, memory: TaskState) -> None:
        """Put away what work that failed or was canceled left behind."""

    # When the wait of this try ends, and when Airflow ends the try; seconds since the epoch, carried through deferrals.
    _until = 0.0
    _latest: float | None = None

    # Whether this try lost what it had submitted: its trigger was written by another version of this package.
    _interrupted = False

    @property
    def facts_type(self) -> type[Record]:
        """The kind of :attr:`Started.facts`."""
        return NoFacts

    def tolerated(self, started: Started) -> tuple[int, ...]:
        """HTTP statuses that this very work brings about, so that the wait for it waits them out."""
        return ()

    def execute(self, context: Context) -> Any:
        """Start or find the work, wait, complete."""
        return self._begin(context)

    def _begin(self, context: Context) -> Any:
        deadline = self._deadline()
        memory = self._memory(context)
        memory.claim()
        with self._stopping("What it may have started in OAC goes on there; the next try looks for it first."):
            started = self._found_again(memory) or self.start(memory, context)
        return self._pursue(started, memory, deadline, context)

    def _pursue(self, started: Started, memory: TaskState, deadline: float, context: Context) -> Any:
        """Remember what was started, wait for it here or in the triggerer, and complete it."""
        # Without an id it is found by its traces.
        memory.remember(**started.record(), sending=started.work_request_id is None)
        self._push_link(context)
        self._push_work_link(started, context)
        if not self.wait_for_completion or started.work_request_id is None:
            return self.complete(started, None, context)
        if self.deferrable:
            with self._stopping(self._continuing(started.work_request_id)):
                soon = self._over_soon(started, started.work_request_id, deadline)
            if not soon:
                self._defer(started, started.work_request_id, deadline)
        return self._finish(started, started.work_request_id, deadline, context)

    def _defer(self, started: Started, work_request_id: str, deadline: float) -> None:
        self.defer(
            trigger=OACWorkRequestTrigger(
                **self._trigger_arguments(started, deadline),
                work_request_id=work_request_id,
                submitted_at=started.submitted_at,
                tolerated=list(self.tolerated(started)),
            ),
            method_name="execute_complete",
            timeout=self._trigger_timeout(deadline),
        )

    def _trigger_arguments(self, started: Started, deadline: float) -> dict[str, Any]:
        """Arguments of every trigger."""
        return {
            "oac_conn_id": self.oac_conn_id,
            "deadline": deadline,
            "poll_interval": seconds(self.poll_interval),
            "carried": Deferred(**started.record(), deadline=deadline, latest=self._latest).to_json(),
        }

    @staticmethod
    def _trigger_timeout(deadline: float) -> timedelta:
        """How long a deferral may last: until the trigger has had the chance to end by itself."""
        return timedelta(seconds=max(0.0, deadline - time.time())) + TRIGGER_GRACE

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume after a deferral; called by Airflow.

        :raises OACWaitTimeoutError: if no triggerer ended the wait in time.
        """
        error = deferral_error(next_method, next_kwargs)
        if error is None:
            return super().resume_execution(next_method, next_kwargs, context)
        if not error.endswith("timeout"):
            return self._look_again(context, f"The trigger failed: {error}")
        work_request_id = self._memory(context).of_this_order().work_request_id
        work = f"work request {work_request_id}" if work_request_id else "work in OAC"
        raise OACWaitTimeoutError(
            f"No triggerer ended the wait for {work} within {TRIGGER_GRACE.seconds // 60} minutes after its deadline. "
            "Likely cause: no triggerer runs, or it is overloaded. The work continues in OAC. Next step: check "
            "`airflow triggerer`, then run the task again: it finds the work. deferrable=False waits in the worker.",
            work_request_id=work_request_id,
        )

    @staticmethod
    def _continuing(work_request_id: str) -> str:
        return (
            f"Its work continues in OAC as work request {work_request_id}, which cannot be canceled; the next try of "
            "the task finds it again."
        )

    def _over_soon(self, started: Started, work_request_id: str, deadline: float) -> bool:
        target = lazy.polling.WorkRequestTarget(
            work_request_id, self._plan(started, deadline), started_at=started.submitted_at
        )
        return lazy.defer_decision.over_soon(self.hook, target)

    def _plan(self, started: Started, deadline: float) -> WaitPlan:
        return lazy.polling.WaitPlan(
            deadline=deadline, longest_pause=seconds(self.poll_interval), tolerated=self.tolerated(started)
        )

    def execute_complete(self, context: Context, event: dict[str, Any] | None) -> Any:
        """Go on after the triggerer waited: the same completion as without it, which reads the state itself.

        What the task started stands in the event: ``airflow dags test`` drops the arguments of a deferral.
        """
        carried = carried_by(event)
        self._memory(context).claim()
        started = self._carried_on(carried)
        if started is None:
            return self._look_again(context, OTHER_VERSION)
        return self._finish(started, str(started.work_request_id), self._until, context)

    def _carried_on(self, carried: dict[str, Any]) -> Started | None:
        """The work that a trigger carried; ``None`` if another version of this package wrote it."""
        deferred = Deferred.from_json(carried)
        started = self._started(deferred)
        if deferred is not None and started is not None:
            self._until, self._latest = deferred.deadline, deferred.latest
        return started

    def _look_again(self, context: Context, why: str) -> Any:
        """Find the work of this try as a retry would. Waits here: another deferral could end like the one before."""
        self.log.warning("%s\nThe work is looked for as on a retry, and waited for in this process.", why)
        self.check_arguments(rendered=True)
        self._interrupted, self.deferrable = True, False
        return self._begin(context)

    def _started(self, kept: TaskRecord | Deferred | None) -> Started | None:
        """Work that was kept; ``None`` if it is unknown, also because another version of this package wrote it."""
        facts = self.facts_type.from_json(kept.facts) if kept is not None else None
        return None if kept is None or facts is None else Started(kept.work_request_id, kept.submitted_at, facts)

    def _memory(self, context: Context) -> TaskState:
        return TaskState(context, self.durable, self._fingerprint, self._interrupted)

    def _finish(self, started: Started, work_request_id: str, deadline: float, context: Context) -> Any:
        """Wait in this process until the work request ends, and complete what was started."""
        plan = self._plan(started, deadline)
        flow = lazy.polling.wait(work_request_id, plan, started_at=started.submitted_at)
        try:
            with self._stopping(self._continuing(work_request_id)):
                work = self.hook.run(flow)
        except OACWorkRequestError as error:
            if error.status in (lazy.work_requests.FAILED, lazy.work_requests.CANCELED):
                self.clean_up(started, self._memory(context))
            raise
        return self.complete(started, work, context)

    def _push_work_link(self, started: Started, context: Context) -> None:
        """Say where the state of the work is, as soon as there is some."""
        if started.work_request_id is not None:
            address, work = self.hook.settings.address, lazy.calls.segment(started.work_request_id)
            url = f"{address}{lazy.calls.API_BASE}/workRequests/{work}"
            context["ti"].xcom_push(key=OACWorkRequestLink.xcom_key, value=url)

    def _deadline(self) -> float:
        now = time.time()
        self._until = now + seconds(self.timeout)
        if self.execution_timeout:
            # A little earlier than Airflow's own alarm, which knows no work request to name.
            self._latest = now + max(0.0, seconds(self.execution_timeout) - 2.0)
            self._until = min(self._until, self._latest)
        return self._until

    def _found_again(self, memory: TaskState) -> Started | None:
        """The work of an earlier try, if the store knows its id and it is still of use."""
        record = memory.recall()
        if not record.work_request_id or self._differs(memory, f"work request {record.work_request_id}"):
            return None
        started = self._started(record)
        if started is None:
            self.log.warning(
                "Another version of airflow-provider-oac submitted work request %s.", record.work_request_id
            )
            memory.remember(sending=memory.repeated)
            return None
        try:
            work = self.hook.run(lazy.work_requests.get(record.work_request_id))
        except OACError as error:
            if isinstance(error, OACApiError) and error.status == 404:
                if time.time() - started.submitted_at < lazy.polling.WaitPlan().not_found_grace:
                    return started
                self.log.warning("OAC does not know the work request of an earlier try any more. %s", error)
                memory.remember(sending=memory.repeated)
                return None
            if not memory.repeated:
                raise
            # The wait knows what passes and what does not.
            self.log.warning("The work request of an earlier try cannot be read yet, waiting for it: %s", error)
            return started
        if work.status == lazy.work_requests.SUCCEEDED:
            if not memory.repeated:
                self.log.info("Work request %s succeeded before the task was cleared; starting anew.", work.id)
                return None
            self.log.info("Work request %s of an earlier try succeeded; nothing is sent again.", work.id)
        elif work.status in lazy.work_requests.ENDED:
            self.log.info("Work request %s of an earlier try ended %s; starting anew.", work.id, work.status)
            self.clean_up(started, memory)
            return None
        else:
            self.log.info("Work request %s of an earlier try is %s; waiting for it.", work.id, work.status)
        return started
