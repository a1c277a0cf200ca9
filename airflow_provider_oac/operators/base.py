"""Base classes of the operators: what all of them share, and the durable execution of those that start work in OAC."""

from __future__ import annotations

import json
import time
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_oac import lazy
from airflow_provider_oac._compat import AirflowFailException, default_deferrable, deferral_error, is_airflow_2
from airflow_provider_oac.arguments import Duration, Location, Template, path_text, seconds
from airflow_provider_oac.counters import count
from airflow_provider_oac.defaults import TRIGGER_GRACE
from airflow_provider_oac.exceptions import (
    OACApiError,
    OACConfigurationError,
    OACError,
    OACKilledError,
    OACWaitTimeoutError,
    OACWorkRequestError,
)
from airflow_provider_oac.links import (
    INSTANCE_LINKS,
    WORK_LINKS,
    WORK_REQUEST,
    OACInstanceLink,
    OACWorkRequestLink,
    work_request_page,
)
from airflow_provider_oac.operators.task_state import TaskKey, TaskRecord, TaskState
from airflow_provider_oac.records import Record
from airflow_provider_oac.tasks import CheckedOperator
from airflow_provider_oac.triggers.oac import OACTrigger, OACWorkRequestTrigger, carried_by

if TYPE_CHECKING:
    from airflow_provider_oac._compat import Context
    from airflow_provider_oac.client.calls import Call
    from airflow_provider_oac.client.paging import Source
    from airflow_provider_oac.client.rest.work_requests import WorkRequest
    from airflow_provider_oac.hooks.oac import OACHook
    from airflow_provider_oac.hooks.object_storage import ObjectStorageSink
    from airflow_provider_oac.triggers.oac import OACJobTrigger


@dataclass(frozen=True)
class NoFacts(Record):
    """No facts: the operator completes this work without any."""


class Started(NamedTuple):
    """Work that OAC has accepted.

    :param work_request_id: id of its work request; ``None`` if only traces of the work were found in OAC.
    :param submitted_at: when it was submitted, in seconds since the epoch.
    :param facts: what the operator needs to complete the work. Templates may render differently at that time.
    """

    work_request_id: str | None
    submitted_at: float
    facts: Any

    def record(self) -> dict[str, Any]:
        """The members that a :class:`TaskRecord` or :class:`Deferred` stores."""
        return {**self._asdict(), "facts": self.facts.to_json()}


@dataclass(frozen=True)
class Deferred(Record):
    """The state that a trigger carries for the task during a deferral.

    :param deadline: when the wait ends, in seconds since the epoch.
    :param latest: when ``execution_timeout`` ends the try, in seconds since the epoch; ``None`` for never.
    """

    work_request_id: str | None
    submitted_at: float
    facts: dict[str, Any]
    deadline: float
    latest: float | None


OTHER_VERSION = "The trigger of this task was written by another version of this provider."


@contextmanager
def no_retry(*kinds: type[OACError]) -> Iterator[None]:
    """Turn errors of these kinds into a failure without a retry."""
    try:
        yield
    except kinds as error:
        raise AirflowFailException(str(error)) from error


class OACBaseOperator(CheckedOperator):
    """Base class of all operators for OAC.

    :param oac_conn_id: the Airflow Connection of the type ``oac``.
    """

    oac_conn_id: Template[str] = "oac_default"

    operator_extra_links = INSTANCE_LINKS
    _killed = False

    @cached_property
    def hook(self) -> OACHook:
        """The hook of this task. Its waits end soon after Airflow kills the task."""
        return self._hook_of(self.oac_conn_id)

    def _hook_of(self, oac_conn_id: str) -> OACHook:
        return lazy.oac.OACHook(oac_conn_id, stopped=lambda: self._killed)

    def pre_execute(self, context: Context) -> None:
        """Keep Airflow 3 from pushing the links when the task's process ends.

        The operator pushes each link as soon as it knows the address. Airflow would push a link without an address as
        an empty XCom.
        """
        super().pre_execute(context)
        self.operator_extra_links = ()

    def on_kill(self) -> None:
        """Set a flag, and nothing else: Airflow calls this in a signal handler, and kills the process seconds later."""
        self._killed = True

    @contextmanager
    def _stopping(self, what_continues: str) -> Iterator[None]:
        """Report what continues in OAC if the task is told to stop inside this block.

        :param what_continues: the message, in whole sentences, with the ids.
        """
        try:
            yield
        except OACKilledError:
            raise OACKilledError(f"The task was told to stop. {what_continues}") from None
        except BaseException:
            # In Airflow 2, the signal handler raises an exception at whatever line the task is executing.
            if self._killed:
                self.log.warning("The task was told to stop. %s", what_continues)
            raise

    def _fingerprint(self) -> str:
        """The fingerprint of the order: a digest of the instance and of every rendered template field."""
        order = {name: getattr(self, name) for name in self.template_fields if name != "oac_conn_id"}
        text = json.dumps([type(self).__name__, self.hook.settings.address, order], sort_keys=True, default=str)
        return sha256(text.encode()).hexdigest()[:20]

    def _differs(self, state: TaskState, work: str) -> bool:
        """Whether the store holds an order from before a Clear that differs from this one; warns if so.

        :param work: the earlier work, for the log.
        """
        if not state.differs:
            return False
        self.log.warning(
            "Before it was cleared, this task ordered something else: %s may still be running in OAC, which cannot "
            "cancel it. It is not adopted; this order is submitted anew.", work,
        )  # fmt: skip
        return True

    def _collect(
        self, source: Source[Any], destination: Location | None, conn_id: str | None, max_items: int, context: Context
    ) -> list[Any] | dict[str, Any]:
        """Return all items of a list for XCom, or write them to a file as JSON lines and return its facts.

        :param conn_id: the Airflow Connection of the file's store, if its URL names none.
        :param max_items: maximum number of items for XCom.
        :raises OACConfigurationError: if there are more.
        """
        if destination:
            sink = sink_of(destination, conn_id, TaskKey.of(context))
            done = self.hook.run(lazy.writers.write_json_lines(source, sink))
            self.log.info(
                "Wrote %d items to %s: %d bytes, SHA-256 %s.", done.lines, destination, done.size, done.sha256
            )
            return {"path": destination, "items": done.lines, "size": done.size, "sha256": done.sha256}
        items = self.hook.run(lazy.paging.collected(source, max_items + 1))
        if len(items) > max_items:
            raise OACConfigurationError(
                f"More than {max_items} items were found, too many for XCom. Set destination to a file for them, "
                "narrow the list, or raise max_items."
            )
        self.log.info("Found %d items.", len(items))
        return [lazy.models.plain(item) for item in items]

    def _push_link(self, context: Context) -> None:
        context["ti"].xcom_push(key=OACInstanceLink.xcom_key, value=f"{self.hook.settings.address}/ui/")


class OACWorkOperator(OACBaseOperator):
    """Starts work in OAC, waits for it, and completes it: once per logical task, even if the worker is lost.

    A retry reattaches to the work that an earlier try started. It finds the work in Airflow's task state store
    (Airflow 3.3), or else by the traces that the work left in OAC. A Clear starts new work, unless the store shows that
    work with the same arguments is still running. OAC has no operation to cancel work.

    :param wait_for_completion: whether to wait. If not, the result holds the id of the work request, for
        :class:`~airflow_provider_oac.sensors.work_requests.OACWorkRequestSensor`.
    :param deferrable: whether to wait in the triggerer, without a worker slot; by default Airflow's setting
        ``[operators] default_deferrable``.
    :param poll_interval: longest pause between two polls, as a duration or in seconds. A pause is 5 % of the age of the
        work, at least a second and at most this.
    :param timeout: how long one try waits, as a duration or in seconds. A shorter ``execution_timeout`` takes
        precedence.
    :param durable: ``False`` starts new work on each try, without looking for the work of an earlier one.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__module__.startswith(f"{__package__}."):
            # Airflow's registry recognizes durable operators by this attribute, whose name contains the class's name.
            setattr(cls, f"_{cls.__name__}__supports_durable_execution", True)

    wait_for_completion: bool = True
    deferrable: bool | None = None
    poll_interval: Duration = 30.0
    timeout: Duration = timedelta(hours=6)
    durable: bool = True

    operator_extra_links = WORK_LINKS

    def __post_init__(self) -> None:
        """Take the deployment's default for ``deferrable``."""
        if self.deferrable is None:
            self.deferrable = default_deferrable()

    @abstractmethod
    def start(self, state: TaskState, context: Context) -> Started:
        """Submit the work, unless OAC shows that an earlier try already has."""

    @abstractmethod
    def complete(self, started: Started, work: WorkRequest | None, context: Context) -> Any:
        """Make the task's result, or start the work that comes next and return it.

        :param work: the work request, which succeeded; ``None`` if the task does not wait, or if only traces of the
            work were found.
        """

    def clean_up(self, started: Started, state: TaskState) -> None:
        """Clean up after work that failed or was canceled."""

    # When the wait of this try ends, and when Airflow ends the try, in seconds since the epoch. Deferrals keep both.
    _until = 0.0
    _latest: float | None = None

    # Whether this try lost track of what it had submitted: the trigger failed, or another version of this package
    # wrote its state.
    _interrupted = False

    @property
    def facts_type(self) -> type[Record]:
        """The class of :attr:`Started.facts`."""
        return NoFacts

    def handle(self, started: Started) -> str | None:
        """The id to poll; ``None`` if only traces of the work were found."""
        return started.work_request_id

    def state_call(self, started: Started) -> Call[WorkRequest]:
        """The call that reads the state of the work."""
        return lazy.work_requests.get(str(started.work_request_id))

    def trigger(self, started: Started) -> OACWorkRequestTrigger | OACJobTrigger:
        """The trigger that waits for the work. A task that waits in the worker polls the same target."""
        return OACWorkRequestTrigger(
            **self._trigger_arguments(started, self._until),
            work_request_id=str(started.work_request_id),
            submitted_at=started.submitted_at,
            tolerated=list(self.tolerated(started)),
        )

    def tolerated(self, started: Started) -> tuple[int, ...]:
        """HTTP error statuses that this work itself can cause. The wait ignores them."""
        return ()

    def waits_for(self, started: Started) -> bool:
        """Whether to wait for the work."""
        return self.wait_for_completion and self.handle(started) is not None

    def execute(self, context: Context) -> Any:
        """Start the work or find it, wait, and complete it."""
        return self._begin(context)

    def _begin(self, context: Context) -> Any:
        now = time.time()
        self._until = now + seconds(self.timeout)
        if self.execution_timeout:
            # End before Airflow's own timeout, whose error could not name the work request.
            self._latest = now + max(0.0, seconds(self.execution_timeout) - 2.0)
            self._until = min(self._until, self._latest)
        state = self._state(context)
        state.claim()
        with self._stopping("What it may have started continues in OAC; the next try searches for it first."):
            started = self._found_again(state)
            if started is not None:
                count("reattached")
            started = started or self.start(state, context)
        return self._pursue(started, state, context)

    def _pursue(self, result: Any, state: TaskState, context: Context) -> Any:
        """Record what was started, wait for it in the worker or the triggerer, and complete it.

        :param result: the work that was started; anything else is already the task's result.
        """
        # Not recursion: an export of many files has more rounds than Python's recursion limit allows.
        while isinstance(result, Started):
            started = result
            # Without an id, a retry has to search OAC for traces of the work.
            state.remember(**started.record(), sending=self.handle(started) is None)
            self._push_link(context)
            self._push_work_link(started, context)
            if not self.waits_for(started):
                result = self.complete(started, None, context)
                continue
            if self.deferrable:
                trigger = self.trigger(started)
                with self._stopping(self._continuing(started)):
                    soon = lazy.defer_decision.over_soon(self.hook, trigger.target(lambda _line: None))
                if not soon:
                    self._defer(trigger)
            result = self._finish(started, context)
        return result

    def _defer(self, trigger: OACTrigger, method_name: str = "execute_complete") -> None:
        """Wait in the triggerer. Airflow's timeout leaves the trigger time to end by itself at its deadline."""
        left = max(0.0, (trigger.deadline or 0.0) - time.time())
        self.defer(trigger=trigger, method_name=method_name, timeout=timedelta(seconds=left) + TRIGGER_GRACE)

    def _trigger_arguments(self, started: Started, deadline: float) -> dict[str, Any]:
        """The arguments that all triggers of work take."""
        return {
            "oac_conn_id": self.oac_conn_id,
            "deadline": deadline,
            "poll_interval": seconds(self.poll_interval),
            "carried": Deferred(**started.record(), deadline=deadline, latest=self._latest).to_json(),
        }

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume after a deferral. Airflow calls this.

        :raises OACWaitTimeoutError: if no triggerer ended the wait in time.
        """
        error = deferral_error(next_method, next_kwargs)
        if error is None:
            return super().resume_execution(next_method, next_kwargs, context)
        if not error.endswith("timeout"):
            return self._search_again(context, f"The trigger failed: {error}")
        work_request_id = self._state(context).of_this_order().work_request_id
        work = f"work request {work_request_id}" if work_request_id else "work in OAC"
        raise OACWaitTimeoutError(
            f"No triggerer ended the wait for {work} within {TRIGGER_GRACE.seconds // 60} minutes after its deadline. "
            "Likely cause: no triggerer runs, or it is overloaded. The work continues in OAC. Next step: check "
            "`airflow triggerer`, then run the task again: it finds the work. deferrable=False waits in the worker.",
            work_request_id=work_request_id,
        )

    def _continuing(self, started: Started) -> str:
        return (
            f"Its work continues in OAC as {self.trigger(started).subject}, which cannot be canceled; the next try of "
            "the task finds it again."
        )

    def execute_complete(self, context: Context, event: dict[str, Any] | None) -> Any:
        """Resume after the wait in the triggerer: read the state of the work once more, and complete it.

        The event carries what the task started, because ``airflow dags test`` drops the arguments of a deferral.
        """
        carried = carried_by(event)
        state = self._state(context)
        state.claim()
        started = self._carried_on(carried)
        if started is None:
            return self._search_again(context, OTHER_VERSION)
        return self._pursue(self._finish(started, context), state, context)

    def _carried_on(self, carried: dict[str, Any]) -> Started | None:
        """Restore the work that a trigger carried; ``None`` if another version of this package wrote it."""
        deferred = Deferred.from_json(carried)
        started = self._started(deferred)
        if deferred is not None and started is not None:
            self._until, self._latest = deferred.deadline, deferred.latest
        return started

    def _search_again(self, context: Context, why: str) -> Any:
        """Find the work of this try as a retry would, and wait in the worker: another deferral could fail again."""
        self.log.warning("%s\nThe task searches for the work as on a retry, and waits for it in this process.", why)
        self.check_arguments(rendered=True)
        self._interrupted, self.deferrable = True, False
        return self._begin(context)

    def _started(self, kept: TaskRecord | Deferred | None) -> Started | None:
        """Read stored work; ``None`` if there is none, or if another version of this package wrote it."""
        facts = self.facts_type.from_json(kept.facts) if kept is not None else None
        return None if kept is None or facts is None else Started(kept.work_request_id, kept.submitted_at, facts)

    def _state(self, context: Context) -> TaskState:
        return TaskState(context, self.durable, self._fingerprint, self._interrupted)

    def _finish(self, started: Started, context: Context) -> Any:
        """Wait in this process until the work ends, and complete it."""
        try:
            work = self._wait(started)
        except OACWorkRequestError as error:
            if error.status in (lazy.work_requests.FAILED, lazy.work_requests.CANCELED):
                self.clean_up(started, self._state(context))
            raise
        return self.complete(started, work, context)

    def _wait(self, started: Started) -> WorkRequest:
        with self._stopping(self._continuing(started)):
            return self.hook.run(lazy.polling.succeeded(self.trigger(started).target(self.log.info)))

    def _push_work_link(self, started: Started, context: Context) -> None:
        """Push the link to the work request, and its facts for programs, as soon as its id is known."""
        if started.work_request_id is not None:
            ti, work_request_id, address = context["ti"], started.work_request_id, self.hook.settings.address
            known = {"work_request_id": work_request_id, "oac_conn_id": self.oac_conn_id, "address": address}
            ti.xcom_push(key=WORK_REQUEST, value=known)
            rest = f"{address}{lazy.calls.API_BASE}/workRequests/{lazy.calls.segment(work_request_id)}"
            ti.xcom_push(key=OACWorkRequestLink.xcom_key, value=rest if is_airflow_2() else work_request_page(ti))

    def _found_again(self, state: TaskState) -> Started | None:
        """The work of an earlier try that this try continues, if the store knows its id; ``None`` to start anew."""
        record = state.recall()
        started = self._started(record)
        if started is None and record.work_request_id:
            self.log.warning(
                "Another version of airflow-provider-oac submitted work request %s.", record.work_request_id
            )
            state.remember(sending=state.repeated)
        if started is None or self.handle(started) is None:
            return None
        name = self.trigger(started).subject
        if self._differs(state, name):
            return None
        try:
            work = self.hook.run(self.state_call(started))
        except OACKilledError:
            raise
        except OACError as error:
            if isinstance(error, OACApiError) and error.status == 404:
                if time.time() - started.submitted_at < lazy.polling.WaitPlan().not_found_grace:
                    return started
                self.log.warning("OAC no longer knows the %s of an earlier try. %s", name, error)
                state.remember(sending=state.repeated)
                return None
            if not state.repeated:
                raise
            # The wait decides which errors are temporary.
            self.log.warning("The %s of an earlier try cannot be read yet, waiting for it: %s", name, error)
            return started
        name = name[0].upper() + name[1:]
        if work.status == lazy.work_requests.SUCCEEDED:
            if not state.repeated:
                self.log.info("%s succeeded before the task was cleared; starting anew.", name)
                return None
            self.log.info("%s of an earlier try succeeded; nothing is sent again.", name)
        elif work.status in lazy.work_requests.ENDED:
            self.log.info("%s of an earlier try ended %s; starting anew.", name, work.status)
            self.clean_up(started, state)
            return None
        else:
            self.log.info("%s of an earlier try is %s; waiting for it.", name, work.status)
        return started


def sink_of(url: Location, conn_id: str | None, me: TaskKey) -> ObjectStorageSink:
    """A file in any store that appears only when it is complete. It removes what earlier tries of the task left behind.

    :param url: URL of the file.
    :param conn_id: the Airflow Connection of the store, if the URL names none.
    :param me: the task that writes.
    :raises OACConfigurationError: for a folder.
    """
    url = path_text(url)
    if url.endswith("/"):
        raise OACConfigurationError(
            f"The destination {url!r} ends in /, as a folder does. Give the name of the file. Nothing was sent."
        )
    # The mark stays the same after a Clear, to find what was left behind before it.
    mark = lazy.snapshot_names.task_mark(me.dag_id, me.run_id, me.task_id, me.map_index, 0)
    return lazy.object_storage.ObjectStorageSink(lazy.object_storage.Destination(url, conn_id), mark, me.try_number)
