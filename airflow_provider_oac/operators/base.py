"""Base classes of the operators: what all of them share, and the durable execution of those that start work in OAC."""

from __future__ import annotations

import json
import time
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from hashlib import sha256
from typing import Any, ClassVar

from airflow_provider_oac import lazy
from airflow_provider_oac._compat import AirflowFailException, Context, default_deferrable, deferral_error
from airflow_provider_oac.arguments import Duration, Location, Template, path_text, seconds
from airflow_provider_oac.counters import count
from airflow_provider_oac.exceptions import (
    OACApiError,
    OACConfigurationError,
    OACError,
    OACKilledError,
    OACWaitTimeoutError,
    OACWorkRequestError,
)
from airflow_provider_oac.links import INSTANCE_LINKS, WORK_LINKS, push_instance_link, push_work_link
from airflow_provider_oac.operators.task_state import Deferred, NoFacts, Started, TaskKey, TaskRecord, TaskState
from airflow_provider_oac.records import Record
from airflow_provider_oac.tasks import CheckedOperator
from airflow_provider_oac.triggers import oac as triggers

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
    def hook(self) -> lazy.oac.OACHook:
        """The hook of this task. Its waits end soon after Airflow kills the task."""
        return self._hook_of(self.oac_conn_id)

    def _hook_of(self, oac_conn_id: str) -> lazy.oac.OACHook:
        return lazy.oac.OACHook(oac_conn_id, stopped=lambda: self._killed)

    def pre_execute(self, context: Context) -> None:
        """Keep Airflow 3 from pushing the links at the end of the task: it would push empty ones as well."""
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

    def _collect(
        self,
        source: lazy.paging.Source[Any],
        destination: Location | None,
        conn_id: str | None,
        max_items: int,
        context: Context,
    ) -> list[Any] | dict[str, Any]:
        """Return all items of a list for XCom, or write them to a file as JSON lines and return its facts.

        :param conn_id: the Airflow Connection of the file's store, if its URL names none.
        :param max_items: maximum number of items for XCom.
        :raises OACConfigurationError: if there are more.
        """
        if destination:
            sink = sink_of(destination, conn_id, TaskKey.of(context))
            done = self.hook.run(lazy.writers.write_json_lines(source, sink))
            self.log.info("Wrote %d items to %s: %d bytes.", done.lines, destination, done.size)
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
        push_instance_link(context["ti"], self.hook.settings.address)


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
    def complete(self, started: Started, work: lazy.work_requests.WorkRequest | None, context: Context) -> Any:
        """Make the task's result, or start the work that comes next and return it.

        :param work: the work request, which succeeded; ``None`` if the task does not wait, or if only traces of the
            work were found.
        """

    def clean_up(self, started: Started, state: TaskState) -> None:
        """Clean up after work that failed or was canceled."""

    # When the wait of this try ends, and when Airflow ends the try, in seconds since the epoch. Deferrals keep both.
    _until = 0.0
    _latest: float | None = None

    # Whether this try lost track of its work: the trigger failed, or another version of this package wrote its state.
    _interrupted = False

    # The class of `Started.facts`: a module of `lazy`, and its name there; None if the operator needs no facts.
    facts_class: ClassVar[tuple[str, str] | None] = None
    # Why the task always waits for its work; empty if it need not.
    must_wait: ClassVar[str] = ""

    def check_together(self) -> None:
        """Require the wait where the operator needs it."""
        if self.must_wait and not self.wait_for_completion:
            raise OACConfigurationError(
                f"wait_for_completion=False is not supported: {self.must_wait}. Use deferrable=True to wait without a "
                "worker."
            )

    def handle(self, started: Started) -> str | None:
        """The id to poll; ``None`` if only traces of the work were found."""
        return started.work_request_id

    def state_call(self, started: Started) -> lazy.calls.Call[lazy.work_requests.WorkRequest]:
        """The call that reads the state of the work."""
        return lazy.work_requests.get(str(started.work_request_id))

    def trigger(self, started: Started) -> triggers.OACWorkRequestTrigger | triggers.OACJobTrigger:
        """The trigger that waits for the work. A task that waits in the worker polls the same target."""
        return triggers.OACWorkRequestTrigger(
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
        with self._stopping("Work that it may have started continues in OAC. The next try searches for it first."):
            if (started := self._found_again(state)) is not None:
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
            if started.work_request_id is not None:
                push_work_link(context["ti"], started.work_request_id, self.oac_conn_id, self.hook.settings.address)
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

    def _defer(self, trigger: triggers.OACTrigger, method_name: str = "execute_complete") -> None:
        """Wait in the triggerer. Airflow's timeout leaves the trigger time to end by itself at its deadline."""
        left = max(0.0, (trigger.deadline or 0.0) - time.time())
        self.defer(trigger=trigger, method_name=method_name, timeout=timedelta(seconds=left) + triggers.TRIGGER_GRACE)

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
        work, grace = f"work request {work_request_id or '(id not known)'}", triggers.TRIGGER_GRACE.seconds // 60
        raise OACWaitTimeoutError(
            f"No triggerer ended the wait for {work} within {grace} minutes after its deadline. The work continues in "
            "OAC. Likely cause: no triggerer runs, or it is overloaded. Next step: check `airflow triggerer`, then run "
            "the task again: it finds the work. deferrable=False waits in the worker.",
            work_request_id=work_request_id,
        )

    def _continuing(self, started: Started) -> str:
        subject = self.trigger(started).subject
        more = "reattaches to it" if self.durable else "starts new work, since durable is False"
        return f"Its work continues in OAC as {subject}, which cannot be canceled. The next try {more}."

    def execute_complete(self, context: Context, event: dict[str, Any] | None) -> Any:
        """Resume after the wait in the triggerer: read the state of the work once more, and complete it.

        The event carries what the task started, because ``airflow dags test`` drops the arguments of a deferral.
        """
        carried = triggers.carried_by(event)
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
        self.log.warning("%s\nThe task searches for the work as a retry does, and waits for it in this process.", why)
        self.check_arguments(rendered=True)
        self._interrupted, self.deferrable = True, False
        return self._begin(context)

    def _started(self, stored: TaskRecord | Deferred | None) -> Started | None:
        """Read stored work; ``None`` if there is none, or if another version of this package wrote it."""
        module, name = self.facts_class or ("", "")
        kind: type[Record] = getattr(getattr(lazy, module), name) if module else NoFacts
        facts = kind.from_json(stored.facts) if stored is not None else None
        return None if stored is None or facts is None else Started(stored.work_request_id, stored.submitted_at, facts)

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

    def _wait(self, started: Started) -> lazy.work_requests.WorkRequest:
        with self._stopping(self._continuing(started)):
            return self.hook.run(lazy.polling.succeeded(self.trigger(started).target(self.log.info)))

    def _found_again(self, state: TaskState) -> Started | None:
        """The work of an earlier try that this try continues, if the store knows its id; ``None`` to start anew."""
        record = state.recall()
        started = self._started(record)
        if started is None and record.work_request_id:
            self.log.warning("Another version of this provider submitted work request %s.", record.work_request_id)
            state.remember(sending=state.repeated)
        if started is None or self.handle(started) is None:
            return None
        name = self.trigger(started).subject
        if state.differs:
            self.log.warning(
                "Before it was cleared, this task had other arguments. Its %s may still run in OAC, which cannot "
                "cancel it. The task does not adopt it and starts new work.", name,
            )  # fmt: skip
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
            self.log.warning("Could not read the %s of an earlier try; waiting for it: %s", name, error)
            return started
        succeeded = work.status == lazy.work_requests.SUCCEEDED
        anew = not state.repeated if succeeded else work.status in lazy.work_requests.ENDED
        what = "starting new work" if anew else "reattaching to it"
        self.log.info("The %s of an earlier try is %s; %s.", name, work.status, what)
        if anew and not succeeded:
            self.clean_up(started, state)
        return None if anew else started


def sink_of(url: Location, conn_id: str | None, me: TaskKey) -> lazy.object_storage.ObjectStorageSink:
    """A file in any store that appears only when it is complete. It removes what earlier tries of the task left behind.

    :param url: URL of the file.
    :param conn_id: the Airflow Connection of the store, if the URL names none.
    :param me: the task that writes.
    :raises OACConfigurationError: for a folder.
    """
    url = path_text(url)
    if url.endswith("/"):
        raise OACConfigurationError(f"The destination {url!r} is a folder. Add the name of the file. Nothing was sent.")
    # The mark stays the same after a Clear, to find what was left behind before it.
    mark = lazy.snapshot_names.task_mark(me.dag_id, me.run_id, me.task_id, me.map_index, 0)
    return lazy.object_storage.ObjectStorageSink(lazy.object_storage.Destination(url, conn_id), mark, me.try_number)
